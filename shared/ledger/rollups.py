"""The rollups table: one partition a day of closing, and one row that says how far it goes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from shared.decoding import decode
from shared.ledger.tables import MAX_BATCH, Table, chunked, joined
from shared.reporting.facts import day_of
from shared.reporting.rollup import Key, Rollup

_STATUS = "status"


class Status(msgspec.Struct, frozen=True):
    """How far the rollups go: all that closed before `as_of` is in them."""

    as_of: datetime
    open: int


class Rollups:
    """Rows of figures."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def write(self, day: str, rows: dict[Key, Rollup]) -> None:
        """Make the day's rows exactly these: changed ones are written, vanished ones removed.

        Up to 100 changes are one transaction; each row is whole in any case.
        """
        standing = {row["RowKey"]: joined(row) for row in self._table.range(day)}
        wanted = {key.row: row.text for key, row in rows.items()}
        operations: list[tuple[Any, ...]] = [
            _upsert(day, name, text) for name, text in wanted.items() if standing.get(name) != text
        ]
        operations += [
            ("delete", {"PartitionKey": day, "RowKey": name}) for name in standing.keys() - wanted
        ]
        for start in range(0, len(operations), MAX_BATCH):
            self._table.transact(operations[start : start + MAX_BATCH])

    def between(self, first: str, last: str) -> Iterator[Rollup]:
        """The rows of the days from `first` to `last`, both included."""
        for row in self._table.partitions_between(first, f"{last}~"):
            yield decode(joined(row), Rollup)

    def status(self) -> Status | None:
        """How far the rollups go, None if nothing was ever computed."""
        row = self._table.get(_STATUS, _STATUS)
        return Status(row["as_of"], int(row["open"])) if row else None

    def note_status(self, status: Status) -> None:
        """Write down how far the rollups go."""
        row = {"as_of": status.as_of, "open": status.open}
        self._table.put({"PartitionKey": _STATUS, "RowKey": _STATUS} | row)

    def purge(self, before: datetime) -> int:
        """Remove the rows of days before the day of `before`; counts them."""
        count = 0
        for row in self._table.partitions_between("0", day_of(before)):
            self._table.delete(row["PartitionKey"], row["RowKey"])
            count += 1
        return count


def _upsert(day: str, name: str, text: str) -> tuple[Any, ...]:
    from azure.data.tables import UpdateMode

    entity = {"PartitionKey": day, "RowKey": name} | chunked(text)
    return ("upsert", entity, {"mode": UpdateMode.REPLACE})

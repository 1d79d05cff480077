"""What is known of closed incidents beside their rows: one partition, three kinds of rows.

`fact-<day>-<id>`      what counts of the incident, by the day of closing
`changed-<day>`        facts of this day are newer than its rollup
`follow-<due>-<id>`    nobody has seen it recover yet; to be looked at when it is due

They are written in one transaction when an incident closes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from shared.decoding import decode
from shared.errors import LedgerConflict, LedgerMissing
from shared.ledger.tables import Entity, Table, chunked, joined
from shared.reporting.facts import Fact, day_of

_PARTITION = "closed"
_AFTER = "~"  # sorts after all that keys are made of
_STAMP = "%Y%m%dT%H%M%SZ"


class Change(msgspec.Struct, frozen=True):
    """A day whose rollup is to be computed."""

    day: str
    etag: str


class Follow(msgspec.Struct, frozen=True):
    """An incident whose recovery is looked for; `looks` were made."""

    row: str
    incident_id: str
    since: datetime
    looks: int


class Closed:
    """Facts, changed days and followed incidents."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def note(self, fact: Fact, follow_from: datetime | None = None) -> None:
        """Write an incident's fact and mark its day; `follow_from` begins to follow it."""
        rows: list[Entity] = [
            {"RowKey": f"fact-{fact.day}-{fact.incident_id}"}
            | chunked(msgspec.json.encode(fact).decode()),
            {"RowKey": f"changed-{fact.day}"},
        ]
        if follow_from is not None:
            rows.append(_follow_row(fact.incident_id, follow_from, follow_from, 0))
        self._table.transact([_upsert(row) for row in rows])

    def facts(self, day: str) -> Iterator[Fact]:
        """The facts of a day, read page by page."""
        for row in self._table.range(_PARTITION, f"fact-{day}-", f"fact-{day}-{_AFTER}"):
            yield decode(joined(row), Fact)

    def changed(self, limit: int) -> list[Change]:
        """At most `limit` days whose rollup is to be computed, oldest first."""
        rows = self._table.range(_PARTITION, "changed-", f"changed-{_AFTER}", limit)
        return [Change(row["RowKey"].removeprefix("changed-"), row["etag"]) for row in rows]

    def settle(self, change: Change) -> bool:
        """Take the mark off a day; False if the day has changed again."""
        try:
            self._table.delete_if(_PARTITION, f"changed-{change.day}", change.etag)
        except (LedgerConflict, LedgerMissing):
            return False
        return True

    def due(self, now: datetime, limit: int) -> list[Follow]:
        """At most `limit` followed incidents that are to be looked at by now, longest due first."""
        high = f"follow-{now.strftime(_STAMP)}-{_AFTER}"
        return [_follow(row) for row in self._table.range(_PARTITION, "follow-", high, limit)]

    def later(self, follow: Follow, due: datetime) -> None:
        """Look at it again when `due`, counting this look."""
        row = _follow_row(follow.incident_id, due, follow.since, follow.looks + 1)
        if row["RowKey"] == follow.row:
            return
        gone = {"PartitionKey": _PARTITION, "RowKey": follow.row}
        self._table.transact([_upsert(row), ("delete", gone)])

    def unfollow(self, follow: Follow) -> None:
        """Look for it no longer."""
        self._table.delete(_PARTITION, follow.row)

    def purge(self, before: datetime) -> int:
        """Remove the facts of days before the day of `before`; counts them."""
        count = 0
        for row in self._table.range(_PARTITION, "fact-", f"fact-{day_of(before)}"):
            self._table.delete(_PARTITION, row["RowKey"])
            count += 1
        return count


def _upsert(row: Entity) -> tuple[Any, ...]:
    from azure.data.tables import UpdateMode

    return ("upsert", {"PartitionKey": _PARTITION} | row, {"mode": UpdateMode.REPLACE})


def _follow_row(incident_id: str, due: datetime, since: datetime, looks: int) -> Entity:
    return {
        "RowKey": f"follow-{due.strftime(_STAMP)}-{incident_id}",
        "incident_id": incident_id,
        "since": since,
        "looks": looks,
    }


def _follow(row: Entity) -> Follow:
    return Follow(row["RowKey"], row["incident_id"], row["since"], int(row["looks"]))

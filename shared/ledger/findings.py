"""Findings in one partition: `open-<id>` while it stands, `past-<newest first>-<id>` after it.

`last-<id>` names the newest `past` row of a finding, so that one that comes back is known. The open
ones are a range of rows: listing them looks at nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from shared.clock import Clock, iso
from shared.decoding import decode
from shared.errors import LedgerConflict, LedgerMissing, LedgerUnavailable
from shared.findings.model import Finding
from shared.ledger.tables import Condition, Entity, Table, chunked, joined

_PARTITION = "finding"
_OPEN, _PAST, _LAST = "open-", "past-", "last-"
_END = "~"  # sorts after all that keys are made of
_FAR = 10**15  # milliseconds: newer rows sort first
_TRIES = 20


class FindingPage(msgspec.Struct, frozen=True):
    """Some findings, and the row after which the next page starts; empty if there is no more."""

    findings: list[Finding]
    after: str


class Findings:
    """The findings table."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def standing(self) -> Iterator[Finding]:
        """All findings that are not resolved, the silenced ones too."""
        return (_decoded(row) for row in self._table.range(_PARTITION, _OPEN, _OPEN + _END))

    def get(self, finding_id: str) -> Finding:
        """A finding.

        Raises:
            LedgerMissing: there is none with this id.
        """
        row = self._row(finding_id)
        if row is None:
            raise LedgerMissing(f"no finding {finding_id}")
        return _decoded(row)

    def past(self, finding_id: str) -> Finding | None:
        """How a finding that does not stand stood the last time, None if it never did."""
        last = self._table.get(_PARTITION, _LAST + finding_id)
        row = self._table.get(_PARTITION, last["row"]) if last else None
        return _decoded(row) if row else None

    def open(self, finding: Finding) -> bool:
        """Write a finding that begins to stand; False if it stands already."""
        last = self._table.get(_PARTITION, _LAST + finding.finding_id)
        operations: list[tuple[Any, ...]] = [("create", _row(_OPEN + finding.finding_id, finding))]
        if last is not None:
            operations += [("delete", _key(last["row"])), ("delete", _key(last["RowKey"]))]
        try:
            self._table.transact(operations)
        except (LedgerConflict, LedgerMissing):  # another sweep was faster
            return False
        return True

    def change(self, finding_id: str, change: Callable[[Finding], Finding]) -> Finding:
        """Change a finding under optimistic locking; `change` may be called more than once.

        Raises:
            LedgerMissing: there is none with this id.
            LedgerUnavailable: storage did not answer, or too many writers were in each other's way.
        """
        for _ in range(_TRIES):
            row = self._row(finding_id)
            if row is None:
                raise LedgerMissing(f"no finding {finding_id}")
            changed = change(_decoded(row))
            try:
                self._table.replace(_row(row["RowKey"], changed), row["etag"])
            except (LedgerConflict, LedgerMissing):
                self._clock.sleep(0.02)
                continue
            return changed
        raise LedgerUnavailable("too many writers on one finding")

    def resolve(self, finding_id: str, at: datetime) -> bool:
        """A finding stands no longer; False if it did not stand, or was changed meanwhile."""
        row = self._table.get(_PARTITION, _OPEN + finding_id)
        if row is None:
            return False
        finding = _decoded(row)
        finding.resolved_at = at
        past = f"{_PAST}{_FAR - int(at.timestamp() * 1000):015d}-{finding_id}"
        unchanged = {"etag": row["etag"], "match_condition": _unmodified()}
        pointer = {**_key(_LAST + finding_id), "row": past}
        try:
            self._table.transact(
                [
                    ("delete", _key(_OPEN + finding_id), unchanged),
                    ("upsert", _row(past, finding)),
                    ("upsert", pointer),
                ]
            )
        except (LedgerConflict, LedgerMissing):
            return False
        return True

    def page(
        self, where: Condition, after: str, limit: int, *, standing: bool, resolved: bool
    ) -> FindingPage:
        """The next findings: those that stand by their id, then the resolved ones, newest first."""
        low = f"{after}0" if after else _OPEN
        high = _PAST + _END if resolved else _OPEN + _END
        low = low if standing else max(low, _PAST)
        rows = list(self._table.range(_PARTITION, low, high, limit + 1, where))
        more = rows[limit - 1]["RowKey"] if len(rows) > limit else ""
        return FindingPage([_decoded(row) for row in rows[:limit]], more)

    def purge(self, before: datetime) -> int:
        """Forget what was resolved before a moment; counts it."""
        low = f"{_PAST}{_FAR - int(before.timestamp() * 1000):015d}"
        count = 0
        for row in list(self._table.range(_PARTITION, low, _PAST + _END)):
            identity = row["RowKey"].rpartition("-")[2]
            gone = [("delete", _key(row["RowKey"])), ("delete", _key(_LAST + identity))]
            self._table.transact(gone)
            count += 1
        return count

    def _row(self, finding_id: str) -> Entity | None:
        row = self._table.get(_PARTITION, _OPEN + finding_id)
        if row is not None:
            return row
        last = self._table.get(_PARTITION, _LAST + finding_id)
        return self._table.get(_PARTITION, last["row"]) if last else None


def _unmodified() -> Any:  # noqa: ANN401 - lazy type
    from azure.core import MatchConditions

    return MatchConditions.IfNotModified


def _key(row: str) -> Entity:
    return {"PartitionKey": _PARTITION, "RowKey": row}


def _row(row: str, finding: Finding) -> Entity:
    return {
        **_key(row),
        "kind": finding.kind.value,
        "target": finding.target,
        "severity": finding.severity.value,
        "silenced_until": iso(finding.silence.until) if finding.silence else "",
        **chunked(msgspec.json.encode(finding).decode()),
    }


def _decoded(row: Entity) -> Finding:
    return decode(joined(row), Finding)

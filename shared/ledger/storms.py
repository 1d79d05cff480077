"""Storms in the state table: one document a kind, and a row for each failure of that kind.

A kind is one error type in one factory or workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from shared.clock import Clock, from_iso, iso
from shared.ledger.documents import Documents
from shared.ledger.tables import Table, digest
from shared.policy import storms as rules
from shared.policy.model import StormTerms
from shared.policy.storms import Admission, Storm, StormState

R = TypeVar("R")

_SCOPE, _ON = "storm", "storm-on"
_MEMBERS = "storm-members-"
_FAR = 10**15  # milliseconds: newer rows sort first


class Storms:
    """What kinds of failure pile up, and which storms are on."""

    def __init__(self, table: Table, documents: Documents, clock: Clock) -> None:
        self._table = table
        self._documents = documents
        self._clock = clock

    def note(self, target: str, error_type: str, incident_id: str, at: datetime) -> None:
        """Count a failure of this kind; once for each incident."""
        millis = int(at.timestamp() * 1000)
        self._table.put(
            {
                "PartitionKey": _members(target, error_type),
                "RowKey": f"{_FAR - millis:015d}-{incident_id}",
                "incident_id": incident_id,
                "at": iso(at),
            }
        )

    def brewing(self, terms: StormTerms, target: str, error_type: str) -> list[str]:
        """The newest failures of a kind, if they are enough for a storm that is not yet on."""
        storm = self.read(target, error_type)
        if storm.state in {StormState.ON, StormState.RELEASING}:
            return []
        start = self._clock.now() - timedelta(seconds=terms.within)
        start = max(start, storm.ended_at) if storm.ended_at else start
        rows = self._table.range(_members(target, error_type), limit=terms.failures)
        newest = [row["incident_id"] for row in rows if from_iso(row["at"]) > start]
        return newest if len(newest) >= terms.failures else []

    def read(self, target: str, error_type: str) -> Storm:
        """The newest storm of a kind."""
        return self._documents.read(_SCOPE, _name(target, error_type), Storm)

    def declare(self, target: str, error_type: str, incident_id: str) -> str:
        """Open a storm with `incident_id` to stand for it, or find the one that is on.

        Returns:
            The incident that stands for it.
        """
        now = self._clock.now()
        name = _name(target, error_type)

        def change(storm: Storm) -> str:
            rules.declare(storm, incident_id, target, error_type, now)
            return storm.incident_id

        self._table.put({"PartitionKey": _ON, "RowKey": digest(name), "name": name[:1000]})
        return self._documents.change(_SCOPE, name, Storm, change)

    def admit(
        self, terms: StormTerms, target: str, error_type: str, incident_id: str, *, asks: bool
    ) -> Admission:
        """Whether an incident of a kind may go on now; `asks` if a person must be asked first."""
        now = self._clock.now()
        return self._change(
            target, error_type, lambda storm: rules.admit(terms, storm, incident_id, now, asks=asks)
        )

    def peek(self, terms: StormTerms, target: str, error_type: str, incident_id: str) -> Admission:
        """What `admit` would say; changes nothing."""
        storm = self.read(target, error_type)
        return rules.admit(terms, storm, incident_id, self._clock.now())

    def conclude(
        self, terms: StormTerms, target: str, error_type: str, incident_id: str, *, healed: bool
    ) -> str:
        """Note how an incident's attempt ended; the storm's incident if it changed by it."""
        now = self._clock.now()

        def change(storm: Storm) -> str:
            changed = rules.conclude(terms, storm, incident_id, now, healed=healed)
            return storm.incident_id if changed else ""

        return self._change(target, error_type, change)

    def withdraw(self, target: str, error_type: str, incident_id: str) -> bool:
        """Note that a probe tries nothing after all; False if it was not the probe."""
        now = self._clock.now()
        return self._change(
            target, error_type, lambda storm: rules.withdraw(storm, incident_id, now)
        )

    def on(self) -> Iterator[Storm]:
        """The storms that are on."""
        for row in list(self._table.range(_ON)):
            storm = self._documents.read(_SCOPE, row["name"], Storm)
            if storm.state in {StormState.ON, StormState.RELEASING}:
                yield storm
            else:
                self._table.delete(_ON, row["RowKey"])

    def members(self, storm: Storm, most: int) -> list[str]:
        """Incidents of a storm's kind since shortly before it was declared, at most `most`."""
        rows = self._table.range(_members(storm.target, storm.error_type), limit=most)
        return [row["incident_id"] for row in islice(rows, most)]

    def end(self, storm: Storm, state: StormState) -> bool:
        """End a storm; False if it had ended."""
        now = self._clock.now()
        return self._change(
            storm.target, storm.error_type, lambda fresh: rules.end(fresh, now, state)
        )

    def purge(self, before: datetime) -> int:
        """Forget failures that were counted before `before`."""
        count = 0
        for row in self._table.partitions_between(_MEMBERS, f"{_MEMBERS}~"):
            if from_iso(row["at"]) < before:
                self._table.delete(row["PartitionKey"], row["RowKey"])
                count += 1
        return count

    def _change(self, target: str, error_type: str, change: Callable[[Storm], R]) -> R:
        return self._documents.change(_SCOPE, _name(target, error_type), Storm, change)


def _name(target: str, error_type: str) -> str:
    return f"{target}|{error_type}"


def _members(target: str, error_type: str) -> str:
    return f"{_MEMBERS}{digest(_name(target, error_type))}"

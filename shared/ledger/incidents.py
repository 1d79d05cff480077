"""Incidents: one row each, newest first within the day of opening, and an index of the open ones.

An incident's id carries its opening time, so its row is found without a scan. What counts of closed
ones is kept beside them: see `shared.ledger.closed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from shared.clock import Clock, iso
from shared.decoding import decode
from shared.errors import LedgerConflict, LedgerMissing, LedgerUnavailable
from shared.ledger.closed import Closed
from shared.ledger.search import DAY_MILLIS, Page, Position, Wanted
from shared.ledger.tables import Entity, Table, chunked, digest, joined
from shared.models import Incident
from shared.reporting.facts import Fact, fact_of, remedy_of, worth_following

_OPEN = "open"
_TRIES = 60
_LONGEST_PAUSE = 0.2  # seconds between two tries


def new_incident_id(opened_at: datetime, root_key: str) -> str:
    """An id of letters, digits and `-` only: it is also the orchestration's instance id."""
    stamp = opened_at.strftime("%Y%m%d-%H%M%S") + f"{opened_at.microsecond // 1000:03d}"
    return f"{stamp}-{digest(root_key, 8)}"


def row_of(incident_id: str) -> tuple[str, str] | None:
    """Partition and row key of an incident, None if the id is not one of ours."""
    parts = incident_id.split("-")
    if not incident_id.isascii() or len(parts) != 3 or not (parts[0] + parts[1]).isdigit():  # noqa: PLR2004 - day, time, digest
        return None
    day, time, suffix = parts
    if len(day) != len("20260101") or len(time) != len("235959999") or not suffix.isalnum():
        return None
    millis = (int(time[0:2]) * 60 + int(time[2:4])) * 60_000 + int(time[4:9])
    return day, f"{DAY_MILLIS - millis:08d}-{suffix}"


class Incidents:
    """The incidents table."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self.closed = Closed(table)

    def open(self, incident: Incident) -> bool:
        """Write a new incident; False if it is there already (a repeat, or somebody was faster)."""
        # The index first: an index row without an incident is harmless, the reverse is not found.
        self._table.put({"PartitionKey": _OPEN, "RowKey": incident.incident_id})
        try:
            self._table.insert(entity_of(incident))
        except LedgerConflict:
            return False
        return True

    def get(self, incident_id: str) -> Incident:
        """The incident.

        Raises:
            LedgerMissing: there is none with this id.
        """
        return self._read(incident_id)[0]

    def change(self, incident_id: str, change: Callable[[Incident], None]) -> Incident:
        """Change an incident under optimistic locking; `change` may be called more than once.

        Raises:
            LedgerMissing: there is none with this id.
            LedgerUnavailable: storage did not answer, or too many writers were in each other's way.
        """
        for turn in range(_TRIES):
            incident, etag, old = self._ground(incident_id, fresh=turn > 0)
            before = fact_of(incident)
            try:
                change(incident)
            except Exception:
                if not old:
                    raise
                continue  # refused for what may no longer be so: read it
            incident.updated_at = self._clock.now()
            try:
                self._table.replace(entity_of(incident), etag)
            except LedgerConflict:
                self._clock.sleep(min(0.01 * (turn + 1), _LONGEST_PAUSE))
                continue
            self._index(incident, before)
            return incident
        raise LedgerUnavailable("too many writers on one incident")

    def _index(self, incident: Incident, before: Fact | None) -> None:
        """Keep what is known of closed incidents in step.

        The index of open ones comes last: if we die before it, `settle` makes up for the rest.
        """
        after = fact_of(incident)
        if after is None and incident.state.closed:  # it counts for nothing
            self._table.delete(_OPEN, incident.incident_id)
        if after is None or after == before:
            return
        first = before is None
        start = incident.closed_at if first and worth_following(incident) else None
        self.closed.note(after, start)
        if first:
            self._table.delete(_OPEN, incident.incident_id)

    def settle(self, incident: Incident) -> None:
        """Index a closed incident as if it closed now; writes what is there already once more."""
        self._index(incident, None)

    def _ground(self, incident_id: str, *, fresh: bool) -> tuple[Incident, str, bool]:
        """What to change, its ETag, and whether it may be old: then the write is refused."""
        keys = row_of(incident_id)
        entity, old = self._table.last(*keys) if keys and not fresh else (None, False)
        if entity is None:
            return (*self._read(incident_id), False)
        return (*_taken(entity), old)

    def _read(self, incident_id: str) -> tuple[Incident, str]:
        keys = row_of(incident_id)
        entity = self._table.get(*keys) if keys else None
        if entity is None:
            raise LedgerMissing(f"no incident {incident_id}")
        return _taken(entity)

    def opened(self) -> Iterator[str]:
        """Ids of the incidents that are not closed, oldest first."""
        return (row["RowKey"] for row in self._table.range(_OPEN))

    def forget_open(self, incident_id: str) -> None:
        """Take an id off the index of open incidents."""
        self._table.delete(_OPEN, incident_id)

    def search(self, wanted: Wanted, after: Position | None, limit: int, days: int) -> Page:
        """The next incidents that are wanted, newest first.

        Each day of opening is one query, so that the work is bounded by `days`, however many
        incidents there are.

        Args:
            wanted: which ones.
            after: where the page before ended; None for the first page.
            limit: most incidents of the page.
            days: most days looked at; a page that ends for this reason may be short or empty.
        """
        found: list[Incident] = []
        position: Position | None = after
        for day in wanted.days(after)[:days]:
            low, high = wanted.rows(day, after)
            rows = self._table.range(day, low, high, limit - len(found), wanted.condition)
            for row in rows:
                found.append(decode(joined(row), Incident))
                position = Position(day, row["RowKey"])
            if len(found) >= limit:
                return Page(found, position)
            position = Position.end_of(day)
        more = position is not None and bool(wanted.days(position))
        return Page(found, position if more else None)

    def purge(self, before: datetime) -> Iterator[Incident]:
        """Remove closed incidents opened before the day of `before`; yields each removed one."""
        for row in self._table.partitions_between("0", before.strftime("%Y%m%d")):
            incident = decode(joined(row), Incident)
            if incident.state.closed:
                yield incident
                self._table.delete(row["PartitionKey"], row["RowKey"])


def _taken(entity: Entity) -> tuple[Incident, str]:
    return decode(joined(entity), Incident), entity["etag"]


def entity_of(incident: Incident) -> Entity:
    """The row of an incident.

    Raises:
        ValueError: its id is not one of ours.
    """
    keys = row_of(incident.incident_id)
    if keys is None:
        raise ValueError(f"not an incident id: {incident.incident_id}")
    diagnosis = incident.diagnosis
    return {
        "PartitionKey": keys[0],
        "RowKey": keys[1],
        "incident_id": incident.incident_id,
        "state": incident.state.value,
        "target": incident.failure.target,
        "kind": incident.failure.kind.value,
        "resource": incident.failure.resource[:1000],
        "name": incident.failure.name[:1000],
        "environment": incident.environment,
        "remedy": remedy_of(incident),
        "error_type": diagnosis.error_type if diagnosis else "",
        "updated_at": iso(incident.updated_at),
        **chunked(msgspec.json.encode(incident).decode()),
    }

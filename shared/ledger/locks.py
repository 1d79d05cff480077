"""Locks: at most one action at a time on one target, across all instances of the app.

A lease, not a mutex: a crashed holder is overtaken when its lease ends. The lease is longer than
the platform call it protects, and is checked again just before the call; the platforms check no
fencing token, so nothing stronger is promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from shared.clock import Clock, from_iso, iso
from shared.errors import LedgerConflict
from shared.ledger.tables import Entity, Table, digest

_PARTITION = "lock"
_TRIES = 5


class Locks:
    """Leases in the state table."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def acquire(self, targets: Sequence[str], holder: str, seconds: float) -> str:
        """Take or renew the leases on all `targets` for `seconds`.

        Returns:
            Empty when all are held; otherwise who holds the one that is not free (none is kept).
        """
        taken: list[str] = []
        for target in sorted(targets):
            other = self._take(target, holder, seconds)
            if other:
                self.release(taken, holder)
                return other
            taken.append(target)
        return ""

    def release(self, targets: Sequence[str], holder: str) -> None:
        """Give back the leases that `holder` has on `targets`."""
        for target in targets:
            entity = self._table.get(_PARTITION, digest(target))
            if entity is None or entity["holder"] != holder:
                continue
            try:
                self._table.delete_if(_PARTITION, digest(target), entity["etag"])
            except LedgerConflict:
                continue

    def holder(self, target: str) -> str:
        """Who holds the lease on `target` now, empty if nobody does."""
        entity = self._table.get(_PARTITION, digest(target))
        return self._holder(entity) if entity else ""

    def _holder(self, entity: Entity) -> str:
        alive = from_iso(entity["until"]) > self._clock.now()
        return str(entity["holder"]) if alive else ""

    def _take(self, target: str, holder: str, seconds: float) -> str:
        for _ in range(_TRIES):
            other = self._take_once(target, holder, seconds)
            if other is not None:
                return other
        return "somebody else"

    def _take_once(self, target: str, holder: str, seconds: float) -> str | None:
        """Empty if taken, the other's name if it is not free, None if it changed under us."""
        entity = self._ground(target, holder)
        row = self._row(target, holder, seconds)
        other = self._holder(entity) if entity else ""
        if other and other != holder:
            return other
        try:
            if entity is None:
                self._table.insert(row)
            else:
                self._table.replace(row, entity["etag"])
        except LedgerConflict:
            return None
        return ""

    def _ground(self, target: str, holder: str) -> Entity | None:
        """The lease to overtake: as last seen, unless somebody else had it, who may be gone."""
        entity, old = self._table.last(_PARTITION, digest(target))
        other = entity is not None and entity["holder"] != holder
        return self._table.get(_PARTITION, digest(target)) if old and other else entity

    def _row(self, target: str, holder: str, seconds: float) -> Entity:
        until = self._clock.now() + timedelta(seconds=seconds)
        return {
            "PartitionKey": _PARTITION,
            "RowKey": digest(target),
            "target": target[:1000],
            "holder": holder,
            "until": iso(until),
        }

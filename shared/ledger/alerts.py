"""Alerts: stored before they are answered, known again, found again when nothing took them up.

An alert's id is a digest of its fingerprint, so the insert that stores it is also the test whether
it is new. Beside it, in the same partition and the same transaction, stands a pending row; the
healing deletes that when it has taken the alert up. What is pending is read without a scan: one
range per shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from shared.clock import from_iso, iso
from shared.errors import LedgerConflict, LedgerMissing
from shared.ledger.tables import MAX_BATCH, Entity, Table, chunked, digest, guarded_replace, joined
from shared.models import Alert
from shared.vocabulary import Disposition

SHARDS = "0123456789abcdef"
_PENDING = "p-"
_AFTER_PENDING = "p."  # the first key after every `p-…`
_ROWS_EACH = 2
_BATCH_BYTES = 1_500_000


class StoredAlert(msgspec.Struct, frozen=True):
    """An alert as the ledger holds it. `incidents` are those that it led to or joined."""

    alert_id: str
    alert: Alert
    received_at: datetime
    disposition: Disposition
    reason: str
    incidents: list[str]


class Receipt(msgspec.Struct, frozen=True):
    """The answer to storing one alert."""

    alert_id: str
    duplicate: bool


def alert_id(alert: Alert) -> str:
    """The id of `alert`: the same for every delivery of the same alert."""
    return digest(alert.fingerprint)


class Alerts:
    """The alerts table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def store(self, alerts: Sequence[Alert], received_at: datetime) -> list[Receipt]:
        """Store alerts, grouped into as few writes as possible.

        Returns:
            One receipt each, in order; duplicates within the call are told as duplicates too.

        Raises:
            LedgerUnavailable: storage did not answer; some may be stored, none is acknowledged.
        """
        by_shard: dict[str, dict[str, Alert]] = {}
        for alert in alerts:
            by_shard.setdefault(alert_id(alert)[0], {}).setdefault(alert_id(alert), alert)
        fresh: set[str] = set()
        for group in by_shard.values():
            fresh |= self._store_shard(list(group.items()), received_at)
        return _receipts(alerts, fresh)

    def get(self, identity: str) -> StoredAlert | None:
        """The alert with this id, None if there is none."""
        if not identity:
            return None
        entity = self._table.get(identity[0], identity)
        return _stored(entity) if entity else None

    def pending(self, before: datetime, limit: int = 500) -> Iterator[str]:
        """Ids of alerts received before `before` that no healing has taken up, oldest first."""
        for shard in SHARDS:
            high = f"{_PENDING}{iso(before)}"
            for row in self._table.range(shard, _PENDING, high, limit):
                identity = row["RowKey"].rpartition("-")[2]
                if self._still_pending(identity):
                    yield identity
                else:  # left over from a settling that was cut off
                    self._table.delete(shard, row["RowKey"])

    def _still_pending(self, identity: str) -> bool:
        stored = self.get(identity)
        return stored is not None and stored.disposition is Disposition.ACCEPTED

    def settle(
        self,
        identity: str,
        disposition: Disposition,
        reason: str = "",
        incidents: Sequence[str] = (),
    ) -> None:
        """Write what became of an alert and take it off the pending ones. May be repeated."""
        after = {
            "disposition": disposition.value,
            "reason": reason,
            "incidents": msgspec.json.encode(list(incidents)).decode(),
        }
        entity = self._table.last(identity[0], identity)[0]
        try:
            self._settle(entity, after)
        except (LedgerConflict, LedgerMissing):  # it has changed, or its pending row is gone
            entity = self._table.get(identity[0], identity)
            pending = entity.pop("pending", "") if entity else ""
            self._settle(entity, after)
            if pending:
                self._table.delete(identity[0], pending)

    def _settle(self, entity: Entity | None, after: Entity) -> None:
        if entity is None:
            return
        kept = {name: value for name, value in entity.items() if name not in {"etag", "pending"}}
        operations: list[tuple[Any, ...]] = [guarded_replace(kept | after, entity["etag"])]
        if entity.get("pending"):
            gone = {"PartitionKey": entity["PartitionKey"], "RowKey": entity["pending"]}
            operations.append(("delete", gone))
        self._table.transact(operations)

    def look_again(self, identity: str, now: datetime, after: timedelta) -> bool:
        """Make a settled alert pending again if it was received longer than `after` ago.

        For alerts that carry no time: the same words later may mean a new failure.
        """
        entity = self._table.get(identity[0], identity)
        if entity is None or entity.get("pending"):
            return False
        if now - from_iso(entity["received_at"]) < after:
            return False
        row = _pending_row(identity, now)
        renewed = {**entity, "received_at": iso(now), "pending": row["RowKey"]}
        renewed["disposition"] = Disposition.ACCEPTED.value
        etag = renewed.pop("etag")
        try:
            self._table.replace(renewed, etag)
        except LedgerConflict:
            return False
        self._table.put(row)
        return True

    def purge(self, before: datetime) -> int:
        """Remove alerts received before `before`; returns how many."""
        count = 0
        for shard in SHARDS:
            for row in self._table.range(shard):
                if row["RowKey"].startswith(_PENDING) or row["received_at"] >= iso(before):
                    continue
                self._table.delete(shard, row["RowKey"])
                count += 1
        return count

    def _store_shard(self, group: list[tuple[str, Alert]], received_at: datetime) -> set[str]:
        fresh: set[str] = set()
        for batch in _batches(group):
            fresh |= self._store_batch(batch, received_at)
        return fresh

    def _store_batch(self, batch: list[tuple[str, Alert]], received_at: datetime) -> set[str]:
        rows = {identity: _rows(identity, alert, received_at) for identity, alert in batch}
        try:
            self._table.transact([("create", row) for pair in rows.values() for row in pair])
        except LedgerConflict:
            return {identity for identity, pair in rows.items() if self._store_one(pair)}
        return set(rows)

    def _store_one(self, rows: list[Entity]) -> bool:
        try:
            self._table.transact([("create", row) for row in rows])
        except LedgerConflict:
            return False
        return True


def _batches(group: list[tuple[str, Alert]]) -> Iterator[list[tuple[str, Alert]]]:
    """Groups that one transaction takes: at most 100 rows and 4 MiB, as UTF-16 half of that."""
    batch: list[tuple[str, Alert]] = []
    size = 0
    for identity, alert in group:
        own = len(msgspec.json.encode(alert))
        if batch and (len(batch) >= MAX_BATCH // _ROWS_EACH or size + own > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((identity, alert))
        size += own
    if batch:
        yield batch


def _rows(identity: str, alert: Alert, received_at: datetime) -> list[Entity]:
    row: Entity = {
        "PartitionKey": identity[0],
        "RowKey": identity,
        "received_at": iso(received_at),
        "disposition": alert.disposition.value,
        "reason": alert.reason,
        "incidents": "[]",
        **chunked(msgspec.json.encode(alert).decode()),
    }
    if alert.disposition is not Disposition.ACCEPTED:
        return [row]
    pending = _pending_row(identity, received_at)
    return [{**row, "pending": pending["RowKey"]}, pending]


def _pending_row(identity: str, received_at: datetime) -> Entity:
    return {"PartitionKey": identity[0], "RowKey": f"{_PENDING}{iso(received_at)}-{identity}"}


def _stored(entity: Entity) -> StoredAlert:
    return StoredAlert(
        alert_id=entity["RowKey"],
        alert=msgspec.json.decode(joined(entity), type=Alert),
        received_at=from_iso(entity["received_at"]),
        disposition=Disposition(entity["disposition"]),
        reason=entity["reason"],
        incidents=msgspec.json.decode(entity["incidents"], type=list[str]),
    )


def _receipts(alerts: Sequence[Alert], fresh: set[str]) -> list[Receipt]:
    receipts = []
    for alert in alerts:
        identity = alert_id(alert)
        receipts.append(Receipt(identity, duplicate=identity not in fresh))
        fresh = fresh - {identity}
    return receipts

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
from shared.decoding import decode
from shared.errors import LedgerConflict, LedgerMissing
from shared.ledger.tables import MAX_BATCH, Entity, Table, chunked, digest, guarded_replace, joined
from shared.models import Alert
from shared.vocabulary import Disposition

# A partition takes 2,000 rows a second; fewer of them make fuller transactions.
SHARDS = "0123"
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


class Settled(msgspec.Struct, frozen=True):
    """What became of an alert."""

    alert_id: str
    disposition: Disposition
    reason: str = ""
    incidents: Sequence[str] = ()

    @property
    def fields(self) -> Entity:
        """What changes in its row."""
        return {
            "disposition": self.disposition.value,
            "reason": self.reason,
            "incidents": msgspec.json.encode(list(self.incidents)).decode(),
        }


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
            by_shard.setdefault(shard_of(alert_id(alert)), {}).setdefault(alert_id(alert), alert)
        fresh: set[str] = set()
        for group in by_shard.values():
            fresh |= self._store_shard(list(group.items()), received_at)
        return _receipts(alerts, fresh)

    def get(self, identity: str) -> StoredAlert | None:
        """The alert with this id, None if there is none."""
        if not identity:
            return None
        entity = self._table.get(shard_of(identity), identity)
        return _stored(entity) if entity else None

    def last(self, identity: str) -> StoredAlert | None:
        """The alert as this process has last seen it; read if it has not."""
        entity = self._table.last(shard_of(identity), identity)[0]
        return _stored(entity) if entity else None

    def pending(self, before: datetime, limit: int = 500) -> Iterator[StoredAlert]:
        """Alerts received before `before` that no healing has taken up, oldest of a shard first."""
        for shard in SHARDS:
            high = f"{_PENDING}{iso(before)}"
            for row in self._table.range(shard, _PENDING, high, limit):
                identity = row["RowKey"].rpartition("-")[2]
                stored = self.get(identity)
                if stored is not None and stored.disposition is Disposition.ACCEPTED:
                    yield stored
                else:  # left over from a settling that was cut off
                    self._table.delete(shard, row["RowKey"])

    def settle(
        self,
        identity: str,
        disposition: Disposition,
        reason: str = "",
        incidents: Sequence[str] = (),
    ) -> None:
        """Write what became of an alert and take it off the pending ones. May be repeated."""
        self._settle_one(Settled(identity, disposition, reason, incidents))

    def settle_all(self, settled: Sequence[Settled]) -> None:
        """As `settle`, many alerts in as few writes as possible."""
        by_shard: dict[str, list[Settled]] = {}
        for each in settled:
            by_shard.setdefault(shard_of(each.alert_id), []).append(each)
        step = MAX_BATCH // _ROWS_EACH
        for group in by_shard.values():
            for start in range(0, len(group), step):
                self._settle_group(group[start : start + step])

    def _settle_group(self, group: Sequence[Settled]) -> None:
        operations: list[tuple[Any, ...]] = []
        for each in group:
            entity = self._table.last(shard_of(each.alert_id), each.alert_id)[0]
            operations += _settling(entity, each.fields)
        try:
            self._table.transact(operations)
        except (LedgerConflict, LedgerMissing):  # of one of them: one by one
            for each in group:
                self._settle_one(each)

    def _settle_one(self, settled: Settled) -> None:
        identity, after = settled.alert_id, settled.fields
        entity = self._table.last(shard_of(identity), identity)[0]
        try:
            self._write(_settling(entity, after))
        except (LedgerConflict, LedgerMissing):  # it has changed, or its pending row is gone
            entity = self._table.get(shard_of(identity), identity)
            pending = entity.pop("pending", "") if entity else ""
            self._write(_settling(entity, after))
            if pending:
                self._table.delete(shard_of(identity), pending)

    def _write(self, operations: list[tuple[Any, ...]]) -> None:
        if operations:
            self._table.transact(operations)

    def look_again(self, identity: str, now: datetime, after: timedelta) -> bool:
        """Make a settled alert pending again if it was received longer than `after` ago.

        For alerts that carry no time: the same words later may mean a new failure.
        """
        entity = self._table.get(shard_of(identity), identity)
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


def shard_of(identity: str) -> str:
    """The partition of an alert's rows."""
    return SHARDS[ord(identity[0]) % len(SHARDS)]


def _settling(entity: Entity | None, after: Entity) -> list[tuple[Any, ...]]:
    """The operations that settle an alert as it was last seen; none if there is no such alert."""
    if entity is None:
        return []
    kept = {name: value for name, value in entity.items() if name not in {"etag", "pending"}}
    operations: list[tuple[Any, ...]] = [guarded_replace(kept | after, entity["etag"])]
    if entity.get("pending"):
        gone = {"PartitionKey": entity["PartitionKey"], "RowKey": entity["pending"]}
        operations.append(("delete", gone))
    return operations


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
        "PartitionKey": shard_of(identity),
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
    return {
        "PartitionKey": shard_of(identity),
        "RowKey": f"{_PENDING}{iso(received_at)}-{identity}",
    }


def _stored(entity: Entity) -> StoredAlert:
    return StoredAlert(
        alert_id=entity["RowKey"],
        alert=decode(joined(entity), Alert),
        received_at=from_iso(entity["received_at"]),
        disposition=Disposition(entity["disposition"]),
        reason=entity["reason"],
        incidents=decode(entity["incidents"], list[str]),
    )


def _receipts(alerts: Sequence[Alert], fresh: set[str]) -> list[Receipt]:
    receipts = []
    for alert in alerts:
        identity = alert_id(alert)
        receipts.append(Receipt(identity, duplicate=identity not in fresh))
        fresh = fresh - {identity}
    return receipts

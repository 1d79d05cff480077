"""Alerts: stored before they are answered, known again, found again when nothing took them up.

An alert's id is a digest of its fingerprint, so the insert that stores it is also the test whether
it is new. The same transaction writes the row that names it as pending (`shared.ledger.pending`);
the healing takes it off that when it has taken the alert up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from shared.clock import from_iso, iso
from shared.decoding import decode
from shared.errors import LedgerConflict, LedgerMissing, LedgerUnavailable
from shared.ledger import pending
from shared.ledger.tables import MAX_BATCH, Entity, Table, chunked, digest, guarded_replace, joined
from shared.models import Alert
from shared.vocabulary import Disposition

# A partition takes 2,000 rows a second; fewer of them make fuller transactions.
SHARDS = "01"
_BATCH_BYTES = 1_500_000
_TRIES = 8  # until a settling gives way to others of the same group


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


Named = tuple[str, Alert]  # with its id


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
        for shard, group in by_shard.items():
            for batch in self._batches(shard, list(group.items())):
                fresh |= self._store_batch(shard, batch, received_at)
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

    def pending(self, before: datetime) -> Iterator[StoredAlert]:
        """Alerts received before `before` that no healing has taken up, oldest of a shard first."""
        for shard in SHARDS:
            for row in self._table.range(shard, pending.PREFIX, pending.before(before)):
                found = [self.get(identity) for identity in pending.named(row)]
                waiting = [each for each in found if each and _waits(each)]
                yield from waiting
                if not waiting:  # left over from a settling that was cut off
                    self._drop(row)

    def _drop(self, row: Entity) -> None:
        with contextlib.suppress(LedgerConflict):
            self._table.delete_if(row["PartitionKey"], row["RowKey"], row["etag"])

    def settle(
        self,
        identity: str,
        disposition: Disposition,
        reason: str = "",
        incidents: Sequence[str] = (),
    ) -> None:
        """Write what became of an alert and take it off the pending ones. May be repeated."""
        self.settle_all([Settled(identity, disposition, reason, incidents)])

    def settle_all(self, settled: Sequence[Settled]) -> None:
        """As `settle`, many alerts in as few writes as possible."""
        by_shard: dict[str, list[Settled]] = {}
        for each in settled:
            by_shard.setdefault(shard_of(each.alert_id), []).append(each)
        for group in by_shard.values():
            self._settle_group(group)

    def _settle_group(self, group: Sequence[Settled]) -> None:
        """Settle alerts of one shard; halved as long as one transaction does not take them."""
        operations = self._settling(group, fresh=False)
        if len(operations) <= MAX_BATCH and self._done(operations):
            return
        if len(group) == 1:
            self._settle_anew(group)
            return
        middle = len(group) // 2
        self._settle_group(group[:middle])
        self._settle_group(group[middle:])

    def _settle_anew(self, one: Sequence[Settled]) -> None:
        """An alert that has changed since it was seen, or whose group others settle too."""
        for _ in range(_TRIES):
            if self._done(self._settling(one, fresh=True)):
                return
        raise LedgerUnavailable("too many writers on one group of alerts")

    def _done(self, operations: list[tuple[Any, ...]]) -> bool:
        try:
            if operations:
                self._table.transact(operations)
        except (LedgerConflict, LedgerMissing):
            return False
        return True

    def _settling(self, group: Sequence[Settled], *, fresh: bool) -> list[tuple[Any, ...]]:
        """The operations that settle alerts; what there is no alert for is left out."""
        operations: list[tuple[Any, ...]] = []
        names: dict[str, set[str]] = {}
        shard = shard_of(group[0].alert_id)
        for each in {each.alert_id: each for each in group}.values():
            entity = self._row(shard, each.alert_id, fresh=fresh)
            if entity is None:
                continue
            if name := entity.get("pending"):
                names.setdefault(name, set()).add(each.alert_id)
            kept = {key: value for key, value in entity.items() if key not in {"etag", "pending"}}
            operations.append(guarded_replace(kept | each.fields, entity["etag"]))
        rows = ((self._row(shard, name, fresh=fresh), gone) for name, gone in names.items())
        return operations + [pending.without(row, gone) for row, gone in rows if row]

    def _row(self, shard: str, row: str, *, fresh: bool) -> Entity | None:
        """A row as this process has last seen it, or as it is."""
        return self._table.get(shard, row) if fresh else self._table.last(shard, row)[0]

    def look_again(self, identity: str, now: datetime, after: timedelta) -> bool:
        """Make a settled alert pending again if it was received longer than `after` ago.

        For alerts that carry no time: the same words later may mean a new failure.
        """
        entity = self._table.get(shard_of(identity), identity)
        if entity is None or entity.get("pending"):
            return False
        if now - from_iso(entity["received_at"]) < after:
            return False
        row = pending.pending_row(shard_of(identity), now, [identity])
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
                if row["RowKey"].startswith(pending.PREFIX) or row["received_at"] >= iso(before):
                    continue
                self._table.delete(shard, row["RowKey"])
                count += 1
        return count

    def _batches(self, shard: str, group: list[Named]) -> Iterator[list[Named]]:
        """What goes into one transaction each: what was seen already would refuse the others."""
        seen = [each for each in group if self._table.remembered(shard, each[0])]
        yield from ([each] for each in seen)
        known = {identity for identity, _ in seen}
        yield from _full(each for each in group if each[0] not in known)

    def _store_batch(self, shard: str, batch: list[Named], received_at: datetime) -> set[str]:
        """Store alerts that are new; returns which. Halved until those that are not are found."""
        try:
            self._table.transact([("create", row) for row in _rows(shard, batch, received_at)])
        except LedgerConflict:
            if len(batch) == 1:
                return set()
            middle = len(batch) // 2
            halves = batch[:middle], batch[middle:]
            first, second = (self._store_batch(shard, half, received_at) for half in halves)
            return first | second
        return {identity for identity, _ in batch}


def shard_of(identity: str) -> str:
    """The partition of an alert's rows."""
    return SHARDS[ord(identity[0]) % len(SHARDS)]


def _waits(stored: StoredAlert) -> bool:
    return stored.disposition is Disposition.ACCEPTED


def _full(group: Iterable[Named]) -> Iterator[list[Named]]:
    """Groups that one transaction takes: at most 100 rows and 4 MiB, as UTF-16 half of that."""
    batch: list[Named] = []
    size = 0
    for identity, alert in group:
        own = len(msgspec.json.encode(alert))
        if batch and (len(batch) >= MAX_BATCH - 1 or size + own > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((identity, alert))
        size += own
    if batch:
        yield batch


def _rows(shard: str, batch: list[Named], received_at: datetime) -> list[Entity]:
    """The alerts' rows and, if any is to be taken up, the one that says so."""
    waiting = [name for name, alert in batch if alert.disposition is Disposition.ACCEPTED]
    rows = [pending.pending_row(shard, received_at, waiting)] if waiting else []
    named = {"pending": rows[0]["RowKey"]} if waiting else {}
    for identity, alert in batch:
        row: Entity = {
            "PartitionKey": shard,
            "RowKey": identity,
            "received_at": iso(received_at),
            "disposition": alert.disposition.value,
            "reason": alert.reason,
            "incidents": "[]",
            **chunked(msgspec.json.encode(alert).decode()),
        }
        rows.append(row | named if alert.disposition is Disposition.ACCEPTED else row)
    return rows


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

"""Alerts: stored before they are answered, known again, found again when nothing took them up.

An alert's id is a digest of its fingerprint, so the insert that stores it is also the test whether
it is new. Alerts that are stored together are a group (`shared.ledger.groups`): its row says which
of them wait, and what became of the others. An alert's own row stays as it was written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from shared.clock import Clock, SystemClock, from_iso, iso
from shared.decoding import decode
from shared.errors import LedgerConflict, LedgerMissing, LedgerUnavailable
from shared.ledger import groups
from shared.ledger.groups import Outcome
from shared.ledger.tables import MAX_BATCH, Entity, Table, chunked, digest, guarded_replace, joined
from shared.ledger.turns import Turns
from shared.models import Alert
from shared.vocabulary import Disposition

# A partition takes 2,000 rows a second, more than several instances can send. The fewer partitions,
# the fuller are the transactions, and the less costs a row.
SHARDS = "0"
_BATCH_BYTES = 1_500_000
_MARKED = 20  # groups of one transaction; they may hold much text
_MOST_INCIDENTS = 100  # told of an alert: those of a full group fit one row
_TRIES = 40  # until a settling gives way to others of the same group
_LONGEST_PAUSE = 0.2  # seconds between two tries
_SURELY_KEPT = timedelta(hours=1)  # the purge takes nothing that is so young
_LOST = Outcome(Disposition.NOTHING_FOUND, "what became of it is not stored any longer", [])


class StoredAlert(msgspec.Struct, frozen=True):
    """An alert as the ledger holds it.

    `incidents` are those that it led to or joined; `taker` is the orchestration that looks after
    it, where several alerts were taken up together.
    """

    alert_id: str
    alert: Alert
    received_at: datetime
    disposition: Disposition
    reason: str
    incidents: list[str]
    taker: str = ""


class Settled(msgspec.Struct, frozen=True):
    """What became of an alert."""

    alert_id: str
    disposition: Disposition
    reason: str = ""
    incidents: Sequence[str] = ()

    @property
    def outcome(self) -> Outcome:
        """The same, as its group holds it."""
        return Outcome(self.disposition, self.reason, list(self.incidents[:_MOST_INCIDENTS]))


class Receipt(msgspec.Struct, frozen=True):
    """The answer to storing one alert."""

    alert_id: str
    duplicate: bool


Named = tuple[str, Alert]  # with its id
Outcomes = dict[str, dict[str, Outcome]]  # by group, by alert


def alert_id(alert: Alert) -> str:
    """The id of `alert`: the same for every delivery of the same alert."""
    return digest(alert.fingerprint)


class Alerts:
    """The alerts table."""

    def __init__(self, table: Table, clock: Clock | None = None) -> None:
        self._table = table
        self._clock = clock or SystemClock()
        self._turns = Turns()

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
            unseen = (
                (identity, alert)
                for identity, alert in group.items()
                if not self._seen(identity, received_at, _SURELY_KEPT)
            )
            for batch in _full(unseen):
                fresh |= self._store_batch(shard, batch, received_at)
        return _receipts(alerts, fresh)

    def get(self, identity: str) -> StoredAlert | None:
        """The alert with this id, None if there is none."""
        if not identity:
            return None
        return self._stored(self._table.get(shard_of(identity), identity), fresh=True)

    def last(self, identity: str) -> StoredAlert | None:
        """The alert as this process has last seen it; read if it has not."""
        return self._stored(self._table.last(shard_of(identity), identity)[0], fresh=False)

    def _stored(self, entity: Entity | None, *, fresh: bool) -> StoredAlert | None:
        if entity is None:
            return None
        outcome = Outcome(Disposition(entity["disposition"]), entity["reason"], [])
        if entity.get("group"):
            group = self._group(entity["PartitionKey"], entity["group"], fresh=fresh)
            outcome = _outcome_in(group, entity["RowKey"]) or outcome
        return _stored(entity, outcome)

    def _group(self, shard: str, key: str, *, fresh: bool) -> Entity | None:
        """The row of a group: of a pending one, else of a settled one."""
        pending = groups.PENDING + key
        row = self._table.get(shard, pending) if fresh else self._table.last(shard, pending)[0]
        return row or self._table.get(shard, groups.SETTLED + key)

    def pending(self, before: datetime, limit: int = 2_000) -> Iterator[StoredAlert]:
        """Alerts received before `before` that no healing has taken up, oldest of a shard first.

        After `limit` alerts of a shard no further group is read.
        """
        high = groups.before(groups.PENDING, before)
        for shard in SHARDS:
            count = 0
            for row in self._table.range(shard, groups.PENDING, high):
                takers = groups.takers_in(row)
                rows = (self._table.get(shard, identity) for identity in groups.waiting_in(row))
                alive = [alert for alert in rows if alert]
                yield from (_stored(one, _WAITS, takers.get(one["RowKey"], "")) for one in alive)
                if not alive:
                    self._drop(row)
                count += len(alive)
                if count >= limit:
                    break

    def _drop(self, row: Entity) -> None:
        with contextlib.suppress(LedgerConflict):
            self._table.delete_if(row["PartitionKey"], row["RowKey"], row["etag"])

    def taken_by(self, taker: str, identities: Sequence[str]) -> None:
        """Note which orchestration looks after alerts that were taken up together.

        A hint for the sweep: where it cannot be written, they may be looked up twice.
        """
        by_group: dict[tuple[str, str], list[str]] = {}
        for identity in identities:
            entity = self._table.last(shard_of(identity), identity)[0]
            if entity is not None and entity.get("group"):
                key = entity["PartitionKey"], groups.PENDING + entity["group"]
                by_group.setdefault(key, []).append(identity)
        for shard in SHARDS:
            named = [(name, ids) for (where, name), ids in by_group.items() if where == shard]
            rows = [(self._table.last(shard, name)[0], ids) for name, ids in named]
            listed = [groups.taken_by(row, taker, ids) for row, ids in rows if row]
            for start in range(0, len(listed), _MARKED):
                with contextlib.suppress(LedgerConflict, LedgerMissing):
                    self._table.transact(listed[start : start + _MARKED])

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
        """As `settle`, many alerts in as few writes as possible; those that are gone left out."""
        by_group: dict[tuple[str, str], dict[str, Outcome]] = {}
        for each in settled:
            shard = shard_of(each.alert_id)
            entity = self._table.last(shard, each.alert_id)[0]
            if entity is not None and entity.get("group"):
                key = shard, entity["group"]
                by_group.setdefault(key, {})[each.alert_id] = each.outcome
        for shard in SHARDS:
            ours = {key: outcomes for (where, key), outcomes in by_group.items() if where == shard}
            for part in self._parts(shard, ours):
                self._settle_groups(shard, part)

    def _parts(self, shard: str, by_group: Outcomes) -> Iterator[Outcomes]:
        """What one transaction takes: two rows a group, and not too much text."""
        part: Outcomes = {}
        text = 0
        for key, outcomes in by_group.items():
            row = self._group(shard, key, fresh=False)
            own = (groups.size(row) if row else 0) + len(msgspec.json.encode(outcomes))
            if part and (len(part) >= MAX_BATCH // 2 or text + own > _BATCH_BYTES):
                yield part
                part, text = {}, 0
            part[key] = outcomes
            text += own
        if part:
            yield part

    def _settle_groups(self, shard: str, part: Outcomes) -> None:
        if self._settled(shard, part, fresh=False):
            return
        for key, outcomes in part.items():  # one of them has changed since it was seen
            self._settle_anew(shard, {key: outcomes})

    def _settle_anew(self, shard: str, one: Outcomes) -> None:
        with self._turns.on(shard, *one):
            for turn in range(_TRIES):
                if self._settled(shard, one, fresh=True):
                    return
                self._clock.sleep(min(0.01 * (turn + 1), _LONGEST_PAUSE))
        raise LedgerUnavailable("too many writers on one group of alerts")

    def _settled(self, shard: str, part: Outcomes, *, fresh: bool) -> bool:
        operations: list[tuple[Any, ...]] = []
        for key, outcomes in part.items():
            row = self._group(shard, key, fresh=fresh)
            operations += groups.settling(row, outcomes) if row else []
        try:
            if operations:
                self._table.transact(operations)
        except (LedgerConflict, LedgerMissing):
            return False
        return True

    def look_again(self, identity: str, now: datetime, after: timedelta) -> bool:
        """Make a settled alert pending again if it was received longer than `after` ago.

        For alerts that carry no time: the same words later may mean a new failure.
        """
        if self._seen(identity, now, after):
            return False
        shard = shard_of(identity)
        entity = self._table.get(shard, identity)
        stored = self._stored(entity, fresh=True)
        if entity is None or stored is None or now - stored.received_at < after:
            return False
        if entity.get("group") and stored.disposition is Disposition.ACCEPTED:
            return False
        key = groups.key_of(now, identity)
        renewed = {**entity, "received_at": iso(now), "group": key}
        renewed["disposition"] = Disposition.ACCEPTED.value
        again = groups.pending_row(shard, key, [identity])
        try:
            etag = renewed.pop("etag")
            self._table.transact([guarded_replace(renewed, etag), ("create", again)])
        except LedgerConflict:
            return False
        return True

    def purge(self, before: datetime) -> int:
        """Remove alerts received before `before`; returns how many."""
        count = 0
        for shard in SHARDS:
            for row in self._table.range(shard):
                if groups.is_group(row) or row["received_at"] >= iso(before):
                    continue
                self._table.delete(shard, row["RowKey"])
                count += 1
            settled = self._table.range(
                shard, groups.SETTLED, groups.before(groups.SETTLED, before)
            )
            for row in settled:
                self._table.delete(shard, row["RowKey"])
        return count

    def _seen(self, identity: str, now: datetime, within: timedelta) -> bool:
        """Whether this process knows that an alert was stored since then. Asks nobody."""
        row = self._table.remembered(shard_of(identity), identity)
        return row is not None and now - from_iso(row["received_at"]) < within

    def _store_batch(self, shard: str, batch: list[Named], received_at: datetime) -> set[str]:
        """Store alerts that are new; returns which. What is there already is left out."""
        try:
            self._table.transact([("create", row) for row in _rows(shard, batch, received_at)])
        except LedgerConflict:
            absent = [each for each in batch if self._table.get(shard, each[0]) is None]
            if len(batch) == 1 or not absent:
                return set()
            if len(absent) < len(batch):
                return self._store_batch(shard, absent, received_at)
            middle = len(batch) // 2  # one that came and went in between, or the group's own row
            halves = batch[:middle], batch[middle:]
            first, second = (self._store_batch(shard, half, received_at) for half in halves)
            return first | second
        return {identity for identity, _ in batch}


def shard_of(identity: str) -> str:
    """The partition of an alert's rows."""
    return SHARDS[ord(identity[0]) % len(SHARDS)]


_WAITS = Outcome(Disposition.ACCEPTED, "", [])


def _outcome_in(group: Entity | None, identity: str) -> Outcome | None:
    """What became of an alert; None if it waits."""
    if group is None:
        return _LOST
    if identity in groups.waiting_in(group):
        return None
    return groups.became_in(group).get(identity, _LOST)


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
    key = groups.key_of(received_at, waiting[0]) if waiting else ""
    rows = [groups.pending_row(shard, key, waiting)] if waiting else []
    for identity, alert in batch:
        row: Entity = {
            "PartitionKey": shard,
            "RowKey": identity,
            "received_at": iso(received_at),
            "disposition": alert.disposition.value,
            "reason": alert.reason,
            **chunked(msgspec.json.encode(alert).decode()),
        }
        rows.append(row | {"group": key} if identity in waiting else row)
    return rows


def _stored(entity: Entity, outcome: Outcome, taker: str = "") -> StoredAlert:
    return StoredAlert(
        alert_id=entity["RowKey"],
        alert=decode(joined(entity), Alert),
        received_at=from_iso(entity["received_at"]),
        disposition=outcome.disposition,
        reason=outcome.reason,
        incidents=outcome.incidents,
        taker=taker,
    )


def _receipts(alerts: Sequence[Alert], fresh: set[str]) -> list[Receipt]:
    receipts = []
    for alert in alerts:
        identity = alert_id(alert)
        receipts.append(Receipt(identity, duplicate=identity not in fresh))
        fresh = fresh - {identity}
    return receipts

"""Messages that are to be sent: nothing is lost in a crash, nothing is sent by two instances.

A message waits in the partition `new` until the sweep hands it to its channels. Each channel has a
partition of its own, so that a dead one holds up nobody: one row per message with its state, and
one row per message still to be sent whose key begins with the time when it is due. Taking a message
moves that row to the end of the lease, in one transaction: who moves it may send it, and when the
sender dies it is due again. So a message is sent at least once, and twice only after a crash (or a
lost lease) between sending and writing that down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from shared.clock import Clock, from_iso, iso
from shared.decoding import decode
from shared.errors import LedgerConflict, LedgerMissing
from shared.ledger.tables import Entity, Table, chunked, digest, joined
from shared.notify.model import MAX_BODY, MAX_TITLE, Message
from shared.notify.text import visible
from shared.redaction import Redactor

_NEW = "new"
_MARKER, _PENDING, _AFTER_PENDING = "m-", "p-", "p."
_STATE, _QUEUE, _WINDOW = "s-", "q-", "w-"
_BATCH = 30  # messages in one transaction: at most three rows each, 100 rows in all
_MAX_NOTE = 500


class DeliveryState(StrEnum):
    """Where a message stands on one channel."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class Delivery(msgspec.Struct, frozen=True):
    """One message for one channel. `row` is the key of its place in the queue."""

    channel: str
    message: Message
    row: str
    attempts: int = 0


class Progress(msgspec.Struct, frozen=True):
    """How the delivery of one message to one channel goes."""

    state: DeliveryState
    attempts: int
    note: str
    at: datetime


class Window(msgspec.Struct, frozen=True):
    """How many messages of one group a channel got since `since`; `summed`: the sum was sent."""

    since: datetime
    sent: int = 0
    summed: bool = False


Row = tuple[Any, ...]


class Outbox:
    """The messages table. Without a channel (`wanted` is false) nothing is kept."""

    def __init__(
        self, table: Callable[[], Table], redactor: Redactor, clock: Clock, *, wanted: bool
    ) -> None:
        self._open = table
        self._redactor = redactor
        self._clock = clock
        self._wanted = wanted

    @property
    def _table(self) -> Table:
        return self._open()

    def put(self, messages: Sequence[Message]) -> int:
        """Keep messages for sending, redacted; those known by their id are dropped.

        Returns:
            How many are new.

        Raises:
            LedgerUnavailable: storage did not answer; put all of them again.
        """
        if not self._wanted or not messages:
            return 0
        now = self._clock.now()
        fresh = {digest(m.message_id): self._clean(m) for m in messages}
        pairs = [_new_rows(identity, message, now) for identity, message in fresh.items()]
        return len(self._each(pairs))

    def fan_out(self, route: Callable[[Message], Sequence[str]], limit: int = 500) -> int:
        """Hand new messages to their channels, oldest first; returns how many."""
        rows = list(self._table.range(_NEW, _PENDING, _AFTER_PENDING, limit))
        now = self._clock.now()
        by_channel: dict[str, list[list[Row]]] = {}
        for row in rows:
            message = decode(joined(row), Message)
            for channel in route(message):
                by_channel.setdefault(channel, []).append(_queue_rows(channel, message, now))
        for groups in by_channel.values():
            self._each(groups)
        self._each([[("delete", _keys(row))] for row in rows])
        return len(rows)

    def due(self, channel: str, limit: int = 1000) -> list[Delivery]:
        """What may be sent to `channel` now, longest waiting first."""
        high = f"{_QUEUE}{iso(self._clock.now())}."
        rows = self._table.range(_partition(channel), _QUEUE, high, limit)
        return [
            Delivery(channel, decode(joined(r), Message), r["RowKey"], r["attempts"]) for r in rows
        ]

    def take(self, deliveries: Sequence[Delivery], seconds: float) -> list[Delivery]:
        """Lease deliveries for `seconds`; returns those that are ours, under their new rows."""
        until = self._clock.now() + timedelta(seconds=seconds)
        moved = [msgspec.structs.replace(d, row=_row_key(d.message, until)) for d in deliveries]
        pairs = [_moving(was, now) for was, now in zip(deliveries, moved, strict=True)]
        ours = self._each(pairs)
        return [moved[position] for position in ours]

    def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """Write down that these were sent."""
        self._end(deliveries, DeliveryState.DELIVERED, "")

    def give_up(self, deliveries: Sequence[Delivery], note: str) -> None:
        """Write down that these are not tried any more, and why."""
        self._end(deliveries, DeliveryState.GIVEN_UP, note)

    def again(self, deliveries: Sequence[Delivery], due: datetime, note: str) -> None:
        """Write down a failed try; the next one is at `due`."""
        pairs = []
        for was in deliveries:
            now = msgspec.structs.replace(
                was, row=_row_key(was.message, due), attempts=was.attempts + 1
            )
            state = self._state_row(now, DeliveryState.PENDING, note)
            pairs.append([*_moving(was, now), ("upsert", state)])
        self._each(pairs)

    def postpone(self, deliveries: Sequence[Delivery], due: datetime) -> None:
        """Look at these again at `due`; it is not a try."""
        pairs = []
        for was in deliveries:
            now = msgspec.structs.replace(was, row=_row_key(was.message, due))
            if now.row != was.row:
                pairs.append(_moving(was, now))
        self._each(pairs)

    def progress(self, channel: str, message_id: str) -> Progress | None:
        """How a message's delivery to a channel goes, None if it was not handed to it."""
        row = self._table.get(_partition(channel), f"{_STATE}{digest(message_id)}")
        if row is None:
            return None
        state = DeliveryState(row["state"])
        return Progress(state, row["attempts"], row["note"], from_iso(row["at"]))

    def window(self, channel: str, group: str) -> Window | None:
        """How much of a group the channel got lately, None if nothing."""
        row = self._table.get(_partition(channel), f"{_WINDOW}{digest(group)}")
        if row is None:
            return None
        return Window(from_iso(row["at"]), row["sent"], row["summed"])

    def set_window(self, channel: str, group: str, window: Window) -> None:
        """Remember how much of a group the channel got."""
        self._table.put(
            {
                "PartitionKey": _partition(channel),
                "RowKey": f"{_WINDOW}{digest(group)}",
                "at": iso(window.since),
                "sent": window.sent,
                "summed": window.summed,
            }
        )

    def purge(self, before: datetime) -> int:
        """Remove what was written before `before`, sent or not; returns how many rows."""
        count = 0
        for row in self._table.partitions_between("c-", _NEW + "~"):
            if row["at"] < iso(before):
                self._table.delete(row["PartitionKey"], row["RowKey"])
                count += 1
        return count

    def _end(self, deliveries: Sequence[Delivery], state: DeliveryState, note: str) -> None:
        pairs = []
        for was in deliveries:
            now = msgspec.structs.replace(was, attempts=was.attempts + 1)
            row = self._state_row(now, state, note)
            pairs.append([("delete", _place(was)), ("upsert", row)])
        self._each(pairs)

    def _state_row(self, delivery: Delivery, state: DeliveryState, note: str) -> Entity:
        said = self._redactor.text(note)[:_MAX_NOTE]
        return _state_row(delivery, state, said, self._clock.now())

    def _clean(self, message: Message) -> Message:
        """Redacted and bounded. Links are ours: only our own secrets are taken out of them."""
        values = self._redactor.values

        def text(value: str) -> str:
            # What hides within a secret is taken out first, or the secret would not be known.
            return self._redactor.text(visible(value))

        return msgspec.structs.replace(
            message,
            title=text(message.title)[:MAX_TITLE],
            body=text(message.body)[:MAX_BODY],
            target=text(message.target),
            owner=text(message.owner),
            group=text(message.group),
            url=values(message.url),
            links=tuple(
                msgspec.structs.replace(link, label=text(link.label), url=values(link.url))
                for link in message.links
            ),
        )

    def _each(self, groups: list[list[Row]]) -> list[int]:
        """Write groups of rows, each group whole or not at all; positions of those written.

        As few transactions as possible; one by one where somebody else wrote first.
        """
        written: list[int] = []
        for start in range(0, len(groups), _BATCH):
            part = range(start, min(start + _BATCH, len(groups)))
            if self._transact([row for position in part for row in groups[position]]):
                written += part
            else:
                written += [p for p in part if self._transact(groups[p])]
        return written

    def _transact(self, rows: list[Row]) -> bool:
        try:
            self._table.transact(rows)
        except (LedgerConflict, LedgerMissing):
            return False
        return True


def _partition(channel: str) -> str:
    return f"c-{digest(channel.lower())}"


def _row_key(message: Message, due: datetime) -> str:
    return f"{_QUEUE}{iso(due)}-{digest(message.message_id)}"


def _place(delivery: Delivery) -> Entity:
    return {"PartitionKey": _partition(delivery.channel), "RowKey": delivery.row}


def _keys(row: Entity) -> Entity:
    return {"PartitionKey": row["PartitionKey"], "RowKey": row["RowKey"]}


def _new_rows(identity: str, message: Message, now: datetime) -> list[Row]:
    marker = {"PartitionKey": _NEW, "RowKey": f"{_MARKER}{identity}", "at": iso(now)}
    pending = {
        "PartitionKey": _NEW,
        "RowKey": f"{_PENDING}{iso(now)}-{identity}",
        "at": iso(now),
        **_document(message),
    }
    return [("create", marker), ("create", pending)]


def _queue_rows(channel: str, message: Message, now: datetime) -> list[Row]:
    delivery = Delivery(channel, message, _row_key(message, now))
    state = _state_row(delivery, DeliveryState.PENDING, "", now)
    return [("create", state), ("create", _queued(delivery))]


def _moving(was: Delivery, now: Delivery) -> list[Row]:
    """Whoever deletes the old row has it: for the others it is gone, and all of theirs fails."""
    return [("delete", _place(was)), ("create", _queued(now))]


def _queued(delivery: Delivery) -> Entity:
    return {
        **_place(delivery),
        "attempts": delivery.attempts,
        "at": iso(delivery.message.at),
        **_document(delivery.message),
    }


def _state_row(delivery: Delivery, state: DeliveryState, note: str, now: datetime) -> Entity:
    message = delivery.message
    return {
        "PartitionKey": _partition(delivery.channel),
        "RowKey": f"{_STATE}{digest(message.message_id)}",
        "message_id": message.message_id[:1000],
        "channel": delivery.channel[:1000],
        "kind": message.kind.value,
        "state": state.value,
        "attempts": delivery.attempts,
        "note": note,
        "at": iso(now),
    }


def _document(message: Message) -> Entity:
    return chunked(msgspec.json.encode(message).decode())

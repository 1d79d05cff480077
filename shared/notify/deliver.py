"""Sends what is due. Every channel has a thread of its own, and nobody waits for a slow one.

A channel ends its turn at the first failure, so that a dead one costs one time-out a turn; what
failed comes again after 5, 15, 45 s and so on up to an hour, and is given up after 30 tries or 24
hours.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from shared.clock import Clock
from shared.errors import LedgerError
from shared.notify import grouping
from shared.notify.grouping import Plan
from shared.notify.model import Message
from shared.notify.outbox import Delivery, Outbox, Window
from shared.notify.routing import Channel, route

log = logging.getLogger("lakemend.messages")

TURN_SECONDS = 10.0  # a sweep waits no longer for its channels
MAX_SENDS = 20  # to one channel in one turn
MAX_TRIES = 30
MAX_AGE = timedelta(hours=24)
_FIRST_PAUSE, _FACTOR, _LONGEST_PAUSE = 5.0, 3.0, 3600.0
_LEASES = 3  # times the channel's time-out: longer than one send takes

GivenUp = Callable[[Delivery, str], None]


class Sends(Protocol):
    """What sends one message; returns why that failed, empty when it was accepted."""

    def send(self, channel: Channel, message: Message) -> str:
        """Send `message` to `channel`."""


class Summary(msgspec.Struct):
    """What one turn did. `slow` names the channels that had not ended when it was over."""

    routed: int = 0
    delivered: int = 0
    sent: int = 0  # of them some stand for many delivered messages
    failed: int = 0
    given_up: int = 0
    held: int = 0
    slow: list[str] = []


def pause(attempts: int) -> float:
    """Seconds until the next try after `attempts` failed ones."""
    return min(_FIRST_PAUSE * _FACTOR ** min(attempts - 1, 20), _LONGEST_PAUSE)


class Deliverer:
    """Delivers the outbox; one for each process, so that a channel has one turn at a time."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Sequence[Channel],
        sender: Callable[[], Sends],
        clock: Clock,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._sender = sender
        self._clock = clock
        self._busy: set[str] = set()
        self._guard = threading.Lock()

    def run(self, given_up: GivenUp, seconds: float = TURN_SECONDS) -> Summary:
        """One turn of all channels; ends after `seconds`, slow channels go on by themselves.

        Args:
            given_up: is told of each delivery that is not tried any more, and why. It may be told
                again of the same one after a crash.
            seconds: how long to wait for the channels.

        Raises:
            LedgerUnavailable: storage did not answer; nothing is lost.
        """
        total = Summary()
        if not self._channels:
            return total
        total.routed = self._outbox.fan_out(lambda message: route(self._channels, message))
        turns = [self._begin(channel, given_up) for channel in self._channels]
        end = time.monotonic() + seconds
        for turn in turns:
            if turn is not None:
                turn.join(max(end - time.monotonic(), 0.0))
                _add(total, turn)
        return total

    def _begin(self, channel: Channel, given_up: GivenUp) -> Turn | None:
        with self._guard:
            if channel.name in self._busy:
                log.warning("channel %s: its last turn has not ended", channel.name)
                return None
            self._busy.add(channel.name)
        turn = Turn(self._outbox, channel, self._one_sender, self._clock, given_up)
        turn.ended = lambda: self._busy.discard(channel.name)
        turn.start()
        return turn

    def _one_sender(self) -> Sends:
        with self._guard:  # loading the library is slow, and every channel wants it at once
            return self._sender()


class Turn(threading.Thread):
    """One channel's turn."""

    def __init__(
        self,
        outbox: Outbox,
        channel: Channel,
        sender: Callable[[], Sends],
        clock: Clock,
        given_up: GivenUp,
    ) -> None:
        # A daemon: a channel that never answers must not hold up the end of the process.
        super().__init__(name=f"messages-{channel.name}", daemon=True)
        self.channel = channel
        self.summary = Summary()
        self.ended: Callable[[], object] = lambda: None
        self._outbox = outbox
        self._sender = sender
        self._clock = clock
        self._given_up = given_up

    def run(self) -> None:
        """Send what is due until it is done, something fails or enough was sent."""
        try:
            due = self._outbox.due(self.channel.name)
            for group in grouping.groups(due):
                if not self._group(group):
                    return
        except LedgerError as error:
            log.warning("channel %s: the ledger: %s", self.channel.name, error)
        except Exception:
            log.exception("channel %s: its turn failed", self.channel.name)
        finally:
            self.ended()

    def _group(self, group: list[Delivery]) -> bool:
        """Whether the turn goes on after this group."""
        key = grouping.group_key(group[0].message)
        alone = not group[0].message.group
        window = None if alone else self._outbox.window(self.channel.name, key)
        now = self._clock.now()
        chosen = grouping.plan(window, len(group), now)
        if chosen is Plan.HOLD and window is not None:
            self._outbox.postpone(group, window.since + grouping.WINDOW)
            self.summary.held += len(group)
            return True
        if chosen is Plan.SUM:
            return self._send(group, key, window) is not None
        for delivery in group:
            after = self._send([delivery], key, window)
            if after is None:
                return False
            window = after
        return True

    def _send(self, group: list[Delivery], key: str, window: Window | None) -> Window | None:
        """Send one message, for one delivery or for several; None when the turn is over."""
        if self.summary.sent + self.summary.failed >= MAX_SENDS:
            return None
        seconds = _LEASES * self.channel.timeout_seconds
        ours = self._outbox.take(group, seconds)
        if not ours:
            return window or Window(self._clock.now())
        summed = len(ours) > 1
        message = grouping.sum_of([d.message for d in ours]) if summed else ours[0].message
        problem = self._sender().send(self.channel, message)
        if problem:
            self._failed(ours, problem)
            return None
        self._outbox.delivered(ours)
        after = grouping.after(window, self._clock.now(), summed=summed)
        if message.group:
            self._outbox.set_window(self.channel.name, key, after)
        self.summary.sent += 1
        self.summary.delivered += len(ours)
        return after

    def _failed(self, group: list[Delivery], problem: str) -> None:
        now = self._clock.now()
        spent = [d for d in group if _spent(d, now)]
        for delivery in spent:
            self._given_up(delivery, problem)
        self._outbox.give_up(spent, problem)
        left = [d for d in group if d not in spent]
        for attempts in sorted({d.attempts for d in left}):
            due = now + timedelta(seconds=pause(attempts + 1))
            self._outbox.again([d for d in left if d.attempts == attempts], due, problem)
        self.summary.failed += 1
        self.summary.given_up += len(spent)


def _spent(delivery: Delivery, now: datetime) -> bool:
    return delivery.attempts + 1 >= MAX_TRIES or now - delivery.message.at > MAX_AGE


def _add(total: Summary, turn: Turn) -> None:
    if turn.is_alive():
        total.slow.append(turn.channel.name)
    for name in ("delivered", "sent", "failed", "given_up", "held"):
        setattr(total, name, getattr(total, name) + getattr(turn.summary, name))

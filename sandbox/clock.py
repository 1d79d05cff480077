"""Time that tests can move, and a timeline on which every state transition is planned.

Nothing runs in the background: what is due is carried out when somebody looks. Each planned action
runs with `now()` set to the moment it was due, so the timestamps do not depend on who looked when.
"""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

Action = Callable[[], None]


class Clock(Protocol):
    """Tells the time in seconds since the epoch."""

    def now(self) -> float:
        """Return the current time."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return the current time."""
        return time.time()


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the current time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += seconds


@dataclass(order=True)
class _Planned:
    due: float
    order: int
    action: Action = field(compare=False)


class Timeline:
    """The clock plus everything that is going to happen."""

    def __init__(self, clock: Clock, speed: float = 1.0) -> None:
        self.changes = 0
        self._clock = clock
        self._speed = speed
        self._planned: list[_Planned] = []
        self._order = 0
        self._moment: float | None = None

    def now(self) -> float:
        """Return the moment being lived: that of the running action, else the clock's."""
        return self._clock.now() if self._moment is None else self._moment

    def now_ms(self) -> int:
        """Return the moment being lived in milliseconds, as Databricks counts."""
        return round(self.now() * 1000)

    def mark(self) -> None:
        """Note that some state changed."""
        self.changes += 1

    def after(self, seconds: float, action: Action) -> None:
        """Plan an action; the delay is divided by the speed."""
        self._order += 1
        due = self.now() + seconds / self._speed
        heapq.heappush(self._planned, _Planned(due, self._order, action))

    def catch_up(self) -> None:
        """Carry out everything that is due, in the order in which it fell due."""
        while self._planned and self._planned[0].due <= self._clock.now():
            planned = heapq.heappop(self._planned)
            self._live(planned)

    def clear(self) -> None:
        """Forget everything that was planned."""
        self._planned.clear()
        self.mark()

    def _live(self, planned: _Planned) -> None:
        self._moment = planned.due
        try:
            planned.action()
        finally:
            self._moment = None


def iso(moment: float) -> str:
    """Write a moment the way both platforms do: UTC with a Z."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def parse_iso(text: str) -> float:
    """Read an ISO 8601 moment; without an offset it is UTC.

    Raises:
        ValueError: The text is no ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

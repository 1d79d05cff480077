"""Our clock in step with the sandbox's."""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.clock import ManualClock


class SetClock:
    """Tells the sandbox's time; who would sleep, moves it."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def sleep(self, seconds: float) -> None:
        self._clock.advance(seconds)

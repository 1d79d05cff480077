"""Time that tests move."""

from __future__ import annotations

from datetime import datetime, timedelta


class StepClock:
    """Stands still until a test moves it; who would sleep, moves it."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)

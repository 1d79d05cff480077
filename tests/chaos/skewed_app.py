"""The app with a clock that is wrong by `CHAOS_CLOCK_SKEW` seconds: `devhost --app` takes it."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from shared.clock import SystemClock
from shared.composition import current


class WrongClock(SystemClock):
    """The machine's clock, ahead of it or (with less than nothing) behind."""

    def __init__(self, seconds: float) -> None:
        self._skew = timedelta(seconds=seconds)

    def now(self) -> datetime:
        """The moment that this clock believes in."""
        return super().now() + self._skew


# Before the app is loaded, or its parts would have the right one already.
current().__dict__["clock"] = WrongClock(float(os.environ["CHAOS_CLOCK_SKEW"]))

from function_app import app as app  # noqa: E402, PLC0414 - see above; what the host looks for

"""Time, injected: nothing in `shared` asks the machine for the time by itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the program needs of time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Block for `seconds`; used only between the few quick repeats of a read."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for `seconds`."""
        time.sleep(seconds)


def iso(moment: datetime) -> str:
    """`moment` as ISO 8601 in UTC with milliseconds and a `Z`: sorts as text as it does as time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_iso(text: str) -> datetime:
    """The aware moment that an ISO 8601 text names; a text without an offset is taken as UTC.

    Raises:
        ValueError: the text is not ISO 8601, or names a moment that UTC has no date for.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(text) from None


def from_millis(millis: float) -> datetime:
    """The moment that Databricks' epoch milliseconds name."""
    return datetime.fromtimestamp(millis / 1000, UTC)

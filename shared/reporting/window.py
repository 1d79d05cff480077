"""The window of a report: whole days in UTC, the present one included. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import msgspec

from shared.errors import InputError
from shared.reporting.facts import day_of

MAX_DAYS = 92
_WINDOW = re.compile(r"([1-9]\d?)d", re.ASCII)


class Window(msgspec.Struct, frozen=True):
    """Days from `first` to `last`, both included, as YYYYMMDD."""

    text: str
    first: str
    last: str


def window_of(raw: str, now: datetime) -> Window:
    """The last n days, for `<n>d`.

    Raises:
        InputError: not `1d` to `92d`.
    """
    match = _WINDOW.fullmatch(raw)
    days = int(match.group(1)) if match else 0
    if not 1 <= days <= MAX_DAYS:
        raise InputError("window", f"expected 1d to {MAX_DAYS}d")
    return Window(raw, day_of(now - timedelta(days=days - 1)), day_of(now))


def dashed(day: str) -> str:
    """A day as ISO 8601 writes it."""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"

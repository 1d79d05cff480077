"""Maintenance windows: whether one is open for some work now, and when it ends.

A weekly window lives in local time, where one hour of the year does not exist and another comes
twice. Such a time is taken in the reading that makes the window longer: in doubt it is open, and
nothing is done. So a window never vanishes on the day the clocks change, and one of 02:00 to 03:00
on the day that has no such hour still lasts an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from shared.policy.model import Policy, Window
from shared.policy.scope import Work, matches

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # as datetime.weekday() counts
_DAY = timedelta(days=1)
# A window lasts a day and what a change of clocks adds, once a whole day in Samoa: by the wall
# clock it began at most two days before, and at most one after.
_NEAR = range(-2, 2)


def open_window(policy: Policy, work: Work, now: datetime) -> Window | None:
    """The maintenance window that `work` is in at `now`; of several the one that ends last."""
    ends = [
        (end, window)
        for window in policy.windows
        if matches(window.match, work) and (end := _end(window, now)) is not None
    ]
    return max(ends, key=lambda pair: pair[0])[1] if ends else None


def ends_at(window: Window, now: datetime) -> datetime:
    """When the window that is open at `now` ends, in UTC; its first moment outside.

    Raises:
        ValueError: it is not open at `now`.
    """
    end = _end(window, now)
    if end is None:
        raise ValueError(f"the window {window.name!r} is not open at {now.isoformat()}")
    return end


def _end(window: Window, now: datetime) -> datetime | None:
    ends = [end for start, end in _occurrences(window, now) if start <= now < end]
    return max(ends, default=None)


def _occurrences(window: Window, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """All times of the window that `now` could be in, in UTC."""
    if window.start is not None and window.end is not None:
        yield window.start.astimezone(UTC), window.end.astimezone(UTC)
        return
    zone = ZoneInfo(window.timezone)
    today = now.astimezone(zone).date()
    for day in (today + timedelta(days=near) for near in _NEAR):
        if _DAYS[day.weekday()] in window.days:
            yield _on(day, window, zone)


def _on(day: date, window: Window, zone: ZoneInfo) -> tuple[datetime, datetime]:
    opens, closes = time.fromisoformat(window.opens), time.fromisoformat(window.closes)
    last_day = day if closes > opens else day + _DAY
    return min(_readings(day, opens, zone)), max(_readings(last_day, closes, zone))


def _readings(day: date, at: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """A local time in UTC in both readings of PEP 495; they are equal on nearly every day."""
    local = datetime.combine(day, at, zone)
    return local.replace(fold=0).astimezone(UTC), local.replace(fold=1).astimezone(UTC)

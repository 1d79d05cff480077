"""Quartz cron expressions, as far as it takes to refuse what no scheduler would run.

Source: https://www.quartz-scheduler.org/documentation/quartz-2.3.0/tutorials/crontrigger.html
"""

from __future__ import annotations

import re

import msgspec

from shared.errors import InputError

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_COUNTS = (6, 7)  # of fields: the year may be left out
_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d{1,4}))?")
_MONTH_DAY = re.compile(r"LW?|L-(?P<before>\d{1,2})|(?P<near>\d{1,2})W")
_WEEK_DAY = re.compile(r"L|(?P<day>\w+?)(?:L|#(?P<week>\d))")
_WEEKS = 5


class _Field(msgspec.Struct, frozen=True):
    """One field: what it is called, its least and greatest value, names for them."""

    called: str
    least: int
    most: int
    names: tuple[str, ...] = ()


_MONTH_DAYS = _Field("the day of the month", 1, 31)
_WEEK_DAYS = _Field("the day of the week", 1, 7, _DAYS)
_FIELDS = (
    _Field("the seconds", 0, 59),
    _Field("the minutes", 0, 59),
    _Field("the hours", 0, 23),
    _MONTH_DAYS,
    _Field("the month", 1, 12, _MONTHS),
    _WEEK_DAYS,
    _Field("the year", 1970, 2099),
)


def check_cron(text: str, field: str) -> None:
    """Refuse what is no Quartz expression.

    Raises:
        InputError: its number of fields, one of them, or both days at once are wrong.
    """
    parts = text.upper().split()
    if len(parts) not in _COUNTS:
        raise InputError(field, "expected six or seven fields, seconds first")
    for part, kind in zip(parts, _FIELDS, strict=False):
        if not _fits(part, kind):
            told = f"{part!r} is no value of {kind.called}"
            raise InputError(field, f"{told}: expected {kind.least} to {kind.most}")
    if (parts[3] == "?") == (parts[5] == "?"):
        raise InputError(field, "expected ? in exactly one of the two day fields, the 4th or 6th")


def _fits(text: str, kind: _Field) -> bool:
    if text == "?":
        return kind in {_MONTH_DAYS, _WEEK_DAYS}
    return all(_special(part, kind) or _range(part, kind) for part in text.split(","))


def _special(part: str, kind: _Field) -> bool:
    """The last day, the nearest working day, the third Friday."""
    if kind is _MONTH_DAYS and (found := _MONTH_DAY.fullmatch(part)):
        near, before = found["near"], found["before"]
        return (near is None or _value(near, kind)) and int(before or 0) < kind.most
    if kind is _WEEK_DAYS and (found := _WEEK_DAY.fullmatch(part)):
        day, week = found["day"], int(found["week"] or 1)
        return (day is None or _value(day, kind)) and 1 <= week <= _WEEKS
    return False


def _range(part: str, kind: _Field) -> bool:
    found = _PART.fullmatch(part)
    if found is None:
        return False
    ends = [end for end in (found["first"], found["last"]) if end not in {None, "*"}]
    whole = found["first"] != "*" or found["last"] is None
    step = found["step"] is None or 1 <= int(found["step"]) <= kind.most
    return whole and step and all(_value(end, kind) for end in ends)


def _value(text: str, kind: _Field) -> bool:
    if text in kind.names:
        return True
    return text.isdecimal() and text.isascii() and kind.least <= int(text) <= kind.most

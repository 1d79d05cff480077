"""What a caller asks of the list of incidents: query parameters in, filters out. Pure.

A cursor says where a page ended. It holds the window of the first page, so that the pages of one
walk belong together, and a digest over all of it, so that a changed one is refused.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from shared.clock import from_iso, iso
from shared.decoding import decode
from shared.errors import InputError
from shared.ledger.search import Position, Wanted
from shared.vocabulary import IncidentState

MAX_DAYS, DEFAULT_DAYS = 92, 7
MAX_LIMIT, DEFAULT_LIMIT = 200, 50
_MAX_TEXT = 200
_MAX_CURSOR = 1000
_DAY = timedelta(days=1)
_TEXTS = ("error_type", "target", "resource", "environment", "remedy")
_REPEATABLE = frozenset({"state"})
PARAMETERS = ("state", *_TEXTS, "since", "until", "limit", "cursor")

Pairs = Sequence[tuple[str, str]]


class Allowed(msgspec.Struct, frozen=True):
    """The values that filters may have."""

    error_types: frozenset[str]
    targets: frozenset[str]
    remedies: frozenset[str]


class Listing(msgspec.Struct, frozen=True):
    """One page that is asked for."""

    wanted: Wanted
    limit: int
    after: Position | None
    filters: str  # as the caller wrote them: a cursor belongs to them


class _Cursor(msgspec.Struct, frozen=True):
    day: str
    row: str
    since: datetime
    until: datetime


def single_values(pairs: Pairs, allowed: Iterable[str]) -> dict[str, str]:
    """The query's parameters by name; those that may be repeated are joined by commas.

    Raises:
        InputError: one is not known, or given twice.
    """
    names = tuple(allowed)
    values: dict[str, str] = {}
    for name, value in pairs:
        if name == "api_key":
            continue
        if name not in names:
            listed = ", ".join(names) or "none"
            raise InputError(name[:_MAX_TEXT], f"no such parameter; expected {listed}")
        if name in values and name not in _REPEATABLE:
            raise InputError(name, "expected once")
        values[name] = f"{values[name]},{value}" if name in values else value
    return values


def parse(pairs: Pairs, allowed: Allowed, now: datetime, key: str) -> Listing:
    """The page that a query asks for.

    Args:
        pairs: the query's names and values.
        allowed: values that filters may have.
        now: the present moment.
        key: what cursors are signed with.

    Raises:
        InputError: a parameter is wrong; names it and says what is allowed.
    """
    values = single_values(pairs, PARAMETERS)
    kept = {name: values[name] for name in sorted(values) if name not in {"limit", "cursor"}}
    filters = msgspec.json.encode(kept).decode()
    limit = whole("limit", values.get("limit"), DEFAULT_LIMIT, MAX_LIMIT)
    since, until = _window(values, now)
    after = None
    if "cursor" in values:
        cursor = _opened(values["cursor"], filters, key)
        since, until = cursor.since, cursor.until
        after = Position(cursor.day, cursor.row)
    texts = {name: _text(name, values[name]) for name in _TEXTS if name in values}
    _check(texts, allowed)
    if "target" in texts:
        texts["target"] = next(
            name for name in allowed.targets if name.lower() == texts["target"].lower()
        )
    wanted = Wanted(since, until, _states(values.get("state")), **texts)
    return Listing(wanted, limit, after, filters)


def next_cursor(listing: Listing, after: Position | None, key: str) -> str | None:
    """The cursor of the page that follows, None if there is none."""
    if after is None:
        return None
    cursor = _Cursor(after.day, after.row, listing.wanted.since, listing.wanted.until)
    body = msgspec.json.encode(cursor)
    return base64.urlsafe_b64encode(_seal(body, listing.filters, key) + body).decode().rstrip("=")


def whole(name: str, raw: str | None, default: int, high: int) -> int:
    """A whole number from 1 to `high`.

    Raises:
        InputError: it is none.
    """
    if raw is None:
        return default
    if not (raw.isascii() and raw.isdigit()) or not 1 <= int(raw[:9]) <= high:
        raise InputError(name, f"expected a whole number from 1 to {high}")
    return int(raw)


_SEAL = 16  # bytes


def _seal(body: bytes, filters: str, key: str) -> bytes:
    return hmac.digest(b"cursor" + key.encode(), filters.encode() + b"\n" + body, "sha256")[:_SEAL]


def _opened(cursor: str, filters: str, key: str) -> _Cursor:
    expected = "expected the `next` of an answer to the same query"
    try:
        raw = base64.b64decode(
            cursor[:_MAX_CURSOR] + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, ValueError):
        raise InputError("cursor", expected) from None
    seal, body = raw[:_SEAL], raw[_SEAL:]
    if not hmac.compare_digest(seal, _seal(body, filters, key)):
        raise InputError("cursor", expected)
    return decode(body, _Cursor)


def _window(values: dict[str, str], now: datetime) -> tuple[datetime, datetime]:
    until = min(_moment("until", values["until"]), now + _DAY) if "until" in values else now
    since = _moment("since", values["since"]) if "since" in values else None
    if since is None:
        return until - DEFAULT_DAYS * _DAY, until
    if since > until:
        raise InputError("since", "expected a moment before `until` (default: now)")
    if until - since > MAX_DAYS * _DAY:
        raise InputError("since", f"expected at most {MAX_DAYS} days before `until`")
    return since, until


_FIRST_YEAR = 2000


def _moment(name: str, raw: str) -> datetime:
    try:
        moment = from_iso(raw)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.year < _FIRST_YEAR:
        example = iso(datetime.fromisoformat("2026-11-20T03:00:00+00:00"))
        raise InputError(name, f"expected ISO 8601 in UTC from the year 2000 on, as {example}")
    return moment


def _text(name: str, raw: str) -> str:
    value = raw.strip()
    if not value or len(value) > _MAX_TEXT or not value.isprintable():
        raise InputError(name, f"expected 1 to {_MAX_TEXT} printable characters")
    return value


def _check(texts: dict[str, str], allowed: Allowed) -> None:
    _one_of("error_type", texts, allowed.error_types)
    _one_of("remedy", texts, allowed.remedies)
    target = {"target": texts["target"].lower()} if "target" in texts else {}
    _one_of("target", target, frozenset(name.lower() for name in allowed.targets))


def _one_of(name: str, texts: dict[str, str], allowed: frozenset[str]) -> None:
    if name in texts and texts[name] not in allowed:
        raise InputError(name, f"expected one of {', '.join(sorted(allowed)) or 'none'}")


_GROUPS = {
    "open": tuple(state for state in IncidentState if not state.closed),
    "closed": tuple(state for state in IncidentState if state.closed),
}


def _states(raw: str | None) -> tuple[IncidentState, ...]:
    if raw is None:
        return ()
    named: set[IncidentState] = set()
    for name in raw.split(","):
        word = name.strip()
        if word not in _GROUPS and word not in set(IncidentState):
            allowed = ", ".join([*_GROUPS, *IncidentState])
            raise InputError("state", f"expected some of {allowed}")
        named |= set(_GROUPS.get(word) or (IncidentState(word),))
    return tuple(state for state in IncidentState if state in named)

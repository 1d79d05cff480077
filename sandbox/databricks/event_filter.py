"""The little filter language of pipeline events, and nothing beyond it."""

import re
from collections.abc import Callable

from sandbox.clock import parse_iso
from sandbox.databricks.errors import invalid_parameter
from sandbox.wire import Json

Test = Callable[[Json], bool]

_LEVEL = re.compile(r"level\s*=\s*'(\w+)'", re.IGNORECASE)
_LEVELS = re.compile(r"level\s+in\s*\(\s*('\w+'(?:\s*,\s*'\w+')*)\s*\)", re.IGNORECASE)
_ID = re.compile(r"id\s*=\s*'([^']+)'", re.IGNORECASE)
_TIME = re.compile(r"timestamp\s*(>=|<=|>|<|=)\s*'([^']+)'", re.IGNORECASE)
_ORDER = re.compile(r"timestamp(?:\s+(asc|desc))?", re.IGNORECASE)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
}


def parse_filter(text: str) -> Test:
    """Read a filter: level, id and timestamp terms joined by AND; anything else is refused."""
    tests = [
        _parse_term(term.strip()) for term in re.split(r"\s+AND\s+", text, flags=re.IGNORECASE)
    ]
    return lambda event: all(test(event) for test in tests)


def parse_order(terms: list[str]) -> bool:
    """Read an order; says whether the newest come first."""
    if not terms:
        return True
    found = _ORDER.fullmatch(terms[0].strip())
    if found is None or len(terms) > 1:
        raise invalid_parameter(f"Unsupported order_by: {terms}")
    return (found.group(1) or "asc").lower() == "desc"


def _parse_term(term: str) -> Test:
    if found := _LEVEL.fullmatch(term):
        return _level_test({found.group(1)})
    if found := _LEVELS.fullmatch(term):
        return _level_test(set(re.findall(r"\w+", found.group(1))))
    if found := _ID.fullmatch(term):
        return _id_test(found.group(1))
    if found := _TIME.fullmatch(term):
        return _time_test(found.group(1), found.group(2))
    raise invalid_parameter(f"Invalid filter: {term}")


def _level_test(levels: set[str]) -> Test:
    return lambda event: event["level"] in levels


def _id_test(name: str) -> Test:
    return lambda event: event["id"] == name


def _time_test(operator: str, text: str) -> Test:
    try:
        moment = parse_iso(text)
    except ValueError as error:
        raise invalid_parameter(f"Invalid timestamp: {text}") from error
    compare = _COMPARE[operator]
    return lambda event: compare(parse_iso(event["timestamp"]), moment)

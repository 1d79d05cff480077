"""Reading fields out of payloads that nobody promised: every complaint names the field's path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from shared.clock import from_iso
from shared.errors import InputError

MAX_TEXT = 2_000  # characters of an error text that an alert may bring; the platform has it whole
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_NUMBER = re.compile(r"[0-9]{1,19}")
_NAME = re.compile(r"[^\x00-\x1f\x7f/\\?#%]{1,260}")
_FIRST_YEAR, _LAST_YEAR = 2000, 2200
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Node:
    """A JSON value and where it stands in the payload."""

    def __init__(self, value: Any, path: str = "$") -> None:  # noqa: ANN401 - any JSON value
        self.value = value
        self.path = path

    def __bool__(self) -> bool:
        return self.value is not None

    def get(self, *names: str) -> Node:
        """The first of `names` that is there, in any case; else an absent node.

        Raises:
            InputError: this is neither an object nor absent.
        """
        if self.value is None:
            return Node(None, f"{self.path}.{names[0]}")
        if not isinstance(self.value, dict):
            raise InputError(self.path, "expected an object")
        lowered = {str(key).lower(): key for key in self.value}
        for name in names:
            key = lowered.get(name.lower())
            if key is not None and self.value[key] is not None:
                return Node(self.value[key], f"{self.path}.{key}")
        return Node(None, f"{self.path}.{names[0]}")

    def has(self, name: str) -> bool:
        """Whether this is an object that has `name` (exactly) with a value."""
        return isinstance(self.value, dict) and self.value.get(name) is not None

    def items(self) -> list[Node]:
        """The elements of an array; none if absent.

        Raises:
            InputError: it is something else.
        """
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise InputError(self.path, "expected an array")
        return [Node(item, f"{self.path}[{index}]") for index, item in enumerate(self.value)]

    def text(self, default: str | None = None, limit: int = MAX_TEXT) -> str:
        """A string (numbers are taken as their digits), cut at `limit` characters.

        Raises:
            InputError: absent without a default, or neither string nor number.
        """
        if self.value is None:
            if default is None:
                raise InputError(self.path, "missing, expected a text")
            return default
        if isinstance(self.value, bool) or not isinstance(self.value, str | int | float):
            raise InputError(self.path, "expected a text")
        return _CONTROL.sub(" ", str(self.value))[:limit]

    def run_id(self) -> str:
        """The id of a pipeline run or update: letters, digits, `-`, `_` and `.`."""
        return self._matching(_RUN_ID, "expected an id of letters, digits, '-', '_' and '.'")

    def number(self) -> str:
        """A Databricks id: digits only."""
        return self._matching(_NUMBER, "expected a whole number")

    def name(self) -> str:
        r"""A resource's name: no control characters and none of / \\ ? # %."""
        return self._matching(_NAME, "expected a name without / \\ ? # %")

    def moment(self) -> datetime | None:
        """An ISO 8601 moment, None if absent.

        Raises:
            InputError: it is there and is not one, or is not of our times.
        """
        if self.value is None:
            return None
        try:
            return of_our_times(from_iso(self.text()))
        except ValueError:
            raise InputError(self.path, "expected an ISO 8601 date and time") from None

    def _matching(self, pattern: re.Pattern[str], expected: str) -> str:
        text = self.text()
        if not pattern.fullmatch(text):  # a $ would let a line break pass
            raise InputError(self.path, expected)
        return text


def of_our_times(moment: datetime) -> datetime:
    """`moment`, from which hours can be taken and to which they can be added.

    Raises:
        ValueError: it is before the year 2000 or after 2199.
    """
    if not _FIRST_YEAR <= moment.year < _LAST_YEAR:
        raise ValueError(moment)
    return moment


def first_text(nodes: Iterable[Node]) -> str:
    """The text of the first node that is a non-empty text, empty if none is."""
    for node in nodes:
        if isinstance(node.value, str | int) and not isinstance(node.value, bool):
            text = node.text("")
            if text:
                return text
    return ""

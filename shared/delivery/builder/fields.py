"""Small checks of single fields; every complaint names the field."""

from __future__ import annotations

import re

from shared.errors import InputError

_HOST = re.compile(r"^https://[A-Za-z0-9.-]+(:\d{1,5})?/?$")
_IDENTIFIER = re.compile(r"^[A-Za-z0-9_-]{1,100}$")


def match(text: str, pattern: re.Pattern[str], field: str, expected: str) -> None:
    """Refuse a text that is not wholly of the pattern.

    Raises:
        InputError: it is not.
    """
    if not pattern.fullmatch(text):
        raise InputError(field, f"expected {expected}")


def plain(text: str | None, field: str) -> None:
    """Refuse a text that is more than letters, digits, dashes and underscores.

    Raises:
        InputError: it is.
    """
    if text is not None:
        match(text, _IDENTIFIER, field, "letters, digits, dashes and underscores")


def host(address: str, field: str) -> str:
    """A workspace's address, if it may be one.

    Raises:
        InputError: it is none.
    """
    match(address, _HOST, field, "https://<workspace>")
    return address

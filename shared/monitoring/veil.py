"""Specifications without the secrets in them: what is kept of one, and what may be shown. Pure.

In place of a secret stands a mask with 16 bits of its digest. They tell that a secret has changed
(of 65,536 changes one is missed), and are too few to tell a guess at the secret from a wrong one.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from shared.redaction import MASK, Redactor, names_secret

_BITS = 2  # bytes of the digest
_MARK = re.compile(r"#[0-9a-f]{4}\b")
_VEILED = re.compile(rf"{re.escape(MASK)}[^#]*#[0-9a-f]{{4}}\Z", re.DOTALL)
_VALUES = frozenset({"value", "default"})


class Veil:
    """Masks secrets, by the names that they have and by how they look.

    `salt` sets the digests of one pipeline apart from those of another.
    """

    def __init__(self, redactor: Redactor, salt: str = "") -> None:
        self._redactor = redactor
        self._salt = salt.encode("utf-8", "replace")

    def over(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value in, the same shape out
        """A JSON value with its secrets masked; what is masked already stays as it is."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return self._entries(value)
        if isinstance(value, dict):
            return self._object(value)
        return value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        return {
            self._redactor.text(str(key)): self._hidden(item)
            if names_secret(str(key))
            else self.over(item)
            for key, item in value.items()
        }

    def _entries(self, value: list[Any]) -> list[Any]:
        """A list; the value of an option (`--password`, x) and of a named parameter are hidden."""
        found, option = [], False
        for item in value:
            found.append(self._hidden(item) if option else self._entry(item))
            option = isinstance(item, str) and _is_option(item) and names_secret(item)
        return found

    def _entry(self, item: Any) -> Any:  # noqa: ANN401 - any JSON value
        named = isinstance(item, dict) and _VALUES & item.keys()
        if not named or not names_secret(str(item.get("name") or item.get("key") or "")):
            return self.over(item)
        return {k: self._hidden(v) if k in _VALUES else self.over(v) for k, v in item.items()}

    def _hidden(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        if value is None or isinstance(value, bool) or value == "":
            return value
        if isinstance(value, list):
            return [self._hidden(item) for item in value]
        if isinstance(value, dict):
            return {self._redactor.text(str(k)): self._hidden(v) for k, v in value.items()}
        said = str(value)
        return said if _VEILED.search(said) else MASK + self._mark(said)

    def _text(self, value: str) -> str:
        if _VEILED.search(value):
            return value
        clean = self._redactor.text(value)
        return value if clean == value else clean + self._mark(value)

    def _mark(self, value: str) -> str:
        key = hashlib.blake2b(self._salt).digest()
        raw = value.encode("utf-8", "replace")
        return "#" + hashlib.blake2b(raw, key=key, digest_size=_BITS).hexdigest()


def _is_option(text: str) -> bool:
    return text.startswith("-") and "=" not in text


def shown(text: str) -> str:
    """A text of masked values as people read it: without the digests."""
    return _MARK.sub("", text) if MASK in text else text

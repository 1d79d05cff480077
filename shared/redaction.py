"""Secrets never leave: one function takes them out of every text that is stored or sent.

Patterns cover the shapes in which credentials appear in platform messages; the values of our own
configured secrets are removed wherever they appear.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import re2

MASK = "[redacted]"
_MIN_SECRET = 6  # shorter values would blank out ordinary words

# Each pattern keeps its first group (what the secret was) and masks the rest.
_SHAPES = (
    r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic)\s+)[^\s\"',;]+",
    r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9+/_.~-]{16,}=*",
    (
        r"(?i)(\b(?:account_?key|shared_?access_?key|shared_?access_?signature|password|passwd|pwd|"
        r"client_?secret|secret|api_?key|x-api-key|access_?token|refresh_?token|token)"
        r"[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&)}]+"
    ),
    r"(?i)([?&](?:sig|code|api_key|token|key)=)[^&\s\"']+",
    r"()\bdapi[0-9a-f]{16,}(?:-\d+)?",
    r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
    r"(://[^/\s:@]+:)[^/\s@]+(@)",
    # Rows of data in DLT expectation errors: people's data is no evidence that we need.
    r"(?s)((?:Input data|Output record): ')[^']*(')",
)
_COMPILED = tuple(re2.compile(shape) for shape in _SHAPES)


class Redactor:
    """Takes secrets out of texts; `secrets` are values that must never appear."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({s for s in secrets if len(s) >= _MIN_SECRET}, key=len, reverse=True)

    def text(self, value: str) -> str:
        """`value` without the secrets in it."""
        for secret in self._secrets:
            value = value.replace(secret, MASK)
        for pattern in _COMPILED:
            value = pattern.sub(_mask, value)
        return value

    def tree(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value in, the same shape out
        """A JSON value with every string in it redacted; keys that name a secret lose the value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        if isinstance(value, dict):
            return {key: self._entry(str(key), item) for key, item in value.items()}
        return value

    def _entry(self, key: str, item: Any) -> Any:  # noqa: ANN401 - see tree
        if isinstance(item, str) and _SECRET_KEY.search(key):
            return MASK
        return self.tree(item)


_SECRET_KEY = re2.compile(r"(?i)(password|secret|token$|api_?key|account_?key|authorization|sig$)")


def _mask(match: Any) -> str:  # noqa: ANN401 - re2 publishes no match type
    groups = match.groups()
    tail = groups[1] if len(groups) > 1 else ""
    return f"{groups[0]}{MASK}{tail}"

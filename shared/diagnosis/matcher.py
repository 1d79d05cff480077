"""Many patterns, one pass: RE2's set, which cannot backtrack and has a bound on its memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

from shared.errors import ConfigurationError

MATCHER_BYTES = 64 << 20

_PROBE = "lakemend-matcher-probe"


@cache
def regex(pattern: str) -> Any:  # noqa: ANN401 - re2 publishes no types
    """`pattern` as RE2's, compiled when it is first used: starting up loads no matcher."""
    import re2

    return re2.compile(pattern)


class Matcher:
    """Tells which of its patterns occur in a text. Compiled when it is first used."""

    def __init__(self, patterns: Iterable[str], max_mem: int = MATCHER_BYTES) -> None:
        """Holds `patterns`, RE2 syntax, without regard to case.

        Raises:
            ConfigurationError: a pattern is not RE2.
        """
        import re2

        options = re2.Options()
        options.max_mem = max_mem
        options.case_sensitive = False
        options.log_errors = False
        self._set = re2.Set.SearchSet(options)
        self._compiled = False
        self._compiling = threading.Lock()  # activities run side by side; a set compiles once only
        for pattern in patterns:
            self._add(pattern)
        self._probe = self._add(_PROBE)

    def hits(self, text: str) -> list[int]:
        """Positions of the patterns that occur in `text`.

        Raises:
            ConfigurationError: the matcher ran out of memory, compiling or matching.
        """
        with self._compiling:
            self._compile()
        # RE2 reports memory exhaustion as "no match". The probe at the end of the text must match,
        # so its absence tells exhaustion from a text that no pattern knows.
        found = self._set.Match(f"{text}\n{_PROBE}") or []
        if self._probe not in found:
            raise ConfigurationError("the classifier's matcher ran out of memory")
        return [hit for hit in found if hit != self._probe]

    def _compile(self) -> None:
        if self._compiled:
            return
        import re2

        try:
            self._set.Compile()
        except re2.error as error:
            raise ConfigurationError(f"the classifier's matcher: {error}") from None
        self._compiled = True

    def _add(self, pattern: str) -> int:
        import re2

        try:
            return int(self._set.Add(pattern))
        except re2.error as error:
            raise ConfigurationError(f"rules.yaml: pattern {pattern!r}: {error}") from None

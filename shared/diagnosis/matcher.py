"""Many patterns, one pass: RE2 finds the literal parts of all of them, then tries what is left.

Neither step can backtrack, and both have a bound on their memory. One automaton for all patterns
would have to grow with the variety of texts; here it holds literal parts only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

from shared.errors import ConfigurationError

# What one pattern may use, program and automaton; RE2 bounds the automaton of literal parts at
# 8 MiB by itself. A pattern whose automaton is full is matched without one, slower and as right.
PATTERN_BYTES = 128 << 10

_PROBE = "lakemend-matcher-probe"


@cache
def regex(pattern: str) -> Any:  # noqa: ANN401 - re2 publishes no types
    """`pattern` as RE2's, compiled when it is first used: starting up loads no matcher."""
    import re2

    return re2.compile(pattern)


class Matcher:
    """Tells which of its patterns occur in a text. Compiled when it is first used."""

    def __init__(self, patterns: Iterable[str], max_mem: int = PATTERN_BYTES) -> None:
        """Holds `patterns`, RE2 syntax, without regard to case; each may use `max_mem` bytes.

        Raises:
            ConfigurationError: a pattern is not RE2, or needs more memory.
        """
        import re2

        options = re2.Options()
        options.max_mem = max_mem
        options.case_sensitive = False
        options.log_errors = False
        self._options = options
        self._filter = re2.Filter()
        self._compiled = False
        self._compiling = threading.Lock()  # activities run side by side; it compiles once only
        for pattern in patterns:
            self._add(pattern)
        self._probe = self._add(_PROBE)

    def hits(self, text: str) -> list[int]:
        """Positions of the patterns that occur in `text`.

        Raises:
            ConfigurationError: the matcher ran out of memory.
        """
        if not self._compiled:
            self._compile()
        # RE2 reports memory exhaustion as "no match". The probe at the end of the text must match,
        # so its absence tells exhaustion from a text that no pattern knows.
        found = self._filter.Match(f"{text}\n{_PROBE}") or []
        if self._probe not in found:
            raise ConfigurationError("the classifier's matcher ran out of memory")
        return [hit for hit in found if hit != self._probe]

    def _compile(self) -> None:
        import re2

        with self._compiling:
            if self._compiled:
                return
            try:
                self._filter.Compile()
            except re2.error as error:
                raise ConfigurationError(f"the classifier's matcher: {error}") from None
            self._compiled = True

    def _add(self, pattern: str) -> int:
        import re2

        try:
            return int(self._filter.Add(pattern, self._options))
        except re2.error:
            raise ConfigurationError(
                f"rules.yaml: pattern {pattern!r}: not RE2, or too large for the matcher's "
                f"{self._options.max_mem} bytes a pattern"
            ) from None

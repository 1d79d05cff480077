"""How much is tried, and what was seen: the size, the seed and the notes of a test of chaos."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

NOTE = "chaos"  # the property of a test's report that holds its notes
SEED = 8  # of the short form, which tries the same every time


class Chaos:
    """One test's share: its size between 0 (short) and 1 (long), its seed, its notes."""

    def __init__(self, size: float, seed: int, record: Callable[[str, object], None]) -> None:
        self.size = size
        self.seed = seed
        self.dice = random.Random(seed)  # noqa: S311 - dice that can be thrown again
        self._record = record
        self.note(f"seed {seed}")

    def note(self, words: str) -> None:
        """Tell in the summary what was tried or seen."""
        self._record(NOTE, words)

    def of(self, short: int, long: int) -> int:
        """How often something is tried: `short` in the suite, `long` in the long form."""
        return max(short, round(long * self.size))

    def explore(
        self, cases: int, check: Callable[[Any], None], tried: st.SearchStrategy[Any]
    ) -> None:
        """Call `check` with `cases` examples; notes their number and the slowest one's time."""
        taken: list[float] = []

        @seed(self.seed)
        @settings(
            max_examples=cases,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        )
        @given(tried)
        def explored(example: Any) -> None:
            start = time.perf_counter()
            try:
                check(example)
            finally:
                taken.append(time.perf_counter() - start)

        explored()
        self.note(f"{len(taken)} cases, the slowest {max(taken) * 1000:.0f} ms")

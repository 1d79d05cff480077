"""Scripts of how successive runs of one thing end."""

from collections import deque
from typing import Any

from sandbox.wire import Json


class Script:
    """Outcomes consumed in order; afterwards the last word holds."""

    def __init__(self, default: Json) -> None:
        self._queue: deque[Json] = deque()
        self._then = default

    def load(self, outcomes: list[Json], then: Json | None = None) -> None:
        """Add outcomes, and optionally say what holds once they are used up."""
        self._queue.extend(outcomes)
        if then is not None:
            self._then = then

    def next(self) -> Json:
        """Take the outcome of the next run."""
        return self._queue.popleft() if self._queue else self._then


def at_most(value: Any, limit: float) -> bool:  # noqa: ANN401 - whatever a parameter may be
    """Compare a parameter; one that is missing or no number is not small enough."""
    try:
        return float(value) <= limit
    except (TypeError, ValueError):
        return False

"""Identifiers in the shapes the platforms use."""

import uuid
from datetime import UTC, datetime
from itertools import count


class Ids:
    """Hands out identifiers; numbers are unique across jobs, runs and repairs."""

    def __init__(self) -> None:
        self._numbers = count(100_001)

    def number(self) -> int:
        """Return a job, run or repair id."""
        return next(self._numbers)

    def cluster_id(self, now: float) -> str:
        """Return a cluster id such as 0821-223236-5fpp2uv9."""
        moment = datetime.fromtimestamp(now, UTC)
        return f"{moment:%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"

    def guid(self) -> str:
        """Return the id of a factory's run or of a pipeline's update."""
        return str(uuid.uuid4())

"""The pause that a platform asks for in the words of an error."""

from __future__ import annotations

import re
from collections.abc import Iterable

from shared.models import EvidenceLine

_RETRY_AFTER = re.compile(r"retry[- _]?after[^0-9\n]{0,20}(\d{1,6})(?!\d)", re.IGNORECASE)
_LONGEST_PAUSE = 3600.0
_LOOKED_AT = 20_000  # characters of a message


def told_to_wait(lines: Iterable[EvidenceLine]) -> float | None:
    """Seconds that an error asks for, at most an hour; None if it asks for none."""
    for line in lines:
        match = _RETRY_AFTER.search(line.message[:_LOOKED_AT])
        if match:
            return min(float(match.group(1)), _LONGEST_PAUSE)
    return None

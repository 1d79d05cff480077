"""Rows as this process has last seen them, so that a guarded write need not read first.

Only ever the ground of a write that carries the row's ETag: if the row has changed since, the
write is refused and the row is read. What is decided by reading alone is always read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

Entity = dict[str, Any]


class LastSeen:
    """The newest state of some rows that this process has read or written."""

    def __init__(self, most: int) -> None:
        self._rows: OrderedDict[tuple[str, str], Entity | None] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()

    def note(self, partition: str, row: str, entity: Entity | None, etag: str = "") -> None:
        """Remember a row, or that there is none; without its ETag it is of no use."""
        with self._lock:
            self._rows.pop((partition, row), None)
            if entity is None:
                self._rows[partition, row] = None
            elif etag:
                self._rows[partition, row] = {**entity, "etag": etag}
            if len(self._rows) > self._most:
                self._rows.popitem(last=False)

    def forget(self, partition: str, row: str) -> None:
        """The row has changed, or may have."""
        with self._lock:
            self._rows.pop((partition, row), None)

    def recall(self, partition: str, row: str) -> tuple[bool, Entity | None]:
        """Whether the row was seen, and what it was: None if there was none."""
        with self._lock:
            known = (partition, row) in self._rows
            entity = self._rows.get((partition, row))
            return known, dict(entity) if entity is not None else None

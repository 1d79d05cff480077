"""Turns: threads of this process that change the same row go one after another.

A courtesy only, which saves them from refusing each other's writes; ETags keep the rows right. Who
has waited too long goes on all the same: the one before may be waiting for a storage that is out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCKS = 64  # rows share them by chance
_PATIENCE = 1.0  # seconds


class Turns:
    """Whose turn it is, by row."""

    def __init__(self) -> None:
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    @contextmanager
    def on(self, *row: str) -> Iterator[None]:
        """Wait until nobody else of this process changes the row, but not for long."""
        lock = self._locks[hash(row) % _LOCKS]
        mine = lock.acquire(timeout=_PATIENCE)
        try:
            yield
        finally:
            if mine:
                lock.release()

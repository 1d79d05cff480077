"""Senders first: while many wait for their answer, few healings compute beside them.

Python lets one thread compute at a time. A bad night's alerts come within seconds and want their
answers within a second; a healing takes minutes and may wait for one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_BUSY = 8  # senders that wait at the same time
_BESIDE = 2  # healings' steps that run beside so many
_PATIENCE = 2.0  # seconds that a step is held up at most: its thread is wanted for pages, too


class Precedence:
    """Who goes first in this process."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._senders = 0
        self._steps = 0
        self._changed = threading.Condition()

    @contextmanager
    def sender(self) -> Iterator[None]:
        """An alert's sender waits for the answer."""
        with self._changed:
            self._senders += 1
        try:
            yield
        finally:
            with self._changed:
                self._senders -= 1
                if self._senders == _BUSY - 1:
                    self._changed.notify_all()

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step of a healing, begun when it is its turn or it has waited long enough."""
        with self._changed:
            self._changed.wait_for(self._free, self._patience)
            self._steps += 1
        try:
            yield
        finally:
            with self._changed:
                self._steps -= 1
                self._changed.notify()

    def _free(self) -> bool:
        return self._senders < _BUSY or self._steps < _BESIDE

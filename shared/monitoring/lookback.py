"""How far each look at each target has come, remembered in the ledger.

A look begins where the last one ended, less an overlap for what becomes visible late, so a restart
or an outage misses nothing. It is moved on only when what was found is stored; what is then found
twice is known by its id. Two sweeps at once move it to the later of their ends.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from shared.clock import Clock
from shared.ledger.documents import Documents

_SCOPE = "look"
_OVERLAP = timedelta(minutes=10)
# One look covers a day at most; after a long outage the next ones catch up.
_LONGEST = timedelta(days=1)
# Data Factory keeps its runs 45 days, Databricks 60.
_FARTHEST = timedelta(days=40)


class Seen(msgspec.Struct, omit_defaults=True):
    """Until when a target was looked at, since when, and which runs were under way then."""

    until: datetime | None = None
    began: datetime | None = None
    active: dict[str, int] = {}  # run id to its start in epoch milliseconds


class Window(msgspec.Struct, frozen=True):
    """What one look has to cover. `began` is the start of the very first look.

    `before` is the end of the look before, None for the first one.
    """

    look: str
    target: str
    since: datetime
    until: datetime
    began: datetime
    active: dict[str, int] = {}
    before: datetime | None = None

    @property
    def last(self) -> datetime:
        """The end of the look before, or the start of the first one."""
        return self.before or self.since


class LookBacks:
    """Reads and moves the look-backs."""

    def __init__(self, documents: Documents, clock: Clock, first: timedelta) -> None:
        self._documents = documents
        self._clock = clock
        self._first = first

    def window(self, look: str, target: str) -> Window:
        """From where the last look ended; the very first one goes back by the setting."""
        seen = self._documents.read(_SCOPE, _name(look, target), Seen)
        now = self._clock.now()
        if seen.until is None:
            since = now - self._first
        else:
            since = max(seen.until - _OVERLAP, now - _FARTHEST)
        until = min(now, since + _LONGEST)
        return Window(look, target, since, until, seen.began or since, seen.active, seen.until)

    def moved(self, window: Window, active: dict[str, int] | None = None) -> None:
        """A look is done and what it found is stored; `active` replaces the runs under way."""

        def change(seen: Seen) -> None:
            if seen.until is not None and seen.until >= window.until:
                return
            seen.until, seen.began = window.until, window.began
            seen.active = active if active is not None else seen.active

        self._documents.change(_SCOPE, _name(window.look, window.target), Seen, change)


def _name(look: str, target: str) -> str:
    return f"{look}|{target}"

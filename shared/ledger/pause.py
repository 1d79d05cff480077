"""The operators' switch: who paused automation, why, and until when."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.clock import Clock, iso
from shared.ledger.documents import Documents

_SCOPE, _NAME = "everything", "pause"


class Pause(msgspec.Struct, omit_defaults=True):
    """A pause; `until` is None for one that lasts until it is lifted. Empty `by`: there is none."""

    by: str = ""
    why: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def words(self) -> str:
        """Who paused, why, until when."""
        end = f" until {iso(self.until)}" if self.until else ""
        return f"paused by {self.by}{end}: {self.why}"


class Pauses:
    """Reads and sets the pause, for all instances of the app at once."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    def current(self) -> Pause | None:
        """The pause that holds now, None if automation may go on."""
        pause = self._documents.read(_SCOPE, _NAME, Pause)
        over = pause.until is not None and pause.until <= self._clock.now()
        return pause if pause.by and not over else None

    def set(self, by: str, why: str, until: datetime | None) -> Pause:
        """Pause, in place of a pause that stands."""
        wanted = Pause(by, why, self._clock.now(), until)

        def change(pause: Pause) -> None:
            pause.by, pause.why = wanted.by, wanted.why
            pause.since, pause.until = wanted.since, wanted.until

        self._documents.change(_SCOPE, _NAME, Pause, change)
        return wanted

    def lift(self) -> Pause | None:
        """End the pause; gives the one that was in force, None if there was none."""
        standing = self.current()

        def change(pause: Pause) -> None:
            pause.by, pause.why, pause.since, pause.until = "", "", None, None

        self._documents.change(_SCOPE, _NAME, Pause, change)
        return standing

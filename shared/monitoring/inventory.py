"""How many pipelines and jobs there are, for limits that are a share of them."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from shared.clock import Clock
from shared.errors import NothingChanged
from shared.ledger.documents import Documents
from shared.platforms.directory import Platforms
from shared.targets import Targets

_SCOPE, _NAME = "everything", "inventory"
_GOOD_FOR = timedelta(days=1)


class Counted(msgspec.Struct, omit_defaults=True):
    """What was counted last."""

    count: int = 0
    at: datetime | None = None


class Inventory:
    """Counts once a day, on demand."""

    def __init__(
        self, documents: Documents, platforms: Platforms, targets: Targets, clock: Clock
    ) -> None:
        self._documents = documents
        self._platforms = platforms
        self._targets = targets
        self._clock = clock

    def known(self) -> int | None:
        """Pipelines and jobs in all targets; None if a platform could not be asked."""
        now = self._clock.now()
        counted = self._documents.read(_SCOPE, _NAME, Counted)
        if counted.at is not None and now - counted.at < _GOOD_FOR:
            return counted.count
        try:
            count = self._count()
        except NothingChanged:
            return counted.count if counted.at is not None else None

        def change(fresh: Counted) -> None:
            fresh.count, fresh.at = count, now

        self._documents.change(_SCOPE, _NAME, Counted, change)
        return count

    def _count(self) -> int:
        pipelines = sum(
            len(self._platforms.factory(t.name).pipeline_names()) for t in self._targets.factories
        )
        jobs = sum(
            sum(1 for _ in self._platforms.workspace(t.name).jobs())
            for t in self._targets.workspaces
        )
        return pipelines + jobs

"""What is usual of each pipeline and job, remembered from the runs that the sweeps see.

The tracks of a target stand in 16 documents, so that none grows out of one row. What has too little
history is asked for once, a few in a sweep.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import islice

import msgspec

from shared.clock import Clock
from shared.errors import NothingChanged
from shared.ledger.documents import Documents
from shared.ledger.tables import digest
from shared.monitoring.feed import Feed, Run, factory_run, job_run
from shared.monitoring.pace import ENOUGH, KEPT, Sample, Track, added, timed
from shared.platforms.data_factory import FactoryClient
from shared.platforms.databricks import WorkspaceApi
from shared.vocabulary import FailureKind, RunState

Tracks = dict[str, Track]
Ask = Callable[[Run], list[Run]]

_SCOPE = "pace"
_ASKED_AT_ONCE = 40  # histories in one sweep of a target
_ASK_AGAIN = 86_400  # seconds
_FORGET = 21 * 86_400  # seconds without a run
_LOOK_BACKS = (timedelta(hours=36), timedelta(days=30))
_RESULTS = frozenset({RunState.SUCCEEDED, RunState.FAILED})


class Shelf(msgspec.Struct, omit_defaults=True):
    """The tracks in one document."""

    tracks: Tracks = {}


class Paces:
    """Reads and extends the tracks of targets."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    def extended(self, target: str, feed: Feed, ask: Ask) -> Tracks:
        """All tracks of a target with the runs of a feed; may be repeated with the same feed."""
        fresh = self._sampled(feed)
        shelves = self._read(target)
        asked = self._asked(shelves, feed, ask)
        for run in asked:
            fresh[run.resource].append(run)
        for shelf in {_shelf(resource) for resource in fresh} | self._old(shelves):
            shelves[shelf] = self._extend(target, shelf, fresh, {r.resource for r in asked})
        return {key: track for shelf in shelves.values() for key, track in shelf.tracks.items()}

    def _read(self, target: str) -> dict[str, Shelf]:
        names = "0123456789abcdef"
        return {n: self._documents.read(_SCOPE, f"{target}|{n}", Shelf) for n in names}

    def _sampled(self, feed: Feed) -> dict[str, list[Run]]:
        found: dict[str, list[Run]] = defaultdict(list)
        for run in feed.ended:
            if run.state in _RESULTS:
                found[run.resource].append(run)
        return found

    def _old(self, shelves: dict[str, Shelf]) -> set[str]:
        now = self._now()
        return {
            name
            for name, shelf in shelves.items()
            if any(now - track.seen > _FORGET for track in shelf.tracks.values())
        }

    def _extend(
        self, target: str, shelf: str, fresh: dict[str, list[Run]], asked: set[str]
    ) -> Shelf:
        now = self._now()

        def change(document: Shelf) -> Shelf:
            for resource, runs in fresh.items():
                if _shelf(resource) != shelf:
                    continue
                before = document.tracks.get(resource, Track())
                track = added(before, [_sample(run) for run in runs if run.ended], now)
                track.name = runs[-1].name or track.name
                track.asked = now if resource in asked else track.asked
                document.tracks[resource] = track
            kept = {k: t for k, t in document.tracks.items() if now - t.seen <= _FORGET}
            document.tracks = kept
            return document

        return self._documents.change(_SCOPE, f"{target}|{shelf}", Shelf, change)

    def _asked(self, shelves: dict[str, Shelf], feed: Feed, ask: Ask) -> list[Run]:
        """Earlier runs of what has too few samples to be judged."""
        now = self._now()
        wanted: dict[str, Run] = {}
        for run in (*feed.active, *feed.ended):
            track = shelves[_shelf(run.resource)].tracks.get(run.resource, Track())
            if run.resource and timed(track) < ENOUGH and now - track.asked > _ASK_AGAIN:
                wanted[run.resource] = run
        found: list[Run] = []
        for run in islice(wanted.values(), _ASKED_AT_ONCE):
            found += [run for run in _safely(ask, run) if run.state in _RESULTS]
        return found

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _safely(ask: Ask, run: Run) -> list[Run]:
    try:
        return ask(run)
    except NothingChanged:
        return []


def of_factory(client: FactoryClient, now: datetime) -> Ask:
    """Asks a factory for the last runs of a pipeline."""

    def ask(run: Run) -> list[Run]:
        for back in _LOOK_BACKS:  # one that runs each minute has thousands of runs in a month
            rows = client.runs(now - back, now, PipelineName=run.resource)
            runs = [found for found in map(factory_run, rows) if found and found.ended]
            if len(runs) >= ENOUGH:
                return runs[-KEPT:]
        return runs

    return ask


def of_workspace(api: WorkspaceApi, now: datetime) -> Ask:
    """Asks a workspace for the last runs of a job; updates have no history that tells durations."""

    def ask(run: Run) -> list[Run]:
        if run.kind is not FailureKind.JOB_RUN:
            return []
        since = int((now - _LOOK_BACKS[-1]).timestamp() * 1000)
        rows = api.runs(since, job_id=run.resource, completed_only="true")
        return [found for found in map(job_run, islice(rows, KEPT)) if found.ended]

    return ask


def _sample(run: Run) -> Sample:
    ended = int(run.ended.timestamp()) if run.ended else 0
    took = round(run.seconds(run.ended)) if run.ended else 0
    return ended, took, int(run.state is RunState.SUCCEEDED)


def _shelf(resource: str) -> str:
    return digest(resource, 1)


def waiting_by_resource(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Active runs that have not begun to work, by what they are runs of."""
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.waiting:
            found[run.resource].append(run)
    return found

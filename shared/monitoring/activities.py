"""Activities of pipeline runs, against how long they took in earlier good runs.

Asked for are only runs that are under way for longer than their pipeline usually takes, so that a
sweep stays within its calls: what activities usually take is read from a few earlier runs when it
is first needed, and remembered for a week.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from shared.clock import Clock, from_iso
from shared.errors import NothingChanged
from shared.findings.model import FindingKind, Seen
from shared.ledger.documents import Documents
from shared.ledger.tables import digest
from shared.monitoring import judging
from shared.monitoring.feed import Feed, Run
from shared.monitoring.pace import Usual, span, usual, usual_before
from shared.monitoring.paces import Tracks
from shared.notify.model import Severity
from shared.platforms.data_factory import FactoryClient
from shared.vocabulary import RunState

Row = dict[str, Any]
Ask = Callable[[Run], list[Run]]

_SCOPE = "activities"
_MARGIN = timedelta(minutes=10)
MOST_RUNS = 10  # runs looked into in one sweep of a factory
MOST_LEARNT = 3  # pipelines whose activities are learnt in one sweep
RUNS_LEARNT = 8  # earlier runs read for that
_MOST_NAMES = 60  # of one pipeline
_LEARN_AGAIN = 7 * 86_400


class Known(msgspec.Struct, omit_defaults=True):
    """What the activities of a pipeline took in good runs, in seconds, by their names."""

    asked: int = 0
    seconds: dict[str, list[int]] = {}


class Shelf(msgspec.Struct, omit_defaults=True):
    """The pipelines in one document."""

    pipelines: dict[str, Known] = {}


class Activities:
    """One look at the activities of a factory's runs; each run is read once."""

    def __init__(self, client: FactoryClient, documents: Documents, clock: Clock) -> None:
        self._client = client
        self._documents = documents
        self._clock = clock
        self._rows: dict[str, list[Row]] = {}

    def slow(self, target: str, feed: Feed, tracks: Tracks, ask: Ask) -> tuple[Seen, ...]:
        """Activities under way for longer than they usually take; `ask` tells earlier runs."""
        now = self._clock.now()
        late = sorted(_late(feed, tracks, now), key=lambda run: run.started)[:MOST_RUNS]
        learnt = 0
        found: dict[str, Seen] = {}
        for run in late:
            known = self._known(target, run.resource)
            if self._outdated(known) and learnt < MOST_LEARNT:
                learnt += 1
                known = self._learnt(target, run, ask)
            for seen in judged(target, run, self.rows(run), known, now):
                found.setdefault(seen.finding_id, seen)
        return tuple(found.values())

    def rows(self, run: Run) -> list[Row]:
        """The activity runs of a run under way; none where the factory does not tell."""
        if run.run_id not in self._rows:
            self._rows[run.run_id] = self._read(run, self._clock.now())
        return self._rows[run.run_id]

    def explained(self, seen: Seen, feed: Feed) -> Seen:
        """A slow run with the activity that it is at."""
        run = next((run for run in feed.active if run.run_id == seen.run_id), None)
        line = judging.longest_activity(self.rows(run)) if run else ()
        return msgspec.structs.replace(seen, evidence=(*seen.evidence, *line))

    def _read(self, run: Run, until: datetime) -> list[Row]:
        try:
            return self._client.activities(run.run_id, run.started - _MARGIN, until + _MARGIN)
        except NothingChanged:  # it says enough without
            return []

    def _known(self, target: str, pipeline: str) -> Known:
        shelf = self._documents.read(_SCOPE, _key(target, pipeline), Shelf)
        return shelf.pipelines.get(pipeline, Known())

    def _outdated(self, known: Known) -> bool:
        return self._clock.now().timestamp() - known.asked > _LEARN_AGAIN

    def _learnt(self, target: str, run: Run, ask: Ask) -> Known:
        """Read what the activities of earlier good runs took, and remember it."""
        try:
            earlier = [one for one in ask(run) if one.state is RunState.SUCCEEDED and one.ended]
        except NothingChanged:  # the next sweep asks again
            return Known()
        rows = [self._read(one, one.ended) for one in earlier[-RUNS_LEARNT:] if one.ended]
        now = int(self._clock.now().timestamp())
        known = Known(now, learnt(rows))

        def change(shelf: Shelf) -> None:
            shelf.pipelines[run.resource] = known
            kept = shelf.pipelines.items()
            shelf.pipelines = {k: v for k, v in kept if now - v.asked <= 4 * _LEARN_AGAIN}

        self._documents.change(_SCOPE, _key(target, run.resource), Shelf, change)
        return known


def _key(target: str, pipeline: str) -> str:
    return f"{target}|{digest(pipeline, 2)}"


def _late(feed: Feed, tracks: Tracks, now: datetime) -> Iterable[Run]:
    """Runs under way for longer than their pipeline usually takes in all."""
    for run in feed.active:
        track = tracks.get(run.resource)
        known = usual_before(track, run.started.timestamp()) if track else None
        if known and run.working and run.seconds(now) > known.median:
            yield run


def learnt(runs: Iterable[Iterable[Row]]) -> dict[str, list[int]]:
    """What each activity took by run: of one that ran several times in a run, the longest."""
    found: dict[str, list[int]] = defaultdict(list)
    for rows in runs:
        longest: dict[str, int] = {}
        for row in rows:
            took = _seconds(row)
            if took is not None and row.get("status") == "Succeeded":
                name = str(row.get("activityName"))
                longest[name] = max(took, longest.get(name, 0))
        for name, seconds in longest.items():
            found[name].append(seconds)
    return dict(list(found.items())[:_MOST_NAMES])


def _seconds(row: Row) -> int | None:
    try:
        began, ended = from_iso(row["activityRunStart"]), from_iso(row["activityRunEnd"])
    except (KeyError, TypeError, ValueError):
        return None
    return round((ended - began).total_seconds())


def judged(
    target: str, run: Run, rows: Iterable[Row], known: Known, now: datetime
) -> Iterable[Seen]:
    """The activities of a run that are under way for longer than usual."""
    for row in rows:
        name = str(row.get("activityName"))
        measure = usual(known.seconds.get(name, []))
        if measure is None or row.get("activityRunEnd") or row.get("status") != "InProgress":
            continue
        try:
            took = (now - from_iso(row["activityRunStart"])).total_seconds()
        except (KeyError, TypeError, ValueError):
            continue
        if took > measure.limit:
            yield _slow(target, run, row, measure, took)


def _slow(target: str, run: Run, row: Row, known: Usual, took: float) -> Seen:
    """What is told of a slow activity."""
    name, stuck = row["activityName"], took > known.stuck
    said = "seems stuck" if stuck else "is slow"
    began = f"activity {name} ({row.get('activityType')}) began {row['activityRunStart']}"
    than = f"longer than {span(known.limit)}, usual is {span(known.median)}"
    return Seen(
        FindingKind.SLOW_ACTIVITY,
        target,
        f"{run.resource}/{name}",
        f"{run.name}/{name}",
        Severity.CRITICAL if stuck else Severity.WARNING,
        f"activity {name} of {run.name} {said}: it has been under way {than}",
        (*judging.measure(known), f"run {run.run_id}, {began}"),
        "look at what it waits for: its source, its sink, its integration runtime",
        run_id=run.run_id,
    )

"""What no alert told, and what is not as usual, target by target.

Failed runs and updates and lost clusters become alerts of our own; a run that an incident knows
already is left out, so that a sweep adds nothing to it. What is slow, stuck or waiting becomes a
finding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from shared.diagnosis import databricks_facts as facts
from shared.diagnosis.roots import cluster_failure, job_failure, pipeline_failure
from shared.errors import ConfigurationError, NothingChanged, PlatformMissing
from shared.findings.model import FindingKind, Seen
from shared.healing.context import Context, find
from shared.healing.expand import knows
from shared.intake.shapes import fingerprint
from shared.ledger.documents import Documents
from shared.models import Alert, ClusterFacts, Failure, Subject
from shared.monitoring import judging, paces
from shared.monitoring.activities import Activities
from shared.monitoring.feed import (
    Feed,
    Run,
    factory_feed,
    failed_updates,
    updates_feed,
    workspace_feed,
)
from shared.monitoring.lookback import LookBacks, Window
from shared.monitoring.noting import Look
from shared.monitoring.paces import Paces
from shared.monitoring.quality import Quality
from shared.platforms.calls import as_promised
from shared.targets import DataFactory, Target
from shared.vocabulary import Condition, FailureKind, RunState

log = logging.getLogger("lakemend.sweeps")

Row = dict[str, Any]

_WANTED_ENDS = facts.PLANNED_ENDS | {"USER_REQUEST"}
_OF_UPDATES = frozenset({FindingKind.QUALITY_FALLING, FindingKind.THROUGHPUT_FALLING})
_ACTIVITIES = frozenset({FindingKind.SLOW_ACTIVITY})
_RUNS, _UPDATES = "runs", "updates"


class Swept(msgspec.Struct):
    """What a sweep found in a target.

    Store the alerts, take the looks, and only then call `done`: who dies before it finds the same
    again, and it is known by its id.
    """

    target: str
    alerts: list[Alert]
    looks: list[Look]
    windows: list[tuple[Window, dict[str, int]]]


class Health:
    """Sweeps all targets. Reads the platforms, and remembers how far it has come."""

    def __init__(self, context: Context, documents: Documents) -> None:
        self._context = context
        minutes = timedelta(minutes=context.settings.sweep_lookback_minutes)
        self._look_backs = LookBacks(documents, context.clock, minutes)
        self._paces = Paces(documents, context.clock)
        self._quality = Quality(documents)
        self._documents = documents

    def sweep(self) -> Iterator[Swept]:
        """One target after the other.

        One that cannot be asked is left for the next sweep, which then looks farther back.
        """
        for target in self._context.settings.targets:
            swept = self._safely(target)
            if swept is not None:
                yield swept

    def done(self, swept: Swept) -> None:
        """What was found in a target is stored: the next look begins where this one ended."""
        for window, active in swept.windows:
            self._look_backs.moved(window, active)

    def _safely(self, target: Target) -> Swept | None:
        look = self._factory if isinstance(target, DataFactory) else self._workspace
        try:
            # An answer that is not what the API promises must not hold up the other targets.
            with as_promised():
                return look(target.name)
        except (NothingChanged, ConfigurationError) as error:
            log.warning("sweep of %s: %s", target.name, self._context.redactor.text(str(error)))
        return None

    def _factory(self, target: str) -> Swept:
        context, window = self._context, self._look_backs.window(_RUNS, target)
        client = context.platforms.factory(target)
        feed = factory_feed(client, window)
        alerts = list(_failed_pipelines(context, target, feed))
        ask = paces.of_factory(client, context.clock.now())
        tracks = self._paces.extended(target, feed, ask)
        activities = Activities(client, self._documents, context.clock)
        runs = judging.judged(target, feed, tracks, context.clock.now(), window.until)
        seen = [activities.explained(one, feed) for one in runs]
        slow = activities.slow(target, feed, tracks, ask)
        looks = [Look(target, judging.RUN_KINDS, tuple(seen)), Look(target, _ACTIVITIES, slow)]
        looks += _runtimes(context, target)
        # Which runs are under way need not be kept: what changes, the factory lists by that time.
        return Swept(target, alerts, looks, [(window, {})])

    def _workspace(self, target: str) -> Swept:
        context = self._context
        window = self._look_backs.window(_RUNS, target)
        updates = self._look_backs.window(_UPDATES, target)
        api = context.platforms.workspace(target)
        pipelines = list(api.pipelines())
        feed, refreshed = workspace_feed(api, window), updates_feed(pipelines, updates)
        clusters = [facts.cluster_facts(row) for row in api.clusters()]
        alerts = list(_failed_jobs(context, target, feed))
        alerts += _failed_updates(context, target, failed_updates(pipelines, updates))
        alerts += _lost_clusters(context, target, clusters, window.since)
        every = Feed([*feed.ended, *refreshed.ended], [*feed.active, *refreshed.active])
        ask = paces.of_workspace(api, context.clock.now())
        seen = self._judged(target, every, ask, window.until)
        failing = self._quality.looked(target, api, pipelines)
        down = judging.clusters_down(target, clusters, feed.active)
        looks = [
            Look(target, judging.RUN_KINDS, tuple(seen)),
            Look(target, frozenset({FindingKind.CLUSTER_DOWN}), tuple(down)),
            Look(target, _OF_UPDATES, tuple(failing)),
        ]
        windows = [(window, feed.under_way), (updates, refreshed.under_way)]
        return Swept(target, alerts, looks, windows)

    def _judged(
        self, target: str, feed: Feed, ask: Callable[[Run], list[Run]], until: datetime
    ) -> list[Seen]:
        tracks = self._paces.extended(target, feed, ask)
        return judging.judged(target, feed, tracks, self._context.clock.now(), until)


def _runtimes(context: Context, target: str) -> list[Look]:
    """The integration runtimes that do not work; nothing where they cannot be read."""
    client = context.platforms.factory(target)
    try:
        names = [str(runtime.get("name")) for runtime in client.integration_runtimes()]
        found = [judging.runtime_offline(target, n, client.runtime_status(n)) for n in names]
    except (NothingChanged, PlatformMissing) as error:
        log.warning("runtimes of %s: %s", target, context.redactor.text(str(error)))
        return []
    seen = tuple(one for one in found if one is not None)
    return [Look(target, frozenset({FindingKind.RUNTIME_OFFLINE}), seen)]


def _failed_pipelines(context: Context, target: str, feed: Feed) -> Iterator[Alert]:
    runs = [run.row for run in feed.ended if run.state is RunState.FAILED]
    failed = {str(run["runId"]) for run in runs}
    for run in runs:
        parent = (run.get("invokedBy") or {}).get("pipelineRunId")
        if parent in failed or _known(context, pipeline_failure(target, run)):
            continue
        subject = Subject(FailureKind.PIPELINE_RUN, target, run_id=str(run["runId"]))
        yield _alert(subject, subject.run_id)


def _failed_jobs(context: Context, target: str, feed: Feed) -> Iterator[Alert]:
    for run in feed.ended:
        failure = job_failure(target, run.row)
        if run.state is not RunState.FAILED or _known(context, failure):
            continue
        subject = Subject(FailureKind.JOB_RUN, target, run_id=run.run_id)
        yield _alert(subject, failure.occurrence)


def _failed_updates(context: Context, target: str, updates: list[Run]) -> Iterator[Alert]:
    for run in updates:
        kind, identity = FailureKind.UPDATE, run.resource
        if _known(context, Failure(kind, target, identity, run.run_id, group="pipeline")):
            continue
        yield _alert(Subject(kind, target, run_id=run.run_id, pipeline=identity), run.run_id)


def _lost_clusters(
    context: Context, target: str, clusters: list[ClusterFacts], since: datetime
) -> Iterator[Alert]:
    millis = since.timestamp() * 1000
    for cluster in clusters:
        if cluster.source == "JOB" or not _lost(cluster, millis):
            continue
        if _known(context, cluster_failure(target, FailureKind.CLUSTER, cluster)):
            continue
        subject = Subject(
            FailureKind.CLUSTER,
            target,
            cluster_id=cluster.cluster_id,
            code=cluster.code,
            message=cluster.message,
        )
        yield _alert(subject, str(cluster.terminated_time))


def _lost(cluster: ClusterFacts, since_millis: float) -> bool:
    if cluster.state == "ERROR":
        return True
    ended = cluster.state == "TERMINATED" and cluster.terminated_time >= since_millis
    return ended and bool(cluster.code) and cluster.code not in _WANTED_ENDS


def _known(context: Context, failure: Failure) -> bool:
    """Whether an incident has it already."""
    claim = context.claims.find(failure.root_key)
    incident = find(context, claim.incident_id) if claim else None
    if claim is None or incident is None:
        return claim is not None
    return not incident.state.closed or knows(incident, failure)


def _alert(subject: Subject, occurrence: str) -> Alert:
    identity = [subject.kind, subject.target, subject.cluster_id or subject.run_id, occurrence]
    return Alert(
        fingerprint=fingerprint("sweep", identity),
        dialect="sweep",
        rule="health sweep",
        condition=Condition.FIRED,
        subjects=(subject,),
    )

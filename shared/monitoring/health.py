"""What no alert told: failed runs and lost clusters become alerts of our own.

A run that an incident knows already is left out, so that a sweep adds nothing to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from shared.diagnosis import databricks_facts as facts
from shared.diagnosis.roots import cluster_failure, job_failure, pipeline_failure
from shared.errors import ConfigurationError, NothingChanged
from shared.healing.context import Context, find
from shared.healing.expand import knows
from shared.intake.shapes import fingerprint
from shared.models import Alert, ClusterFacts, Failure, Subject
from shared.vocabulary import Condition, FailureKind, RunState

log = logging.getLogger("lakemend.sweeps")

Look = Callable[[Context, str, datetime], Iterator[Alert]]

_MARGIN = timedelta(minutes=5)
_LONGEST_RUN = timedelta(hours=24)
_WANTED_ENDS = facts.PLANNED_ENDS | {"USER_REQUEST"}


def untold_failures(context: Context) -> list[Alert]:
    """Alerts for what failed within the look-back and has no incident.

    A target that cannot be asked is left for the next sweep; the others are swept all the same.
    """
    since = context.clock.now() - timedelta(minutes=context.settings.sweep_lookback_minutes)
    found: list[Alert] = []
    for factory in context.settings.targets.factories:
        found += _swept(_failed_pipelines, context, factory.name, since)
    for workspace in context.settings.targets.workspaces:
        found += _swept(_failed_jobs, context, workspace.name, since)
        found += _swept(_lost_clusters, context, workspace.name, since)
    return found


def _swept(look: Look, context: Context, target: str, since: datetime) -> list[Alert]:
    try:
        return list(look(context, target, since))
    except (NothingChanged, ConfigurationError) as error:
        log.warning("sweep of %s: %s", target, context.redactor.text(str(error)))
        return []


def _failed_pipelines(context: Context, target: str, since: datetime) -> Iterator[Alert]:
    now = context.clock.now()
    runs = context.platforms.factory(target).runs(since, now + _MARGIN, Status="Failed")
    failed = {str(run["runId"]) for run in runs}
    for run in runs:
        parent = (run.get("invokedBy") or {}).get("pipelineRunId")
        if parent in failed or _known(context, pipeline_failure(target, run)):
            continue
        subject = Subject(FailureKind.PIPELINE_RUN, target, run_id=str(run["runId"]))
        yield _alert(subject, subject.run_id)


def _failed_jobs(context: Context, target: str, since: datetime) -> Iterator[Alert]:
    api = context.platforms.workspace(target)
    # Listed by their start; a run that failed just now may have begun long before.
    started = int((since - _LONGEST_RUN).timestamp() * 1000)
    for run in api.runs(started, completed_only="true"):
        if int(run.get("end_time") or 0) < since.timestamp() * 1000:
            continue
        failure = job_failure(target, run)
        if facts.run_state(run) is not RunState.FAILED or _known(context, failure):
            continue
        subject = Subject(FailureKind.JOB_RUN, target, run_id=str(run["run_id"]))
        yield _alert(subject, failure.occurrence)


def _lost_clusters(context: Context, target: str, since: datetime) -> Iterator[Alert]:
    millis = since.timestamp() * 1000
    for row in context.platforms.workspace(target).clusters():
        cluster = facts.cluster_facts(row)
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

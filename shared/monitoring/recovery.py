"""Looks whether what we did not heal has become good: how long people needed, or it by itself.

An incident that closed escalated or observed is looked at by the next sweep, then after 15 minutes,
30 minutes, an hour and so on up to a day apart, for seven days. Reads only.

What counts as good again:

- the same run: a rerun in the run's group, a repair of the job run
- else a later run of the same pipeline or job, or a later update, that began after the failure.
  It may have had other parameters; the work as such runs again
- a cluster that runs, a library that is installed
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from shared.clock import from_iso, from_millis, iso
from shared.diagnosis import databricks_facts as facts
from shared.diagnosis.gather import PIPELINE_STATES, UPDATE_STATES
from shared.errors import ConfigurationError, LedgerMissing, NothingChanged, PlatformMissing
from shared.healing.context import Context
from shared.ledger.closed import Follow
from shared.models import Attempt, Incident
from shared.platforms.calls import as_promised
from shared.reporting.facts import failure_moment
from shared.telemetry import signals
from shared.vocabulary import Action, FailureKind, RecoveredBy, RunState

log = logging.getLogger("lakemend.sweeps")

Row = dict[str, Any]

_AT_MOST = 100  # looks of one sweep
_PATIENCE = timedelta(minutes=4)  # of one sweep; what is left comes with the next one
_FIRST, _LONGEST = timedelta(minutes=15), timedelta(days=1)
_FOLLOWED_FOR = timedelta(days=7)
_AHEAD = timedelta(minutes=10)  # their clocks and ours
_RUNS = 100  # newest runs of a job that are looked through


class Recovery(msgspec.Struct, frozen=True):
    """When work became good again, by whom, and what shows it."""

    at: datetime
    by: RecoveredBy
    what: str


def follow_up(context: Context) -> int:
    """Look at the followed incidents that are due; returns how many have recovered.

    One that cannot be looked at holds up no other.
    """
    started = context.clock.now()
    recovered = 0
    for follow in context.incidents.closed.due(started, _AT_MOST):
        if context.clock.now() - started > _PATIENCE:
            break
        recovered += _follow_one(context, follow)
    return recovered


def _follow_one(context: Context, follow: Follow) -> bool:
    try:
        incident = context.incidents.get(follow.incident_id)
    except LedgerMissing:
        context.incidents.closed.unfollow(follow)
        return False
    if incident.recovered_at is not None:  # it died after writing it down
        context.incidents.settle(incident)
        context.incidents.closed.unfollow(follow)
        return False
    recovery = _look_safely(context, incident)
    if recovery is not None:
        _note(context, incident, recovery)
        context.incidents.closed.unfollow(follow)
        return True
    _put_off(context, follow)
    return False


def _put_off(context: Context, follow: Follow) -> None:
    now = context.clock.now()
    pause = min(_FIRST * 2 ** min(follow.looks, 10), _LONGEST)
    if now + pause > follow.since + _FOLLOWED_FOR:
        context.incidents.closed.unfollow(follow)
        return
    context.incidents.closed.later(follow, now + pause)


def _note(context: Context, incident: Incident, recovery: Recovery) -> None:
    def change(fresh: Incident) -> None:
        if fresh.recovered_at is None:
            fresh.recovered_at, fresh.recovered_by = recovery.at, recovery.by.value

    entry = context.entry(
        Action.RECOVERY_SEEN,
        f"Good again since {iso(recovery.at)}, {_WORDS[recovery.by]}: {recovery.what}",
        "recovered",
        target=incident.failure.key,
        result=recovery.by.value,
        details={"recovered_at": iso(recovery.at), "failed_at": iso(failure_moment(incident))},
    )
    context.record(incident.incident_id, [entry], change)


_WORDS = {
    RecoveredBy.HAND: "by hand",
    RecoveredBy.ITSELF: "by itself",
    RecoveredBy.US_LATE: "by what we had started",
    RecoveredBy.UNKNOWN: "it is not told by whom",
}


def _look_safely(context: Context, incident: Incident) -> Recovery | None:
    with signals.about(incident_id=incident.incident_id):
        return _look(context, incident)


def _look(context: Context, incident: Incident) -> Recovery | None:
    look = _LOOKS.get(incident.failure.kind)
    try:
        # An answer that is not what the API promises must not hold up the others for ever.
        with as_promised():
            return look(context, incident) if look else None
    except (NothingChanged, ConfigurationError) as error:
        text = context.redactor.text(str(error))
        log.warning("recovery of %s is looked at later: %s", incident.incident_id, text)
    return None


def _pipeline(context: Context, incident: Incident) -> Recovery | None:
    failure, failed = incident.failure, failure_moment(incident)
    client = context.platforms.factory(failure.target)
    wanted = {"PipelineName": failure.resource, "Status": "Succeeded"}
    runs = client.runs(failed, context.clock.now() + _AHEAD, **wanted)
    return _earliest(_pipeline_recoveries(runs, incident, failed))


def _pipeline_recoveries(
    runs: list[Row], incident: Incident, failed: datetime
) -> Iterator[Recovery]:
    for run in runs:
        began, ended = run.get("runStart"), run.get("runEnd")
        good = PIPELINE_STATES.get(str(run.get("status"))) is RunState.SUCCEEDED
        if not good or not began or not ended or from_iso(str(began)) < failed:
            continue
        same = str(run.get("runGroupId") or "") == incident.failure.group
        manual = (run.get("invokedBy") or {}).get("invokedByType") == "Manual"
        by = _by(incident, str(run["runId"]), by_hand=manual or same)
        yield Recovery(from_iso(str(ended)), by, f"run {run['runId']} is Succeeded")


def _by(incident: Incident, started: str, *, by_hand: bool) -> RecoveredBy:
    """Who began a run, a repair or an update: ours are those that our attempts remember."""
    if any(started in _started(attempt) for attempt in incident.attempts):
        return RecoveredBy.US_LATE
    return RecoveredBy.HAND if by_hand else RecoveredBy.ITSELF


def _started(attempt: Attempt) -> set[str]:
    return {str(attempt.memo.get(name) or "") for name in ("new_run_id", "repair_id")} - {""}


def _job(context: Context, incident: Incident) -> Recovery | None:
    failure = incident.failure
    api = context.platforms.workspace(failure.target)
    try:
        own = api.run(failure.occurrence.partition("/")[0])
    except PlatformMissing:  # runs are kept 60 days
        own = {}
    if facts.run_state(own) is RunState.SUCCEEDED:
        ended = _millis(own.get("end_time")) or context.clock.now()
        by = _by(incident, (facts.repair_ids(own) or [""])[-1], by_hand=True)
        return Recovery(ended, by, f"run {own['run_id']} was repaired")
    if not failure.resource:  # submitted once, belongs to no job
        return None
    failed = failure_moment(incident)
    since = int(failed.timestamp() * 1000)
    runs = api.runs(since, job_id=failure.resource, completed_only="true")
    return _earliest(_job_recoveries(islice(runs, _RUNS), failure.resource, failed))


def _job_recoveries(runs: Iterable[Row], job_id: str, failed: datetime) -> Iterator[Recovery]:
    for run in runs:
        began, ended = _millis(run.get("start_time")), _millis(run.get("end_time"))
        good = facts.run_state(run) is RunState.SUCCEEDED and str(run.get("job_id")) == job_id
        if not good or began is None or ended is None or began < failed:
            continue
        # "Run now" and the API; schedules, file arrivals and other jobs have names of their own.
        # https://docs.databricks.com/api/azure/workspace/jobs/getrun
        by = RecoveredBy.HAND if run.get("trigger") == "ONE_TIME" else RecoveredBy.ITSELF
        yield Recovery(ended, by, f"run {run['run_id']} succeeded")


def _update(context: Context, incident: Incident) -> Recovery | None:
    failed = failure_moment(incident)
    updates = context.platforms.workspace(incident.failure.target).updates(
        incident.failure.resource
    )
    return _earliest(_update_recoveries(updates, incident, failed))


def _update_recoveries(
    updates: list[Row], incident: Incident, failed: datetime
) -> Iterator[Recovery]:
    for update in updates:
        began = _millis(update.get("creation_time"))
        good = UPDATE_STATES.get(str(update.get("state"))) is RunState.SUCCEEDED
        if not good or began is None or began < failed:
            continue
        started = str(update.get("update_id"))
        by = _by(incident, started, by_hand=update.get("cause") in _BY_HAND)
        # The API tells an update's beginning only; it became good a little later.
        yield Recovery(began, by, f"update {started} is COMPLETED")


_BY_HAND = frozenset({"USER_ACTION", "API_CALL"})


def _compute(context: Context, incident: Incident) -> Recovery | None:
    evidence = context.gatherer.gather(incident.failure, incident.run_id, incident.members)
    if evidence.state is not RunState.SUCCEEDED:
        return None
    now, failed = context.clock.now(), failure_moment(incident)
    up = [from_millis(c.restarted_time) for c in evidence.clusters if c.restarted_time]
    since = up[0] if up and incident.failure.kind is FailureKind.CLUSTER else now
    at = since if since > failed else now
    return Recovery(at, RecoveredBy.UNKNOWN, f"the {incident.failure.kind.value} is good")


_LOOKS: dict[FailureKind, Callable[[Context, Incident], Recovery | None]] = {
    FailureKind.PIPELINE_RUN: _pipeline,
    FailureKind.JOB_RUN: _job,
    FailureKind.UPDATE: _update,
    FailureKind.CLUSTER: _compute,
    FailureKind.LIBRARY: _compute,
}


def _earliest(recoveries: Iterable[Recovery]) -> Recovery | None:
    return min(recoveries, key=lambda recovery: recovery.at, default=None)


def _millis(value: Any) -> datetime | None:  # noqa: ANN401 - a JSON value
    return from_millis(int(value)) if value else None

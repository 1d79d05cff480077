"""Wait until the upstream has delivered, then rerun what failed.

Needs: reading the upstream's runs; where the source's container may be read, reading it. Changes:
nothing before the rerun. Verified: the rerun itself. Costs: nothing while waiting.

Which upstream: the catalog's map; else the naming patterns of the field: Step3 after Step2,
Transform after Extract, Copy after Load, `X_From_Y` after `Load_To_Y`.

Which of its runs: those of this round. A round begins where our own last good run before this one
began: what the upstream has ended since then may not have been read yet, even where it ended before
our failed run began (its file was late). Where no good run of ours is known, the round begins with
our failed run: an older success says nothing of today's delivery. While a run of the upstream is
active we wait. The last run of the round decides: when it succeeded ours is rerun, once; when it
failed the incident goes to a person. Where the round has none yet, we wait for one up to the
catalog's `wait_ceiling`, then the incident goes to a person.

Where the container of the missing file may be read, the file decides: nothing is waited for once it
is there, and nothing is rerun before, whatever the upstream's runs say.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import msgspec

from shared.clock import Clock, from_iso, from_millis, iso
from shared.diagnosis import databricks_facts as facts
from shared.diagnosis.gather import PIPELINE_STATES
from shared.models import Attempt, Evidence, Json
from shared.platforms.source_files import missing_file
from shared.remedies.base import DONE, FAILED, PENDING, WAIT, Case, Look, Plan, Refusal, Visible
from shared.remedies.rerun import rerun_locks, rerun_step
from shared.vocabulary import FailureKind, RunState

_LOOK_BACK = timedelta(days=2)
_LONGEST_LOOK_BACK = timedelta(days=35)  # a monthly schedule; the factory keeps 45 days of runs
_AHEAD = timedelta(minutes=10)

# Ours → the upstream's name, for names that follow the field's habits. Tried in order.
_HABITS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^(?P<a>.+)_From_(?P<b>.+)$", re.IGNORECASE), r"Load_To_\g<b>"),
    (re.compile(r"^(?P<a>.*)Copy(?P<b>.*)$", re.IGNORECASE), r"\g<a>Load\g<b>"),
    (re.compile(r"^(?P<a>.*)Transform(?P<b>.*)$", re.IGNORECASE), r"\g<a>Extract\g<b>"),
)
_STEP = re.compile(r"^(?P<a>.*Step_?)(?P<n>\d+)(?P<b>.*)$", re.IGNORECASE)


def upstream_names(name: str, mapped: dict[str, str]) -> list[str]:
    """Names that the upstream of `name` may have, the likeliest first.

    >>> upstream_names("Daily_Step3", {})
    ['Daily_Step2']
    >>> upstream_names("Sales_From_Lake", {})
    ['Load_To_Lake']
    """
    if name in mapped:
        return [mapped[name]]
    found = [pattern.sub(into, name) for pattern, into in _HABITS if pattern.match(name)]
    step = _STEP.match(name)
    if step and int(step["n"]) > 1:
        before = str(int(step["n"]) - 1).zfill(len(step["n"]))
        found.insert(0, f"{step['a']}{before}{step['b']}")
    return [candidate for candidate in dict.fromkeys(found) if candidate != name]


class WaitForUpstream:
    """The remedy `wait_for_upstream`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """Find the upstream (or the file itself), wait for it, rerun."""
        del tried
        step = rerun_step(case)
        if isinstance(step, Refusal):
            return step
        phase, memo, words = step
        source = self._source(case)
        if source is None:
            return Refusal("neither an upstream nor the missing file is known")
        what, facts_known = source
        locks = rerun_locks(case)
        return Plan(
            ["await_upstream", phase], f"wait for {what}, then {words}", memo | facts_known, locks
        )

    def _source(self, case: Case) -> tuple[str, Json] | None:
        file = _file(case)
        upstream = _upstream(case)
        if upstream:
            known = upstream | {"file": file, "round_since": _round_since(case)}
            return f"upstream {upstream['upstream']}", known
        if file:
            return f"file {file['container']}/{file['path']}", {"file": file}
        return None


class UpstreamRun(msgspec.Struct, frozen=True):
    """One run of the upstream."""

    run_id: str
    state: RunState
    started: datetime | None
    ended: datetime | None


def delivered(runs: list[UpstreamRun], since: datetime | None) -> tuple[str, str]:
    """Whether the upstream has delivered in this round, as a look's status, and why.

    Args:
        runs: the upstream's runs, in any order.
        since: when the round began; None where that is not known: then nothing counts.
    """
    ordered = sorted(runs, key=_by_start)
    active = [run for run in ordered if run.state in {RunState.ACTIVE, RunState.UNKNOWN}]
    if active:
        return PENDING, f"run {active[-1].run_id} is {active[-1].state.value}"
    ours = [run for run in ordered if since and run.ended and run.ended > since]
    if ours:
        last = ours[-1]
        status = DONE if last.state is RunState.SUCCEEDED else FAILED
        return status, f"last run {last.run_id} is {last.state.value}"
    if not ordered:
        return PENDING, "last run (none) is not there yet"
    old = ordered[-1]
    return PENDING, f"last run {old.run_id} is {old.state.value}, but older than what is waited for"


def _by_start(run: UpstreamRun) -> float:
    """Sorts runs by their start; one that is still queued is the newest."""
    return run.started.timestamp() if run.started else float("inf")


def _round_since(case: Case) -> str:
    """When the round of the failed run began, empty if its start is not known."""
    evidence = case.evidence
    failed = (evidence.started_at or evidence.ended_at) if evidence else None
    if evidence is None or failed is None:
        return ""
    return iso(_last_good_start(case, evidence, failed) or failed)


def _last_good_start(case: Case, evidence: Evidence, failed: datetime) -> datetime | None:
    """When our last good run before the failed one began, None if none is known."""
    if case.failure.kind is FailureKind.PIPELINE_RUN:
        return _last_good_pipeline_run(case, evidence.pipeline, failed)
    if not evidence.job_id:
        return None
    since = int((failed - _LONGEST_LOOK_BACK).timestamp() * 1000)
    runs = case.platforms.workspace(case.failure.target).runs(since, job_id=evidence.job_id)
    good = (
        from_millis(run["start_time"]) for run in runs if facts.run_state(run) is RunState.SUCCEEDED
    )
    return next((start for start in good if start < failed), None)


def _last_good_pipeline_run(case: Case, pipeline: str, failed: datetime) -> datetime | None:
    client = case.platforms.factory(case.failure.target)
    for back in (_LOOK_BACK, _LONGEST_LOOK_BACK):
        equal = {"PipelineName": pipeline, "Status": "Succeeded"}
        runs = client.runs(failed - back, failed + _AHEAD, **equal)
        starts = [from_iso(str(run["runStart"])) for run in runs if run.get("runStart")]
        before = [start for start in starts if start < failed]
        if before:
            return max(before)
    return None


def _file(case: Case) -> Json | None:
    """The missing file, where its storage is one that we may read."""
    lines = case.evidence.lines if case.evidence else []
    named = next((f for line in lines if (f := missing_file(line.message))), None)
    return named if named is not None and _is_there(case, named) is not None else None


def _is_there(case: Case, file: Json) -> bool | None:
    """Whether the file is there, None where that cannot be told."""
    source = case.platforms.source_files
    return source.exists(file["container"], file["path"]) if source is not None else None


def _upstream(case: Case) -> Json | None:
    names = upstream_names(case.failure.name or case.failure.resource, case.catalog.upstreams)
    if case.failure.kind is FailureKind.PIPELINE_RUN:
        listed = case.platforms.factory(case.failure.target).pipeline_names()
        known = {pipeline.lower(): pipeline for pipeline in listed}
        name = next((known[n.lower()] for n in names if n.lower() in known), None)
        return {"upstream": name} if name else None
    api = case.platforms.workspace(case.failure.target)
    for name in names:
        job = api.job_named(name)
        if job:
            return {"upstream": name, "upstream_job": job}
    return None


class AwaitUpstream(Visible):
    """No mutation: looks at the file and at the upstream's runs until it has delivered."""

    limit = WAIT

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def act(self, case: Case, memo: Json) -> Json:
        """Nothing is changed."""
        del case, memo
        return {}

    def look(self, case: Case, memo: Json) -> Look:
        """There, on the way, or not coming."""
        file = memo.get("file")
        there = _is_there(case, file) if file else None
        if file and there:
            return Look(DONE, f"{file['container']}/{file['path']} is there now")
        if not memo.get("upstream"):
            return Look(PENDING, "the file is not there yet")
        since = from_iso(memo["round_since"]) if memo.get("round_since") else None
        status, said = delivered(self._runs(case, memo, since), since)
        words = f"upstream {memo['upstream']}'s {said}"
        if status == DONE and file and there is False:
            missing = f"{file['container']}/{file['path']}"
            return Look(PENDING, f"{words}, but {missing} is not there yet")
        return Look(status, words)

    def _runs(self, case: Case, memo: Json, since: datetime | None) -> list[UpstreamRun]:
        now = self._clock.now()
        after = min(now, since or now) - _LOOK_BACK
        if memo.get("upstream_job"):
            millis = int(after.timestamp() * 1000)
            api = case.platforms.workspace(case.failure.target)
            return [_of_job(run) for run in api.runs(millis, job_id=memo["upstream_job"])]
        client = case.platforms.factory(case.failure.target)
        runs = client.runs(after, now + _AHEAD, PipelineName=memo["upstream"])
        return [_of_pipeline(run) for run in runs]


def _of_pipeline(run: Json) -> UpstreamRun:
    state = PIPELINE_STATES.get(str(run.get("status")), RunState.UNKNOWN)
    started, ended = (str(run.get(field) or "") for field in ("runStart", "runEnd"))
    return UpstreamRun(
        str(run["runId"]),
        state,
        from_iso(started) if started else None,
        from_iso(ended) if ended else None,
    )


def _of_job(run: Json) -> UpstreamRun:
    started, ended = (int(run.get(field) or 0) for field in ("start_time", "end_time"))
    return UpstreamRun(
        str(run.get("run_id")),
        facts.run_state(run),
        from_millis(started) if started else None,
        from_millis(ended) if ended else None,
    )

"""Wait until the upstream has delivered, then rerun what failed.

Needs: reading the upstream's runs; where the source's container may be read, reading it. Changes:
nothing before the rerun. Verified: the rerun itself. Costs: nothing while waiting.

Which upstream: the catalog's map; else the naming patterns of the field: Step3 after Step2,
Transform after Extract, Copy after Load, `X_From_Y` after `Load_To_Y`. While its last run goes on
we wait; when that succeeded we rerun ours; when it failed the incident goes to a person. Where the
container of the missing file may be read, the file decides: nothing is waited for once it is there,
and nothing is rerun before, whatever the upstream's run says.
"""

from __future__ import annotations

import re
from datetime import timedelta

from shared.clock import Clock
from shared.diagnosis import databricks_facts as facts
from shared.diagnosis.gather import PIPELINE_STATES, run_order
from shared.models import Attempt, Json
from shared.platforms.source_files import missing_file
from shared.remedies.base import DONE, FAILED, PENDING, WAIT, Case, Look, Plan, Refusal, Visible
from shared.remedies.rerun import rerun_locks, rerun_step
from shared.vocabulary import FailureKind, RunState

_LOOK_BACK = timedelta(days=2)

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
            return f"upstream {upstream['upstream']}", upstream | {"file": file}
        if file:
            return f"file {file['container']}/{file['path']}", {"file": file}
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
    """No mutation: looks at the file and at the upstream's last run until it is over."""

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
        state, run_id = self._last_run(case, memo)
        words = f"upstream {memo['upstream']}'s last run {run_id or '(none)'} is {state.value}"
        if state in {RunState.ACTIVE, RunState.UNKNOWN}:
            return Look(PENDING, words)
        if state is RunState.SUCCEEDED and file and there is False:
            return Look(
                PENDING, f"{words}, but {file['container']}/{file['path']} is not there yet"
            )
        return Look(DONE if state is RunState.SUCCEEDED else FAILED, words)

    def _last_run(self, case: Case, memo: Json) -> tuple[RunState, str]:
        if memo.get("upstream_job"):
            return self._last_job_run(case, memo["upstream_job"])
        client = case.platforms.factory(case.failure.target)
        now = self._clock.now()
        name = memo["upstream"]
        runs = client.runs(now - _LOOK_BACK, now + timedelta(minutes=10), PipelineName=name)
        if not runs:
            return RunState.MISSING, ""
        last = max(runs, key=run_order)
        state = PIPELINE_STATES.get(str(last.get("status")), RunState.UNKNOWN)
        return state, str(last["runId"])

    def _last_job_run(self, case: Case, job_id: str) -> tuple[RunState, str]:
        since = int((self._clock.now() - _LOOK_BACK).timestamp() * 1000)
        runs = case.platforms.workspace(case.failure.target).runs(since, job_id=job_id)
        last = max(runs, key=lambda run: int(run.get("start_time") or 0), default=None)
        if last is None:
            return RunState.MISSING, ""
        return facts.run_state(last), str(last.get("run_id"))

"""Rerun what failed, from where it failed.

Needs: createRun on the factory, or CAN_MANAGE_RUN on the job. Changes: nothing but a new run.
Once only: what was there before is written down, and only what is newer counts as ours.
Verified: the new run itself is good. Costs: what the rest of the run costs.

A Data Factory run is recovered from its failed activity, in its group, with its own parameters; one
that a tumbling window started is rerun through its trigger, or the window stays failed. A job run
is repaired: all its failed tasks and what depends on them. An update is started anew.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.clock import Clock
from shared.diagnosis import databricks_facts as facts
from shared.diagnosis.gather import PIPELINE_STATES, UPDATE_STATES, run_order
from shared.models import Attempt, Evidence, Json
from shared.remedies.base import (
    ABSENT,
    DONE,
    FAILED,
    PENDING,
    RUN,
    Case,
    Look,
    Plan,
    Refusal,
    Visible,
    cluster_lock,
    job_lock,
    lock_of,
)
from shared.vocabulary import ComputeKind, FailureKind, RunState

_LOOK_BACK = timedelta(days=2)
_LOOK_AHEAD = timedelta(minutes=10)
STATUS = {
    RunState.SUCCEEDED: DONE,
    RunState.ACTIVE: PENDING,
    RunState.UNKNOWN: PENDING,
    RunState.FAILED: FAILED,
    RunState.CANCELLED: FAILED,
    RunState.MISSING: FAILED,
}


class Rerun:
    """The remedy `rerun`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """One phase: the rerun that fits the failure."""
        del tried
        step = rerun_step(case)
        if isinstance(step, Refusal):
            return step
        phase, memo, words = step
        return Plan([phase], words, memo, locks=rerun_locks(case))


def rerun_locks(case: Case) -> list[str]:
    """What a rerun needs for itself: its line of reruns, and the shared clusters it runs on.

    Of an update also its pipeline: a delivery that works on it is not disturbed.
    """
    evidence = _evidence(case)
    failure = case.failure
    pipeline = [job_lock(failure.target, failure.resource)] * (failure.kind is FailureKind.UPDATE)
    shared = [
        cluster_lock(case.failure.target, task.cluster_id)
        for task in evidence.tasks
        if task.compute is ComputeKind.ALL_PURPOSE and task.cluster_id
    ]
    return list(dict.fromkeys([lock_of(failure), *pipeline, *shared]))


def rerun_step(case: Case) -> tuple[str, Json, str] | Refusal:
    """The phase that reruns this failure, its memo, and what it does in words."""
    evidence = _evidence(case)
    kind = case.failure.kind
    if kind is FailureKind.PIPELINE_RUN:
        return _pipeline_step(case, evidence)
    if kind is FailureKind.JOB_RUN:
        return _job_step(case, evidence)
    if kind is FailureKind.UPDATE:
        memo = {"pipeline_id": case.failure.resource, "known": evidence.runs}
        return "start_update", memo, f"start a new update of pipeline {case.failure.resource}"
    return Refusal("no run failed on it, there is nothing to rerun")


def _pipeline_step(case: Case, evidence: Evidence) -> tuple[str, Json, str]:
    memo: Json = {
        "pipeline": evidence.pipeline,
        "run_id": evidence.run_id,
        "group": case.failure.group,
        "known": evidence.runs,
    }
    if evidence.trigger:
        memo |= {"trigger": evidence.trigger, "trigger_run_id": evidence.trigger_run_id}
        words = f"rerun the window of trigger {evidence.trigger} for pipeline {evidence.pipeline}"
        return "rerun_trigger", memo, words
    words = f"rerun pipeline {evidence.pipeline} from its failed activity"
    return "rerun_pipeline", memo, words


def _job_step(case: Case, evidence: Evidence) -> tuple[str, Json, str] | Refusal:
    if evidence.one_time_run:
        return Refusal("a one-time run cannot be repaired; whoever submitted it must submit again")
    if not evidence.tasks:
        return Refusal("no failed task was found in the run")
    latest = evidence.repair_ids[-1] if evidence.repair_ids else ""
    tasks = ", ".join(task.task_key for task in evidence.tasks)
    memo = {"run_id": evidence.run_id or case.run_id, "latest_repair_id": latest}
    return "repair_run", memo, f"repair run {memo['run_id']}: rerun its failed tasks ({tasks})"


def _evidence(case: Case) -> Evidence:
    if case.evidence is None:
        raise ValueError("planning needs evidence")
    return case.evidence


class RerunPipeline(Visible):
    """createRun in recovery mode. It knows no idempotency key, so newer runs are looked for."""

    limit = RUN

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def act(self, case: Case, memo: Json) -> Json:
        """Start the recovery run."""
        client = case.platforms.factory(case.failure.target)
        return {"new_run_id": client.rerun_from_failure(memo["pipeline"], memo["run_id"])}

    def look(self, case: Case, memo: Json) -> Look:
        """The newest run of the group that was not there before."""
        client = case.platforms.factory(case.failure.target)
        now = self._clock.now()
        group = client.runs(now - _LOOK_BACK, now + _LOOK_AHEAD, RunGroupId=memo["group"])
        return newest_run(group, memo)


class RerunTrigger(Visible):
    """Rerun of a tumbling window's trigger run."""

    limit = RUN

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def act(self, case: Case, memo: Json) -> Json:
        """Start the window again."""
        client = case.platforms.factory(case.failure.target)
        client.rerun_trigger(memo["trigger"], memo["trigger_run_id"])
        return {"asked_at": self._clock.now().isoformat()}

    def look(self, case: Case, memo: Json) -> Look:
        """The newest run of this window that was not there before."""
        client = case.platforms.factory(case.failure.target)
        now = self._clock.now()
        runs = client.runs(now - _LOOK_BACK, now + _LOOK_AHEAD, PipelineName=memo["pipeline"])
        return newest_run([run for run in runs if _of_window(run, memo)], memo)


def _of_window(run: dict[str, Any], memo: Json) -> bool:
    invoked = run.get("invokedBy") or {}
    same_group = run.get("runGroupId") == memo["group"]
    return bool(same_group or invoked.get("id") == memo["trigger_run_id"])


def newest_run(runs: list[dict[str, Any]], memo: Json) -> Look:
    """How far the newest of `runs` is that `memo` does not list as known before."""
    new = [run for run in runs if run["runId"] not in memo["known"]]
    if not new:
        return Look(ABSENT)
    newest = max(new, key=run_order)
    state = PIPELINE_STATES.get(str(newest.get("status")), RunState.UNKNOWN)
    run_id = str(newest["runId"])
    note = f"run {run_id} is {newest.get('status')}"
    return Look(STATUS[state], note, {"new_run_id": run_id})


class RepairRun(Visible):
    """runs/repair of all failed tasks; `latest_repair_id` guards against a second one."""

    limit = RUN

    def act(self, case: Case, memo: Json) -> Json:
        """Start the repair."""
        api = case.platforms.workspace(case.failure.target)
        parameters = memo.get("parameters")
        return {"repair_id": api.repair_run(memo["run_id"], memo["latest_repair_id"], parameters)}

    def look(self, case: Case, memo: Json) -> Look:
        """The run's newest repair that was not there before."""
        run = case.platforms.workspace(case.failure.target).run(memo["run_id"])
        repairs = facts.repair_ids(run)
        if not repairs or repairs[-1] == memo["latest_repair_id"]:
            return Look(ABSENT)
        state = facts.run_state(run)
        note = f"run {memo['run_id']} is {state.value} after repair {repairs[-1]}"
        return Look(STATUS[state], note, {"repair_id": repairs[-1]})


class StartUpdate(Visible):
    """An ordinary update of a pipeline: never a full refresh."""

    limit = RUN

    def act(self, case: Case, memo: Json) -> Json:
        """Start the update."""
        api = case.platforms.workspace(case.failure.target)
        return {"new_run_id": api.start_update(memo["pipeline_id"])}

    def look(self, case: Case, memo: Json) -> Look:
        """The newest update that was not there before."""
        return update_look(case, memo)


def update_look(case: Case, memo: Json) -> Look:
    """How far the newest update of a pipeline is that was not there before."""
    api = case.platforms.workspace(case.failure.target)
    new = [u for u in api.updates(memo["pipeline_id"]) if u["update_id"] not in memo["known"]]
    return newest_update(new) if new else Look(ABSENT)


def newest_update(updates: list[dict[str, Any]]) -> Look:
    """How far the first of `updates` is, which are listed newest first."""
    state = UPDATE_STATES.get(str(updates[0].get("state")), RunState.ACTIVE)
    update_id = str(updates[0]["update_id"])
    note = f"update {update_id} is {updates[0].get('state')}"
    return Look(STATUS[state], note, {"new_run_id": update_id})

"""A team's own repair: a Logic App called with the incident, in place of the direct remedies.

Needs: the URL in the setting that the catalog names for the error type. Changes: whatever the
playbook does. Once only: it cannot be asked whether it ran, so a call without an answer goes to a
person and is never repeated. Verified: the run of the same pipeline or job that the answer names
(`new_run_id` or `run_id`), else a newer run of the same line; of a cluster, that it is RUNNING and
was started since; of a library, that it is INSTALLED. A run of something else (an upstream's) that
the answer names does not heal ours by itself. Costs: what the playbook costs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.clock import Clock
from shared.diagnosis import databricks_facts as facts
from shared.diagnosis import libraries
from shared.diagnosis.gather import PIPELINE_STATES
from shared.errors import PlatformMissing
from shared.models import Attempt, Evidence, Json
from shared.platforms.data_factory import FactoryClient
from shared.platforms.databricks import WorkspaceApi
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
    cluster_lock,
)
from shared.remedies.rerun import STATUS, newest_run, rerun_locks, update_look
from shared.vocabulary import PLAYBOOKS, FailureKind, RunState

_LOOK_BACK = timedelta(days=2)
_ON_CLUSTERS = frozenset({FailureKind.CLUSTER, FailureKind.LIBRARY})
_MAX_RUN_ID = 100


class Playbook:
    """The remedy `playbook`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """Call the first playbook of the error type that is configured and fits the platform."""
        name = playbook_for(case)
        evidence = case.evidence
        if name is None or evidence is None:
            return Refusal("no playbook is configured for it")
        memo: Json = {
            "playbook": name,
            "body": _body(case, evidence, len(tried) + 1),
            "known": evidence.runs,
            "group": case.failure.group,
            "run_id": evidence.run_id or case.run_id,
            "latest_repair_id": evidence.repair_ids[-1] if evidence.repair_ids else "",
        }
        locks = rerun_locks(case)
        if case.failure.kind in _ON_CLUSTERS and evidence.clusters:
            cluster = evidence.clusters[0]
            memo |= {
                "terminated_time": cluster.terminated_time,
                "restarted_time": cluster.restarted_time,
            }
            locks = [*locks, cluster_lock(case.failure.target, cluster.cluster_id)]
        return Plan(["playbook"], f"call the playbook {name}", memo, locks)


def playbook_for(case: Case) -> str | None:
    """The setting of the playbook that takes the place of the remedies here, None if none does."""
    data_factory = case.failure.kind is FailureKind.PIPELINE_RUN
    for name in case.playbooks:
        if PLAYBOOKS[name] is data_factory and case.platforms.playbooks.has(name):
            return name
    return None


def _body(case: Case, evidence: Evidence, attempt: int) -> Json:
    """What a playbook is told: ticket, error type, what failed, which try of how many."""
    failure = case.failure
    return {
        "ticket_id": case.incident_id,
        "error_type": case.error_type,
        "metadata": {
            "factory": failure.target if failure.kind is FailureKind.PIPELINE_RUN else "",
            "workspace": "" if failure.kind is FailureKind.PIPELINE_RUN else failure.target,
            "pipeline": evidence.pipeline,
            "job_id": evidence.job_id,
            "run_id": evidence.run_id or case.run_id,
            "cluster_id": evidence.clusters[0].cluster_id if evidence.clusters else "",
        },
        "attempt": attempt,
        "max_attempts": case.max_retries,
    }


class PlaybookPhase:
    """One call of a Logic App."""

    limit = RUN
    blind = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def act(self, case: Case, memo: Json) -> Json:
        """Call it."""
        answer = case.platforms.playbooks.call(memo["playbook"], memo["body"])
        named = _named_run(answer, {memo["run_id"], *memo["known"]})
        return {"named_run": named} if named else {}

    def look(self, case: Case, memo: Json) -> Look:
        """The run that the playbook named, else what is new in the failure's own line."""
        kind = case.failure.kind
        if kind is FailureKind.PIPELINE_RUN:
            return self._pipeline_look(case, memo)
        if kind is FailureKind.JOB_RUN:
            return _job_look(case, memo)
        if kind is FailureKind.CLUSTER:
            return _cluster_look(case, memo)
        if kind is FailureKind.LIBRARY:
            return _library_look(case)
        look = update_look(case, memo | {"pipeline_id": case.failure.resource})
        return Look(PENDING, "no new update yet") if look.status == ABSENT else look

    def _pipeline_look(self, case: Case, memo: Json) -> Look:
        client = case.platforms.factory(case.failure.target)
        named = _look_at_named(client, case, memo)
        if named is not None:
            return named
        now = self._clock.now()
        group = client.runs(now - _LOOK_BACK, now + timedelta(minutes=10), RunGroupId=memo["group"])
        look = newest_run(group, memo)
        return Look(PENDING, "no new run yet") if look.status == ABSENT else look


def _named_run(answer: Json, known: set[str]) -> str:
    """The new run that an answer names, empty if it names none, or one that was there before."""
    for field in ("new_run_id", "run_id"):
        value = answer.get(field)
        text = str(value) if isinstance(value, str | int) and value is not True else ""
        if text not in known and len(text) <= _MAX_RUN_ID and text.replace("-", "").isalnum():
            return text
    return ""


def _look_at_named(client: FactoryClient, case: Case, memo: Json) -> Look | None:
    """How far the named run is; None where that says nothing about ours."""
    if not memo.get("named_run"):
        return None
    try:
        run = client.run(memo["named_run"])
    except PlatformMissing:
        return None
    state = PIPELINE_STATES.get(str(run.get("status")), RunState.UNKNOWN)
    words = f"run {memo['named_run']} is {run.get('status')}"
    if str(run.get("pipelineName") or "").lower() != case.failure.resource.lower():
        words = f"{words}, of pipeline {run.get('pipelineName')}"
        return Look(FAILED, words) if STATUS[state] == FAILED else None
    follow = {"new_run_id": memo["named_run"], "new_group": _group(run)}
    return Look(STATUS[state], words, follow)


def _library_look(case: Case) -> Look:
    api = case.platforms.workspace(case.failure.target)
    for entry in api.library_statuses(case.failure.resource):
        same = libraries.same_package(entry.get("library") or {}, case.failure.library)
        if same and entry.get("status") == "INSTALLED":
            return Look(DONE, f"{libraries.label(entry['library'])} is INSTALLED")
    return Look(PENDING, "the library is not INSTALLED yet")


def _group(run: dict[str, Any]) -> str:
    return str(run.get("runGroupId") or run.get("runId") or "")


def _job_look(case: Case, memo: Json) -> Look:
    api = case.platforms.workspace(case.failure.target)
    named = _named_job_run(api, case, memo)
    if named is not None:
        run_id = memo["named_run"]
        state = facts.run_state(named)
        follow = {"new_run_id": run_id, "new_group": run_id}
        return Look(STATUS[state], f"run {run_id} is {state.value}", follow)
    run = api.run(memo["run_id"])
    repairs = facts.repair_ids(run)
    if repairs[-1:] in ([], [memo["latest_repair_id"]]):
        return Look(PENDING, "no new run yet")
    state = facts.run_state(run)
    words = f"run {memo['run_id']} is {state.value} after repair {repairs[-1]}"
    return Look(STATUS[state], words, {"repair_id": repairs[-1]})


def _named_job_run(api: WorkspaceApi, case: Case, memo: Json) -> Json | None:
    """The named run, None if it is no run of the same job."""
    if not str(memo.get("named_run") or "").isdigit():
        return None
    try:
        run = api.run(memo["named_run"])
    except PlatformMissing:
        return None
    return run if str(run.get("job_id") or "") == case.failure.resource else None


def _cluster_look(case: Case, memo: Json) -> Look:
    api = case.platforms.workspace(case.failure.target)
    cluster = facts.cluster_facts(api.cluster(case.failure.resource))
    state = facts.cluster_state(cluster)
    words = f"cluster {cluster.cluster_id} is {cluster.state}"
    if state is RunState.SUCCEEDED:
        came_back = cluster.restarted_time > memo["restarted_time"]
        return Look(DONE, words) if came_back else Look(PENDING, "it was not restarted yet")
    ended_again = cluster.terminated_time != memo["terminated_time"]
    if state is RunState.FAILED and ended_again:
        return Look(FAILED, words)
    return Look(PENDING, words)

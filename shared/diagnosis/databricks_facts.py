"""Reads Databricks' JSON into our facts. Pure.

Both forms of a run's state are understood: the deprecated `state` and the newer `status`.
"""

from __future__ import annotations

from typing import Any

from shared.models import ClusterFacts, EvidenceLine, TaskFacts
from shared.vocabulary import ComputeKind, RunState

Row = dict[str, Any]

_ENDED = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})
_GOOD = frozenset({"SUCCESS", "SUCCESS_WITH_FAILURES"})
_STOPPED = frozenset({"CANCELED", "USER_CANCELED"})
# Tasks in these states did not fail by themselves.
_SIDE_EFFECTS = frozenset({"UPSTREAM_FAILED", "UPSTREAM_CANCELED", "EXCLUDED", "DISABLED"})
# Ends of a cluster that are no failure of anything.
# https://learn.microsoft.com/azure/databricks/kb/clusters/termination-reasons
PLANNED_ENDS = frozenset({"INACTIVITY", "JOB_FINISHED", "SUCCESS"})
_STARTING = frozenset({"PENDING", "RESTARTING", "RESIZING", "TERMINATING"})


def run_state(run: Row) -> RunState:
    """Where a job run or one of its tasks stands."""
    life, result = _life_and_result(run)
    if not life:
        return RunState.UNKNOWN
    if life not in _ENDED:
        return RunState.ACTIVE
    if result in _GOOD:
        return RunState.SUCCEEDED
    return RunState.CANCELLED if result in _STOPPED else RunState.FAILED


def waiting_for_retry(run: Row) -> bool:
    """Whether the platform is about to try a task of this run again by itself."""
    parts = [run, *(run.get("tasks") or [])]
    return any(_life_and_result(part)[0] == "WAITING_FOR_RETRY" for part in parts)


def _life_and_result(run: Row) -> tuple[str, str]:
    state = run.get("state") or {}
    status = run.get("status") or {}
    details = status.get("termination_details") or {}
    life = state.get("life_cycle_state") or status.get("state") or ""
    result = state.get("result_state") or details.get("code") or ""
    return str(life), str(result)


def run_lines(run: Row, source: str) -> list[EvidenceLine]:
    """What a run's or task's own state says."""
    details = (run.get("status") or {}).get("termination_details") or {}
    state = run.get("state") or {}
    message = str(details.get("message") or state.get("state_message") or "")
    code = str(details.get("code") or state.get("result_state") or "")
    if code == "FAILED":  # says nothing
        code = ""
    if not message and not code:
        return []
    return [EvidenceLine(source, code, message, str(details.get("type") or ""))]


def failed_tasks(run: Row) -> list[Row]:
    """The newest attempt of each task that failed by itself."""
    newest: dict[str, Row] = {}
    for task in run.get("tasks") or []:
        key = str(task.get("task_key") or "")
        if key not in newest or _attempt(task) >= _attempt(newest[key]):
            newest[key] = task
    return [task for task in newest.values() if _failed_itself(task)]


def _attempt(task: Row) -> tuple[int, int]:
    return int(task.get("attempt_number") or 0), int(task.get("start_time") or 0)


def _failed_itself(task: Row) -> bool:
    return run_state(task) is RunState.FAILED and _life_and_result(task)[1] not in _SIDE_EFFECTS


def task_facts(task: Row) -> TaskFacts:
    """What matters of one task."""
    instance = (task.get("cluster_instance") or {}).get("cluster_id") or ""
    existing = task.get("existing_cluster_id") or ""
    pipeline = (task.get("pipeline_task") or {}).get("pipeline_id") or ""
    return TaskFacts(
        task_key=str(task.get("task_key") or ""),
        run_id=str(task.get("run_id") or ""),
        compute=_compute(task, existing),
        cluster_id=str(existing or instance),
        job_cluster_key=str(task.get("job_cluster_key") or ""),
        pipeline_id=str(pipeline),
    )


def _compute(task: Row, existing: str) -> ComputeKind:
    if existing:
        return ComputeKind.ALL_PURPOSE
    if task.get("job_cluster_key") or task.get("new_cluster"):
        return ComputeKind.JOB_CLUSTER
    return ComputeKind.SERVERLESS


def parameters(run: Row) -> dict[str, str]:
    """The job parameters that a run had."""
    listed = run.get("job_parameters") or []
    return {str(p["name"]): str(p.get("value") or p.get("default") or "") for p in listed}


def repair_ids(run: Row) -> list[str]:
    """Ids of the repairs of a run, oldest first."""
    history = run.get("repair_history") or []
    repairs = [entry for entry in history if entry.get("type") == "REPAIR"]
    repairs.sort(key=lambda entry: int(entry.get("start_time") or 0))
    return [str(entry["id"]) for entry in repairs]


def cluster_facts(cluster: Row) -> ClusterFacts:
    """What matters of a cluster."""
    reason = cluster.get("termination_reason") or {}
    scale = cluster.get("autoscale") or {}
    said = " ".join(str(value) for value in (reason.get("parameters") or {}).values())
    return ClusterFacts(
        cluster_id=str(cluster.get("cluster_id") or ""),
        name=str(cluster.get("cluster_name") or ""),
        state=str(cluster.get("state") or ""),
        source=str(cluster.get("cluster_source") or ""),
        workers=None if scale else cluster.get("num_workers"),
        min_workers=scale.get("min_workers"),
        max_workers=scale.get("max_workers"),
        node_type=str(cluster.get("node_type_id") or ""),
        driver_type=str(cluster.get("driver_node_type_id") or ""),
        terminated_time=int(cluster.get("terminated_time") or 0),
        restarted_time=max(
            int(cluster.get("last_restarted_time") or 0), int(cluster.get("start_time") or 0)
        ),
        code=str(reason.get("code") or ""),
        code_type=str(reason.get("type") or ""),
        message=f"{cluster.get('state_message') or ''} {said}".strip(),
    )


def cluster_state(facts: ClusterFacts) -> RunState:
    """Where a cluster stands as a thing that is to be running."""
    if facts.state == "RUNNING":
        return RunState.SUCCEEDED
    if facts.state in _STARTING:
        return RunState.ACTIVE
    return RunState.FAILED if facts.state in {"TERMINATED", "ERROR"} else RunState.UNKNOWN


def cluster_lines(facts: ClusterFacts) -> list[EvidenceLine]:
    """Why a cluster ended."""
    if not facts.code and not facts.message:
        return []
    return [EvidenceLine(f"cluster {facts.cluster_id}", facts.code, facts.message, facts.code_type)]

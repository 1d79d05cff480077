"""Pure rules of runs: dependencies, conditions of scripted outcomes, and how runs end."""

from sandbox.databricks.conditions import Circumstances, condition_met
from sandbox.databricks.libraries import describe_library, library_name
from sandbox.databricks.models import Cluster, ClusterLibrary, describe_reason
from sandbox.databricks.run_models import (
    CANCELED,
    EXCLUDED,
    SUCCEEDED,
    TIMED_OUT,
    UPSTREAM,
    WORKLOAD_FAILED,
    Ending,
    JobRun,
    TaskRun,
)
from sandbox.wire import Json

KIND_OF_REASON = {
    "CLIENT_ERROR": "CLIENT_ERROR",
    "CLOUD_FAILURE": "CLOUD_FAILURE",
    "SERVICE_FAULT": "INTERNAL_ERROR",
}
NOTEBOOK_ERROR = Ending("FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR", WORKLOAD_FAILED)
USUAL = {"TIMEDOUT": TIMED_OUT, "CANCELED": CANCELED}


def blocked_by(task: TaskRun, latest: dict[str, TaskRun]) -> list[TaskRun]:
    """Return the dependencies that are not over yet."""
    upstream = [latest[key] for key in task.dependencies() if key in latest]
    return [x for x in upstream if not x.done()]


def refused_by_upstream(task: TaskRun, latest: dict[str, TaskRun]) -> Ending | None:
    """Return how a task ends because of the tasks before it, or None if it may run."""
    upstream = [latest[key] for key in task.dependencies() if key in latest]
    good = [x.good() for x in upstream]
    rule = task.spec.get("run_if", "ALL_SUCCESS")
    allowed = {
        "ALL_SUCCESS": all(good),
        "ALL_DONE": True,
        "NONE_FAILED": all(good),
        "AT_LEAST_ONE_SUCCESS": any(good) or not good,
        "ALL_FAILED": not any(good),
        "AT_LEAST_ONE_FAILED": not all(good) or not good,
    }
    if allowed.get(rule, all(good)):
        return None
    return UPSTREAM if rule in {"ALL_SUCCESS", "NONE_FAILED"} else EXCLUDED


def ending_of(outcome: Json, found: Circumstances) -> Ending:
    """Return how a task that ran to its end ended."""
    if outcome.get("result", "SUCCESS") == "SUCCESS":
        return SUCCEEDED
    condition = outcome.get("condition")
    return SUCCEEDED if condition and condition_met(condition, found) else scripted_failure(outcome)


def scripted_failure(outcome: Json) -> Ending:
    """Word a failure from its script.

    What is not scripted is what a notebook error, a time-out or a cancellation look like.
    """
    usual = USUAL.get(outcome["result"], NOTEBOOK_ERROR)
    return Ending(
        result=outcome["result"],
        code=outcome.get("termination_code", usual.code),
        kind=outcome.get("termination_type", usual.kind),
        message=outcome.get("message", usual.message),
        life=outcome.get("life_cycle_state", "TERMINATED"),
        error=outcome.get("error"),
        trace=outcome.get("error_trace"),
    )


def library_names(task: TaskRun, cluster: Cluster | None) -> set[str]:
    """Return the names of what is installed where a task runs."""
    specs = list(task.spec.get("libraries", []))
    specs += [library.spec for library in cluster.libraries] if cluster else []
    return {library_name(spec) for spec in specs}


def cluster_failure(cluster: Cluster, *, started: bool) -> Ending:
    """Word the failure of a task whose cluster did not come up, or went away."""
    reason = cluster.termination_reason or {}
    name = cluster.cluster_id
    why = describe_reason(name, reason) if reason else "Driver was restarted during run."
    prefix = (
        f"Cluster {name} became unreachable during run. "
        if started
        else f"Unexpected failure while waiting for the cluster ({name}) to be ready: "
    )
    kind = KIND_OF_REASON.get(reason.get("type", ""), "CLIENT_ERROR")
    return Ending("FAILED", "CLUSTER_ERROR", kind, prefix + why, life="INTERNAL_ERROR")


def library_failure(cluster: Cluster, library: ClusterLibrary) -> Ending:
    """Word the failure of a task whose library could not be installed."""
    messages = "\n".join(library.messages)
    infra = "infra fault" in messages
    blame = "infra fault" if infra else "user error"
    text = (
        f"Library installation failed for library due to {blame} for "
        f"{describe_library(library.spec)} Error messages:\nLibrary installation attempted on "
        f"the driver node of cluster {cluster.cluster_id} and failed. {messages}"
    )
    kind = "INTERNAL_ERROR" if infra else "CLIENT_ERROR"
    return Ending("FAILED", "LIBRARY_INSTALLATION_ERROR", kind, text, life="INTERNAL_ERROR")


def run_ending(run: JobRun) -> Ending:
    """Say how a job's run ended: its leaves decide.

    A failed task behind which the leaves succeeded makes SUCCESS_WITH_FAILURES.
    """
    tasks = run.latest()
    failed = [task for task in tasks.values() if task.failed()]
    if not failed:
        return SUCCEEDED
    needed = {key for task in tasks.values() for key in task.dependencies()}
    if all(task.good() for key, task in tasks.items() if key not in needed):
        return Ending("SUCCESS_WITH_FAILURES", "SUCCESS_WITH_FAILURES", "SUCCESS")
    return worst_ending(failed, tasks)


def worst_ending(failed: list[TaskRun], tasks: dict[str, TaskRun]) -> Ending:
    """Word the run's failure after the first task that failed by itself."""
    own = [task for task in failed if task.ending and task.ending.result != "UPSTREAM_FAILED"]
    first = min(own or failed, key=lambda task: task.end_time)
    ending = first.ending or UPSTREAM
    if ending.result in {"CANCELED", "TIMEDOUT"}:
        return ending
    skipped = any(t.ending and t.ending.result == "UPSTREAM_FAILED" for t in tasks.values())
    tail = ". This caused all downstream tasks to get skipped." if skipped else "."
    text = f"Task {first.task_key} failed with message: {ending.message.rstrip('.')}{tail}"
    return Ending("FAILED", ending.code, ending.kind, text, life="INTERNAL_ERROR")

"""Runs in the shape of jobs/runs/get and its relatives, in both the old and the new vocabulary."""

from sandbox.databricks.parameters import job_parameters
from sandbox.databricks.run_models import Ending, JobRun, Repair, TaskRun
from sandbox.wire import Json

OLD_LIFE = {"WAITING": "WAITING_FOR_RETRY"}
CREATOR = "sandbox@example.com"
BIG_ARRAY = 100


def state_view(state: str, ending: Ending | None) -> Json:
    """Write the deprecated `state`."""
    if ending is None:
        return {
            "life_cycle_state": OLD_LIFE.get(state, state),
            "state_message": "",
            "user_cancelled_or_timedout": False,
        }
    return {
        "life_cycle_state": ending.life,
        "result_state": ending.result,
        "state_message": ending.message,
        "user_cancelled_or_timedout": ending.result in {"CANCELED", "TIMEDOUT"},
    }


def status_view(state: str, ending: Ending | None) -> Json:
    """Write the newer `status`."""
    if ending is None:
        return {"state": state}
    details = {"code": ending.code, "type": ending.kind, "message": ending.message}
    return {"state": "TERMINATED", "termination_details": details}


def states(state: str, ending: Ending | None) -> Json:
    """Write both."""
    return {"state": state_view(state, ending), "status": status_view(state, ending)}


def task_view(run: JobRun, task: TaskRun) -> Json:
    """Write one attempt at a task."""
    view = {
        **task.spec,
        "run_id": task.run_id,
        "task_key": task.task_key,
        "attempt_number": task.attempt,
        "start_time": task.start_time,
        "end_time": task.end_time,
        "setup_duration": 0,
        "cleanup_duration": 0,
        "execution_duration": max(task.end_time - task.start_time, 0),
        "run_if": task.spec.get("run_if", "ALL_SUCCESS"),
        "run_page_url": f"https://sandbox.example.com/#job/{run.job_id}/run/{task.run_id}",
        **states(task.state, task.ending),
    }
    if task.cluster_id is not None:
        view["cluster_instance"] = {"cluster_id": task.cluster_id}
    return view


def run_view(run: JobRun) -> Json:
    """Write a run without its tasks."""
    view = {
        "job_id": run.job_id,
        "run_id": run.run_id,
        "job_run_id": run.run_id,
        "number_in_job": run.run_id,
        "original_attempt_run_id": run.run_id,
        "creator_user_name": CREATOR,
        "run_name": run.name,
        "run_type": run.run_type,
        "trigger": run.trigger,
        "format": "MULTI_TASK",
        "start_time": run.start_time,
        "end_time": run.end_time,
        "run_duration": max(run.end_time - run.start_time, 0),
        "run_page_url": f"https://sandbox.example.com/#job/{run.job_id}/run/{run.run_id}",
        "job_parameters": job_parameters(run),
        **states(run.state, run.ending),
    }
    if run.overriding:
        view["overriding_parameters"] = run.overriding
    if run.settings.get("job_clusters"):
        view["job_clusters"] = run.settings["job_clusters"]
    return view


def repair_view(entry: Repair) -> Json:
    """Write one entry of the repair history."""
    view = {
        "type": "ORIGINAL" if entry.repair_id is None else "REPAIR",
        "start_time": entry.start_time,
        "end_time": entry.end_time,
        "task_run_ids": entry.task_run_ids,
        **states("RUNNING", entry.ending),
    }
    return view if entry.repair_id is None else {**view, "id": entry.repair_id}


def single_task_view(run: JobRun, task: TaskRun) -> Json:
    """Write a run as seen through the id of one of its tasks."""
    own = task_view(run, task)
    shared = {k: own[k] for k in ("start_time", "end_time", "state", "status", "run_page_url")}
    view = {**run_view(run), **shared, "run_id": task.run_id, "tasks": [own]}
    if task.cluster_id is not None:
        view["cluster_instance"] = own["cluster_instance"]
    return view


def output_view(run: JobRun, task: TaskRun) -> Json:
    """Write what jobs/runs/get-output says about a task's run."""
    output: Json = {"metadata": single_task_view(run, task)}
    ending = task.ending
    if ending is None:
        return output
    if ending.result == "SUCCESS":
        output["notebook_output"] = {"result": task.outcome.get("output", ""), "truncated": False}
        return output
    output["error"] = ending.error or ending.message
    if ending.trace:
        output["error_trace"] = ending.trace
    return output

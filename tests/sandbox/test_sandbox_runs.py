from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, InvalidState, PermissionDenied
from databricks.sdk.service.compute import State
from databricks.sdk.service.jobs import (
    JobCluster,
    JobSettings,
    Run,
    RunLifeCycleState,
    RunLifecycleStateV2State,
    RunResultState,
    RunTask,
    TerminationCodeCode,
)

from sandbox.testing import Sandbox

SPEC = {"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 2}
NOTEBOOK = {"notebook_path": "/x"}
FAILED = {"result": "FAILED", "error": "KeyError: 'a'", "error_trace": "Traceback"}


def chain(**compute: object) -> list[dict[str, object]]:
    """Two tasks, the second after the first, on the same compute."""
    first: dict[str, object] = {"task_key": "extract", "notebook_task": NOTEBOOK, **compute}
    second = {**first, "task_key": "load", "depends_on": [{"task_key": "extract"}]}
    return [first, second]


def make_job(sandbox: Sandbox, **settings: object) -> int:
    defaults: dict[str, object] = {"name": "nightly", "tasks": chain()}
    return int(sandbox.script("databricks/jobs", **{**defaults, **settings})["job_id"])


def job_cluster_job(sandbox: Sandbox) -> int:
    clusters = [{"job_cluster_key": "main", "new_cluster": SPEC}]
    return make_job(sandbox, tasks=chain(job_cluster_key="main"), job_clusters=clusters)


def run_now(workspace: WorkspaceClient, job_id: int, token: str | None = None) -> int:
    return int(workspace.jobs.run_now(job_id, idempotency_token=token).bind()["run_id"])


def latest_repair(workspace: WorkspaceClient, run_id: int) -> int | None:
    history = workspace.jobs.get_run(run_id, include_history=True).repair_history or []
    return history[-1].id


def result(run: Run | RunTask) -> RunResultState | None:
    assert run.state is not None
    return run.state.result_state


def latest(run: Run) -> dict[str, RunTask]:
    return {task.task_key: task for task in run.tasks or []}


def failed_run(sandbox: Sandbox, workspace: WorkspaceClient, job_id: int) -> int:
    sandbox.script("databricks/outcomes", job_id=job_id, outcomes=[FAILED])
    run_id = run_now(workspace, job_id)
    sandbox.advance(60)
    assert result(workspace.jobs.get_run(run_id)) == RunResultState.FAILED
    return run_id


def test_a_serverless_run_succeeds_task_by_task(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    run_id = run_now(workspace, make_job(sandbox))
    run = workspace.jobs.get_run(run_id)
    assert run.status is not None
    assert run.status.state == RunLifecycleStateV2State.RUNNING
    blocked = latest(run)["load"].state
    assert blocked is not None
    assert blocked.life_cycle_state == RunLifeCycleState.BLOCKED
    sandbox.advance(3)
    assert result(workspace.jobs.get_run(run_id)) == RunResultState.SUCCESS


def test_a_failed_task_fails_its_dependants_and_the_run(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    run_id = failed_run(sandbox, workspace, make_job(sandbox))
    run = workspace.jobs.get_run(run_id)
    assert run.state is not None
    assert run.state.state_message == (
        "Task extract failed with message: Workload failed, see run output for details. "
        "This caused all downstream tasks to get skipped."
    )
    assert run.status is not None
    assert run.status.termination_details is not None
    assert run.status.termination_details.code == TerminationCodeCode.RUN_EXECUTION_ERROR
    assert result(latest(run)["load"]) == RunResultState.UPSTREAM_FAILED


def test_output_belongs_to_task_runs(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    run_id = failed_run(sandbox, workspace, make_job(sandbox))
    with pytest.raises(InvalidParameterValue, match="multiple tasks is not supported"):
        workspace.jobs.get_run_output(run_id)
    task = latest(workspace.jobs.get_run(run_id))["extract"]
    output = workspace.jobs.get_run_output(task.run_id or 0)
    assert output.error == "KeyError: 'a'"
    assert output.error_trace == "Traceback"
    assert output.metadata is not None
    assert output.metadata.run_id == task.run_id


def test_repair_keeps_the_run_and_runs_failed_tasks_anew(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    run_id = failed_run(sandbox, workspace, make_job(sandbox))
    workspace.jobs.repair_run(run_id, rerun_all_failed_tasks=True)
    sandbox.advance(60)
    run = workspace.jobs.get_run(run_id, include_history=True)
    assert result(run) == RunResultState.SUCCESS
    assert [task.attempt_number for task in run.tasks or []] == [0, 0, 1, 1]
    assert [entry.id for entry in run.repair_history or []] == [
        None,
        latest_repair(workspace, run_id),
    ]


def test_an_active_run_cannot_be_repaired(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    run_id = run_now(workspace, make_job(sandbox))
    with pytest.raises(InvalidState):
        workspace.jobs.repair_run(run_id, rerun_all_failed_tasks=True)


def test_a_good_run_has_nothing_to_repair(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    run_id = run_now(workspace, make_job(sandbox))
    sandbox.advance(60)
    with pytest.raises(InvalidParameterValue, match="no failed tasks"):
        workspace.jobs.repair_run(run_id, rerun_all_failed_tasks=True)


def test_a_second_repair_names_the_first(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox)
    sandbox.script("databricks/outcomes", job_id=job_id, outcomes=[FAILED, FAILED])
    run_id = run_now(workspace, job_id)
    sandbox.advance(60)
    workspace.jobs.repair_run(run_id, rerun_all_failed_tasks=True)
    first = latest_repair(workspace, run_id)
    sandbox.advance(60)
    with pytest.raises(InvalidParameterValue, match="latest repair ID needs to be provided"):
        workspace.jobs.repair_run(run_id, rerun_all_failed_tasks=True)
    with pytest.raises(InvalidParameterValue):
        workspace.jobs.repair_run(run_id, rerun_all_failed_tasks=True, latest_repair_id=1)
    workspace.jobs.repair_run(
        run_id,
        rerun_tasks=["extract"],
        rerun_dependent_tasks=True,
        latest_repair_id=first,
    )
    sandbox.advance(60)
    assert result(workspace.jobs.get_run(run_id)) == RunResultState.SUCCESS


def test_both_ways_of_choosing_tasks_at_once_are_refused(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    run_id = failed_run(sandbox, workspace, make_job(sandbox))
    with pytest.raises(InvalidParameterValue):
        workspace.jobs.repair_run(run_id, rerun_all_failed_tasks=True, rerun_tasks=["extract"])


def test_submitted_runs_cannot_be_repaired(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    reply = sandbox.raw("POST", "/api/2.2/jobs/runs/submit", {"tasks": chain()})
    sandbox.advance(60)
    body = {"run_id": reply.body["run_id"], "rerun_all_failed_tasks": True}
    assert sandbox.raw("POST", "/api/2.2/jobs/runs/repair", body).status == 400


def test_a_job_cluster_lives_for_one_run(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    run_id = run_now(workspace, job_cluster_job(sandbox))
    run = workspace.jobs.get_run(run_id)
    instance = latest(run)["extract"].cluster_instance
    assert instance is not None
    cluster = workspace.clusters.get(instance.cluster_id or "")
    assert cluster.state == State.PENDING
    assert cluster.cluster_source is not None
    assert cluster.cluster_source.value == "JOB"
    sandbox.advance(60)
    assert result(workspace.jobs.get_run(run_id)) == RunResultState.SUCCESS
    assert workspace.clusters.get(instance.cluster_id or "").state == State.TERMINATED


def test_a_repair_sees_the_jobs_current_settings(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    job_id = job_cluster_job(sandbox)
    picky = {**FAILED, "condition": {"min_workers": 6}}
    sandbox.script("databricks/outcomes", job_id=job_id, outcomes=[], then=picky)
    run_id = run_now(workspace, job_id)
    sandbox.advance(60)
    assert result(workspace.jobs.get_run(run_id)) == RunResultState.FAILED
    bigger = JobCluster.from_dict(
        {"job_cluster_key": "main", "new_cluster": {**SPEC, "num_workers": 6}}
    )
    workspace.jobs.update(job_id, new_settings=JobSettings(job_clusters=[bigger]))
    workspace.jobs.repair_run(run_id, rerun_all_failed_tasks=True)
    sandbox.advance(60)
    assert result(workspace.jobs.get_run(run_id)) == RunResultState.SUCCESS


def test_a_job_cluster_that_does_not_come_up_fails_the_task(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    job_id = job_cluster_job(sandbox)
    reason = {"code": "CLOUD_PROVIDER_RESOURCE_STOCKOUT", "type": "CLIENT_ERROR", "parameters": {}}
    failure = {"result": "SUCCESS", "cluster_failure": {"termination_reason": reason}}
    sandbox.script("databricks/outcomes", job_id=job_id, outcomes=[failure])
    run_id = run_now(workspace, job_id)
    sandbox.advance(60)
    task = latest(workspace.jobs.get_run(run_id))["extract"]
    assert task.state is not None
    assert "Reason: CLOUD_PROVIDER_RESOURCE_STOCKOUT (CLIENT_ERROR)" in str(
        task.state.state_message
    )
    assert task.state.life_cycle_state == RunLifeCycleState.INTERNAL_ERROR
    workspace.jobs.repair_run(run_id, rerun_all_failed_tasks=True)
    sandbox.advance(60)
    assert result(workspace.jobs.get_run(run_id)) == RunResultState.SUCCESS


def shared_job(sandbox: Sandbox, **cluster: object) -> tuple[int, str]:
    cluster_id = sandbox.script("databricks/clusters", **{**SPEC, **cluster})["cluster_id"]
    return make_job(sandbox, tasks=chain(existing_cluster_id=cluster_id)), str(cluster_id)


def test_a_task_starts_its_terminated_cluster(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id, cluster_id = shared_job(sandbox, state="TERMINATED")
    run_id = run_now(workspace, job_id)
    assert workspace.clusters.get(cluster_id).state == State.PENDING
    sandbox.advance(60)
    assert result(workspace.jobs.get_run(run_id)) == RunResultState.SUCCESS


def test_a_dying_cluster_takes_its_tasks_with_it(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    job_id, cluster_id = shared_job(sandbox)
    run_id = run_now(workspace, job_id)
    reason = {"code": "DRIVER_UNREACHABLE", "type": "CLOUD_FAILURE", "parameters": {"a": "b"}}
    sandbox.script(f"databricks/clusters/{cluster_id}/break", termination_reason=reason)
    task = latest(workspace.jobs.get_run(run_id))["extract"]
    assert task.status is not None
    assert task.status.termination_details is not None
    assert task.status.termination_details.code == TerminationCodeCode.CLUSTER_ERROR
    assert "Reason: DRIVER_UNREACHABLE (CLOUD_FAILURE). Parameters: a:b" in str(
        task.status.termination_details.message
    )


def test_a_library_that_does_not_install_fails_the_task(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    rule = {"library": "nope==1.0", "status": "FAILED", "message": "No matching distribution"}
    sandbox.script("databricks/libraries", rules=[rule])
    cluster_id = sandbox.script("databricks/clusters", **SPEC)["cluster_id"]
    libraries = [{"pypi": {"package": "nope==1.0"}}]
    tasks = chain(existing_cluster_id=cluster_id, libraries=libraries)
    run_id = run_now(workspace, make_job(sandbox, tasks=tasks))
    sandbox.advance(60)
    run = workspace.jobs.get_run(run_id)
    assert run.state is not None
    assert "Library installation failed for library due to user error" in str(
        run.state.state_message
    )


def test_idempotency_tokens(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox)
    first = run_now(workspace, job_id, token="t")
    assert run_now(workspace, job_id, token="t") == first
    assert [x["effect"] for x in sandbox.requests("run-now")] == [True, False]
    with pytest.raises(InvalidParameterValue):
        run_now(workspace, job_id, token="t" * 65)


def test_a_second_concurrent_run_is_skipped(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox)
    run_now(workspace, job_id)
    skipped = workspace.jobs.get_run(run_now(workspace, job_id))
    assert skipped.state is not None
    assert skipped.state.life_cycle_state == RunLifeCycleState.SKIPPED


def test_cancelling_takes_a_moment(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    run_id = run_now(workspace, make_job(sandbox))
    workspace.jobs.cancel_run(run_id)
    run = workspace.jobs.get_run(run_id)
    assert run.state is not None
    assert run.state.life_cycle_state == RunLifeCycleState.TERMINATING
    sandbox.advance(1)
    assert result(workspace.jobs.get_run(run_id)) == RunResultState.CANCELED


def test_the_platforms_own_retries_are_new_attempts(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    retried = {"max_retries": 1, "min_retry_interval_millis": 5000}
    tasks = [{"task_key": "only", "notebook_task": NOTEBOOK, **retried}]
    job_id = make_job(sandbox, tasks=tasks)
    sandbox.script("databricks/outcomes", job_id=job_id, outcomes=[FAILED])
    run_id = run_now(workspace, job_id)
    sandbox.advance(2)
    waiting = latest(workspace.jobs.get_run(run_id))["only"]
    assert waiting.state is not None
    assert waiting.state.life_cycle_state == RunLifeCycleState.WAITING_FOR_RETRY
    sandbox.advance(60)
    run = workspace.jobs.get_run(run_id)
    assert result(run) == RunResultState.SUCCESS
    assert [task.attempt_number for task in run.tasks or []] == [0, 1]


def test_a_task_that_takes_too_long_times_out(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    tasks = [{"task_key": "only", "notebook_task": NOTEBOOK, "timeout_seconds": 5}]
    job_id = make_job(sandbox, tasks=tasks)
    slow = {"result": "SUCCESS", "duration_seconds": 9}
    sandbox.script("databricks/outcomes", job_id=job_id, outcomes=[slow])
    run_id = run_now(workspace, job_id)
    sandbox.advance(5)
    assert result(workspace.jobs.get_run(run_id)) == RunResultState.TIMEDOUT


def test_listing_is_paged_and_bare(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox, max_concurrent_runs=10)
    ids = {run_now(workspace, job_id) for _ in range(5)}
    bare = sandbox.raw("GET", f"/api/2.2/jobs/runs/list?job_id={job_id}&limit=2").body
    assert bare["has_more"] is True
    assert "tasks" not in bare["runs"][0]
    listed = list(workspace.jobs.list_runs(job_id=job_id, limit=2, expand_tasks=True))
    assert {run.run_id for run in listed} == ids
    assert all(len(run.tasks or []) == 2 for run in listed)
    assert list(workspace.jobs.list_runs(completed_only=True)) == []


def test_a_limit_above_25_is_refused(sandbox: Sandbox) -> None:
    assert sandbox.raw("GET", "/api/2.2/jobs/runs/list?limit=26").status == 400


def test_more_than_a_hundred_tasks_are_paged(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    tasks = [{"task_key": f"t{n}", "notebook_task": NOTEBOOK} for n in range(150)]
    run_id = run_now(workspace, make_job(sandbox, tasks=tasks))
    first = sandbox.raw("GET", f"/api/2.2/jobs/runs/get?run_id={run_id}").body
    assert len(first["tasks"]) == 100
    assert len(workspace.jobs.get_run(run_id).tasks or []) == 150


def test_update_merges_arrays_by_key(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox)
    changed = {"task_key": "load", "notebook_task": {"notebook_path": "/y"}}
    body = {"job_id": job_id, "new_settings": {"tasks": [changed]}, "fields_to_remove": ["name"]}
    assert sandbox.raw("POST", "/api/2.2/jobs/update", body).status == 200
    settings = sandbox.raw("GET", f"/api/2.2/jobs/get?job_id={job_id}").body["settings"]
    assert [task["task_key"] for task in settings["tasks"]] == ["extract", "load"]
    assert settings["tasks"][1] == changed
    assert "name" not in settings


def test_a_forbidden_job_is_403(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox)
    assert workspace.permissions.get("jobs", str(job_id)).object_type == "job"
    sandbox.script("forbid", kind="job", id=job_id)
    with pytest.raises(PermissionDenied):
        workspace.jobs.get(job_id)


def test_a_run_that_is_already_over(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox)
    run_id = sandbox.script(
        "databricks/runs", job_id=job_id, outcome=FAILED, finished=True, started_seconds_ago=60
    )["run_id"]
    run = workspace.jobs.get_run(run_id)
    assert result(run) == RunResultState.FAILED
    assert run.run_duration == 60_000
    assert result(latest(run)["load"]) == RunResultState.UPSTREAM_FAILED


def test_only_some_tasks_are_run_and_rules_hold_for_jobs_to_come(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    outcomes = [{"result": "FAILED", "error": "no"}]
    sandbox.script("databricks/job-outcomes", match="^later$", task_key="second", outcomes=outcomes)
    notebook = {"notebook_task": {"notebook_path": "/x"}}
    first = {"task_key": "first", **notebook}
    second = {"task_key": "second", "depends_on": [{"task_key": "first"}], **notebook}
    body = {"name": "later", "tasks": [first, second]}
    made: Any = workspace.api_client.do("POST", "/api/2.2/jobs/create", body=body)
    asked = {"job_id": made["job_id"], "only": ["second"]}
    run: Any = workspace.api_client.do("POST", "/api/2.2/jobs/run-now", body=asked)
    sandbox.advance(60)
    found = workspace.jobs.get_run(run["run_id"])
    assert [task.task_key for task in found.tasks or []] == ["second"]
    assert found.state is not None
    assert found.state.result_state is RunResultState.FAILED
    with pytest.raises(InvalidParameterValue):
        workspace.api_client.do("POST", "/api/2.2/jobs/run-now", body=asked | {"only": ["third"]})

from collections.abc import Mapping

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service.jobs import (
    JobSettings,
    Run,
    RunResultState,
    Task,
    TerminationCodeCode,
)

from sandbox.testing import Sandbox

NOTEBOOK = {"notebook_path": "/x", "base_parameters": {"region": "7"}}
ONLY = {"task_key": "only", "notebook_task": NOTEBOOK}
BATCH = [{"name": "batch_size", "default": "1000"}]
SMALL = {"parameter_max": {"name": "batch_size", "value": 500}}


def make_job(sandbox: Sandbox, then: Mapping[str, object], **settings: object) -> int:
    made = sandbox.script("databricks/jobs", **{"name": "n", "tasks": [ONLY], **settings})
    sandbox.script("databricks/outcomes", job_id=made["job_id"], outcomes=[], then=then)
    return int(made["job_id"])


def failing(**condition: object) -> dict[str, object]:
    return {"result": "FAILED", "condition": condition}


def finished(sandbox: Sandbox, workspace: WorkspaceClient, run_id: int) -> Run:
    sandbox.advance(300)
    return workspace.jobs.get_run(run_id, include_history=True)


def result(sandbox: Sandbox, workspace: WorkspaceClient, run_id: int) -> RunResultState | None:
    run = finished(sandbox, workspace, run_id)
    assert run.state is not None
    return run.state.result_state


def run_now(workspace: WorkspaceClient, job_id: int, **parameters: str) -> int:
    return int(workspace.jobs.run_now(job_id, job_parameters=parameters).bind()["run_id"])


def repair(workspace: WorkspaceClient, run_id: int, **parameters: str) -> None:
    history = workspace.jobs.get_run(run_id, include_history=True).repair_history or []
    latest = history[-1].id
    workspace.jobs.repair_run(
        run_id,
        rerun_all_failed_tasks=True,
        latest_repair_id=latest,
        job_parameters=parameters or None,
    )


def parameters_of(run: Run) -> dict[str | None, tuple[str | None, str | None]]:
    return {x.name: (x.default, x.value) for x in run.job_parameters or []}


def test_a_task_may_want_a_table(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox, failing(table_exists="main.sales.Orders"))
    run_id = run_now(workspace, job_id)
    assert result(sandbox, workspace, run_id) == RunResultState.FAILED
    sandbox.script("databricks/warehouses", warehouse_id="w")
    workspace.statement_execution.execute_statement("CREATE TABLE main.sales.orders (id INT)", "w")
    repair(workspace, run_id)
    assert result(sandbox, workspace, run_id) == RunResultState.SUCCESS


@pytest.mark.parametrize("where", ["task", "job"])
def test_a_task_may_want_a_longer_time_out(
    sandbox: Sandbox, workspace: WorkspaceClient, where: str
) -> None:
    def settings(seconds: int) -> dict[str, object]:
        if where == "job":
            return {"timeout_seconds": seconds}
        return {"tasks": [{**ONLY, "timeout_seconds": seconds}]}

    slow = {"result": "TIMEDOUT", "condition": {"min_timeout_seconds": 90}}
    job_id = make_job(sandbox, slow, **settings(60))
    run_id = run_now(workspace, job_id)
    run = finished(sandbox, workspace, run_id)
    assert run.state is not None
    assert run.state.result_state == RunResultState.TIMEDOUT
    assert run.state.user_cancelled_or_timedout is True
    assert run.status is not None
    assert run.status.termination_details is not None
    assert run.status.termination_details.code == TerminationCodeCode.CANCELED
    workspace.jobs.update(job_id, new_settings=JobSettings.from_dict(settings(90)))
    repair(workspace, run_id)
    assert result(sandbox, workspace, run_id) == RunResultState.SUCCESS


def test_the_smaller_time_out_counts(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    slow = {"result": "TIMEDOUT", "condition": {"min_timeout_seconds": 90}}
    tasks = [{**ONLY, "timeout_seconds": 60}]
    job_id = make_job(sandbox, slow, tasks=tasks, timeout_seconds=3600)
    run_id = run_now(workspace, job_id)
    assert result(sandbox, workspace, run_id) == RunResultState.TIMEDOUT
    workspace.jobs.update(job_id, new_settings=JobSettings(tasks=[Task.from_dict(ONLY)]))
    repair(workspace, run_id)
    assert result(sandbox, workspace, run_id) == RunResultState.SUCCESS


def test_a_slow_task_times_out_by_itself(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    slow = {"result": "SUCCESS", "duration_seconds": 80}
    job_id = make_job(sandbox, slow, timeout_seconds=60)
    run_id = run_now(workspace, job_id)
    assert result(sandbox, workspace, run_id) == RunResultState.TIMEDOUT
    workspace.jobs.update(job_id, new_settings=JobSettings(timeout_seconds=90))
    repair(workspace, run_id)
    assert result(sandbox, workspace, run_id) == RunResultState.SUCCESS


def test_a_task_may_want_a_smaller_batch(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox, failing(**SMALL), parameters=BATCH)
    run_id = run_now(workspace, job_id)
    run = finished(sandbox, workspace, run_id)
    assert parameters_of(run) == {"batch_size": ("1000", "1000")}
    repair(workspace, run_id, batch_size="600")
    assert result(sandbox, workspace, run_id) == RunResultState.FAILED
    repair(workspace, run_id, batch_size="500")
    assert result(sandbox, workspace, run_id) == RunResultState.SUCCESS
    run = workspace.jobs.get_run(run_id)
    assert parameters_of(run) == {"batch_size": ("1000", "500")}


def test_a_repair_keeps_the_runs_parameters(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox, failing(), parameters=BATCH)
    run_id = run_now(workspace, job_id, batch_size="800", day="monday")
    sandbox.advance(300)
    repair(workspace, run_id, day="tuesday")
    run = finished(sandbox, workspace, run_id)
    assert parameters_of(run) == {"batch_size": ("1000", "800"), "day": (None, "tuesday")}


def test_run_now_with_a_small_batch_succeeds(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox, failing(**SMALL), parameters=BATCH)
    run_id = run_now(workspace, job_id, batch_size="10")
    assert result(sandbox, workspace, run_id) == RunResultState.SUCCESS


@pytest.mark.parametrize(("name", "limit"), [("region", 7), ("rows", 20)])
def test_a_tasks_own_parameters_count_too(
    sandbox: Sandbox, workspace: WorkspaceClient, name: str, limit: int
) -> None:
    job_id = make_job(sandbox, failing(parameter_max={"name": name, "value": limit}))
    waiter = workspace.jobs.run_now(job_id, notebook_params={"rows": "20"})
    run_id = int(waiter.bind()["run_id"])
    assert result(sandbox, workspace, run_id) == RunResultState.SUCCESS
    overriding = workspace.jobs.get_run(run_id).overriding_parameters
    assert overriding is not None
    assert overriding.notebook_params == {"rows": "20"}


def test_parameters_that_do_not_go_together(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox, failing())
    with pytest.raises(InvalidParameterValue, match="in conjunction with jar_params"):
        workspace.jobs.run_now(job_id, notebook_params={"a": "b"}, jar_params=["c"])
    with pytest.raises(InvalidParameterValue, match="10000 bytes"):
        workspace.jobs.run_now(job_id, notebook_params={"a": "b" * 10_000})
    made = sandbox.script("databricks/runs", job_id=job_id, job_parameters={"day": "monday"})
    run_id = int(made["run_id"])
    run = finished(sandbox, workspace, run_id)
    assert parameters_of(run) == {"day": (None, "monday")}
    with pytest.raises(InvalidParameterValue):
        workspace.jobs.repair_run(
            run_id, rerun_all_failed_tasks=True, notebook_params={"a": "b"}, jar_params=["c"]
        )


def test_jobs_are_found_by_name(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    wanted = make_job(sandbox, failing(), name="Nightly Load")
    make_job(sandbox, failing(), name="nightly load 2")
    assert [job.job_id for job in workspace.jobs.list(name="nightly LOAD")] == [wanted]
    assert list(workspace.jobs.list(name="nightly")) == []


def test_runs_are_listed_newest_first(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    job_id = make_job(sandbox, failing(), max_concurrent_runs=9)
    same_moment = [run_now(workspace, job_id) for _ in range(2)]
    sandbox.advance(60)
    later = run_now(workspace, job_id)
    listed = [run.run_id for run in workspace.jobs.list_runs(job_id=job_id)]
    assert listed == [later, *reversed(same_moment)]

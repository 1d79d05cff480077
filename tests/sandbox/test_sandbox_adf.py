from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.mgmt.datafactory.models import (
    ActivityRun,
    PipelineRun,
    RunFilterParameters,
    RunQueryFilter,
    RunQueryOrderBy,
)

from sandbox.testing import Sandbox

AT = ("rg", "adf")
ROOT = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg"
    "/providers/Microsoft.DataFactory/factories/adf"
)
ALWAYS = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC))
ERROR = {"errorCode": "2200", "message": "ErrorCode=UserErrorX", "failureType": "UserError"}
FAILED = {"status": "Failed", "activity": "write", "error": ERROR}


@pytest.fixture(autouse=True)
def pipelines(sandbox: Sandbox, factory: DataFactoryManagementClient) -> None:
    steps = [
        {"name": "read", "type": "Copy"},
        {"name": "write", "type": "Copy", "depends_on": ["read"], "policy": {"retry": 2}},
    ]
    call = {"name": "call", "type": "ExecutePipeline", "pipeline": "child"}
    parameters = {"day": {"type": "String", "defaultValue": "monday"}}
    for name, activities in (("child", steps), ("parent", [call]), ("plain", [])):
        sandbox.script(
            "adf/pipelines", factory="adf", name=name, activities=activities, parameters=parameters
        )


def window(**more: Any) -> RunFilterParameters:
    return RunFilterParameters(last_updated_after=ALWAYS[0], last_updated_before=ALWAYS[1], **more)


def create(client: DataFactoryManagementClient, pipeline: str, **options: Any) -> str:
    return str(client.pipelines.create_run(*AT, pipeline, **options).run_id)


def get(client: DataFactoryManagementClient, run_id: str) -> PipelineRun:
    return client.pipeline_runs.get(*AT, run_id)


def activities(client: DataFactoryManagementClient, run_id: str) -> dict[str, ActivityRun]:
    found = client.activity_runs.query_by_pipeline_run(*AT, run_id, window())
    return {str(run.activity_name): run for run in found.value}


def child_of(client: DataFactoryManagementClient, run_id: str) -> str:
    output = activities(client, run_id)["call"].output
    assert isinstance(output, dict)
    return str(output["pipelineRunId"])


def runs(client: DataFactoryManagementClient, **more: object) -> list[PipelineRun]:
    return list(client.pipeline_runs.query_by_factory(*AT, window(**more)).value)


def fail(sandbox: Sandbox, pipeline: str, *outcomes: object) -> None:
    sandbox.script("adf/outcomes", factory="adf", pipeline=pipeline, outcomes=list(outcomes))


def failed_run(sandbox: Sandbox, client: DataFactoryManagementClient, pipeline: str) -> str:
    fail(sandbox, "child", FAILED)
    run_id = create(client, pipeline)
    sandbox.advance(60)
    assert get(client, run_id).status == "Failed"
    return run_id


def refusal(caught: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str | None]:
    error = caught.value.error
    return caught.value.status_code, error.code if error else None


def test_a_run_is_queued_then_goes_on_then_succeeds(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    run_id = create(factory, "child")
    seen = [get(factory, run_id).status]
    for seconds in (0.5, 5):
        sandbox.advance(seconds)
        seen.append(get(factory, run_id).status)
    assert seen == ["Queued", "InProgress", "Succeeded"]
    run = get(factory, run_id)
    assert run.duration_in_ms == 2000
    assert run.invoked_by is not None
    assert run.invoked_by.invoked_by_type == "Manual"
    assert run.parameters == {"day": "monday"}


def test_a_pipeline_without_activities_ends_too(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    run_id = create(factory, "plain")
    sandbox.advance(2)
    assert get(factory, run_id).status == "Succeeded"


def test_unknown_pipelines_runs_and_factories(factory: DataFactoryManagementClient) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        create(factory, "nothing")
    assert refusal(caught) == (404, "EntityNotFound")
    with pytest.raises(ResourceNotFoundError):
        get(factory, "nothing")
    with pytest.raises(ResourceNotFoundError) as caught:
        factory.factories.get("rg", "nothing")
    assert refusal(caught) == (404, "ResourceNotFound")


def test_definitions_are_read_by_the_sdk(factory: DataFactoryManagementClient) -> None:
    names = [pipeline.name for pipeline in factory.pipelines.list_by_factory(*AT)]
    assert names == ["child", "parent", "plain"]
    definition = factory.pipelines.get(*AT, "child")
    assert definition is not None
    write = (definition.properties.activities or [])[1]
    assert write["policy"] == {"retry": 2}


def test_the_api_version_is_required_and_case_does_not_matter(sandbox: Sandbox) -> None:
    reply = sandbox.raw("GET", ROOT)
    assert (reply.status, reply.body["error"]["code"]) == (400, "MissingApiVersionParameter")
    assert sandbox.raw("GET", f"{ROOT.upper()}?api-version=2018-06-01").status == 200


def test_activity_errors_reach_the_sdks_models(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    run_id = failed_run(sandbox, factory, "child")
    found = activities(factory, run_id)
    assert found["read"].status == "Succeeded"
    error = found["write"].error
    assert isinstance(error, dict)
    assert error["errorCode"] == "2200"
    assert error["target"] == "write"
    assert found["write"]["retryAttempt"] == 2
    message = get(factory, run_id).message
    assert message == "Operation on target write failed: ErrorCode=UserErrorX"


def test_a_failed_child_fails_its_parent(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    parent_id = failed_run(sandbox, factory, "parent")
    call = activities(factory, parent_id)["call"]
    assert isinstance(call.error, dict)
    assert call.error["message"] == "Operation on target write failed: ErrorCode=UserErrorX"
    child = get(factory, child_of(factory, parent_id))
    assert child.invoked_by is not None
    assert child.invoked_by.invoked_by_type == "PipelineActivity"
    assert child.invoked_by.pipeline_run_id == parent_id


def test_a_recovery_joins_the_group_and_keeps_what_succeeded(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    old = failed_run(sandbox, factory, "child")
    new = create(
        factory,
        "child",
        parameters={"day": "ignored"},
        reference_pipeline_run_id=old,
        is_recovery=True,
        start_from_failure=True,
    )
    sandbox.advance(60)
    rerun = get(factory, new)
    assert (rerun.status, rerun.is_latest, rerun.run_group_id) == ("Succeeded", True, old)
    assert rerun.parameters == {"day": "monday"}
    assert list(activities(factory, new)) == ["write"]
    assert get(factory, old).is_latest is False
    latest = RunQueryFilter(operand="LatestOnly", operator="Equals", values_property=["true"])
    assert [run.run_id for run in runs(factory, filters=[latest])] == [new]


def test_a_recovered_parent_starts_a_new_child(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    old = failed_run(sandbox, factory, "parent")
    new = create(
        factory,
        "parent",
        reference_pipeline_run_id=old,
        is_recovery=True,
        start_from_failure=True,
    )
    sandbox.advance(60)
    assert child_of(factory, old) != child_of(factory, new)
    assert get(factory, new).status == "Succeeded"


def test_an_unknown_reference_is_refused(factory: DataFactoryManagementClient) -> None:
    with pytest.raises(HttpResponseError) as caught:
        create(factory, "child", reference_pipeline_run_id="nothing")
    assert refusal(caught) == (400, "ReferencedPipelineRunNotValid")


def test_filters_and_order(sandbox: Sandbox, factory: DataFactoryManagementClient) -> None:
    failed_run(sandbox, factory, "child")
    create(factory, "plain")
    status = RunQueryFilter(operand="Status", operator="In", values_property=["Failed"])
    assert [run.pipeline_name for run in runs(factory, filters=[status])] == ["child"]
    order = RunQueryOrderBy(order_by="RunStart", order="DESC")
    assert [run.pipeline_name for run in runs(factory, order_by=[order])] == ["plain", "child"]
    wrong = RunQueryFilter(operand="ActivityName", operator="Equals", values_property=["x"])
    with pytest.raises(HttpResponseError):
        runs(factory, filters=[wrong])


def test_both_bounds_of_the_window_are_required(sandbox: Sandbox) -> None:
    body = {"lastUpdatedAfter": "2020-01-01T00:00:00Z"}
    path = f"{ROOT}/queryPipelineRuns?api-version=2018-06-01"
    assert sandbox.raw("POST", path, body).status == 400


def test_an_empty_page_is_not_the_end(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    ids = {create(factory, "plain") for _ in range(3)}
    sandbox.script("adf/paging", page_size=2, empty_first_page=True)
    page = factory.pipeline_runs.query_by_factory(*AT, window())
    assert list(page.value) == []
    assert str(page.continuation_token).startswith('{"token": null, "range"')
    found: set[str] = set()
    while page.continuation_token:
        again = window(continuation_token=page.continuation_token)
        page = factory.pipeline_runs.query_by_factory(*AT, again)
        found |= {str(run.run_id) for run in page.value}
    assert found == ids
    with pytest.raises(HttpResponseError):
        runs(factory, continuation_token="null")


def test_cancelling_a_parent_may_take_the_child_along(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    parent = create(factory, "parent")
    sandbox.advance(0.5)
    factory.pipeline_runs.cancel(*AT, parent, is_recursive=True)
    assert get(factory, parent).status == "Canceling"
    sandbox.advance(1)
    child = child_of(factory, parent)
    assert [get(factory, x).status for x in (parent, child)] == ["Cancelled", "Cancelled"]


def test_a_window_is_rerun_through_its_trigger(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    trigger = {"name": "hourly", "type": "TumblingWindowTrigger"}
    made = sandbox.script(
        "adf/runs", factory="adf", pipeline="child", outcome=FAILED, finished=True, trigger=trigger
    )
    fired = factory.trigger_runs.query_by_factory(*AT, window()).value[0]
    assert (fired.trigger_run_id, fired.status) == (made["trigger_run_id"], "Failed")
    factory.trigger_runs.rerun(*AT, "hourly", made["trigger_run_id"])
    sandbox.advance(60)
    fired = factory.trigger_runs.query_by_factory(*AT, window()).value[0]
    assert fired.status == "Succeeded"
    assert fired.triggered_pipelines is not None
    rerun = get(factory, fired.triggered_pipelines["child"])
    assert rerun.run_id != made["run_id"]
    assert rerun.run_group_id == made["run_id"]
    assert rerun.invoked_by is not None
    assert rerun.invoked_by.invoked_by_type == "TumblingWindowTrigger"


def test_a_finished_parent_brings_its_child(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    fail(sandbox, "child", FAILED)
    made = sandbox.script("adf/runs", factory="adf", pipeline="parent", finished=True)
    assert get(factory, made["run_id"]).message == (
        "Operation on target call failed: Operation on target write failed: ErrorCode=UserErrorX"
    )


def test_a_child_can_be_put_under_a_parent(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    parent = sandbox.script("adf/runs", factory="adf", pipeline="parent", finished=True)["run_id"]
    child = sandbox.script("adf/runs", factory="adf", pipeline="child", parent_run_id=parent)
    run = get(factory, child["run_id"])
    assert run.invoked_by is not None
    assert run.invoked_by.pipeline_run_id == parent
    assert child_of(factory, parent) == child["run_id"]


def test_a_forbidden_factory_is_403(sandbox: Sandbox, factory: DataFactoryManagementClient) -> None:
    sandbox.script("forbid", kind="factory", id="adf")
    with pytest.raises(HttpResponseError) as caught:
        runs(factory)
    assert refusal(caught) == (403, "AuthorizationFailed")


def test_a_run_may_want_a_smaller_parameter(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    picky = {**FAILED, "unless_parameter_max": {"name": "batch_size", "value": 500}}
    sandbox.script("adf/outcomes", factory="adf", pipeline="child", outcomes=[], then=picky)
    asked: list[dict[str, object]] = [{}, {"batch_size": 1000}, {"batch_size": "500"}]
    made = [create(factory, "child", parameters=parameters) for parameters in asked]
    sandbox.advance(60)
    assert [get(factory, x).status for x in made] == ["Failed", "Failed", "Succeeded"]
    assert get(factory, made[2]).parameters == {"day": "monday", "batch_size": "500"}


def test_parameters_without_a_reference_are_used(factory: DataFactoryManagementClient) -> None:
    run_id = create(factory, "child", parameters={"day": "friday"})
    assert get(factory, run_id).parameters == {"day": "friday"}


def test_the_newest_runs_of_a_pipeline(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    old = failed_run(sandbox, factory, "child")
    rerun = {"reference_pipeline_run_id": old, "is_recovery": True, "start_from_failure": True}
    same_moment = [create(factory, "child", **rerun), create(factory, "child")]
    create(factory, "plain")
    name = RunQueryFilter(operand="PipelineName", operator="Equals", values_property=["child"])
    latest = RunQueryFilter(operand="LatestOnly", operator="Equals", values_property=["true"])
    order = RunQueryOrderBy(order_by="RunStart", order="DESC")
    found = [x.run_id for x in runs(factory, filters=[name], order_by=[order])]
    assert found == [*reversed(same_moment), old]
    found = [x.run_id for x in runs(factory, filters=[name, latest], order_by=[order])]
    assert found == list(reversed(same_moment))


def test_triggers_are_listed(sandbox: Sandbox, factory: DataFactoryManagementClient) -> None:
    sandbox.script("adf/triggers", factory="adf", name="nightly", pipelines=["child"])
    hourly = {"name": "hourly", "type": "TumblingWindowTrigger", "state": "Stopped"}
    sandbox.script("adf/triggers", factory="adf", pipelines=["parent"], **hourly)
    found = {x.name: x.properties for x in factory.triggers.list_by_factory(*AT)}
    states = {name: x.runtime_state for name, x in found.items()}
    assert states == {"nightly": "Started", "hourly": "Stopped"}
    references = found["nightly"]["pipelines"]
    assert references[0]["pipelineReference"]["referenceName"] == "child"
    with pytest.raises(ResourceNotFoundError):
        factory.triggers.get(*AT, "nothing")

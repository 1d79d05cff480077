import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, ResourceConflict, ResourceDoesNotExist
from databricks.sdk.service.jobs import RunResultState
from databricks.sdk.service.pipelines import (
    EventLevel,
    PipelineState,
    UpdateInfoCause,
    UpdateInfoState,
)

from sandbox.testing import Sandbox

BOOM = {"exceptions": [{"class_name": "pyspark.AnalysisException", "message": "[X.Y] no"}]}
FAILED = {"state": "FAILED", "error": BOOM, "flow": "silver"}


def make(sandbox: Sandbox, **spec: object) -> str:
    made = sandbox.script(
        "databricks/pipelines", **{"name": "medallion", "serverless": True, **spec}
    )
    return str(made["pipeline_id"])


def start(workspace: WorkspaceClient, pipeline_id: str, *, full_refresh: bool = False) -> str:
    return str(workspace.pipelines.start_update(pipeline_id, full_refresh=full_refresh).update_id)


def state(workspace: WorkspaceClient, pipeline_id: str, update_id: str) -> UpdateInfoState | None:
    update = workspace.pipelines.get_update(pipeline_id, update_id).update
    assert update is not None
    return update.state


def test_an_update_walks_through_its_states(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox)
    update_id = start(workspace, pipeline_id, full_refresh=True)
    seen = []
    for _ in range(6):
        seen.append(state(workspace, pipeline_id, update_id))
        sandbox.advance(0.3)
    assert seen == [
        UpdateInfoState.QUEUED,
        UpdateInfoState.CREATED,
        UpdateInfoState.INITIALIZING,
        UpdateInfoState.RESETTING,
        UpdateInfoState.SETTING_UP_TABLES,
        UpdateInfoState.RUNNING,
    ]
    sandbox.advance(10)
    assert state(workspace, pipeline_id, update_id) == UpdateInfoState.COMPLETED
    assert workspace.pipelines.get(pipeline_id).state == PipelineState.IDLE


def test_only_one_update_at_a_time(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox)
    start(workspace, pipeline_id)
    with pytest.raises(ResourceConflict, match="An active update"):
        start(workspace, pipeline_id)


def test_stopping_cancels_the_update(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox)
    update_id = start(workspace, pipeline_id)
    workspace.pipelines.stop(pipeline_id)
    assert state(workspace, pipeline_id, update_id) == UpdateInfoState.STOPPING
    sandbox.advance(1)
    assert state(workspace, pipeline_id, update_id) == UpdateInfoState.CANCELED


def test_a_failure_is_in_the_event_log(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox, outcomes=[FAILED])
    update_id = start(workspace, pipeline_id)
    sandbox.advance(10)
    assert workspace.pipelines.get(pipeline_id).state == PipelineState.FAILED
    errors = list(workspace.pipelines.list_pipeline_events(pipeline_id, filter="level='ERROR'"))
    assert [event.event_type for event in errors] == ["update_progress", "flow_progress"]
    flow = errors[1]
    assert flow.level == EventLevel.ERROR
    assert flow.origin is not None
    assert flow.origin.update_id == update_id
    assert flow.error is not None
    assert flow.error.exceptions is not None
    assert flow.error.exceptions[0].message == "[X.Y] no"


def events(sandbox: Sandbox, pipeline_id: str, query: str) -> int:
    return sandbox.raw("GET", f"/api/2.0/pipelines/{pipeline_id}/events?{query}").status


@pytest.mark.parametrize(
    "text",
    [
        "level='INFO'",
        "level in ('ERROR', 'WARN')",
        "id='abc'",
        "timestamp > '2021-07-22T06:37:33.083Z'",
        "level in ('ERROR', 'WARN') AND timestamp> '2021-07-22T06:37:33.083Z'",
    ],
)
def test_the_filter_language(sandbox: Sandbox, workspace: WorkspaceClient, text: str) -> None:
    pipeline_id = make(sandbox)
    assert list(workspace.pipelines.list_pipeline_events(pipeline_id, filter=text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "event_type='flow_progress'",
        "update_id='x'",
        "level='INFO' OR level='ERROR'",
        "level <> 'INFO'",
        "timestamp > 'yesterday'",
        "id in ('a')",
    ],
)
def test_what_the_filter_language_lacks(
    sandbox: Sandbox, workspace: WorkspaceClient, text: str
) -> None:
    pipeline_id = make(sandbox)
    with pytest.raises(InvalidParameterValue):
        list(workspace.pipelines.list_pipeline_events(pipeline_id, filter=text))


def test_a_page_token_stands_alone(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox)
    start(workspace, pipeline_id)
    sandbox.advance(10)
    path = f"/api/2.0/pipelines/{pipeline_id}/events?max_results=2"
    token = sandbox.raw("GET", path).body["next_page_token"]
    assert events(sandbox, pipeline_id, f"max_results=2&page_token={token}") == 200
    assert events(sandbox, pipeline_id, f"page_token={token}&filter=level%3D%27INFO%27") == 400
    assert events(sandbox, pipeline_id, f"page_token={token}&order_by=timestamp%20asc") == 400
    whole = list(workspace.pipelines.list_pipeline_events(pipeline_id, max_results=2))
    assert len({event.id for event in whole}) == len(whole) == 7


def test_events_can_be_ordered(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox)
    start(workspace, pipeline_id)
    sandbox.advance(10)
    oldest = list(workspace.pipelines.list_pipeline_events(pipeline_id, order_by=["timestamp asc"]))
    assert oldest[0].event_type == "create_update"
    assert events(sandbox, pipeline_id, "order_by=level") == 400


def test_a_stale_edit_is_a_conflict(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox)
    seen = workspace.pipelines.get(pipeline_id).last_modified
    workspace.pipelines.update(
        pipeline_id, name="medallion", catalog="main", expected_last_modified=seen
    )
    with pytest.raises(ResourceConflict):
        workspace.pipelines.update(pipeline_id, name="medallion", expected_last_modified=seen)
    spec = workspace.pipelines.get(pipeline_id).spec
    assert spec is not None
    assert (spec.catalog, spec.serverless) == ("main", None)


def test_serverless_takes_no_clusters(sandbox: Sandbox) -> None:
    body = {"name": "x", "serverless": True, "clusters": [{"label": "default"}]}
    assert sandbox.raw("POST", "/api/2.0/pipelines", body).status == 400


def test_a_continuous_pipeline_refuses_selections_and_does_not_end(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    pipeline_id = make(sandbox, continuous=True)
    with pytest.raises(InvalidParameterValue, match="CONTINUOUS_PIPELINE_NOT_SUPPORTED"):
        workspace.pipelines.start_update(pipeline_id, refresh_selection=["silver"])
    update_id = start(workspace, pipeline_id)
    sandbox.advance(3600)
    assert state(workspace, pipeline_id, update_id) == UpdateInfoState.RUNNING


def test_some_failures_need_a_full_refresh(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    stubborn = {**FAILED, "condition": {"full_refresh": True}}
    pipeline_id = make(sandbox, then=stubborn)
    for full_refresh, end in ((False, "FAILED"), (True, "COMPLETED")):
        update_id = start(workspace, pipeline_id, full_refresh=full_refresh)
        sandbox.advance(10)
        assert state(workspace, pipeline_id, update_id) == UpdateInfoState(end)


def test_the_platform_may_retry_by_itself(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox, outcomes=[{**FAILED, "platform_retry": True}])
    start(workspace, pipeline_id)
    sandbox.advance(30)
    updates = workspace.pipelines.list_updates(pipeline_id, max_results=1)
    assert updates.next_page_token is not None
    assert updates.updates is not None
    assert updates.updates[0].cause == UpdateInfoCause.RETRY_ON_FAILURE


def test_a_pipeline_task_follows_its_update(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox, outcomes=[FAILED])
    task = {"task_key": "dlt", "pipeline_task": {"pipeline_id": pipeline_id}}
    job_id = sandbox.script("databricks/jobs", name="over", tasks=[task])["job_id"]
    run_id = sandbox.script("databricks/runs", job_id=job_id)["run_id"]
    sandbox.advance(10)
    run = workspace.jobs.get_run(run_id)
    assert run.state is not None
    assert run.state.result_state == RunResultState.FAILED
    latest = workspace.pipelines.list_updates(pipeline_id).updates or []
    assert latest[0].cause == UpdateInfoCause.JOB_TASK


def test_an_update_that_is_already_over(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox)
    made = sandbox.script(
        "databricks/updates", pipeline_id=pipeline_id, outcome=FAILED, finished=True
    )
    assert state(workspace, pipeline_id, made["update_id"]) == UpdateInfoState.FAILED
    sandbox.advance(10)
    assert state(workspace, pipeline_id, made["update_id"]) == UpdateInfoState.FAILED


def test_an_unknown_pipeline_is_404(workspace: WorkspaceClient) -> None:
    with pytest.raises(ResourceDoesNotExist):
        workspace.pipelines.get("nothing")


def test_selections_are_recorded(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox, tables=["main.dlt.silver", "main.dlt.gold"])
    update_id = workspace.pipelines.start_update(
        pipeline_id,
        full_refresh_selection=["gold"],
        refresh_selection=["main.dlt.silver"],
        reset_checkpoint_selection=["`main`.`dlt`.`silver`"],
        parameters={"day": "monday"},
    ).update_id
    update = workspace.pipelines.get_update(pipeline_id, str(update_id)).update
    assert update is not None
    assert update.full_refresh_selection == ["gold"]
    assert update.refresh_selection == ["main.dlt.silver"]
    assert update.parameters == {"day": "monday"}
    state_of = sandbox.control("GET", "state")["databricks"]["pipelines"][0]["updates"][0]
    assert state_of["request"]["reset_checkpoint_selection"] == ["`main`.`dlt`.`silver`"]


def test_selections_of_unknown_tables_are_refused(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    pipeline_id = make(sandbox, tables=["main.dlt.silver"])
    begin = workspace.pipelines.start_update
    with pytest.raises(InvalidParameterValue, match="TABLE_NOT_FOUND"):
        begin(pipeline_id, full_refresh_selection=["main.dlt.silver", "bronze"])
    with pytest.raises(InvalidParameterValue, match="FLOW_NOT_FOUND"):
        begin(pipeline_id, reset_checkpoint_selection=["bronze"])
    assert not workspace.pipelines.list_updates(pipeline_id).updates
    begin(make(sandbox, name="free"), full_refresh_selection=["anything"])


@pytest.mark.parametrize(
    ("condition", "asked", "end"),
    [
        ({"reset_checkpoint": True}, {"reset_checkpoint_selection": ["silver"]}, "COMPLETED"),
        ({"reset_checkpoint": ["silver"]}, {"reset_checkpoint_selection": ["gold"]}, "FAILED"),
        ({"reset_checkpoint": ["silver"]}, {"full_refresh_selection": ["silver"]}, "FAILED"),
        ({"full_refresh": ["silver"]}, {"full_refresh_selection": ["Silver"]}, "COMPLETED"),
        ({"full_refresh": ["silver"]}, {"full_refresh": True}, "COMPLETED"),
        ({"full_refresh": True}, {"refresh_selection": ["silver"]}, "FAILED"),
    ],
)
def test_conditions_look_at_selections(
    sandbox: Sandbox,
    workspace: WorkspaceClient,
    condition: dict[str, object],
    asked: dict[str, object],
    end: str,
) -> None:
    pipeline_id = make(sandbox, then={**FAILED, "condition": condition})
    path = f"/api/2.0/pipelines/{pipeline_id}/updates"
    update_id = sandbox.raw("POST", path, asked).body["update_id"]
    sandbox.advance(10)
    assert state(workspace, pipeline_id, update_id) == UpdateInfoState(end)


def test_error_events_name_flow_and_dataset(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox, outcomes=[{**FAILED, "dataset": "main.dlt.silver"}])
    start(workspace, pipeline_id)
    sandbox.advance(10)
    own = {"level": "ERROR", "origin": {"flow_name": "gold"}}
    sandbox.script("databricks/events", pipeline_id=pipeline_id, events=[own])
    events_of = workspace.pipelines.list_pipeline_events(pipeline_id, filter="level='ERROR'")
    origins = [x.origin for x in events_of if x.origin is not None]
    named = [(x.flow_name, x.dataset_name, x.pipeline_id) for x in origins]
    assert named == [
        ("gold", None, pipeline_id),
        (None, None, pipeline_id),
        ("silver", "main.dlt.silver", pipeline_id),
    ]

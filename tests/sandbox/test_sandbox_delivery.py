"""Folders, schemas, grants, and what updates tell of their flows."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.service.workspace import ImportFormat, ObjectType

from sandbox.testing import Sandbox

FOLDER = "/Workspace/Shared/x"
SOURCE = """import dlt

DROP = {
    "id is there": "id IS NOT NULL",
}


@dlt.table(
    name="silver",
)
def silver(): ...
"""


def write(workspace: WorkspaceClient, path: str, text: str = SOURCE) -> None:
    content = base64.b64encode(text.encode()).decode()
    workspace.workspace.import_(path, content=content, format=ImportFormat.RAW, overwrite=True)


def test_files_and_folders(workspace: WorkspaceClient) -> None:
    with pytest.raises(NotFound):
        write(workspace, f"{FOLDER}/a/b.py")
    workspace.workspace.mkdirs(f"{FOLDER}/a")
    write(workspace, f"{FOLDER}/a/b.py")
    assert [o.object_type for o in workspace.workspace.list(FOLDER)] == [ObjectType.DIRECTORY]
    assert [o.path for o in workspace.workspace.list(f"{FOLDER}/a")] == [f"{FOLDER}/a/b.py"]
    exported = workspace.workspace.export(f"{FOLDER}/a/b.py").content or ""
    assert base64.b64decode(exported).decode() == SOURCE
    workspace.workspace.delete(FOLDER, recursive=True)
    with pytest.raises(NotFound):
        workspace.workspace.get_status(f"{FOLDER}/a/b.py")


def test_schemas_and_grants(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    sandbox.script("databricks/schemas", full_name="main.sales", owner="owners")
    assert workspace.catalogs.get("main").name == "main"
    assert workspace.schemas.get("main.sales").owner == "owners"
    with pytest.raises(NotFound):
        workspace.schemas.get("main.other")
    path = "/api/2.1/unity-catalog/permissions/schema/main.sales"
    change = {"principal": "analysts", "add": ["USE_SCHEMA"]}
    workspace.api_client.do("PATCH", path, body={"changes": [change]})
    told: Any = workspace.api_client.do("GET", path)
    assert told["privilege_assignments"] == [
        {"principal": "analysts", "privileges": ["USE_SCHEMA"]}
    ]
    sandbox.script("forbid", kind="schema", id="main.sales")
    with pytest.raises(PermissionDenied):
        workspace.schemas.get("main.sales")


def make(sandbox: Sandbox, workspace: WorkspaceClient) -> str:
    workspace.workspace.mkdirs(FOLDER)
    write(workspace, f"{FOLDER}/silver.py")
    libraries = [{"glob": {"include": f"{FOLDER}/**"}}]
    spec = {"name": "it's", "catalog": "main", "schema": "s", "libraries": libraries}
    return str(sandbox.script("databricks/pipelines", **spec, serverless=True)["pipeline_id"])


def events(workspace: WorkspaceClient, pipeline_id: str) -> list[Any]:
    path = f"/api/2.0/pipelines/{pipeline_id}/events"
    told: Any = workspace.api_client.do("GET", path, query={"max_results": 100})
    return [e for e in told["events"] if e["event_type"] == "flow_progress"]


def test_an_update_makes_its_tables_and_tells_of_quality(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    pipeline_id = make(sandbox, workspace)
    failed = {"silver": {"id is there": 7}}
    outcome = {"state": "COMPLETED", "failed_records": failed, "rows": {"silver": 50}}
    sandbox.script("databricks/update-outcomes", match="^it", outcomes=[outcome])
    workspace.pipelines.start_update(pipeline_id)
    sandbox.advance(10)
    (done,) = [
        e["details"]["flow_progress"]
        for e in events(workspace, pipeline_id)
        if e["details"]["flow_progress"]["status"] == "COMPLETED"
    ]
    assert done["metrics"] == {"num_output_rows": 50}
    assert done["data_quality"]["expectations"] == [
        {"name": "id is there", "dataset": "silver", "passed_records": 43, "failed_records": 7}
    ]
    assert workspace.tables.get("main.s.silver").name == "silver"


def test_a_validation_touches_no_table_and_takes_no_script_of_a_run(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    pipeline_id = make(sandbox, workspace)
    sandbox.script("databricks/update-outcomes", match="^it", outcomes=[{"state": "FAILED"}])
    update_id = workspace.pipelines.start_update(pipeline_id, validate_only=True).update_id
    sandbox.advance(10)
    update = workspace.pipelines.get_update(pipeline_id, str(update_id)).update
    assert update is not None
    assert str(update.state).endswith("COMPLETED")
    assert events(workspace, pipeline_id) == []
    assert workspace.tables.exists("main.s.silver").table_exists is False


def test_pipelines_are_found_by_name(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    pipeline_id = make(sandbox, workspace)
    found = workspace.pipelines.list_pipelines(filter="name LIKE 'it''s'")
    assert [p.pipeline_id for p in found] == [pipeline_id]
    assert list(workspace.pipelines.list_pipelines(filter="name LIKE 'its'")) == []
    with pytest.raises(Exception, match="Invalid filter"):
        list(workspace.pipelines.list_pipelines(filter="state = 'IDLE'"))

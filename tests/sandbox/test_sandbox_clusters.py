import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, InvalidState, ResourceDoesNotExist
from databricks.sdk.service.compute import (
    AutoScale,
    EventType,
    GetEventsOrder,
    Library,
    LibraryInstallStatus,
    PythonPyPiLibrary,
    State,
    UpdateClusterResource,
)

from sandbox.testing import Sandbox

SPEC = {"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 2}
PANDAS = Library(pypi=PythonPyPiLibrary(package="pandas==2.2.0"))


def place(sandbox: Sandbox, **more: object) -> str:
    return str(sandbox.script("databricks/clusters", **{**SPEC, **more})["cluster_id"])


def state(workspace: WorkspaceClient, cluster_id: str) -> State | None:
    return workspace.clusters.get(cluster_id).state


def test_a_created_cluster_comes_up(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    created = workspace.clusters.create(
        spark_version="15.4.x-scala2.12",
        node_type_id="Standard_DS3_v2",
        autoscale=AutoScale(min_workers=1, max_workers=4),
    )
    cluster_id = str(created.bind()["cluster_id"])
    assert state(workspace, cluster_id) == State.PENDING
    sandbox.advance(3)
    details = workspace.clusters.get(cluster_id)
    assert details.state == State.RUNNING
    assert details.num_workers == 1
    assert details.default_tags is not None


def test_unknown_cluster_is_what_the_sdk_takes_for_not_found(workspace: WorkspaceClient) -> None:
    with pytest.raises(ResourceDoesNotExist):
        workspace.clusters.get("0000-000000-nothing1")


def test_resize_is_refused_unless_running(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    cluster_id = place(sandbox, state="TERMINATED")
    with pytest.raises(InvalidState, match="unexpected state Terminated"):
        workspace.clusters.resize(cluster_id, num_workers=4)


def test_resize_takes_a_while(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    cluster_id = place(sandbox)
    workspace.clusters.resize(cluster_id, num_workers=5)
    assert state(workspace, cluster_id) == State.RESIZING
    assert workspace.clusters.get(cluster_id).num_workers == 5
    sandbox.advance(2)
    kinds = [event.type for event in workspace.clusters.events(cluster_id)]
    assert kinds == [EventType.UPSIZE_COMPLETED, EventType.RESIZING]


def test_edit_while_pending_is_refused(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    cluster_id = place(sandbox, state="TERMINATED")
    workspace.clusters.start(cluster_id)
    with pytest.raises(InvalidState):
        workspace.clusters.edit(
            cluster_id, "15.4.x-scala2.12", node_type_id="Standard_DS4_v2", num_workers=1
        )


def test_edit_drops_what_is_left_out_and_restarts(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    cluster_id = place(sandbox, spark_conf={"a": "b"})
    workspace.clusters.edit(
        cluster_id, "15.4.x-scala2.12", node_type_id="Standard_DS4_v2", num_workers=1
    )
    details = workspace.clusters.get(cluster_id)
    assert details.state == State.RESTARTING
    assert details.spark_conf is None


def test_update_changes_only_what_the_mask_names(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    cluster_id = place(sandbox, state="TERMINATED", spark_conf={"a": "b"})
    changes = UpdateClusterResource(node_type_id="Standard_E8ds_v5", num_workers=9)
    workspace.clusters.update(cluster_id, "node_type_id", cluster=changes)
    details = workspace.clusters.get(cluster_id)
    assert details.state == State.TERMINATED
    assert details.node_type_id == "Standard_E8ds_v5"
    assert details.spark_conf == {"a": "b"}
    assert details.spec is not None
    assert details.spec.num_workers == 2


def test_job_clusters_cannot_be_edited_started_or_given_libraries(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    cluster_id = place(sandbox, cluster_source="JOB", state="TERMINATED")
    with pytest.raises(InvalidParameterValue):
        workspace.clusters.edit(
            cluster_id, "15.4.x-scala2.12", node_type_id="Standard_DS4_v2", num_workers=1
        )
    with pytest.raises(InvalidParameterValue):
        workspace.clusters.start(cluster_id)
    with pytest.raises(InvalidParameterValue):
        workspace.libraries.install(cluster_id, [PANDAS])


def test_restart_of_a_terminated_cluster_does_nothing(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    cluster_id = place(sandbox, state="TERMINATED")
    workspace.clusters.restart(cluster_id)
    assert state(workspace, cluster_id) == State.TERMINATED
    assert [x["effect"] for x in sandbox.requests("clusters/restart")] == [False]


def test_start_of_a_running_cluster_is_refused(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    cluster_id = place(sandbox)
    with pytest.raises(InvalidState, match="unexpected state Running"):
        workspace.clusters.start(cluster_id)


def test_a_start_can_be_scripted_to_fail_once(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    reason = {
        "code": "AZURE_QUOTA_EXCEEDED_EXCEPTION",
        "type": "CLIENT_ERROR",
        "parameters": {"azure_error_code": "QuotaExceeded"},
    }
    broken = {"state": "TERMINATED", "termination_reason": reason}
    cluster_id = place(sandbox, state="TERMINATED", on_start=[broken, "RUNNING"])
    workspace.clusters.start(cluster_id)
    sandbox.advance(3)
    details = workspace.clusters.get(cluster_id)
    assert details.state == State.TERMINATED
    assert details.termination_reason is not None
    assert details.termination_reason.parameters == {"azure_error_code": "QuotaExceeded"}
    workspace.clusters.start(cluster_id)
    sandbox.advance(3)
    assert state(workspace, cluster_id) == State.RUNNING


def test_delete_terminates_by_and_by(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    cluster_id = place(sandbox)
    workspace.clusters.delete(cluster_id)
    assert state(workspace, cluster_id) == State.TERMINATING
    sandbox.advance(1)
    assert state(workspace, cluster_id) == State.TERMINATED


def test_events_are_paged_by_the_sdk(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    cluster_id = place(sandbox)
    for _ in range(3):
        workspace.clusters.restart(cluster_id)
        sandbox.advance(10)
    newest_first = list(workspace.clusters.events(cluster_id, limit=2))
    oldest_first = list(workspace.clusters.events(cluster_id, order=GetEventsOrder.ASC))
    assert len(newest_first) == 9
    assert [e.timestamp for e in oldest_first] == sorted(e.timestamp or 0 for e in newest_first)


def test_lists_are_paged(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    names = {place(sandbox) for _ in range(5)}
    assert {c.cluster_id for c in workspace.clusters.list(page_size=2)} == names


def statuses(workspace: WorkspaceClient, cluster_id: str) -> list[LibraryInstallStatus | None]:
    return [x.status for x in workspace.libraries.cluster_status(cluster_id)]


def test_libraries_install_in_the_background(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    cluster_id = place(sandbox)
    workspace.libraries.install(cluster_id, [PANDAS])
    assert statuses(workspace, cluster_id) == [LibraryInstallStatus.PENDING]
    sandbox.advance(0.7)
    assert statuses(workspace, cluster_id) == [LibraryInstallStatus.INSTALLING]
    sandbox.advance(1)
    assert statuses(workspace, cluster_id) == [LibraryInstallStatus.INSTALLED]


def test_a_failed_library_stays_until_the_restart(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    rule = {"library": "pandas==2.2.0", "status": "FAILED", "message": "No matching distribution"}
    sandbox.script("databricks/libraries", rules=[rule])
    cluster_id = place(sandbox)
    workspace.libraries.install(cluster_id, [PANDAS])
    sandbox.advance(1)
    failed = next(iter(workspace.libraries.cluster_status(cluster_id)))
    assert failed.status == LibraryInstallStatus.FAILED
    assert failed.messages == ["No matching distribution"]
    workspace.libraries.uninstall(cluster_id, [PANDAS])
    sandbox.advance(10)
    assert statuses(workspace, cluster_id) == [LibraryInstallStatus.UNINSTALL_ON_RESTART]
    workspace.clusters.restart(cluster_id)
    sandbox.advance(3)
    assert statuses(workspace, cluster_id) == []


def test_a_library_waits_for_a_terminated_cluster(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    cluster_id = place(sandbox, state="TERMINATED")
    workspace.libraries.install(cluster_id, [PANDAS])
    sandbox.advance(60)
    assert statuses(workspace, cluster_id) == [LibraryInstallStatus.PENDING]
    workspace.clusters.start(cluster_id)
    sandbox.advance(4)
    assert statuses(workspace, cluster_id) == [LibraryInstallStatus.INSTALLED]

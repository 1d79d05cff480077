import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service.compute import CloudProviderNodeStatus, State, UpdateClusterResource

from sandbox.testing import Sandbox

OLD, NEW = "Standard_DS3_v2", "Standard_D4ds_v5"
SPEC = {"spark_version": "15.4.x-scala2.12", "node_type_id": OLD, "num_workers": 2}
QUOTA = {
    "code": "AZURE_QUOTA_EXCEEDED_EXCEPTION",
    "type": "CLIENT_ERROR",
    "parameters": {"azure_error_code": "QuotaExceeded"},
}
PICKY = {"state": "TERMINATED", "termination_reason": QUOTA, "unless_node_type": NEW}
MASK = "node_type_id,driver_node_type_id"


def place(sandbox: Sandbox, **more: object) -> str:
    return str(sandbox.script("databricks/clusters", **{**SPEC, **more})["cluster_id"])


def change(workspace: WorkspaceClient, cluster_id: str, node_type: str) -> None:
    changes = UpdateClusterResource(node_type_id=node_type, driver_node_type_id=node_type)
    workspace.clusters.update(cluster_id, MASK, cluster=changes)


def state(workspace: WorkspaceClient, cluster_id: str) -> State | None:
    return workspace.clusters.get(cluster_id).state


@pytest.mark.parametrize("before", [State.RUNNING, State.TERMINATED])
def test_a_node_type_can_be_changed(
    sandbox: Sandbox, workspace: WorkspaceClient, before: State
) -> None:
    cluster_id = place(sandbox, state=before.value, spark_conf={"a": "b"})
    change(workspace, cluster_id, NEW)
    details = workspace.clusters.get(cluster_id)
    assert (details.node_type_id, details.driver_node_type_id) == (NEW, NEW)
    assert details.spark_conf == {"a": "b"}
    between = State.RESTARTING if before == State.RUNNING else State.TERMINATED
    assert details.state == between
    sandbox.advance(3)
    assert state(workspace, cluster_id) == before


def test_a_start_may_depend_on_the_node_type(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    cluster_id = place(sandbox, state="TERMINATED", on_start=[PICKY])
    for _ in range(2):
        workspace.clusters.start(cluster_id)
        sandbox.advance(3)
        details = workspace.clusters.get(cluster_id)
        assert details.state == State.TERMINATED
        assert details.termination_reason is not None
        assert details.termination_reason.parameters == {"azure_error_code": "QuotaExceeded"}
    change(workspace, cluster_id, NEW)
    workspace.clusters.start(cluster_id)
    sandbox.advance(3)
    assert state(workspace, cluster_id) == State.RUNNING
    change(workspace, cluster_id, OLD)
    sandbox.advance(3)
    assert state(workspace, cluster_id) == State.TERMINATED


def test_what_is_offered_can_be_scripted(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    gone = {"node_type_id": OLD, "available_core_quota": 0, "status": ["NotAvailableInRegion"]}
    sandbox.script("databricks/node-types", node_types=[gone, NEW, "Standard_New_v9"])
    offered = {x.node_type_id: x for x in workspace.clusters.list_node_types().node_types or []}
    assert list(offered) == [OLD, NEW, "Standard_New_v9"]
    info = offered[OLD].node_info
    assert info is not None
    assert info.status == [CloudProviderNodeStatus.NOT_AVAILABLE_IN_REGION]
    assert offered[NEW].memory_mb == 16384
    raw = sandbox.raw("GET", "/api/2.1/clusters/list-node-types").body["node_types"]
    assert [x["node_info"]["available_core_quota"] for x in raw] == [0, 350, 350]


def test_what_is_not_offered_is_refused(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    cluster_id = place(sandbox, state="TERMINATED")
    sandbox.script("databricks/node-types", node_types=[OLD])
    with pytest.raises(InvalidParameterValue, match=f"{NEW} is not supported"):
        change(workspace, cluster_id, NEW)
    with pytest.raises(InvalidParameterValue):
        workspace.clusters.create("15.4.x-scala2.12", node_type_id=NEW, num_workers=1)
    assert workspace.clusters.get(cluster_id).node_type_id == OLD

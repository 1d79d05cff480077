"""The remedies that need something configured: each works, fails and is refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.storage.blob import BlobServiceClient

from devstack.processes import Stack
from tests.e2e.hosts import Host
from tests.e2e.quick_catalog import write_quick_catalog
from tests.e2e.test_databricks import NOTEBOOK, OUT_OF_MEMORY, install, job_failed, refuse
from tests.e2e.world import TIMEOUT_ERROR, Json, World, actions

TAG = uuid.uuid4().hex[:8]  # names in the catalog must be known before the host starts
CONTAINER = f"raw{TAG}"
MISSING = {
    "errorCode": "UserErrorSourceBlobNotExist",
    "message": f"The required Blob is missing. ContainerName: {CONTAINER}, path: in/a.csv.",
    "failureType": "UserError",
}
PIPELINE_ID = str(uuid.uuid4())
ADDITIONS: Json = {
    "upstreams": {f"pl_sales_{TAG}": f"pl_extract_{TAG}"},
    "batch_parameters": {
        f"pl_batch_{TAG}": {"parameter": "batch_size", "floor": 100},
        f"job_batch_{TAG}": {"parameter": "batch_size", "floor": 100},
    },
    "tables": {f"main.{TAG}.orders": {"ddl": "orders.sql", "warehouse_id": "0123456789abcdef"}},
    "refreshable_tables": {PIPELINE_ID: [f"main.{TAG}.bronze"]},
}
PLAYBOOK = f"wf{TAG}"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_quick_catalog(tmp_path_factory.mktemp("remedies") / "catalog.yaml")
    data = yaml.safe_load(path.read_text("utf-8")) | ADDITIONS
    data["error_types"]["ThrottlingError"]["playbooks"] = ["PLAYBOOK_RETRY_PIPELINE"]
    for name in ("GatewayTimeout", "HttpConnectionFailed", "InternalServerError"):
        data["error_types"][name]["playbooks"] = []
    data["error_types"]["GatewayTimeout"]["remedies"] = [
        {"remedy": "reduce_batch", "attempts": 2, "backoff": [0.2]}
    ]
    data["error_types"]["DatabricksTimeoutError"]["remedies"] = [
        {"remedy": "increase_timeout", "attempts": 1, "backoff": [0.2]}
    ]
    data["error_types"]["DatabricksResourceExhausted"]["remedies"] = [
        {"remedy": "change_node_type", "attempts": 1, "backoff": [0.2]},
        {"remedy": "reduce_batch", "attempts": 1, "backoff": [0.2]},
    ]
    path.write_text(yaml.safe_dump(data), "utf-8")
    ddl = f"CREATE TABLE IF NOT EXISTS main.{TAG}.orders (id BIGINT)"
    (path.parent / "orders.sql").write_text(ddl, "utf-8")
    return path


@pytest.fixture(scope="module")
def host(stack: Stack | None, world: World, catalog: Path, tmp_path_factory: Any) -> Iterator[Host]:
    if stack is None:
        pytest.fail("these tests start a host of their own: leave --base-url away")
    signed = world.script("playbooks", id=PLAYBOOK, sig="s3cret-sig", effect={"adf_rerun": True})
    world.script("databricks/warehouses", warehouse_id="0123456789abcdef")
    settings = {
        "CATALOG_PATH": str(catalog),
        "PLAYBOOK_RETRY_PIPELINE": f"{world.sandbox_url}{signed['path']}",
        "PLAYBOOK_HOSTS": "127.0.0.1",
        "PACKAGE_INDEX_URL": f"{world.sandbox_url}/simple",
        "SOURCE_STORAGE_CONNECTION": stack.connection,
    }
    host = Host(stack, world, tmp_path_factory.mktemp("remedies-host"), settings)
    host.service.start()
    yield host
    host.service.stop()


def failed(world: World, name: str, error: Json, **more: Any) -> Json:
    world.script(
        "adf/pipelines",
        factory=world.factory,
        name=name,
        activities=[
            {"name": "Extract", "type": "Copy"},
            {"name": "Load", "type": "Copy", "depends_on": ["Extract"]},
        ],
        duration_seconds=1,
        parameters={"batch_size": {"type": "String", "defaultValue": "1000"}},
    )
    outcomes = more.pop("outcomes", [])
    world.script("adf/outcomes", factory=world.factory, pipeline=name, outcomes=outcomes)
    run = (name, world.failed_run(name, error, **more))
    return world.alert_on(run)


# Wait for upstream


def upstream(world: World, status: str) -> None:
    name = f"pl_extract_{TAG}"
    world.script(
        "adf/pipelines",
        factory=world.factory,
        name=name,
        activities=[{"name": "Load", "type": "Copy"}],
        duration_seconds=30,
    )
    outcome = {"status": status, "duration_seconds": 15}
    if status == "Failed":
        outcome |= {"activity": "Load", "error": TIMEOUT_ERROR}
    body = {"factory": world.factory, "pipeline": name, "outcome": outcome}
    world.script("adf/runs", **body)


def test_ours_is_rerun_when_the_upstream_has_succeeded(host: Host) -> None:
    world = host.world
    name = f"pl_sales_{TAG}"
    upstream(world, "Succeeded")
    incident = world.incident_of(world.send("/azure-monitor", failed(world, name, MISSING)))
    assert incident["state"] == "healed", incident["timeline"]
    assert "Waiting for Upstream" in actions(incident)
    ended = max(
        run["at"] for run in world.seen("queryPipelineRuns") if f"pl_extract_{TAG}" in str(run)
    )
    assert world.reruns(name)[0]["at"] >= ended


def test_when_the_upstream_has_failed_it_goes_to_a_person(host: Host) -> None:
    world = host.world
    name = f"pl_sales_{TAG}"
    upstream(world, "Failed")
    before = len(world.reruns(name))
    incident = world.incident_of(world.send("/azure-monitor", failed(world, name, MISSING)))
    assert incident["state"] == "escalated"
    assert len(world.reruns(name)) == before


def test_a_file_that_is_there_by_now_needs_no_upstream(host: Host, stack: Stack) -> None:
    world = host.world
    name = f"pl_alone_{TAG}"
    client = BlobServiceClient.from_connection_string(stack.connection)
    container = client.create_container(CONTAINER)
    alert = world.send("/azure-monitor", failed(world, name, MISSING))
    waiting = world.until(lambda: world.get(f"/api/alerts/{alert}").json()["incidents"])
    identity = waiting[0]["incident_id"]
    world.until(lambda: "not there yet" in (world.incident(identity)["waiting_for"] or ""))
    assert world.reruns(name) == []
    container.upload_blob("in/a.csv", b"1,2")
    assert world.incident_of(alert)["state"] == "healed"
    container.delete_container()
    client.close()


# Batch


def test_a_batch_is_halved_in_a_full_new_run(host: Host) -> None:
    world = host.world
    name = f"pl_batch_{TAG}"
    fails = {
        "status": "Failed",
        "activity": "Load",
        "error": TIMEOUT_ERROR,
        "unless_parameter_max": {"name": "batch_size", "value": 500},
    }
    alert = failed(world, name, TIMEOUT_ERROR, outcomes=[fails], parameters={"batch_size": "1000"})
    incident = world.incident_of(world.send("/azure-monitor", alert))
    assert incident["state"] == "healed", incident["timeline"]
    rerun = world.reruns(name)[0]
    assert rerun["body"]["batch_size"] == "500"
    assert "referencePipelineRunId" not in rerun["query"]


def test_a_batch_at_its_floor_is_refused(host: Host) -> None:
    world = host.world
    name = f"pl_batch_{TAG}"
    before = len(world.reruns(name))
    alert = failed(world, name, TIMEOUT_ERROR, parameters={"batch_size": "100"})
    incident = world.incident_of(world.send("/azure-monitor", alert))
    assert incident["state"] == "escalated"
    assert "floor of 100" in incident["decision"]["note"]
    assert len(world.reruns(name)) == before


# Playbook


def test_a_playbook_takes_the_place_of_the_remedy(host: Host) -> None:
    world = host.world
    name = f"pl_playbook_{uuid.uuid4().hex[:6]}"
    throttled = {"errorCode": "2200", "message": "Request rate is large", "failureType": "x"}
    incident = world.incident_of(world.send("/azure-monitor", failed(world, name, throttled)))
    assert incident["state"] == "healed", incident["timeline"]
    assert incident["attempts"][0]["remedy"] == "playbook"
    call = next(c for c in world.seen(f"workflows/{PLAYBOOK}") if name in str(c["body"]))
    assert call["body"]["ticket_id"] == incident["incident_id"]
    assert call["body"]["error_type"] == "ThrottlingError"
    assert (call["body"]["attempt"], call["body"]["max_attempts"]) == (1, 5)
    assert world.reruns(name) == []
    assert "s3cret-sig" not in json.dumps(incident)


def test_a_playbook_without_an_answer_is_never_called_again(host: Host) -> None:
    world = host.world
    name = f"pl_playbook_{uuid.uuid4().hex[:6]}"
    world.script(
        "faults",
        name=f"lost-{name}",
        method="POST",
        path=f"workflows/{PLAYBOOK}",
        times=1,
        disconnect=True,
        after_effect=True,
    )
    throttled = {"errorCode": "2200", "message": "Request rate is large", "failureType": "x"}
    incident = world.incident_of(world.send("/azure-monitor", failed(world, name, throttled)))
    assert incident["state"] == "escalated"
    calls = [c for c in world.seen(f"workflows/{PLAYBOOK}") if name in str(c["body"])]
    assert len(calls) == 1


# Databricks: node type, time-out, batch, table, refresh, library index


def node_failure(node_type: str) -> Json:
    return OUT_OF_MEMORY | {"condition": {"node_type": node_type}}


def test_another_node_type_is_taken_for_the_repair_only(host: Host) -> None:
    world = host.world
    spec = {"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2"}
    clusters = [{"job_cluster_key": "main", "new_cluster": spec | {"num_workers": 2}}]
    job = world.job(
        {"task_key": "load", "job_cluster_key": "main"} | NOTEBOOK, job_clusters=clusters
    )
    offered = world.databricks("/api/2.1/clusters/list-node-types")["node_types"]
    names = {t["node_type_id"] for t in offered}
    listed = yaml.safe_load((Path("shared/catalog/catalog.yaml")).read_text("utf-8"))
    wanted = next(t for t in listed["node_types"]["Standard_DS3_v2"] if t in names)
    failure = node_failure(wanted)
    world.script("databricks/outcomes", job_id=job, outcomes=[failure, failure], then=failure)
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    assert incident["state"] == "healed", incident["timeline"]
    settings = world.databricks("/api/2.2/jobs/get", job_id=job)["settings"]
    assert settings["job_clusters"][0]["new_cluster"]["node_type_id"] == "Standard_DS3_v2"


def test_a_shared_cluster_gets_its_node_type_back(host: Host) -> None:
    world = host.world
    cluster = world.cluster()
    job = world.job({"task_key": "load", "existing_cluster_id": cluster} | NOTEBOOK)
    world.script("databricks/outcomes", job_id=job, outcomes=[OUT_OF_MEMORY])
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    assert incident["state"] == "healed", incident["timeline"]
    assert incident["attempts"][0]["remedy"] == "change_node_type"
    spec = world.databricks("/api/2.1/clusters/get", cluster_id=cluster)
    assert spec["node_type_id"] == "Standard_DS3_v2"
    assert spec["custom_tags"] == {"team": "data"}
    updates = [r for r in world.seen("clusters/update") if r["body"]["cluster_id"] == cluster]
    assert len(updates) == 2


def timed_out(world: World, timeout: int | None) -> tuple[int, str]:
    task: Json = {"task_key": "load", "environment_key": "default"} | NOTEBOOK
    if timeout:
        task["timeout_seconds"] = timeout
    job = world.job(task)
    failure = OUT_OF_MEMORY | {
        "error": "",
        "termination_code": "RUN_DURATION_EXCEEDED",
        "condition": {"min_timeout_seconds": 90},
    }
    failure = failure if timeout else {k: v for k, v in failure.items() if k != "condition"}
    world.script("databricks/outcomes", job_id=job, outcomes=[failure] * 4)
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    return job, run


def test_a_time_out_is_raised_for_the_repair_only(host: Host) -> None:
    world = host.world
    job, run = timed_out(world, 60)
    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    assert incident["state"] == "healed", incident["timeline"]
    settings = world.databricks("/api/2.2/jobs/get", job_id=job)["settings"]
    assert settings["tasks"][0]["timeout_seconds"] == 60
    summary = incident["attempts"][0]["summary"]
    assert f"raise the time-out of task load from 60 to 90 s in job {job}" in summary


def test_where_no_time_out_is_set_there_is_none_to_raise(host: Host) -> None:
    world = host.world
    job, run = timed_out(world, None)
    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    assert incident["state"] == "escalated"
    assert "no time-out is set" in incident["decision"]["note"]


def missing_table(world: World, table: str) -> tuple[int, str]:
    job = world.job({"task_key": "load", "environment_key": "default"} | NOTEBOOK)
    quoted = ".".join(f"`{part}`" for part in table.split("."))
    failure = OUT_OF_MEMORY | {
        "error": f"[TABLE_OR_VIEW_NOT_FOUND] The table or view {quoted} cannot be found.",
        "condition": {"table_exists": table},
    }
    world.script("databricks/outcomes", job_id=job, outcomes=[failure], then=failure)
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    return job, run


def test_a_table_with_a_ddl_is_made(host: Host) -> None:
    world = host.world
    job, run = missing_table(world, f"main.{TAG}.orders")
    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    assert incident["state"] == "healed", incident["timeline"]
    assert len([s for s in world.seen("sql/statements") if TAG in str(s["body"])]) == 1


def test_a_table_without_a_ddl_is_not_made(host: Host) -> None:
    world = host.world
    job, run = missing_table(world, f"main.{TAG}.other")
    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    assert incident["state"] == "escalated"


def test_versions_come_from_the_package_index_where_the_catalog_lists_none(host: Host) -> None:
    world = host.world
    package = f"etl-{TAG}"
    world.script(
        "index", packages={package: ["1.0", "1.1", "1.2", "1.3"]}, yanked={package: ["1.1"]}
    )
    cluster = world.cluster()
    refuse(world, f"{package}==1.2")
    install(world, cluster, {"pypi": {"package": f"{package}==1.2"}})
    alert = {
        "event": "library.install_failed",
        "cluster": {"cluster_id": cluster},
        "library": f"{package}==1.2",
        "error_message": f"No matching distribution found for {package}==1.2",
    }
    incident = world.incident_of(world.send("/databricks-monitor", alert))
    assert incident["state"] == "healed", incident["timeline"]
    assert incident["attempts"][0]["memo"]["version"] == "1.0"


def test_our_own_expired_token_is_renewed_once(
    stack: Stack | None, world: World, tmp_path: Path
) -> None:
    if stack is None:
        pytest.fail("this test starts a host of its own: leave --base-url away")
    token = tmp_path / "token"
    token.write_text("old-token\n", "utf-8")
    settings = {"AZURE_ACCESS_TOKEN": f"file:{token}"}
    host = Host(stack, world, tmp_path, settings)
    world.script("tokens", valid=["sandbox-token", "new-token"], expired=["old-token"])
    host.service.start()
    try:
        pipeline = world.pipeline()
        run = (pipeline, world.failed_run(pipeline))
        host.world.get("/api/incidents")
        alert = host.world.send("/azure-monitor", world.alert_on(run))
        world.until(lambda: [r for r in world.seen("pipelineruns", "GET") if r["status"] == 401])
        token.write_text("new-token\n", "utf-8")
        assert host.world.incident_of(alert)["state"] == "healed"
    finally:
        host.service.stop()
        world.script("tokens", valid=["sandbox-token"], expired=[])

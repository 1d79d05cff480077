"""A pipeline whose notebook failed with its cluster; Databricks itself sent no alert."""

from __future__ import annotations

import pytest

from tests.e2e.test_databricks import NOTEBOOK, OUT_OF_MEMORY
from tests.e2e.world import Json, World, actions

FAILED = {
    "errorCode": "3204",
    "message": "Databricks execution failed with error state: InternalError, error message: "
    "Workload failed, see run output for details.",
    "failureType": "UserError",
}


def lost_on(world: World, cluster: str, outcome: Json) -> str:
    """A notebook's run on a shared cluster that failed; its id."""
    job = world.job({"task_key": "nb", "existing_cluster_id": cluster} | NOTEBOOK)
    world.script("databricks/outcomes", job_id=job, outcomes=[outcome])
    return world.job_run(job)


def pipeline_over(world: World, url: str) -> tuple[str, str]:
    """A run of a pipeline that failed in a notebook activity with this run page."""
    name = world.pipeline()
    activity = {"name": "Load", "type": "DatabricksNotebook", "output": {"runPageUrl": url}}
    body = {"factory": world.factory, "name": name, "duration_seconds": 1}
    world.script("adf/pipelines", activities=[activity], **body)
    return name, world.failed_run(name, FAILED)


def test_the_cluster_of_the_run_below_is_started_before_the_rerun(world: World) -> None:
    cluster = world.cluster()
    run = lost_on(world, cluster, {"result": "HANG"})
    world.terminate(cluster, "DRIVER_UNREACHABLE")
    world.until(lambda: world.run_ended(run))
    pipeline, run_id = pipeline_over(world, f"{world.sandbox_url}/?o=1#job/7/run/{run}")
    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))
    assert incident["state"] == "healed", incident["timeline"]
    assert incident["failure"]["kind"] == "pipeline_run"
    assert incident["attempts"][0]["phases"] == ["start_cluster", "rerun_pipeline"]
    assert "Cluster Auto-Restarted" in actions(incident)
    starts = [r for r in world.seen("clusters/start") if r["body"]["cluster_id"] == cluster]
    assert len(starts) == 1
    assert len(world.reruns(pipeline)) == 1


def test_the_cluster_of_the_run_below_is_scaled_and_given_back(world: World) -> None:
    cluster = world.cluster(num_workers=4)
    run = lost_on(world, cluster, OUT_OF_MEMORY)
    world.until(lambda: world.run_ended(run))
    pipeline, run_id = pipeline_over(world, f"{world.sandbox_url}/?o=1#job/7/run/{run}")
    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))
    assert incident["state"] == "healed", incident["timeline"]
    resizes = [r for r in world.seen("clusters/resize") if r["body"]["cluster_id"] == cluster]
    assert [r["body"]["num_workers"] for r in resizes] == [6, 4]
    assert "Borrowed Setting Given Back" in actions(incident)


@pytest.mark.parametrize(
    "host", ["https://adb-1.2.azuredatabricks.net.example.com", "https://[broken", "", "//"]
)
def test_a_run_page_on_a_host_that_is_not_listed_is_not_followed(world: World, host: str) -> None:
    cluster = world.cluster()
    run = lost_on(world, cluster, OUT_OF_MEMORY)
    world.until(lambda: world.run_ended(run))
    pipeline, run_id = pipeline_over(world, f"{host}/?o=1#job/7/run/{run}")
    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))
    assert incident["error_type"] != "DatabricksResourceExhausted"
    assert not [r for r in world.seen("clusters/resize") if r["body"]["cluster_id"] == cluster]

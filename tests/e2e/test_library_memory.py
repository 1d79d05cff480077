"""The version of a library that has worked is taken first the next time, wherever it worked."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from devstack.processes import Stack
from tests.e2e.hosts import Host, running
from tests.e2e.test_databricks import NOTEBOOK, OUT_OF_MEMORY, install, job_failed, refuse
from tests.e2e.world import Json, World


@pytest.fixture(scope="module")
def host(
    stack: Stack | None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    settings = {"PACKAGE_INDEX_URL": f"{world.sandbox_url}/simple"}
    directory = tmp_path_factory.mktemp("memory")
    with running(stack, world, directory, settings=settings) as host:
        yield host


@pytest.fixture
def package(world: World) -> str:
    name = f"etl-{uuid.uuid4().hex[:8]}"
    world.script("index", packages={name: ["1.0", "1.1", "1.2", "2.0"]})
    return name


def healed_job(host: Host, package: str, good: str) -> Json:
    """A job on a cluster of its own that fails unless `good` is what it asks for; its incident."""
    world = host.world
    spec = {"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2"}
    clusters = [{"job_cluster_key": "main", "new_cluster": spec | {"num_workers": 1}}]
    listed = [{"pypi": {"package": f"{package}==2.0"}}, {"pypi": {"package": "requests==2.31.0"}}]
    task: Json = {"task_key": "load", "job_cluster_key": "main", "libraries": listed} | NOTEBOOK
    job = world.job(task, job_clusters=clusters)
    error = f"Library installation failed: no matching distribution found for {package}"
    failure = OUT_OF_MEMORY | {"error": error, "condition": {"library": f"{package}=={good}"}}
    world.script("databricks/outcomes", job_id=job, outcomes=[failure] * 4, then=failure)
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    assert incident["state"] == "healed", incident["timeline"]
    settings = world.databricks("/api/2.2/jobs/get", job_id=job)["settings"]
    assert settings["tasks"][0]["libraries"] == listed
    return incident


def versions(incident: Json) -> list[str]:
    return [attempt["memo"]["version"] for attempt in incident["attempts"]]


def test_what_worked_for_a_job_is_taken_first_for_the_next_one(host: Host, package: str) -> None:
    assert versions(healed_job(host, package, "1.1")) == ["1.2", "1.1"]
    assert versions(healed_job(host, package, "1.1")) == ["1.1"]


def test_what_worked_for_a_job_is_taken_first_on_a_shared_cluster(host: Host, package: str) -> None:
    world = host.world
    healed_job(host, package, "1.1")
    cluster = world.cluster()
    refuse(world, f"{package}==2.0")
    install(world, cluster, {"pypi": {"package": f"{package}==2.0"}})
    alert = {
        "event": "library.install_failed",
        "cluster": {"cluster_id": cluster},
        "library": f"{package}==2.0",
        "error_message": f"No matching distribution found for {package}==2.0",
    }
    incident = world.incident_of(world.send("/databricks-monitor", alert))
    assert incident["state"] == "healed", incident["timeline"]
    assert versions(incident) == ["1.1"]


def test_what_worked_and_works_no_more_is_not_all_that_is_tried(host: Host, package: str) -> None:
    healed_job(host, package, "1.1")
    assert versions(healed_job(host, package, "1.0"))[0] == "1.1"
    assert versions(healed_job(host, package, "1.0")) == ["1.0"]

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
    world.script("index", packages={name: ["0.9", "1.0", "1.1", "1.2", "1.3"]})
    return name


def healed_job(host: Host, package: str, good: str) -> Json:
    """A job on a cluster of its own that fails unless `good` is what it asks for; its incident."""
    world = host.world
    spec = {"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2"}
    clusters = [{"job_cluster_key": "main", "new_cluster": spec | {"num_workers": 1}}]
    listed = [{"pypi": {"package": f"{package}==1.3"}}, {"pypi": {"package": "requests==2.31.0"}}]
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
    refuse(world, f"{package}==1.3")
    install(world, cluster, {"pypi": {"package": f"{package}==1.3"}})
    alert = {
        "event": "library.install_failed",
        "cluster": {"cluster_id": cluster},
        "library": f"{package}==1.3",
        "error_message": f"No matching distribution found for {package}==1.3",
    }
    incident = world.incident_of(world.send("/databricks-monitor", alert))
    assert incident["state"] == "healed", incident["timeline"]
    assert versions(incident) == ["1.1"]


def test_what_worked_and_works_no_more_is_not_all_that_is_tried(host: Host, package: str) -> None:
    healed_job(host, package, "1.1")
    assert versions(healed_job(host, package, "1.0"))[0] == "1.1"
    assert versions(healed_job(host, package, "1.0")) == ["1.0"]


def failed_job(host: Host, listed: list[Json], error: str) -> Json:
    """The incident of a job whose task lists libraries and fails with `error`."""
    world = host.world
    spec = {"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2"}
    clusters = [{"job_cluster_key": "main", "new_cluster": spec | {"num_workers": 1}}]
    task: Json = {"task_key": "load", "job_cluster_key": "main", "libraries": listed} | NOTEBOOK
    job = world.job(task, job_clusters=clusters)
    failure = OUT_OF_MEMORY | {"error": error}
    world.script("databricks/outcomes", job_id=job, outcomes=[failure])
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    return world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))


def pypi(*packages: str) -> list[Json]:
    return [{"pypi": {"package": package}} for package in packages]


def test_a_word_that_is_also_a_package_blames_nobody(host: Host) -> None:
    error = "Library installation failed: gave up after 3 requests for an array of sixty numpy rows"
    incident = failed_job(host, pypi("requests==2.31.0", "ray==2.9.0", "six==1.16.0"), error)
    assert incident["error_type"] == "DatabricksLibraryInstallationError"
    assert incident["state"] == "escalated", incident["timeline"]
    assert "does not name the library" in incident["decision"]["note"]
    assert incident["attempts"] == []


def test_an_error_about_another_package_changes_nothing(host: Host) -> None:
    error = "Library installation failed: No matching distribution found for acme-core>=3"
    incident = failed_job(host, pypi("pandas==2.2.3"), error)
    assert incident["state"] == "escalated", incident["timeline"]
    assert "names acme-core" in incident["decision"]["note"]
    assert incident["attempts"] == []


def test_a_range_is_never_left(host: Host) -> None:
    error = "Library installation failed: No matching distribution found for pandas<2.2,>=2.0"
    incident = failed_job(host, pypi("pandas>=2.0,<2.2", "requests==2.31.0"), error)
    assert incident["state"] == "healed", incident["timeline"]
    assert versions(incident) == ["2.1.4"]


def test_another_major_version_is_taken_from_the_catalog_only(host: Host, package: str) -> None:
    error = f"Library installation failed: No matching distribution found for {package}==1.0"
    incident = failed_job(host, pypi(f"{package}==1.0"), error)
    assert incident["state"] == "escalated", incident["timeline"]
    assert f"no older version of {package}==1.0 is known" in incident["decision"]["note"]


def test_a_direct_reference_goes_to_a_person(host: Host) -> None:
    error = "Library installation failed: No matching distribution found for pandas"
    place = "pandas @ https://example.com/pandas-2.2.3-py3-none-any.whl"
    incident = failed_job(host, pypi(place), error)
    assert incident["state"] == "escalated", incident["timeline"]
    assert "by its place" in incident["decision"]["note"]
    assert incident["attempts"] == []

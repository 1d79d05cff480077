"""Waiting for a file whose container we may read: the file decides, not the upstream's run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from devstack.processes import Stack
from tests.e2e.hosts import Host, running
from tests.e2e.world import TIMEOUT_ERROR, Json, World

CEILING = 6.0  # seconds that a file is waited for


@pytest.fixture(scope="module")
def host(
    stack: Stack | None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    def shorten(catalog: Json) -> None:
        catalog["timings"]["wait_ceiling"] = CEILING

    settings = {"SOURCE_STORAGE_CONNECTION": stack.connection} if stack else {}
    directory = tmp_path_factory.mktemp("files")
    with running(stack, world, directory, shorten, settings) as host:
        yield host


@pytest.fixture
def container(stack: Stack) -> Iterator[ContainerClient]:
    with BlobServiceClient.from_connection_string(stack.connection) as client:
        yield client.create_container(f"raw{uuid.uuid4().hex[:8]}")


def pipelines(world: World, upstream_status: str, good: int | None = 86_400) -> str:
    """Ours, and its upstream by habit whose last run ended 600 s before ours began; our name.

    `good`: how many seconds ago our own last good run began, None if there never was one.
    """
    tag = uuid.uuid4().hex[:8]
    for step in (1, 2):
        world.script(
            "adf/pipelines",
            factory=world.factory,
            name=f"pl_{tag}_Step{step}",
            activities=[{"name": "Load", "type": "Copy"}],
            duration_seconds=1,
        )
    outcome: Json = {"status": upstream_status}
    if upstream_status == "Failed":
        outcome |= {"activity": "Load", "error": TIMEOUT_ERROR}
    body = {"factory": world.factory, "pipeline": f"pl_{tag}_Step1", "outcome": outcome}
    world.script("adf/runs", finished=True, started_seconds_ago=600, ended_seconds_ago=540, **body)
    ours = f"pl_{tag}_Step2"
    if good is not None:
        when = {"started_seconds_ago": good, "ended_seconds_ago": good - 60}
        world.script("adf/runs", factory=world.factory, pipeline=ours, finished=True, **when)
    return ours


def alert_on_missing(world: World, pipeline: str, container: str) -> str:
    message = f"The required Blob is missing. ContainerName: {container}, path: in/a.csv."
    error = {"errorCode": "UserErrorSourceBlobNotExist", "message": message}
    run = world.failed_run(pipeline, error | {"failureType": "UserError"})
    return world.send("/azure-monitor", world.alert_on((pipeline, run)))


def waits(world: World, alert: str, words: str) -> None:
    found = world.until(lambda: world.get(f"/api/alerts/{alert}").json()["incidents"])
    identity = found[0]["incident_id"]
    world.until(lambda: words in (world.incident(identity)["waiting_for"] or ""))


def test_ours_is_not_rerun_before_the_file_is_there(host: Host, container: ContainerClient) -> None:
    world = host.world
    pipeline = pipelines(world, "Succeeded")
    alert = alert_on_missing(world, pipeline, container.container_name)
    waits(world, alert, f"but {container.container_name}/in/a.csv is not there yet")
    assert world.reruns(pipeline) == []
    container.upload_blob("in/a.csv", b"1,2")
    incident = world.incident_of(alert)
    assert incident["state"] == "healed", incident["timeline"]
    assert len(world.reruns(pipeline)) == 1


def test_a_file_that_never_comes_goes_to_a_person(host: Host, container: ContainerClient) -> None:
    world = host.world
    pipeline = pipelines(world, "Succeeded")
    alert = alert_on_missing(world, pipeline, container.container_name)
    incident = world.incident_of(alert)
    assert incident["state"] == "escalated"
    assert incident["attempts"][0]["verdict"] == "failed"
    assert "is not there yet" in incident["attempts"][0]["verdict_note"]
    assert world.reruns(pipeline) == []
    assert incident["guidance"]


def test_an_upstream_that_failed_will_not_bring_the_file(
    host: Host, container: ContainerClient
) -> None:
    world = host.world
    pipeline = pipelines(world, "Failed")
    incident = world.incident_of(alert_on_missing(world, pipeline, container.container_name))
    assert incident["state"] == "escalated"
    assert "is failed" in incident["attempts"][0]["verdict_note"]
    assert world.reruns(pipeline) == []


def test_a_file_in_another_account_leaves_it_to_the_upstream(host: Host) -> None:
    world = host.world
    pipeline = pipelines(world, "Succeeded")
    incident = world.incident_of(alert_on_missing(world, pipeline, "elsewhere"))
    assert incident["state"] == "healed", incident["timeline"]


def test_without_upstream_and_without_a_readable_container_nobody_waits(host: Host) -> None:
    world = host.world
    pipeline = world.pipeline()
    incident = world.incident_of(alert_on_missing(world, pipeline, "elsewhere"))
    assert incident["state"] == "escalated"
    assert "neither an upstream nor the missing file is known" in incident["decision"]["note"]
    assert incident["attempts"] == []


@pytest.mark.parametrize("good", [300, None])
def test_an_old_success_of_the_upstream_is_not_todays(host: Host, good: int | None) -> None:
    world = host.world
    pipeline = pipelines(world, "Succeeded", good)
    alert = alert_on_missing(world, pipeline, "elsewhere")
    incident = world.incident_of(alert)
    assert incident["state"] == "escalated", incident["timeline"]
    assert "older than what is waited for" in incident["attempts"][0]["verdict_note"]
    assert world.reruns(pipeline) == []


def test_todays_success_of_the_upstream_is_waited_for(host: Host) -> None:
    world = host.world
    pipeline = pipelines(world, "Succeeded", 300)
    alert = alert_on_missing(world, pipeline, "elsewhere")
    waits(world, alert, "older than what is waited for")
    assert world.reruns(pipeline) == []
    upstream = pipeline.replace("Step2", "Step1")
    world.script("adf/runs", factory=world.factory, pipeline=upstream, finished=True)
    incident = world.incident_of(alert)
    assert incident["state"] == "healed", incident["timeline"]
    assert len(world.reruns(pipeline)) == 1

"""Playbooks: a team's Logic App in place of our own remedies, on everything that can fail."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from devstack.processes import Stack
from devstack.service import ServiceError
from tests.e2e.hosts import Host, StartHost, running
from tests.e2e.test_databricks import NOTEBOOK, OUT_OF_MEMORY, install, job_failed, terminated
from tests.e2e.world import TIMEOUT_ERROR, Json, World, actions

PLAYBOOKS = {
    "PLAYBOOK_RETRY_PIPELINE": "adf_rerun",
    "PLAYBOOK_RERUN_UPSTREAM": "",
    "PLAYBOOK_RETRY_JOB": "databricks_repair",
    "PLAYBOOK_RESTART_CLUSTER": "",
    "PLAYBOOK_REINSTALL_LIBRARIES": "",
}
TAG = uuid.uuid4().hex[:8]
SIGNATURE = f"s3cret-{TAG}"
SLOW = OUT_OF_MEMORY | {"error": "operation timed out", "message": "timeout"}


def workflow(name: str) -> str:
    return f"{name.lower().replace('_', '-')}-{TAG}"


def script(world: World, name: str, **more: Any) -> str:
    """Say what a playbook does from now on; its address."""
    effect = {PLAYBOOKS[name]: True} if PLAYBOOKS[name] else {}
    body = {"id": workflow(name), "sig": SIGNATURE, "effect": effect} | more
    return f"{world.sandbox_url}{world.script('playbooks', **body)['path']}"


def calls(world: World, name: str, about: str) -> list[Json]:
    return [c for c in world.seen(f"workflows/{workflow(name)}/") if about in str(c["body"])]


def settings_of(world: World) -> dict[str, str]:
    urls = {name: script(world, name) for name in PLAYBOOKS}
    return urls | {"PLAYBOOK_HOSTS": "127.0.0.1"}


@pytest.fixture(scope="module")
def host(
    stack: Stack | None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    directory = tmp_path_factory.mktemp("playbooks")
    with running(stack, world, directory, settings=settings_of(world)) as host:
        yield host


@pytest.fixture(autouse=True)
def as_agreed(world: World) -> None:
    for name in PLAYBOOKS:
        script(world, name)


def failed_pipeline(world: World, error: Json = TIMEOUT_ERROR) -> tuple[str, str]:
    pipeline = world.pipeline()
    return pipeline, world.failed_run(pipeline, error)


def failed_job(world: World, times: int = 1) -> tuple[int, str]:
    job = world.job({"task_key": "load", "environment_key": "default"} | NOTEBOOK)
    world.script("databricks/outcomes", job_id=job, outcomes=[SLOW] * times)
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    return job, run


def change(world: World, path: str, **body: Any) -> Json:
    """What the playbook does on the workspace, where the sandbox has no effect for it."""
    headers = {"Authorization": "Bearer sandbox-token"}
    answer = requests.post(f"{world.sandbox_url}{path}", json=body, headers=headers, timeout=10)
    assert answer.ok, answer.text
    return dict(answer.json() or {})


# Pipelines


def test_a_pipeline_is_healed_by_the_run_that_the_answer_names(host: Host) -> None:
    world = host.world
    pipeline, run = failed_pipeline(world)
    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run))))
    assert incident["state"] == "healed", incident["timeline"]
    named = incident["attempts"][0]["memo"]["named_run"]
    assert world.runs_of(pipeline, "Succeeded") == [named]
    assert len(calls(world, "PLAYBOOK_RETRY_PIPELINE", run)) == 1
    assert world.reruns(pipeline) == []
    assert SIGNATURE not in json.dumps(incident)


@pytest.mark.parametrize("answer", [{}, {"run_id": "FAILED-RUN"}, {"new_run_id": ["x"]}])
def test_an_answer_that_names_no_new_run_leaves_us_looking(host: Host, answer: Json) -> None:
    """An echo of the failed run's id is no new run: it is Failed, and must not end the attempt."""
    world = host.world
    pipeline, run = failed_pipeline(world)
    echo = {k: run if v == "FAILED-RUN" else v for k, v in answer.items()}
    script(world, "PLAYBOOK_RETRY_PIPELINE", answer=echo or {"status": "started"})
    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run))))
    assert incident["state"] == "healed", incident["timeline"]
    assert len(incident["attempts"]) == 1
    memo = incident["attempts"][0]["memo"]
    assert "named_run" not in memo
    assert world.runs_of(pipeline, "Succeeded") == [memo["new_run_id"]]


def test_a_run_of_another_pipeline_does_not_heal_ours(host: Host) -> None:
    world = host.world
    upstream = world.pipeline()
    delivered = world.script("adf/runs", factory=world.factory, pipeline=upstream, finished=True)[
        "run_id"
    ]
    script(world, "PLAYBOOK_RETRY_PIPELINE", answer={"new_run_id": delivered}, effect={})
    pipeline, run = failed_pipeline(world)
    alert = world.send("/azure-monitor", world.alert_on((pipeline, run)))
    world.until(lambda: calls(world, "PLAYBOOK_RETRY_PIPELINE", run))
    found = world.until(lambda: world.get(f"/api/alerts/{alert}").json()["incidents"])
    identity = found[0]["incident_id"]
    world.until(lambda: "no new run yet" in (world.incident(identity)["waiting_for"] or ""))
    assert world.incident(identity)["state"] == "verifying"
    # Somebody reruns ours after all: that is what heals it.
    query = {"referencePipelineRunId": run, "isRecovery": "true", "startFromFailure": "true"}
    again = world.arm(f"pipelines/{pipeline}/createRun", {}, **query)["runId"]
    incident = world.incident_of(alert)
    assert incident["state"] == "healed", incident["timeline"]
    assert incident["attempts"][0]["memo"]["new_run_id"] == again


def throttle(world: World, name: str, times: int) -> None:
    body: Json = {"method": "POST", "path": f"workflows/{workflow(name)}/", "times": times}
    headers = {"Retry-After": "1"}
    world.script("faults", name=f"429-{uuid.uuid4()}", status=429, headers=headers, **body)


def test_a_playbook_that_is_busy_is_called_again(host: Host) -> None:
    world = host.world
    pipeline, run = failed_pipeline(world)
    throttle(world, "PLAYBOOK_RETRY_PIPELINE", 2)
    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run))))
    assert incident["state"] == "healed", incident["timeline"]
    statuses = [c["status"] for c in calls(world, "PLAYBOOK_RETRY_PIPELINE", run)]
    assert statuses == [429, 429, 200]
    assert len(incident["attempts"]) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_a_playbook_that_refuses_is_an_attempt_that_failed(host: Host, status: int) -> None:
    world = host.world
    pipeline, run = failed_pipeline(world)
    place = f"workflows/{workflow('PLAYBOOK_RETRY_PIPELINE')}/"
    name = f"no-{uuid.uuid4()}"
    world.script("faults", name=name, method="POST", path=place, times=3, status=status)
    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run))))
    assert incident["state"] == "escalated"
    assert incident["decision"]["reason"] == "attempts_used_up"
    assert [a["verdict"] for a in incident["attempts"]] == ["failed"] * 3
    assert "Action Refused by Platform" in actions(incident)
    assert len(calls(world, "PLAYBOOK_RETRY_PIPELINE", run)) == 3
    assert SIGNATURE not in json.dumps(incident)


@pytest.mark.parametrize("how", [{"disconnect": True}, {"status": 500}, {"status": 504}])
def test_an_answer_that_was_lost_goes_to_a_person(host: Host, how: Json) -> None:
    world = host.world
    pipeline, run = failed_pipeline(world)
    place = f"workflows/{workflow('PLAYBOOK_RETRY_PIPELINE')}/"
    name = f"lost-{uuid.uuid4()}"
    world.script("faults", name=name, method="POST", path=place, times=1, after_effect=True, **how)
    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run))))
    assert incident["state"] == "escalated"
    assert "it cannot be told whether it was done, and is not repeated" in incident["outcome"]
    assert len(calls(world, "PLAYBOOK_RETRY_PIPELINE", run)) == 1


def test_killed_while_a_playbook_is_called_it_is_not_called_again(
    start_host: StartHost, world: World
) -> None:
    """An intent without an outcome: nobody knows, so a person has to look."""
    host = start_host(**settings_of(world))
    pipeline, run = failed_pipeline(world)
    place = f"workflows/{workflow('PLAYBOOK_RETRY_PIPELINE')}/"
    name = f"slow-{uuid.uuid4()}"
    world.script(
        "faults", name=name, method="POST", path=place, times=1, delay_seconds=5, disconnect=True
    )
    alert = host.world.send("/azure-monitor", world.alert_on((pipeline, run)))
    world.until(lambda: calls(world, "PLAYBOOK_RETRY_PIPELINE", run))
    host.service.kill()
    host.service.start()
    incident = host.world.incident_of(alert)
    assert incident["state"] == "escalated"
    assert "it cannot be told whether it was done, and is not repeated" in incident["outcome"]
    assert len(calls(world, "PLAYBOOK_RETRY_PIPELINE", run)) == 1
    assert incident["audit"]["whole"]


# Jobs


@pytest.mark.parametrize("answer", [None, {"run_id": "new"}, {"status": "started"}])
def test_a_job_is_healed_by_a_repair_or_by_a_new_run(host: Host, answer: Json | None) -> None:
    world = host.world
    job, run = failed_job(world)
    new = ""
    if answer is not None and "run_id" in answer:
        new = world.job_run(job)
        script(world, "PLAYBOOK_RETRY_JOB", answer={"run_id": int(new)}, effect={})
    elif answer is not None:
        script(world, "PLAYBOOK_RETRY_JOB", answer=answer)
    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    assert incident["state"] == "healed", incident["timeline"]
    assert len(calls(world, "PLAYBOOK_RETRY_JOB", run)) == 1
    memo = incident["attempts"][0]["memo"]
    assert memo.get("named_run", "") == new
    repaired = world.databricks("/api/2.2/jobs/runs/get", run_id=run, include_history="true")
    repairs = [r for r in repaired["repair_history"] if r["type"] == "REPAIR"]
    assert len(repairs) == (0 if new else 1)


def test_a_run_of_another_job_does_not_heal_ours(host: Host) -> None:
    world = host.world
    other = world.job({"task_key": "x", "environment_key": "default"} | NOTEBOOK)
    foreign = world.job_run(other)
    world.until(lambda: world.run_ended(foreign))
    script(world, "PLAYBOOK_RETRY_JOB", answer={"run_id": int(foreign)})
    job, run = failed_job(world, times=2)
    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    # The first repair failed, although the foreign run that was named has succeeded.
    assert [a["verdict"] for a in incident["attempts"]] == ["failed", "healed"]


# Clusters and libraries


def test_a_cluster_is_healed_when_it_runs_again(host: Host) -> None:
    world = host.world
    cluster = world.cluster()
    world.terminate(cluster, "DRIVER_NOT_RESPONDING")
    alert = world.send("/databricks-monitor", terminated(cluster, "DRIVER_NOT_RESPONDING"))
    world.until(lambda: calls(world, "PLAYBOOK_RESTART_CLUSTER", cluster))
    change(world, "/api/2.1/clusters/start", cluster_id=cluster)
    incident = world.incident_of(alert)
    assert incident["state"] == "healed", incident["timeline"]
    assert [a["remedy"] for a in incident["attempts"]] == ["playbook"]
    starts = [r for r in world.seen("clusters/start") if r["body"]["cluster_id"] == cluster]
    assert len(starts) == 1  # the playbook's, none of ours


def test_libraries_are_healed_when_the_package_is_installed(host: Host) -> None:
    world = host.world
    cluster = world.cluster()
    package = f"etl-{uuid.uuid4().hex[:8]}"
    bad = {"pypi": {"package": f"{package}==2.0"}}
    message = f"No matching distribution found for {package}==2.0"
    rules = [{"library": f"{package}==2.0", "status": "FAILED", "message": message}]
    world.script("databricks/libraries", rules=rules)
    install(world, cluster, bad)
    body = {"event": "library.install_failed", "library": bad, "error_message": message}
    alert = world.send("/databricks-monitor", body | {"cluster": {"cluster_id": cluster}})
    world.until(lambda: calls(world, "PLAYBOOK_REINSTALL_LIBRARIES", cluster))
    good = {"pypi": {"package": f"{package}==1.0"}}
    change(world, "/api/2.0/libraries/install", cluster_id=cluster, libraries=[good])
    incident = world.incident_of(alert)
    assert incident["state"] == "healed", incident["timeline"]
    assert [a["remedy"] for a in incident["attempts"]] == ["playbook"]
    assert f"{package}==1.0 is INSTALLED" in json.dumps(incident["timeline"])


# Addresses


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("https://prod.logic.azure.com/w?sig=hunter2", "is not among PLAYBOOK_HOSTS"),
        ("http://127.0.0.2.example.com/w?sig=hunter2", "expected an https:// URL"),
    ],
)
def test_a_host_does_not_start_with_an_address_that_is_not_allowed(
    start_host: StartHost, url: str, complaint: str
) -> None:
    settings = {"PLAYBOOK_RETRY_JOB": url, "PLAYBOOK_HOSTS": "flows.example.com"}
    with pytest.raises(ServiceError) as caught:
        start_host(**settings)
    assert "PLAYBOOK_RETRY_JOB" in str(caught.value)
    assert complaint in str(caught.value)
    assert "hunter2" not in str(caught.value)

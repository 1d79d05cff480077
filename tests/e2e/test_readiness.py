"""Readiness and drift of pipelines, seen from outside."""

from __future__ import annotations

import uuid
from typing import Any

import requests

from tests.e2e.hosts import StartHost
from tests.e2e.world import Json, World

TOKEN = {"Authorization": "Bearer sandbox-token"}
GOOD: Json = {
    "catalog": "main",
    "continuous": False,
    "development": False,
    "photon": True,
    "channel": "CURRENT",
    "clusters": [
        {
            "label": "default",
            "node_type_id": "Standard_DS3_v2",
            "autoscale": {"min_workers": 1, "max_workers": 4},
        }
    ],
    "notifications": [{"email_recipients": ["data@example.com"], "alerts": ["on-update-failure"]}],
    "tags": {"owner": "data"},
}
BAD: Json = {
    "development": True,
    "channel": "PREVIEW",
    "clusters": [{"label": "default", "num_workers": 8}],
    "configuration": {
        "pipelines.numUpdateRetryAttempts": "0",
        "spark.databricks.delta.autoCompact.enabled": "false",
        "note": "<script>alert(1)</script>",
    },
}
FAULTS = {
    "development", "engine", "channel", "autoscaling", "sizing", "notifications", "tags",
    "timeouts", "retries", "schedule", "order", "concurrency", "optimisation", "identity",
    "permissions", "catalog",
}  # fmt: skip


def deployed(world: World, spec: Json) -> tuple[str, str]:
    name = f"dlt {uuid.uuid4().hex[:8]}"
    body = {"name": name, **spec}
    return name, str(world.script("databricks/pipelines", **body)["pipeline_id"])


def edit(world: World, pipeline_id: str, spec: Json) -> None:
    """What somebody does by hand in the workspace."""
    url = f"{world.sandbox_url}/api/2.0/pipelines/{pipeline_id}"
    answer = requests.put(url, json={"pipeline_id": pipeline_id, **spec}, headers=TOKEN, timeout=10)
    assert answer.ok, answer.text


def grant(world: World, kind: str, identity: str | int) -> None:
    url = f"{world.sandbox_url}/api/2.0/permissions/{kind}/{identity}"
    entry = {"group_name": "data-engineers", "permission_level": "CAN_MANAGE"}
    body = {"access_control_list": [entry]}
    assert requests.patch(url, json=body, headers=TOKEN, timeout=10).ok


def over(world: World, pipeline_id: str, **settings: Any) -> int:
    """A job that starts the pipeline."""
    tasks = [
        {"task_key": "refresh", "pipeline_task": {"pipeline_id": pipeline_id}},
        {"task_key": "report", "notebook_task": {"notebook_path": "/r"}},
    ]
    return world.job(*tasks, **settings)


def report(world: World, name: str) -> Json:
    answer = world.get(f"/api/pipelines/{name}/readiness")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def faults(said: Json) -> set[str]:
    return {check["name"] for check in said["checks"] if check["passed"] is False}


def found(world: World, pipeline_id: str, query: str = "") -> list[Json]:
    listed = world.get(f"/api/findings?limit=200{query}").json()["findings"]
    return [f for f in listed if f["resource"] == pipeline_id]


def test_each_fault_is_named_and_the_repaired_pipeline_is_clean(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    name, pipeline_id = deployed(world, BAD)
    job_id = over(world, pipeline_id, max_concurrent_runs=3)

    said = report(world, name)

    assert said["ready"] is False
    assert faults(said) == FAULTS
    assert all(c["remedy"] and c["reason"] for c in said["checks"] if c["passed"] is False)
    host.timer("nightly_sweep")
    seen = world.until(lambda: found(world, pipeline_id))[0]
    assert seen["kind"] == "not_ready"
    assert len(seen["evidence"]) == len(FAULTS)

    edit(world, pipeline_id, {"name": name, **GOOD})
    grant(world, "pipelines", pipeline_id)
    grant(world, "jobs", job_id)
    world.script("databricks/identity", pipeline_id=pipeline_id, run_as="a1b2-service-principal")
    settings: Json = {
        "name": "nightly",
        "timeout_seconds": 7200,
        "max_concurrent_runs": 1,
        "schedule": {"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"},
        "run_as": {"service_principal_name": "a1b2-service-principal"},
        "tasks": [
            {"task_key": "refresh", "pipeline_task": {"pipeline_id": pipeline_id}},
            {
                "task_key": "report",
                "notebook_task": {"notebook_path": "/r"},
                "depends_on": [{"task_key": "refresh"}],
            },
        ],
    }
    answer = requests.post(
        f"{world.sandbox_url}/api/2.2/jobs/reset",
        json={"job_id": job_id, "new_settings": settings},
        headers=TOKEN,
        timeout=10,
    )
    assert answer.ok, answer.text
    said = report(world, name)
    assert faults(said) == {"drift"}  # nobody has accepted the repair yet
    accepted = world.post(f"/api/pipelines/{name}/baseline", {}, "deployer")
    assert accepted.json()["baseline"]["by"] == "deployer"
    said = report(world, pipeline_id)
    assert said["ready"] is True, faults(said)
    host.timer("nightly_sweep")
    gone = world.until(lambda: found(world, pipeline_id, "&state=resolved&kind=not_ready"))
    assert gone[0]["finding_id"] == seen["finding_id"]


def test_an_edit_by_hand_is_drift_until_it_is_accepted(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    name, pipeline_id = deployed(world, GOOD)
    other, other_id = deployed(world, {"development": True})
    host.timer("nightly_sweep")
    world.until(lambda: found(world, other_id))
    assert found(world, pipeline_id, "&kind=drift") == []
    assert report(world, name)["baseline"]["by"] == "first seen"

    edit(world, pipeline_id, {"name": name, **GOOD, "development": True, "photon": False})
    edit(world, other_id, {"name": other, "development": True, "continuous": False})
    host.timer("nightly_sweep")

    seen = world.until(lambda: found(world, pipeline_id, "&kind=drift"))[0]
    assert seen["evidence"] == ["development: false → true", "photon: true → false"]
    assert found(world, other_id, "&kind=drift") == []  # off and not set are the same

    assert world.post(f"/api/pipelines/{name}/baseline", {}, "approver").status_code == 403
    assert world.post(f"/api/pipelines/{name}/baseline", {}, "deployer").status_code == 200
    host.timer("nightly_sweep")
    world.until(lambda: found(world, pipeline_id, "&state=resolved&kind=drift"))


def test_the_page_is_for_people_and_escapes_what_it_shows(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    name, pipeline_id = deployed(world, {**BAD, "tags": {"<b>x</b>": "1"}})
    headers = {"X-API-Key": world.keys["reader"], "Accept": "text/html,application/xhtml+xml"}
    url = f"{world.base_url}/api/pipelines/{pipeline_id}/readiness"
    answer = requests.get(url, headers=headers, timeout=30)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert f"{name} in databricks: not fit for production" in answer.text
    assert "&lt;b&gt;x&lt;/b&gt;" in answer.text
    assert "<b>x</b>" not in answer.text


def test_mistakes_are_named(start_host: StartHost) -> None:
    world = start_host().world
    name, one = deployed(world, {**GOOD, "allow_duplicate_names": True})
    body = {"name": name, "allow_duplicate_names": True}
    world.script("databricks/pipelines", **body)
    twice = world.get(f"/api/pipelines/{name}/readiness")
    assert (twice.status_code, twice.json()["field"]) == (400, "name")
    assert one in twice.json()["error"]
    assert world.get("/api/pipelines/no-such/readiness").status_code == 404
    wrong = world.get(f"/api/pipelines/{one}/readiness?colour=red")
    assert (wrong.status_code, wrong.json()["field"]) == (400, "colour")
    assert world.get(f"/api/pipelines/{one}/readiness?target=elsewhere").status_code == 404
    assert world.get(f"/api/pipelines/{one}/readiness", "sender").status_code == 403

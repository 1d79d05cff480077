"""Platforms that do not answer or refuse; alerts that mean something else than they seem to."""

from __future__ import annotations

import json

from tests.e2e.test_databricks import NOTEBOOK, OUT_OF_MEMORY, install, job_failed, refuse
from tests.e2e.world import Json, World, actions


def fault(
    world: World, method: str, path: str, times: int | None, status: int, **more: object
) -> None:
    body = {"error": {"code": "Broken", "message": "out of order"}, "error_code": "INTERNAL_ERROR"}
    settings = {"name": path, "method": method, "path": path, "times": times, "status": status}
    world.script("faults", **settings | {"body": body} | more)


def test_an_outage_of_minutes_delays_the_healing_and_nothing_else(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    fault(world, "GET", f"pipelineruns/{run_id}", 30, 503)
    fault(world, "POST", f"pipelines/{pipeline}/createRun", 1, 500, after_effect=True)

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "healed", incident["timeline"]
    assert incident["failure"]["resource"] == pipeline
    assert len(world.reruns(pipeline)) == 1


def test_reading_that_is_refused_goes_to_a_person_who_is_told_why(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    fault(world, "GET", f"pipelineruns/{run_id}", None, 403)

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "escalated"
    assert "could not be looked up" in incident["outcome"]
    assert "403" in incident["outcome"]
    assert world.reruns(pipeline) == []


def test_a_token_that_is_refused_without_having_expired_is_not_renewed(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    error = {"code": "InvalidAuthenticationToken", "message": "The access token is invalid."}
    path = f"pipelineruns/{run_id}/queryActivityruns"
    fault(world, "POST", path, None, 401, body={"error": error})

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "escalated", incident["timeline"]
    assert "our own credential" in incident["outcome"]
    assert "Auto-Remediation Attempted" not in actions(incident)
    assert any("test its connection" in step for step in incident["guidance"])
    assert world.reruns(pipeline) == []


def test_an_absurd_retry_after_is_not_obeyed_to_the_letter(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    fault(
        world,
        "POST",
        f"pipelines/{pipeline}/createRun",
        1,
        429,
        headers={"Retry-After": "99999999999999"},
    )
    alert = world.send("/azure-monitor", world.alert_on((pipeline, run_id)))
    world.until(lambda: world.seen(f"pipelines/{pipeline}/createRun"))
    incidents = world.get(f"/api/alerts/{alert}").json()["incidents"]
    assert world.incident(incidents[0]["incident_id"])["state"] == "remediating"


def test_garbage_for_an_answer_is_no_verdict(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    fault(
        world, "POST", f"pipelines/{pipeline}/createRun", 1, 200, truncate=True, after_effect=True
    )
    fault(world, "GET", f"pipelineruns/{run_id}", 2, 200, truncate=True)

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "healed", incident["timeline"]
    assert len(world.reruns(pipeline)) == 1


def test_an_alert_does_not_outvote_the_platform_nor_rerun_old_work(world: World) -> None:
    cluster = world.cluster()
    job = world.job({"task_key": "load", "existing_cluster_id": cluster} | NOTEBOOK)
    wrong = OUT_OF_MEMORY | {"error": "ValueError: order 66 does not balance"}
    world.script("databricks/outcomes", job_id=job, outcomes=[wrong])
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    first = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    refuse(world, "pandas==2.2.0")
    install(world, cluster, {"pypi": {"package": "pandas==2.2.0"}})

    alert = {
        "event": "library.install_failed",
        "cluster": {"cluster_id": cluster},
        "library": "pandas==2.2.0",
        "error_message": "No matching distribution found for pandas==2.2.0",
    }
    second = world.incident_of(world.send("/databricks-monitor", alert))

    assert first["state"] == "escalated"
    assert second["incident_id"] != first["incident_id"]
    assert second["failure"]["kind"] == "library"
    assert second["state"] == "healed"
    assert not [r for r in world.seen("runs/repair") if str(r["body"]["run_id"]) == run]


def test_of_two_libraries_the_blamed_one_is_replaced(world: World) -> None:
    spec = {
        "spark_version": "15.4.x-scala2.12",
        "node_type_id": "Standard_DS3_v2",
        "num_workers": 2,
    }
    task: Json = {"task_key": "load", "new_cluster": spec | {"num_workers": 2}} | NOTEBOOK
    task["libraries"] = [
        {"pypi": {"package": "requests==2.32.3"}},
        {"pypi": {"package": "pandas==2.2.0"}},
    ]
    job = world.job(task)
    said = "Library installation failed for library pandas==2.2.0: 404 while fetching requests"
    outcome = OUT_OF_MEMORY | {"error": said, "condition": {"library_not": "pandas==2.2.0"}}
    world.script("databricks/outcomes", job_id=job, outcomes=[outcome], then=outcome)
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))

    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))

    assert incident["state"] == "healed", incident["timeline"]
    updates = json.dumps([r["body"] for r in world.seen("jobs/update")])
    assert "pandas==2.1.4" in updates
    assert "requests==2.31.0" not in updates
    settings = world.databricks("/api/2.2/jobs/get", job_id=job)["settings"]
    assert settings["tasks"][0]["libraries"] == task["libraries"]


def test_a_target_in_another_spelling_is_the_same_target(world: World) -> None:
    job = world.job({"task_key": "load", "environment_key": "default"} | NOTEBOOK)
    slow = OUT_OF_MEMORY | {"error": "operation timed out", "message": "timeout"}
    world.script("databricks/outcomes", job_id=job, outcomes=[slow])
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    failures = [
        [{"kind": "job_run", "target": name, "run_id": run}]
        for name in ("databricks", "DataBricks")
    ]

    ids = [world.send("/api/alerts", {"failures": failure}) for failure in failures]

    first, second = (world.incident_of(alert) for alert in ids)
    assert first["incident_id"] == second["incident_id"]
    assert "Alert Joined" in actions(second)


def test_the_cluster_under_a_pipeline_is_brought_back_before_the_rerun(world: World) -> None:
    pipeline = world.pipeline()
    error = {
        "errorCode": "3204",
        "message": "Databricks execution failed with error state: InternalError",
        "failureType": "UserError",
    }
    run_id = world.failed_run(pipeline, error)
    cluster = world.cluster()
    job = world.job({"task_key": "main", "existing_cluster_id": cluster} | NOTEBOOK)
    world.script("databricks/outcomes", job_id=job, outcomes=[{"result": "HANG"}])
    name = f"ADF_{world.factory}_{pipeline}_Load_{run_id}"
    run = world.job_run(job, run_name=name, run_type="SUBMIT_RUN")
    world.terminate(cluster, "DRIVER_UNREACHABLE")
    world.until(lambda: world.run_ended(run))

    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))

    assert incident["failure"]["kind"] == "pipeline_run"
    assert incident["state"] == "healed", incident["timeline"]
    assert incident["attempts"][0]["phases"] == ["start_cluster", "rerun_pipeline"]
    assert len(world.reruns(pipeline)) == 1
    assert not [r for r in world.seen("runs/repair") if str(r["body"]["run_id"]) == run]

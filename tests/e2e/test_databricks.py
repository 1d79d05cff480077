"""Failed Databricks work: on shared clusters, job clusters and serverless."""

from __future__ import annotations

from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from infra.databricks import publish_failure
from tests.e2e.world import World, actions

NOTEBOOK = {"notebook_task": {"notebook_path": "/Shared/etl"}}
OUT_OF_MEMORY = {
    "result": "FAILED",
    "termination_code": "RUN_EXECUTION_ERROR",
    "termination_type": "CLIENT_ERROR",
    "message": "Workload failed, see run output for details.",
    "error": "java.lang.OutOfMemoryError: Java heap space",
}


def terminated(cluster_id: str, code: str, kind: str = "CLOUD_FAILURE") -> dict[str, Any]:
    return {
        "event": "cluster.terminated",
        "cluster": {
            "cluster_id": cluster_id,
            "cluster_name": "shared",
            "state": "TERMINATED",
            "termination_reason": {"code": code, "type": kind},
        },
    }


def job_failed(run_id: str, job_id: int) -> dict[str, Any]:
    return {
        "event_type": "jobs.on_failure",
        "workspace_id": "1234567890",
        "run": {"run_id": run_id},
        "job": {"job_id": str(job_id), "name": "etl"},
    }


def test_a_cluster_whose_driver_stopped_answering_is_started(world: World) -> None:
    cluster = world.cluster()
    world.terminate(cluster, "DRIVER_NOT_RESPONDING")

    alert = terminated(cluster, "DRIVER_NOT_RESPONDING")
    incident = world.incident_of(world.send("/databricks-monitor", alert))

    assert incident["state"] == "healed"
    assert incident["error_type"] == "DatabricksDriverNotResponding"
    assert "Cluster Auto-Restarted" in actions(incident)
    state = world.databricks("/api/2.1/clusters/get", cluster_id=cluster)["state"]
    assert state == "RUNNING"
    starts = [r for r in world.seen("clusters/start") if r["body"]["cluster_id"] == cluster]
    assert len(starts) == 1


def test_a_cluster_that_idled_out_is_left_alone(world: World) -> None:
    cluster = world.cluster()
    world.terminate(cluster, "INACTIVITY", "SUCCESS")

    incident = world.incident_of(
        world.send("/databricks-monitor", terminated(cluster, "INACTIVITY", "SUCCESS"))
    )

    assert incident["state"] == "cancelled"
    assert incident["decision"]["reason"] == "stopped_by_somebody"
    assert not [r for r in world.seen("clusters/start") if r["body"]["cluster_id"] == cluster]


def test_the_run_on_a_lost_cluster_is_what_is_healed(world: World) -> None:
    cluster = world.cluster()
    job = world.job({"task_key": "load", "existing_cluster_id": cluster} | NOTEBOOK)
    world.script("databricks/outcomes", job_id=job, outcomes=[{"result": "HANG"}])
    run = world.job_run(job)
    world.terminate(cluster, "DRIVER_UNREACHABLE")
    world.until(lambda: world.run_ended(run))

    bodies = [terminated(cluster, "DRIVER_UNREACHABLE"), job_failed(run, job)]
    with ThreadPoolExecutor(2) as pool:
        ids = list(pool.map(lambda body: world.send("/databricks-monitor", body), bodies))

    first, second = (world.incident_of(alert_id) for alert_id in ids)
    assert first["incident_id"] == second["incident_id"]
    assert first["state"] == "healed"
    assert first["failure"]["kind"] == "job_run"
    assert first["attempts"][0]["phases"] == ["start_cluster", "repair_run"]
    repairs = [r for r in world.seen("runs/repair") if str(r["body"]["run_id"]) == run]
    assert len(repairs) == 1


def test_pandas_that_cannot_be_installed_is_replaced_by_an_older_version(world: World) -> None:
    cluster = world.cluster()
    library = {"pypi": {"package": "pandas==2.2.0"}}
    refuse(world, "pandas==2.2.0")
    install(world, cluster, library)

    alert = {
        "event": "library.install_failed",
        "cluster": {"cluster_id": cluster, "cluster_name": "shared"},
        "library": library,
        "error_message": "Could not find a version that satisfies the requirement pandas==2.2.0",
    }
    incident = world.incident_of(world.send("/databricks-monitor", alert))

    assert incident["state"] == "healed"
    assert incident["error_type"] == "DatabricksLibraryInstallationError"
    statuses = world.databricks("/api/2.0/libraries/cluster-status", cluster_id=cluster)
    assert [
        (entry["library"]["pypi"]["package"], entry["status"])
        for entry in statuses["library_statuses"]
    ] == [("pandas==2.1.4", "INSTALLED")]


def test_when_the_older_version_fails_too_the_next_one_is_tried(world: World) -> None:
    cluster = world.cluster()
    refuse(world, "numpy==2.1.3", "numpy==1.26.4")
    install(world, cluster, {"pypi": {"package": "numpy==2.1.3"}})

    alert = {
        "event": "library.install_failed",
        "cluster": {"cluster_id": cluster},
        "library": "numpy==2.1.3",
        "error_message": "No matching distribution found for numpy==2.1.3",
    }
    incident = world.incident_of(world.send("/databricks-monitor", alert))

    assert incident["state"] == "healed"
    assert incident["attempts"][0]["memo"]["version"] == "1.24.4"


def test_a_job_cluster_out_of_memory_gets_more_workers_for_the_repair_only(world: World) -> None:
    spec = {"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2"}
    clusters = [{"job_cluster_key": "main", "new_cluster": spec | {"num_workers": 4}}]
    task = {"task_key": "load", "job_cluster_key": "main"} | NOTEBOOK
    job = world.job(task, job_clusters=clusters, tags={"team": "data"})
    big = OUT_OF_MEMORY | {"condition": {"min_workers": 6}}
    world.script("databricks/outcomes", job_id=job, task_key="load", outcomes=[big, big], then=big)
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))

    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))

    assert incident["state"] == "healed", incident["timeline"]
    assert incident["attempts"][0]["phases"] == ["job_settings", "repair_run"]
    settings = world.databricks("/api/2.2/jobs/get", job_id=job)["settings"]
    assert settings["job_clusters"][0]["new_cluster"]["num_workers"] == 4
    assert settings["tags"] == {"team": "data"}
    assert "Borrowed Setting Given Back" in actions(incident)


def test_a_shared_cluster_out_of_memory_is_resized_and_given_back(world: World) -> None:
    cluster = world.cluster(autoscale={"min_workers": 2, "max_workers": 4})
    job = world.job({"task_key": "load", "existing_cluster_id": cluster} | NOTEBOOK)
    world.script("databricks/outcomes", job_id=job, outcomes=[OUT_OF_MEMORY])
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))

    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))

    assert incident["state"] == "healed", incident["timeline"]
    resizes = [r for r in world.seen("clusters/resize") if r["body"]["cluster_id"] == cluster]
    assert [r["body"]["autoscale"] for r in resizes] == [
        {"min_workers": 3, "max_workers": 6},
        {"min_workers": 2, "max_workers": 4},
    ]
    spec = world.databricks("/api/2.1/clusters/get", cluster_id=cluster)
    assert spec["custom_tags"] == {"team": "data"}
    assert spec["autoscale"] == {"min_workers": 2, "max_workers": 4}


def test_serverless_is_only_rerun(world: World) -> None:
    job = world.job({"task_key": "load", "environment_key": "default"} | NOTEBOOK)
    lost = OUT_OF_MEMORY | {"error": "The Spark driver is not responding, likely due to GC."}
    world.script("databricks/outcomes", job_id=job, outcomes=[lost])
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))

    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))

    assert incident["state"] == "healed", incident["timeline"]
    assert incident["attempts"][0]["phases"] == ["repair_run"]


def test_a_second_repair_names_the_first(world: World) -> None:
    job = world.job({"task_key": "load", "environment_key": "default"} | NOTEBOOK)
    slow = OUT_OF_MEMORY | {"error": "operation timed out", "message": "timeout"}
    world.script("databricks/outcomes", job_id=job, outcomes=[slow, slow])
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))

    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))

    repairs = [r for r in world.seen("runs/repair") if str(r["body"]["run_id"]) == run]
    assert incident["state"] == "healed", incident["timeline"]
    assert "latest_repair_id" not in repairs[0]["body"]
    assert repairs[1]["body"]["latest_repair_id"]


def test_an_error_in_the_users_code_goes_to_a_person(world: World) -> None:
    job = world.job({"task_key": "load", "environment_key": "default"} | NOTEBOOK)
    wrong = OUT_OF_MEMORY | {"error": "NameError: name 'x' is not defined"}
    world.script("databricks/outcomes", job_id=job, outcomes=[wrong])
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))

    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))

    assert incident["state"] == "escalated"
    assert not [r for r in world.seen("runs/repair") if str(r["body"]["run_id"]) == run]


def refuse(world: World, *packages: str) -> None:
    rules = [
        {
            "library": package,
            "status": "FAILED",
            "message": f"Could not find a version that satisfies the requirement {package}",
        }
        for package in packages
    ]
    world.script("databricks/libraries", rules=rules)


def install(world: World, cluster: str, library: dict[str, Any]) -> None:
    import requests

    requests.post(
        f"{world.sandbox_url}/api/2.0/libraries/install",
        json={"cluster_id": cluster, "libraries": [library]},
        headers={"Authorization": "Bearer sandbox-token"},
        timeout=10,
    ).raise_for_status()

    def failed() -> bool:
        statuses = world.databricks("/api/2.0/libraries/cluster-status", cluster_id=cluster)
        return bool(statuses["library_statuses"][0]["status"] == "FAILED")

    world.until(failed)


def test_a_run_that_tells_of_itself_before_its_end_is_healed_after_it(world: World) -> None:
    """The on-failure task of infra/databricks publishes while it is still a part of the run."""
    report = {"task_key": "report", "run_if": "AT_LEAST_ONE_FAILED"} | NOTEBOOK
    depending = report | {"depends_on": [{"task_key": "load"}]}
    job = world.job({"task_key": "load"} | NOTEBOOK, depending)
    slow = OUT_OF_MEMORY | {"error": "operation timed out", "message": "timeout"}
    for key, outcome in (("load", slow), ("report", {"result": "HANG"})):
        world.script("databricks/outcomes", job_id=job, task_key=key, outcomes=[outcome])
    run = world.job_run(job)
    world.until(lambda: states(world, run).get("report") == "RUNNING")

    told = Namespace(workspace_id=42, job_id=job, job_name="etl", run_id=run, repair=0)
    answer = requests.post(
        f"{world.base_url}/runtime/webhooks/eventgrid?functionName=event_grid_alert",
        json=[publish_failure.event(told)],
        timeout=10,
    )
    assert answer.ok
    found = world.until(lambda: about(world, run))["incident_id"]
    world.until(lambda: ("wait", "platform_busy") in decisions(world.incident(found)))
    on_purpose = "SystemExit: run was reported; this task fails so that the run stays failed"
    world.script(f"databricks/runs/{run}/end", **OUT_OF_MEMORY | {"error": on_purpose})
    incident = world.until(lambda: healed(world, found))

    assert [kind for kind, _ in decisions(incident)] == ["wait", "act"]
    assert incident["error_type"] == "GatewayTimeout"
    repairs = [r for r in world.seen("runs/repair") if str(r["body"]["run_id"]) == run]
    assert len(repairs) == 1
    assert repairs[0]["body"]["rerun_all_failed_tasks"] is True


def states(world: World, run: str) -> dict[str, str]:
    tasks = world.databricks("/api/2.2/jobs/runs/get", run_id=run)["tasks"]
    return {task["task_key"]: task["state"]["life_cycle_state"] for task in tasks}


def about(world: World, run: str) -> dict[str, Any] | None:
    listed = world.get("/api/incidents?limit=20").json()["incidents"]
    return next((i for i in listed if run in i["failure"]["occurrence"]), None)


def healed(world: World, incident_id: str) -> dict[str, Any] | None:
    incident = world.incident(incident_id)
    return incident if incident["state"] == "healed" else None


def decisions(incident: dict[str, Any]) -> list[tuple[str, str]]:
    made = [e for e in incident["timeline"] if e["action"] == "Decision Made"]
    return [(entry["result"], entry["reason"]) for entry in made]

"""Figures from outside: what was healed, what was not, who repaired it, what observing shows."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.e2e.hosts import Host, StartHost
from tests.e2e.test_databricks import NOTEBOOK, job_failed
from tests.e2e.world import Json, World, actions

STRANGE = {"errorCode": "9999", "message": "Frobnication incomplete", "failureType": "UserError"}
STRANGE_RUN = {
    "result": "FAILED",
    "termination_code": "RUN_EXECUTION_ERROR",
    "termination_type": "CLIENT_ERROR",
    "message": "Workload failed, see run output for details.",
    "error": "Frobnication incomplete",
}


def alerted(world: World, pipeline: str, run_id: str) -> Json:
    return world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))


def repair(world: World, pipeline: str, run_id: str) -> None:
    """Somebody reruns it in the portal, and it succeeds."""
    world.arm(
        f"pipelines/{pipeline}/createRun",
        {},
        referencePipelineRunId=run_id,
        isRecovery="true",
        startFromFailure="true",
    )
    world.until(lambda: world.runs_of(pipeline, "Succeeded"))


def recovered(host: Host, incident_id: str) -> Json:
    def look() -> Json | None:
        host.timer("recovery_sweep")
        found = host.world.incident(incident_id)
        return found if found["recovered_at"] else None

    return dict(host.world.until(look))


def rolled(host: Host, count: int, path: str = "/api/metrics", **later: int) -> Json:
    """The report, once `count` incidents are in it and as many recovered as `later` says."""

    def look() -> Json | None:
        host.timer("rollup_sweep")
        told = dict(host.world.get(path).json())
        totals = told.get("totals", told)
        times = told.get("time_to_recovery", {})
        seen = all(times[by]["count"] == wanted for by, wanted in later.items())
        return told if totals["incidents"] == count and told["as_of"] and seen else None

    return dict(host.world.until(look))


def test_one_healed_one_not_and_how_long_people_needed(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    good = world.pipeline()
    assert alerted(world, good, world.failed_run(good))["state"] == "healed"
    bad = world.pipeline()
    run_id = world.failed_run(bad, STRANGE)
    left = alerted(world, bad, run_id)
    assert left["state"] == "escalated"

    told = rolled(host, 2)
    assert (told["totals"]["healed"], told["totals"]["escalated"]) == (1, 1)
    assert (told["totals"]["attempts"], told["totals"]["success_rate"]) == (1, 1.0)
    assert (told["totals"]["avoided"], told["totals"]["open"]) == (1, 0)
    assert told["attempts_before_success"]["by_attempts"] == {"1": 1}
    assert 0 < told["time_to_recovery"]["healed"]["mean_seconds"] < 60
    types = {row["error_type"]: row for row in told["by_error_type"]}
    assert types["GatewayTimeout"]["meets_target"]
    assert types["Unknown"]["success_rate"] is None

    repair(world, bad, run_id)
    seen = recovered(host, left["incident_id"])
    assert (seen["state"], seen["recovered_by"]) == ("escalated", "by_hand")
    assert actions(seen).count("Recovery Seen") == 1
    assert seen["audit"]["whole"]
    assert seen["seconds"]["to_recovered"] > 0
    told = rolled(host, 2, by_hand=1)
    needed = told["time_to_recovery"]["by_hand"]["mean_seconds"]
    assert needed == pytest.approx(seen["seconds"]["to_recovered"], abs=0.1)

    lines = list(csv.DictReader(io.StringIO(world.get("/api/metrics?format=csv").text)))
    assert [line["incidents"] for line in lines] == ["1", "1", "2"]
    assert lines[-1]["by_hand_count"] == "1"


def failed_job(world: World) -> tuple[int, Json]:
    """A job whose failure is left to a person, and its incident."""
    job = world.job({"task_key": "load"} | NOTEBOOK)
    world.script("databricks/outcomes", job_id=job, outcomes=[STRANGE_RUN])
    run = world.job_run(job, finished=True)
    left = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    assert left["state"] == "escalated"
    return job, left


def next_run(world: World, job: int) -> str:
    """The schedule starts the job again, and it succeeds."""
    world.script("databricks/outcomes", job_id=job, outcomes=[{"result": "SUCCESS"}])
    again = world.job_run(job)
    world.until(lambda: world.run_ended(again))
    return again


def test_a_job_that_its_schedule_runs_well_again_recovered_by_itself(start_host: StartHost) -> None:
    host = start_host()
    job, left = failed_job(host.world)
    again = next_run(host.world, job)

    seen = recovered(host, left["incident_id"])
    assert seen["recovered_by"] == "by_itself"
    assert again in seen["timeline"][-1]["summary"]


def test_one_that_cannot_be_looked_at_holds_up_no_other(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    bad = world.pipeline()
    run_id = world.failed_run(bad, STRANGE)
    first = alerted(world, bad, run_id)
    job, second = failed_job(world)
    repair(world, bad, run_id)
    next_run(world, job)
    refusal = {"error": {"code": "AuthorizationFailed", "message": "not now"}}
    world.script("faults", name="no", path="queryPipelineRuns", status=403, times=1, body=refusal)

    assert recovered(host, second["incident_id"])["recovered_by"] == "by_itself"
    assert world.incident(first["incident_id"])["recovered_at"] is None


def test_what_observing_shows_for_the_rollout(start_host: StartHost) -> None:
    host = start_host(AUTO_REMEDIATION_MODE="observe")
    world = host.world
    pipelines = [world.pipeline() for _ in range(2)]
    runs = [world.failed_run(pipeline) for pipeline in pipelines]
    watched = [alerted(world, *pair) for pair in zip(pipelines, runs, strict=True)]
    assert [incident["state"] for incident in watched] == ["observed", "observed"]
    strange = world.pipeline()
    alerted(world, strange, world.failed_run(strange, STRANGE))
    repair(world, pipelines[0], runs[0])
    recovered(host, watched[0]["incident_id"])

    def look() -> Json | None:
        told = rolled(host, 3, "/api/rollout")
        return told if told["would_have_healed"]["recovered_later"]["not_seen"] == 1 else None

    told: Any = world.until(look)
    would = told["would_have_healed"]
    assert would["incidents"] == 2
    assert would["by_remedy"][0]["remedy"] == "rerun"
    assert would["by_error_type"][0]["error_type"] == "GatewayTimeout"
    assert would["recovered_later"]["by_hand"]["count"] == 1
    assert told["escalated"]["incidents"] == 1
    assert sum(told["escalated"]["reasons"].values()) == 1
    assert told["healed"] == 0


def test_the_list_is_filtered_and_paged(start_host: StartHost) -> None:
    host = start_host(AUTO_REMEDIATION_MODE="observe")
    world = host.world
    pipelines = [world.pipeline() for _ in range(3)]
    for pipeline in pipelines:
        alerted(world, pipeline, world.failed_run(pipeline))

    first = world.get("/api/incidents?state=observed&limit=2").json()
    assert [i["failure"]["resource"] for i in first["incidents"]] == pipelines[:0:-1]
    rest = world.get(f"/api/incidents?state=observed&limit=2&cursor={first['next']}").json()
    assert [i["failure"]["resource"] for i in rest["incidents"]] == pipelines[:1]
    assert rest["next"] is None
    assert world.get("/api/incidents?state=open").json()["incidents"] == []
    one = world.get(
        f"/api/incidents?resource={pipelines[1]}&error_type=GatewayTimeout&remedy=rerun"
    )
    assert [i["failure"]["resource"] for i in one.json()["incidents"]] == [pipelines[1]]
    two = world.get("/api/incidents?state=healed&state=observed,cancelled&until=2099-01-01")
    assert len(two.json()["incidents"]) == 3

    for query, field in (
        ("state=done", "state"),
        ("days=7", "days"),
        ("limit=1&limit=2", "limit"),
        (f"state=open&cursor={first['next']}", "cursor"),
        (f"state=observed&cursor=A{first['next'][1:]}", "cursor"),
        ("error_type=Nonsense", "error_type"),
    ):
        refused = world.get(f"/api/incidents?{query}")
        assert (refused.status_code, refused.json()["field"]) == (400, field), query


def test_an_incident_is_told_in_the_readers_order(world: World) -> None:
    pipeline = world.pipeline()
    told = alerted(world, pipeline, world.failed_run(pipeline))
    assert "504 Gateway Timeout" in told["evidence"][0]["lines"][0]["message"]
    assert told["decisions"][0]["kind"] == "act"
    assert told["decisions"][0]["inputs"]["options"]
    assert [line["action"] for line in told["actions"]] == [
        "Auto-Remediation Attempted",
        "Action Taken",
    ]
    assert told["verdicts"][-1]["result"] == "healed"
    assert told["failed_at"] <= told["opened_at"]
    assert told["seconds"]["to_closed"] > told["seconds"]["to_first_attempt"] > 0


@pytest.mark.parametrize("path", ["/api/metrics", "/api/rollout"])
def test_reports_are_for_readers_and_refuse_what_they_do_not_know(world: World, path: str) -> None:
    assert world.get(path, "sender").status_code == 403
    assert world.get(path, "approver").status_code == 403
    assert world.get(path, "reader").status_code == 200
    for query, field in (
        ("window=1h", "window"),
        ("window=93d", "window"),
        ("format=xml", "format"),
        ("days=7", "days"),
    ):
        refused = world.get(f"{path}?{query}")
        assert (refused.status_code, refused.json()["field"]) == (400, field)

"""What keeps automation bounded, by what the platforms saw and what the audit says."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import requests

from shared.composition import Composition
from tests.e2e.guards import STILL_FAILS, Guarded, asked, decided, fail, say
from tests.e2e.world import TIMEOUT_ERROR, Json, World


def test_pilot_asks_outside_production_and_observes_in_it(guarded: Guarded) -> None:
    world = guarded({"ENVIRONMENT": "development"}, mode="pilot").world
    pipeline, alert = fail(world)
    incident = asked(world, alert)
    assert say(world, incident).status_code == 202
    assert world.incident_of(alert)["state"] == "healed"
    assert len(world.reruns(pipeline)) == 1

    world = guarded({"ENVIRONMENT": "production"}, mode="pilot").world
    pipeline, alert = fail(world)
    observed = world.incident_of(alert)
    assert observed["state"] == "observed"
    assert decided(observed) == [("observe", "not_permitted")]
    assert world.reruns(pipeline) == []


# The pause


def test_a_pause_stops_an_incident_in_its_backoff(guarded: Guarded) -> None:
    world = guarded().world
    pipeline = world.pipeline()
    told = {**TIMEOUT_ERROR, "message": "429 Too Many Requests. Retry-After: 6"}  # its backoff
    run = world.failed_run(pipeline, told)
    alert = world.send("/azure-monitor", world.alert_on((pipeline, run)))
    assert world.post("/api/pause", {"why": "release night"}, "reader").status_code == 403
    assert world.post("/api/pause", {"why": " "}, "approver").json()["field"] == "why"
    bad = {"why": "x", "until": "2020-01-01T00:00:00Z"}
    assert world.post("/api/pause", bad, "approver").json()["field"] == "until"
    paused = world.post("/api/pause", {"why": "release night", "minutes": 60}, "approver")
    assert paused.status_code == 200, paused.text
    assert world.get("/api/pause").json()["pause"]["by"] == "approver"

    held = world.until(lambda: _held(world, alert))
    assert held["decision"]["reason"] == "paused"
    assert "paused by approver" in held["waiting_for"]
    time.sleep(2)  # two more looks while it is paused
    assert world.reruns(pipeline) == []

    lifted = requests.delete(
        f"{world.base_url}/api/pause", headers={"X-API-Key": world.keys["approver"]}, timeout=30
    )
    assert lifted.status_code == 200
    history = world.get("/api/pause").json()["history"]
    assert [entry["who"] for entry in history] == ["approver", "approver"]
    assert history[1]["what"].startswith("Automation paused by approver until")
    assert world.incident_of(alert)["state"] == "healed"
    assert len(world.reruns(pipeline)) == 1


def _held(world: World, alert: str) -> Json | None:
    listed = world.get(f"/api/alerts/{alert}").json()["incidents"]
    incident = world.incident(listed[0]["incident_id"]) if listed else {}
    held = (incident.get("decision") or {}).get("kind") == "hold" and incident["waiting_for"]
    return incident if held else None


# Limits


def test_the_breaker_opens_half_opens_and_closes(guarded: Guarded) -> None:
    limits = {"failures": 3, "window": 600, "half_open_after": 3, "ineffective": 100}
    world = guarded(breaker=limits, attempts={"overall": 1}).world
    for _ in range(3):
        _, alert = fail(world, world.pipeline(STILL_FAILS))
        assert world.incident_of(alert)["state"] == "escalated"

    stopped_pipeline, alert = fail(world)
    stopped = world.incident_of(alert)
    assert ("escalate", "breaker_open") in decided(stopped)
    assert "failed in 3 incidents" in stopped["outcome"]
    assert world.reruns(stopped_pipeline) == []

    time.sleep(3.2)  # the breaker's own time: half open now
    pipeline, alert = fail(world)
    assert world.incident_of(alert)["state"] == "healed"
    assert len(world.reruns(pipeline)) == 1
    _, alert = fail(world)  # closed again: everything may pass
    assert world.incident_of(alert)["state"] == "healed"


def test_a_repair_that_works_and_does_not_last_is_stopped(guarded: Guarded) -> None:
    world = guarded(breaker={"failures": 100, "ineffective": 3}).world
    pipeline = world.pipeline()
    for _ in range(3):
        _, alert = fail(world, pipeline)
        assert world.incident_of(alert)["state"] == "healed"

    _, alert = fail(world, pipeline)
    stopped = world.incident_of(alert)
    assert stopped["state"] == "escalated"
    assert "worked 3 times" in stopped["outcome"]
    assert len(world.reruns(pipeline)) == 3


def test_twenty_decisions_race_for_a_budget_of_five(guarded: Guarded) -> None:
    prices = {"adf_activity_run": 0.5, "adf_integration_runtime_hour": 0.0}
    world = guarded(cost={"usd_per_day": 5.0, "prices": prices}).world  # 2 activities: 1 USD each
    made = [world.pipeline() for _ in range(20)]
    runs = [(name, world.failed_run(name)) for name in made]

    with ThreadPoolExecutor(10) as pool:
        alerts = list(pool.map(lambda run: world.send("/azure-monitor", world.alert_on(run)), runs))

    incidents = [world.incident_of(alert) for alert in alerts]
    healed = [one for one in incidents if one["state"] == "healed"]
    stopped = [one for one in incidents if ("escalate", "over_budget") in decided(one)]
    spent = sum(one["attempts"][0]["cost_usd"] for one in healed)
    assert 0 < spent <= 5.0
    assert spent + max(one["attempts"][0]["cost_usd"] for one in healed) > 5.0
    assert len(healed) + len(stopped) == 20
    assert sum(len(world.reruns(name)) for name in made) == len(healed)


def test_a_reservation_of_its_own_is_not_held_against_an_attempt(guarded: Guarded) -> None:
    prices = {"adf_activity_run": 0.5, "adf_integration_runtime_hour": 0.0}
    host = guarded(cost={"usd_per_day": 1.5, "prices": prices})
    world = host.world
    world.post("/api/pause", {"why": "to be there before it"}, "approver")
    pipeline, alert = fail(world)
    held = world.until(lambda: _held(world, alert))
    # As if it had died between its reservation and its attempt.
    spend = Composition(host.environment).context.spend
    assert spend.reserve(f"{held['incident_id']}/1", 1.0, 1.5)
    headers = {"X-API-Key": world.keys["approver"]}
    requests.delete(f"{world.base_url}/api/pause", headers=headers, timeout=30)

    healed = world.incident_of(alert)
    assert healed["state"] == "healed"
    assert len(world.reruns(pipeline)) == 1
    assert spend.spent(datetime.now(UTC)) == 1.0


def test_the_blast_radius_holds_in_a_race(guarded: Guarded) -> None:
    radius = {"actions_per_hour": 3, "actions_per_hour_per_target": 2}
    world = guarded(blast_radius=radius).world
    made = [world.pipeline() for _ in range(8)]
    runs = [(name, world.failed_run(name)) for name in made]
    with ThreadPoolExecutor(8) as pool:
        alerts = list(pool.map(lambda run: world.send("/azure-monitor", world.alert_on(run)), runs))

    world.until(lambda: _settled(world, alerts, healed=3))
    waiting = [_only(world, alert) for alert in alerts]
    reasons = [one["decision"]["reason"] for one in waiting if one["state"] != "healed"]
    assert reasons == ["blast_radius"] * 5
    assert sum(len(world.reruns(name)) for name in made) == 3


def _only(world: World, alert: str) -> Json:
    listed = world.get(f"/api/alerts/{alert}").json()["incidents"]
    return world.incident(listed[0]["incident_id"]) if listed else {"state": "", "decision": {}}


def _settled(world: World, alerts: list[str], *, healed: int) -> bool:
    states = [_only(world, alert) for alert in alerts]
    done = sum(one["state"] == "healed" for one in states)
    waits = sum((one["decision"] or {}).get("reason") == "blast_radius" for one in states)
    return bool(done == healed and done + waits == len(alerts))


def test_another_incident_waits_for_the_cooldown(guarded: Guarded) -> None:
    world = guarded(cooldown=4).world
    pipeline = world.pipeline()
    _, first = fail(world, pipeline)
    assert world.incident_of(first)["state"] == "healed"
    _, second = fail(world, pipeline)
    healed = world.incident_of(second)
    assert healed["state"] == "healed"
    assert ("wait", "cooldown") in decided(healed)


# Where and when


def test_scope_by_name_and_tag(guarded: Guarded) -> None:
    scope = {"exclude": [{"pipelines": ["pl_*"]}, {"jobs": ["*"], "tags": {"lakemend": "off"}}]}
    world = guarded(scope=scope).world
    pipeline, alert = fail(world)
    outside = world.incident_of(alert)
    assert (outside["state"], outside["decision"]["reason"]) == ("observed", "out_of_scope")
    assert world.reruns(pipeline) == []

    task = {"task_key": "t", "environment_key": "e", "notebook_task": {"notebook_path": "/n"}}
    broken = {"result": "FAILED", "error": "504 Gateway Timeout"}
    for tags, state in (({"lakemend": "off"}, "observed"), ({"lakemend": "on"}, "healed")):
        job = world.job(task, tags=tags)
        world.script("databricks/outcomes", job_id=job, task_key="t", outcomes=[broken])
        run = world.job_run(job)
        world.until(partial(world.run_ended, run))
        sent = world.send("/databricks-monitor", job_alert(job, run))
        ended = world.incident_of(sent)
        assert ended["state"] == state, ended["timeline"]


def job_alert(job: int, run: str) -> Json:
    return {
        "event_type": "jobs.on_failure",
        "workspace_id": "1",
        "run": {"run_id": run},
        "job": {"job_id": job, "name": "a job"},
    }


def test_what_fails_in_a_maintenance_window_is_looked_at_after_it(guarded: Guarded) -> None:
    now = datetime.now(UTC)
    start, end = now - timedelta(minutes=5), now + timedelta(seconds=6)
    window = {"name": "upgrade", "start": start.isoformat(), "end": end.isoformat()}
    world = guarded(windows=[window]).world
    pipeline, alert = fail(world)

    held = world.until(lambda: _held(world, alert))
    assert held["decision"]["reason"] == "maintenance_window"
    assert "maintenance window upgrade" in held["waiting_for"]
    assert world.reruns(pipeline) == []
    healed = world.incident_of(alert)
    assert healed["state"] == "healed"
    assert datetime.fromisoformat(healed["closed_at"]) > end


def test_grace_gives_it_time_to_recover_by_itself(guarded: Guarded) -> None:
    world = guarded(grace=3).world
    pipeline, alert = fail(world)
    world.until(lambda: _only(world, alert)["state"] == "waiting")
    query = {"referencePipelineRunId": _only(world, alert)["run_id"], "isRecovery": "true"}
    world.arm(f"pipelines/{pipeline}/createRun", {}, **query)  # somebody reruns it by hand

    recovered = world.incident_of(alert)
    assert (recovered["state"], recovered["decision"]["reason"]) == (
        "observed",
        "already_recovered",
    )
    assert ("wait", "grace_period") in decided(recovered)
    assert recovered["attempts"] == []


def test_every_decision_is_written_down_and_repeated_looks_are_not(guarded: Guarded) -> None:
    world = guarded().world
    pipeline = world.pipeline()
    told = {**TIMEOUT_ERROR, "message": "429 Too Many Requests. Retry-After: 4"}
    run = world.failed_run(pipeline, told)
    alert = world.send("/azure-monitor", world.alert_on((pipeline, run)))
    world.until(lambda: (_only(world, alert)["decision"] or {}).get("kind") == "act")
    for who in ("first", "second"):
        world.post("/api/pause", {"why": f"the {who} one", "who": who}, "approver")
        world.until(partial(_held_by, world, alert, who))
    time.sleep(2)  # several looks while nothing changes
    requests.delete(
        f"{world.base_url}/api/pause", headers={"X-API-Key": world.keys["approver"]}, timeout=30
    )
    healed = world.incident_of(alert)
    assert decided(healed) == [
        ("act", "allowed"),
        ("hold", "paused"),
        ("hold", "paused"),
        ("act", "allowed"),
    ]
    begun = next(e for e in healed["timeline"] if e["action"] == "Auto-Remediation Attempted")
    assert begun["details"]["decided_on"]["error_type"] == "ThrottlingError"


def _held_by(world: World, alert: str, who: str) -> bool:
    held = _held(world, alert)
    return bool(held) and f"paused by {who} " in (held or {})["decision"]["note"]

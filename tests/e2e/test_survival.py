"""Killed hosts, lost starts, paused and observing hosts, and what only sweeps find.

Kills at random moments are in tests/chaos.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from shared.clock import SystemClock
from shared.composition import Composition
from shared.intake.parse import parse
from tests.e2e.hosts import StartHost
from tests.e2e.world import World, actions


def slow_create_run(world: World, pipeline: str, *, takes_effect: bool) -> None:
    world.script(
        "faults",
        name=f"slow-{pipeline}",
        method="POST",
        path=f"pipelines/{pipeline}/createRun",
        times=1,
        status=500,
        body={"error": {"code": "InternalServerError", "message": "never read"}},
        after_effect=takes_effect,
        delay_seconds=5,
    )


@pytest.mark.parametrize("takes_effect", [True, False])
def test_killed_between_intent_and_outcome(start_host: StartHost, takes_effect: bool) -> None:
    host = start_host()
    world = host.world
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    slow_create_run(world, pipeline, takes_effect=takes_effect)
    alert = world.send("/azure-monitor", world.alert_on((pipeline, run_id)))
    world.until(lambda: world.seen(f"pipelines/{pipeline}/createRun"))

    host.service.kill()
    host.service.start()

    incident = world.incident_of(alert)
    assert incident["state"] == "healed"
    assert len(world.reruns(pipeline)) == 1
    assert incident["audit"]["whole"]
    assert ("Action Found Already Taken" in actions(incident)) is takes_effect


def test_what_was_stored_and_never_started_is_found(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    pipeline = world.pipeline()
    composition = Composition(host.environment)
    alert = parse(
        world.alert_on((pipeline, world.failed_run(pipeline))), composition.settings.targets
    ).alerts[0]
    receipt = composition.alerts.store([alert], SystemClock().now())[0]
    stored = world.get(f"/api/alerts/{receipt.alert_id}").json()
    assert stored["disposition"] == "accepted"

    def swept() -> bool:
        host.timer("dispatch_sweep")
        after = world.get(f"/api/alerts/{receipt.alert_id}").json()
        return bool(after["incidents"])

    world.until(swept)

    assert world.incident_of(receipt.alert_id)["state"] == "healed"


def test_a_healing_that_is_gone_is_taken_up_again(start_host: StartHost) -> None:
    host = start_host(AUTO_REMEDIATION_ENABLED="false")
    world = host.world
    pipeline = world.pipeline()
    alert = world.send("/azure-monitor", world.alert_on((pipeline, world.failed_run(pipeline))))
    incident_id = world.until(lambda: world.get(f"/api/alerts/{alert}").json()["incidents"])[0][
        "incident_id"
    ]
    world.until(lambda: world.incident(incident_id)["state"] == "waiting")
    host.service.kill()
    Path(host.service.argv[host.service.argv.index("--journal") + 1]).unlink()
    host.service.env = host.environment | {"AUTO_REMEDIATION_ENABLED": "true"}
    host.service.start()

    def healed() -> bool:
        host.timer("dispatch_sweep")
        return bool(world.incident(incident_id)["state"] == "healed")

    world.until(healed)

    assert "Healing Resumed" in actions(world.incident(incident_id))
    assert len(world.reruns(pipeline)) == 1


def test_paused_nothing_is_done(start_host: StartHost) -> None:
    host = start_host(AUTO_REMEDIATION_ENABLED="false")
    world = host.world
    pipeline = world.pipeline()
    alert = world.send("/azure-monitor", world.alert_on((pipeline, world.failed_run(pipeline))))

    incidents = world.until(lambda: world.get(f"/api/alerts/{alert}").json()["incidents"])
    identity = incidents[0]["incident_id"]
    world.until(lambda: world.incident(identity)["state"] == "waiting")

    assert world.incident(identity)["decision"]["reason"] == "paused"
    assert world.reruns(pipeline) == []


def test_observe_mode_says_what_it_would_have_done(start_host: StartHost) -> None:
    host = start_host(AUTO_REMEDIATION_MODE="", POLICY_PATH="", RERUNNABLE="*")  # the default
    world = host.world
    pipeline = world.pipeline()

    incident = world.incident_of(
        world.send("/azure-monitor", world.alert_on((pipeline, world.failed_run(pipeline))))
    )

    assert incident["state"] == "observed"
    assert incident["decision"]["reason"] == "observe_mode"
    said = [e["summary"] for e in incident["timeline"] if e["action"] == "Decision Made"]
    assert said == [
        f"Observe mode: would rerun pipeline {pipeline} from its failed activity, after 0.5 s"
    ]
    assert world.reruns(pipeline) == []


def test_a_failed_run_that_no_alert_told_is_healed_once(start_host: StartHost) -> None:
    host = start_host(SWEEP_LOOKBACK_MINUTES="1")
    world = host.world
    pipeline = world.pipeline()
    world.failed_run(pipeline)

    host.timer("health_sweep")
    host.timer("health_sweep")
    found = world.until(lambda: _healed(world, pipeline))
    host.timer("health_sweep")

    assert len(found["alerts"]) == 1
    assert len(world.reruns(pipeline)) == 1


def _healed(world: World, pipeline: str) -> dict:  # type: ignore[type-arg]  # an incident's JSON
    listed = world.get("/api/incidents?limit=200").json()["incidents"]
    mine = [i for i in listed if i["failure"]["resource"] == pipeline and i["state"] == "healed"]
    return world.incident(mine[0]["incident_id"]) if mine else {}


def test_the_purge_takes_what_is_too_old_and_nothing_else(start_host: StartHost) -> None:
    host = start_host(RETENTION_DAYS="1")
    world = host.world
    pipeline = world.pipeline()
    alert = world.send("/azure-monitor", world.alert_on((pipeline, world.failed_run(pipeline))))
    incident = world.incident_of(alert)
    old = parse(
        world.alert_on((pipeline, "long-gone")), Composition(host.environment).settings.targets
    ).alerts[0]
    alerts = Composition(host.environment).alerts
    receipt = alerts.store([old], SystemClock().now() - timedelta(days=3))[0]

    host.timer("purge_sweep")

    world.until(lambda: world.get(f"/api/alerts/{receipt.alert_id}").status_code == 404)
    assert world.incident(incident["incident_id"])["audit"]["whole"]
    assert world.get(f"/api/alerts/{alert}").status_code == 200  # younger than a day

"""Many failures of one cause: one storm, one probe, and all let go when it heals."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.guards import STILL_FAILS, Guarded, fail
from tests.e2e.world import TIMEOUT_ERROR, Json, World, actions


def test_a_storm_of_five_hundred_alerts_is_one_incident_with_one_probe(guarded: Guarded) -> None:
    storm = {
        "failures": 10,
        "within": 600,
        "probes": [600],
        "release": 50,
        "release_every": 30,
    }
    host = guarded(storm=storm)
    world = host.world
    # All wait as they are told to, so that none acts before the storm is seen.
    throttled = {**TIMEOUT_ERROR, "message": "429 Too Many Requests. Retry-After: 15"}
    pipelines = [world.pipeline(STILL_FAILS | {"error": throttled}) for _ in range(5)]
    runs = [(p, world.failed_run(p, throttled)) for p in pipelines for _ in range(25)]
    told = [world.alert_on(run, alertRule=f"rule-{n}") for n in range(4) for run in runs]
    with ThreadPoolExecutor(16) as pool:
        alerts = list(pool.map(lambda alert: world.send("/azure-monitor", alert), told))

    assert len(set(alerts)) == 500
    world.until(lambda: any(world.reruns(p) for p in pipelines))
    time.sleep(3)  # the others had their time too
    storms = _storms(world, "ThrottlingError")
    assert len(storms) == 1
    assert sum(len(world.reruns(p)) for p in pipelines) == 1
    assert actions(world.incident(storms[0]["incident_id"]))[0] == "Storm Declared"


def _storms(world: World, error_type: str = "GatewayTimeout") -> list[Json]:
    found = world.get(f"/api/incidents?limit=200&resource={error_type}").json()["incidents"]
    assert {one["failure"]["kind"] for one in found} <= {"storm"}
    return list(found)


def test_members_are_let_go_when_the_probe_heals(guarded: Guarded) -> None:
    storm = {"failures": 4, "within": 600, "probes": [2], "release": 2, "release_every": 1}
    host = guarded(storm=storm)
    world = host.world
    pipeline = world.pipeline(STILL_FAILS)  # the first probe fails, the second one heals
    alerts = [fail(world, pipeline)[1] for _ in range(8)]
    incidents = [world.incident_of(alert) for alert in alerts]

    assert {one["state"] for one in incidents} == {"healed"}
    joined = [one for one in incidents if "Storm Joined" in actions(one)]
    assert len(joined) >= 5
    host.timer("dispatch_sweep")
    over = world.until(lambda: [s for s in _storms(world) if s["state"] == "healed"])
    assert len(over) == 1
    told = actions(world.incident(over[0]["incident_id"]))
    assert told.count("Storm Probed") >= 1
    assert told.count("Storm Released") == 1
    assert over[0]["outcome"] == f"{len(joined)} members: {len(joined)} healed, 0 not"


def test_a_storm_that_gathers_while_its_members_wait_does_not_wedge(guarded: Guarded) -> None:
    storm = {"failures": 6, "within": 600, "probes": [1], "release": 50, "release_every": 1}
    host = guarded(storm=storm)
    world = host.world
    alerts = []
    for _ in range(16):  # they arrive over time, some in their backoff, some acting already
        alerts.append(fail(world)[1])
        time.sleep(0.2)

    incidents = [world.incident_of(alert) for alert in alerts]

    assert {one["state"] for one in incidents} == {"healed"}
    host.timer("dispatch_sweep")
    ended = world.until(lambda: [s for s in _storms(world) if s["state"] == "healed"])
    assert len(ended) == 1


def test_observe_mode_holds_nothing_and_declares_no_storm(guarded: Guarded) -> None:
    host = guarded(mode="observe", storm={"failures": 3, "within": 600})
    world = host.world
    alerts = [fail(world)[1] for _ in range(6)]
    assert {world.incident_of(alert)["state"] for alert in alerts} == {"observed"}
    assert _storms(world) == []

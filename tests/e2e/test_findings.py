"""What is found before it fails: slow and stuck runs, silences, look-backs that outlive a crash."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
import requests

from tests.e2e.hosts import Host, StartHost
from tests.e2e.world import Json, World

HOUR = 3600


def past_runs(world: World, pipeline: str, seconds: float, count: int = 8) -> None:
    """Good runs of the last days, one every hour, each so many seconds long."""
    for hour in range(count, 0, -1):
        past_run(world, pipeline, seconds, hour * HOUR)


def past_run(world: World, pipeline: str, seconds: float, ended_ago: float) -> None:
    body: Json = {"factory": world.factory, "pipeline": pipeline, "finished": True}
    world.script(
        "adf/runs", started_seconds_ago=ended_ago + seconds, ended_seconds_ago=ended_ago, **body
    )


def past_job_runs(world: World, job_id: int, seconds: float, count: int = 8) -> None:
    for hour in range(count, 0, -1):
        ago = hour * HOUR
        world.job_run(
            job_id, finished=True, started_seconds_ago=ago + seconds, ended_seconds_ago=ago
        )


def findings(world: World, query: str = "") -> list[Json]:
    answer = world.get(f"/api/findings?limit=200{query}")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["findings"])


def found(world: World, resource: Any, query: str = "") -> list[Json]:
    return [f for f in findings(world, query) if f["resource"] == str(resource)]


def swept(host: Host, ready: Any) -> Any:
    """What `ready` answers after a health sweep."""
    for _ in range(4):  # it asks for few histories at once, and other tests left many runs
        host.timer("health_sweep")
    return host.world.until(ready)


def sweep_through(host: Host) -> None:
    """A health sweep that is over: it has seen the factory, and the workspace, which comes last."""
    world, name = host.world, f"ir-{uuid.uuid4().hex[:8]}"
    before = len(world.seen("/api/2.1/clusters/list", "GET"))
    body: Json = {"factory": world.factory, "name": name}
    world.script("adf/integration-runtimes", state="Offline", **body)
    swept(host, lambda: found(world, name))
    world.script("adf/integration-runtimes", **body)
    world.until(lambda: len(world.seen("/api/2.1/clusters/list", "GET")) > before)


def test_a_run_slower_than_its_history_is_found_and_one_that_always_was_is_not(
    start_host: StartHost,
) -> None:
    host = start_host()
    world = host.world
    slow, always, few = world.pipeline(), world.pipeline(), world.pipeline()
    past_runs(world, slow, 600)
    past_runs(world, always, 1200)
    past_runs(world, few, 60, count=3)
    for name in (slow, always, few):
        past_run(world, name, 1200, 30)

    seen = swept(host, lambda: found(world, slow))[0]

    assert (seen["kind"], seen["severity"], seen["state"]) == ("slow_run", "warning", "open")
    assert seen["summary"] == f"{slow} was slow: its last run took 20 min, usual is 10 min"
    assert "median 600 s" in seen["evidence"][0]
    assert found(world, always) == []
    assert found(world, few) == []  # three runs say nothing about what is usual

    past_run(world, slow, 620, 0)
    gone = swept(host, lambda: found(world, slow, "&state=resolved"))[0]
    assert gone["finding_id"] == seen["finding_id"]
    assert gone["resolved_at"]
    assert found(world, slow) == []


def test_job_runs_under_way_are_slow_and_then_stuck(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    task = {"task_key": "load", "notebook_task": {"notebook_path": "/load"}}
    slow, stuck, usual = (world.job(task) for _ in range(3))
    for job_id in (slow, stuck, usual):
        past_job_runs(world, job_id, 600)
    hang = {"result": "HANG"}
    world.job_run(slow, outcome=hang, started_seconds_ago=1000)
    world.job_run(stuck, outcome=hang, started_seconds_ago=5000)
    world.job_run(usual, outcome=hang, started_seconds_ago=500)

    seen = swept(host, lambda: found(world, stuck))[0]

    assert (seen["kind"], seen["severity"]) == ("stuck_run", "critical")
    assert seen["remedy"] == "rerun"
    assert [f["kind"] for f in found(world, slow)] == ["slow_run"]
    assert found(world, usual) == []


def test_a_silence_has_a_reason_and_an_end(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    pipeline = world.pipeline()
    past_runs(world, pipeline, 600)
    past_run(world, pipeline, 1500, 30)
    identity = swept(host, lambda: found(world, pipeline))[0]["finding_id"]
    path = f"/api/findings/{identity}/silence"

    bad = [
        ({"why": "known", "minutes": 0}, "minutes"),
        ({"why": "known"}, "until"),
        ({"why": "known", "until": "2020-01-01T00:00:00Z"}, "until"),
        ({"why": " ", "minutes": 5}, "why"),
        ({"minutes": 5}, "body"),
        ({"why": "known", "minutes": 5, "for": "ever"}, "body"),
    ]
    for body, field in bad:
        answer = world.post(path, body, "approver")
        assert (answer.status_code, answer.json()["field"]) == (400, field), body
    assert world.post(path, {"why": "known", "minutes": 5}, "reader").status_code == 403
    missing = f"/api/findings/{'0' * 32}/silence"
    assert world.post(missing, {"why": "known", "minutes": 5}, "approver").status_code == 404

    done = world.post(path, {"why": "backfill until Monday", "minutes": 60}, "approver")
    assert done.json()["silence"]["why"] == "backfill until Monday"
    assert done.json()["state"] == "silenced"
    assert found(world, pipeline) == []
    assert len(found(world, pipeline, "&state=silenced")) == 1
    sweep_through(host)
    assert found(world, pipeline, "&state=silenced,resolved")[0]["state"] == "silenced"

    ended = requests.delete(
        f"{world.base_url}{path}", headers={"X-API-Key": world.keys["approver"]}, timeout=10
    )
    assert ended.json()["silence"] is None
    assert len(found(world, pipeline)) == 1


def test_filters_pages_and_mistakes(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    names = [world.pipeline() for _ in range(3)]
    for name in names:
        past_runs(world, name, 600)
        past_run(world, name, 1500, 30)
    swept(host, lambda: len([f for f in findings(world) if f["resource"] in names]) == 3)

    assert {f["kind"] for f in findings(world, "&kind=slow_run")} == {"slow_run"}
    assert found(world, names[0], "&severity=critical") == []
    assert found(world, names[0], f"&target={world.factory.upper()}")
    walked: list[str] = []
    cursor = ""
    while True:
        page = world.get(f"/api/findings?limit=1&kind=slow_run{cursor}").json()
        walked += [f["finding_id"] for f in page["findings"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(walked) == len(set(walked)) == len(findings(world, "&kind=slow_run"))

    for query, field in [
        ("state=gone", "state"), ("kind=slow", "kind"), ("severity=high", "severity"),
        ("target=other", "target"), ("limit=0", "limit"), ("cursor=abc", "cursor"),
        ("colour=red", "colour"), (f"kind=slow_run&severity=info{cursor}", "cursor"),
    ]:  # fmt: skip
        answer = world.get(f"/api/findings?{query}")
        assert (answer.status_code, answer.json()["field"]) == (400, field), query
    assert world.get("/api/findings/nothing").status_code == 404
    assert world.get(f"/api/findings/{walked[0]}").json()["finding_id"] == walked[0]
    assert world.get("/api/findings", "sender").status_code == 403


def test_a_new_finding_is_told_once_and_counted_in_the_digest(start_host: StartHost) -> None:
    sink = f"f{uuid.uuid4().hex[:10]}"
    channel = {"name": "ops", "url": f"jsons://127.0.0.1/{sink}"}
    shared = start_host().world
    address = shared.sandbox_url.removeprefix("http://")
    channel["url"] = f"json://{address}/sink/{sink}"
    host = start_host(NOTIFICATION_URLS=json.dumps([channel]), NOTIFICATION_ALLOW_LOOPBACK="true")
    world = host.world
    pipeline = world.pipeline()
    past_runs(world, pipeline, 600)
    past_run(world, pipeline, 1500, 30)

    swept(host, lambda: found(world, pipeline))
    sweep_through(host)
    host.timer("digest_sweep")

    def told() -> list[Json]:
        host.timer("messages_sweep")
        answer = requests.get(f"{world.sandbox_url}/_sandbox/sink/{sink}", timeout=10)
        bodies = list(answer.json()["received"])
        return bodies if any("slow_run" in str(b) and "open:" in str(b) for b in bodies) else []

    bodies = world.until(told)
    digest = next(str(b) for b in bodies if "open:" in str(b))
    assert "Gravest findings" in digest
    about = [b for b in bodies if pipeline in str(b) and "slow run" in str(b)]
    assert len(about) == 1


@pytest.mark.parametrize("again", [1, 2])
def test_a_restart_in_the_middle_of_a_sweep_neither_misses_nor_doubles(
    start_host: StartHost, again: int
) -> None:
    host = start_host(SWEEP_LOOKBACK_MINUTES="10")
    world = host.world
    pipeline, slow = world.pipeline(), world.pipeline()
    past_runs(world, slow, 600)
    past_run(world, slow, 1500, 30)
    world.failed_run(pipeline)
    # The workspace comes after the factory: the sweep hangs when half of it is done.
    name = uuid.uuid4().hex
    world.script("faults", name=name, path="/api/2.1/clusters/list", times=1, delay_seconds=20.0)
    host.timer("health_sweep")
    world.until(lambda: found(world, slow))
    host.service.kill()
    host.service.start()

    for _ in range(again):
        sweep_through(host)

    listed = world.get("/api/incidents?limit=200").json()["incidents"]
    world.until(lambda: len(world.reruns(pipeline)) == 1)
    assert len([i for i in listed if i["failure"]["resource"] == pipeline]) == 1
    assert len(world.reruns(pipeline)) == 1
    assert len(found(world, slow)) == 1
    assert found(world, slow)[0]["times"] == 1


def test_what_failed_while_we_were_down_is_found_beyond_the_first_look_back(
    start_host: StartHost,
) -> None:
    host = start_host(SWEEP_LOOKBACK_MINUTES="1")
    world = host.world
    sweep_through(host)
    pipeline, old = world.pipeline(), world.pipeline()
    # Within the overlap of ten minutes, and far beyond the setting's one minute.
    error = {"status": "Failed", "activity": "Load", "error": {"errorCode": "2200", "message": "x"}}
    body: Json = {"factory": world.factory, "outcome": error, "finished": True}
    world.script(
        "adf/runs", pipeline=pipeline, started_seconds_ago=400, ended_seconds_ago=300, **body
    )
    world.script(
        "adf/runs", pipeline=old, started_seconds_ago=40_000, ended_seconds_ago=39_000, **body
    )

    sweep_through(host)

    def mine() -> list[Json]:
        listed = world.get("/api/incidents?limit=200").json()["incidents"]
        return [i for i in listed if i["failure"]["resource"] in {pipeline, old}]

    assert [i["failure"]["resource"] for i in world.until(mine)] == [pipeline]


def test_a_failed_update_that_no_alert_told_becomes_an_incident(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    name = f"dlt-{uuid.uuid4().hex[:8]}"
    pipeline_id = world.script("databricks/pipelines", name=name)["pipeline_id"]
    outcome = {"state": "FAILED"}
    world.script(
        "databricks/updates",
        pipeline_id=pipeline_id,
        outcome=outcome,
        finished=True,
        cause="API_CALL",
    )

    sweep_through(host)
    sweep_through(host)

    def mine() -> list[Json]:
        listed = world.get("/api/incidents?limit=200").json()["incidents"]
        return [i for i in listed if i["failure"]["resource"] == pipeline_id]

    assert len(world.until(mine)) == 1
    assert mine()[0]["failure"]["kind"] == "update"


def test_an_integration_runtime_that_is_offline_is_found_until_it_is_back(
    start_host: StartHost,
) -> None:
    host = start_host()
    world = host.world
    name = f"ir-{uuid.uuid4().hex[:8]}"
    nodes = [{"nodeName": "vm-1", "status": "Offline"}]
    body: Json = {"factory": world.factory, "name": name}
    world.script("adf/integration-runtimes", state="Offline", nodes=nodes, **body)
    seen = swept(host, lambda: found(world, name))[0]
    assert (seen["kind"], seen["severity"]) == ("runtime_offline", "critical")
    assert "node vm-1 is not online" in seen["evidence"]
    world.script(
        "adf/integration-runtimes", nodes=[{"nodeName": "vm-1", "status": "Online"}], **body
    )
    swept(host, lambda: found(world, name, "&state=resolved"))

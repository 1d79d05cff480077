"""What stays of old versions: sources, jobs, the baseline of drift; pauses; sudden ends."""

from __future__ import annotations

import random

import requests

from shared.remedies.base import job_lock
from tests.deliveries.bench import Bench, deliver, ended
from tests.e2e.deliveries import (
    LAUNCH,
    bad_data,
    failing,
    folders,
    jobs,
    pipelines,
    specification,
    update_outcomes,
)
from tests.e2e.world import Json

DAILY = {"daily_at": "17:00", "timezone": "America/New_York"}


def test_sources_of_old_versions_go_and_the_last_ones_stay(bench: Bench) -> None:
    spec = specification(bench)
    ids = []
    for number in range(4):
        plan = {"keep_versions": 2} if number == 3 else {}
        changed = spec | {"description": f"number {number}"}
        ids.append(ended(bench, deliver(bench, changed, **plan))["delivery_id"])
        bench.clock.sleep(60)

    assert [bool(folders(bench, delivery_id)) for delivery_id in ids] == [False, False, True, True]
    bench.take_back(ids[3])
    assert ended(bench, ids[3])["state"] == "rolled_back"
    used = str(pipelines(bench, spec)[0]["spec"]["libraries"])
    assert ids[2] in used
    assert folders(bench, ids[2])


def test_folders_that_cannot_be_removed_do_not_fail_a_delivery(bench: Bench) -> None:
    spec = specification(bench)
    for number in range(2):
        ended(bench, deliver(bench, spec | {"description": f"number {number}"}))
    body = {"error_code": "PERMISSION_DENIED", "message": "no"}
    bench.script(
        "faults",
        name=spec["schema"],
        method="POST",
        path="/workspace/delete$",
        status=403,
        body=body,
    )

    found = ended(bench, deliver(bench, spec, keep_versions=2))

    bench.sandbox.control("DELETE", "faults")
    assert found["state"] == "succeeded", found["outcome"]
    assert any("folders of old versions were not removed" in s for s in found["next_steps"])


def test_a_job_that_the_new_version_does_not_hold_is_paused_and_comes_back(bench: Bench) -> None:
    spec = specification(bench, schedule=DAILY)
    ended(bench, deliver(bench, spec))
    (before,) = jobs(bench, spec)
    other = {key: value for key, value in spec.items() if key != "schedule"}

    found = ended(bench, deliver(bench, other | {"mode": "continuous"}))

    assert found["state"] == "succeeded", found["outcome"]
    left = {job["job_id"]: job["settings"] for job in jobs(bench, spec)}
    assert len(left) == 2
    assert left[before["job_id"]]["schedule"]["pause_status"] == "PAUSED"
    assert any(s.startswith(f"job {before['job_id']}, ") for s in found["next_steps"])

    bench.take_back(found["delivery_id"])
    back = ended(bench, found["delivery_id"])

    assert back["state"] == "rolled_back", back["outcome"]
    (after,) = jobs(bench, spec)
    assert after["settings"] == before["settings"]


def test_what_was_delivered_is_what_drift_is_measured_against(bench: Bench) -> None:
    spec = specification(bench)
    ended(bench, deliver(bench, spec))
    found = ended(bench, deliver(bench, spec | {"description": "second"}))
    (pipeline,) = pipelines(bench, spec)

    def drift() -> list[str]:
        watched = bench.parts.pipelines
        (deployed,) = watched.named(pipeline["pipeline_id"])
        report = watched.report(deployed)
        assert report.baseline is not None
        assert found["delivery_id"] in report.baseline.by
        return [
            check.found for check in report.checks if check.name == "drift" and not check.passed
        ]

    assert drift() == []

    changed = {**pipeline["spec"], "photon": not pipeline["spec"].get("photon")}
    url = f"{bench.sandbox_url}/api/2.0/pipelines/{pipeline['pipeline_id']}"
    headers = {"Authorization": "Bearer sandbox-token"}
    assert requests.put(url, json=changed, headers=headers, timeout=10).ok

    (told,) = drift()
    assert "photon" in told


def test_a_pipeline_that_somebody_changed_by_hand_is_left_alone_and_named(bench: Bench) -> None:
    spec = specification(bench)
    found = ended(bench, deliver(bench, spec))
    (pipeline,) = pipelines(bench, spec)
    changed = {**pipeline["spec"], "photon": not pipeline["spec"].get("photon")}
    url = f"{bench.sandbox_url}/api/2.0/pipelines/{pipeline['pipeline_id']}"
    headers = {"Authorization": "Bearer sandbox-token"}
    assert requests.put(url, json=changed, headers=headers, timeout=10).ok

    bench.take_back(found["delivery_id"])
    back = ended(bench, found["delivery_id"])

    assert back["state"] == "failed"
    assert "somebody has changed the pipeline since" in back["outcome"]
    (left,) = pipelines(bench, spec)
    assert left["spec"]["photon"] == changed["photon"]


def test_a_pipeline_is_removed_without_its_tables(bench: Bench) -> None:
    found = ended(bench, deliver(bench, specification(bench)))
    bench.take_back(found["delivery_id"])
    assert ended(bench, found["delivery_id"])["state"] == "rolled_back"
    gone = bench.seen("/api/2.0/pipelines/[^/]+$", "DELETE")
    assert gone
    assert all("cascade=false" in str(call) or "'cascade': ['false']" in str(call) for call in gone)


def test_the_platforms_own_pause_is_kept(bench: Bench) -> None:
    spec = specification(bench)
    bench.script(
        "faults",
        name=spec["schema"],
        method="POST",
        path="/pipelines/[^/]+/updates$",
        times=1,
        status=429,
        headers={"Retry-After": "400"},
        body={"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"},
    )
    since, begun = len(bench.seen("/updates$")), bench.clock.now()

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "succeeded", found["outcome"]
    calls = bench.seen("/updates$")[since:]
    assert len(calls) == 3  # refused, the validation, the update
    assert (bench.clock.now() - begun).total_seconds() >= 400


def test_a_healing_and_a_delivery_do_not_work_on_one_pipeline_at_once(bench: Bench) -> None:
    spec = specification(bench)
    ended(bench, deliver(bench, spec))
    (pipeline,) = pipelines(bench, spec)
    locks, lock = bench.parts.context.locks, job_lock("dbx", pipeline["pipeline_id"])
    assert locks.acquire([lock], "an incident", 3600) == ""
    second = deliver(bench, spec | {"description": "second"})

    bench.until(second, "an incident works on this pipeline")

    (untouched,) = pipelines(bench, spec)
    assert untouched["spec"] == pipeline["spec"]
    locks.release([lock], "an incident")
    bench.until(second, "the update is")
    assert locks.acquire([lock], "an incident", 60) == second  # and the other way round
    assert ended(bench, second)["state"] == "succeeded"
    assert locks.acquire([lock], "an incident", 60) == ""


def test_killed_again_and_again(bench: Bench) -> None:
    moments = random.Random(1)  # noqa: S311 - the same moments every time
    specs = [specification(bench, schedule=DAILY) for _ in range(2)]
    update_outcomes(bench, specs[0], failing(LAUNCH, flow="flow"))
    bad_data(bench, specs[1], first=True)
    since = len(bench.seen("/jobs/run-now$"))

    found = [killed(bench, deliver(bench, spec), moments) for spec in specs]

    assert [f["state"] for f in found] == ["succeeded", "rolled_back"]
    assert [len(pipelines(bench, spec)) for spec in specs] == [1, 0]
    assert len(pipelines(bench, specs[0])[0]["updates"]) == 2
    assert [len(jobs(bench, spec)) for spec in specs] == [1, 0]
    assert folders(bench, found[1]["delivery_id"]) == []
    tokens = {call["body"]["idempotency_token"] for call in bench.seen("/jobs/run-now$")[since:]}
    assert len(tokens) == 1


def killed(bench: Bench, delivery_id: str, moments: random.Random) -> Json:
    """The delivery's end, with its process killed at many moments before."""
    for _ in range(8):
        bench.die_at(moments.randint(3, 40))
        if bench.shown(delivery_id)["closed_at"]:
            break
        bench.go_on(delivery_id)
    bench.die_at(-1)
    return ended(bench, delivery_id)

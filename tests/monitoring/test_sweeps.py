"""Sweeps with a clock that is moved: what is missed, what is doubled, and what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from shared.monitoring.activities import MOST_LEARNT, MOST_RUNS, RUNS_LEARNT
from tests.monitoring.conftest import Watch

Json = dict[str, Any]
Make = Callable[..., Watch]

HOUR, MINUTE = 3600.0, 60.0
FAILED: Json = {"status": "Failed", "error": {"errorCode": "2200", "message": "504"}}
INTERVAL = 300.0  # of the health sweep's timer, in seconds
# https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits
# Data Factory: 1,000 monitoring queries a minute, 12,500 reads an hour.
QUERIES_A_MINUTE, READS_AN_HOUR = 1000, 12_500
# https://learn.microsoft.com/azure/databricks/resources/limits: runs/get 100 a second. We stay
# below 30 calls a second of any kind.
CALLS_A_SECOND = 30


def pipeline(watch: Watch, name: str, activities: list[Json] | None = None) -> str:
    watch.sandbox.script("adf/pipelines", factory="adf", name=name, activities=activities or [])
    return name


def adf_run(watch: Watch, name: str, **more: Any) -> str:
    body = {"factory": "adf", "pipeline": name, "finished": True} | more
    return str(watch.sandbox.script("adf/runs", **body)["run_id"])


def job(watch: Watch) -> int:
    task = {"task_key": "t", "notebook_task": {"notebook_path": "/n"}}
    return int(watch.sandbox.script("databricks/jobs", name="j", tasks=[task])["job_id"])


def job_run(watch: Watch, job_id: int, **more: Any) -> str:
    return str(watch.sandbox.script("databricks/runs", job_id=job_id, **more)["run_id"])


def runs_told(watch: Watch) -> list[str]:
    return [s.run_id for swept in watch.sweep() for alert in swept.alerts for s in alert.subjects]


def test_nothing_is_missed_between_sweeps_and_during_an_outage(watch: Make) -> None:
    one = watch()
    name, job_id = pipeline(one, "p"), job(one)
    assert runs_told(one) == []
    told: list[str] = []
    wanted: list[str] = []
    for pause in (5 * MINUTE, 5 * MINUTE, 9 * HOUR, 5 * MINUTE, 70 * HOUR):
        one.sandbox.advance(pause / 2)
        wanted.append(adf_run(one, name, outcome=FAILED))
        wanted.append(job_run(one, job_id, finished=True, outcome={"result": "FAILED"}))
        one.sandbox.advance(pause / 2)
        one.restarted()
        for _ in range(4):  # one look covers a day
            told += runs_told(one)
    assert set(told) == set(wanted)


def test_a_run_that_began_long_before_is_told_when_it_fails(watch: Make) -> None:
    one = watch(SWEEP_LOOKBACK_MINUTES="60")
    job_id = job(one)
    run = job_run(one, job_id, outcome={"result": "FAILED", "duration_seconds": 30 * HOUR})
    for _ in range(6):
        assert runs_told(one) == []
        one.sandbox.advance(5 * HOUR)
    assert runs_told(one) == [run]


def test_who_dies_before_the_end_finds_the_same_again_and_tells_it_once(watch: Make) -> None:
    one = watch()
    run = adf_run(one, pipeline(one, "p"), outcome=FAILED)
    swept = next(one.health.sweep())
    receipts = one.parts.alerts.store(swept.alerts, one.clock.now())
    assert [receipt.duplicate for receipt in receipts] == [False]
    # It dies here: the alert is stored, the look-back is not moved.
    one.restarted()
    again = next(one.health.sweep())
    assert [a.subjects[0].run_id for a in again.alerts] == [run]
    receipts = one.parts.alerts.store(again.alerts, one.clock.now())
    assert [receipt.duplicate for receipt in receipts] == [True]


def test_two_sweeps_at_once_keep_the_later_end(watch: Make) -> None:
    one = watch()
    pipeline(one, "p")
    first, second = one.health, one.health
    early = next(first.sweep())
    one.sandbox.advance(HOUR)
    late = next(second.sweep())
    second.done(late)
    first.done(early)
    window = next(one.health.sweep()).windows[0][0]
    assert window.since == late.windows[0][0].until - (window.until - window.since)


def test_a_target_that_does_not_answer_resolves_nothing_and_is_caught_up(watch: Make) -> None:
    one = watch()
    name = pipeline(one, "p")
    for hour in range(8, 0, -1):
        ago = hour * HOUR
        adf_run(one, name, started_seconds_ago=ago + 600, ended_seconds_ago=ago)
    adf_run(one, name, started_seconds_ago=1500)
    one.sweep()
    assert one.findings() == {"p": "slow_run"}
    one.sandbox.script("faults", name="out", path="Microsoft.DataFactory", status=503, times=500)
    one.sandbox.advance(2 * HOUR)
    run = adf_run(one, name, outcome=FAILED)
    assert runs_told(one) == []
    assert one.findings() == {"p": "slow_run"}
    one.sandbox.control("DELETE", "faults")
    one.sandbox.advance(5 * HOUR)
    assert runs_told(one) == [run]


def test_the_activity_that_a_slow_run_is_at(watch: Make) -> None:
    one = watch()
    activities: list[Json] = [
        {"name": "Extract", "type": "Copy"},
        {"name": "Load", "type": "Copy", "depends_on": ["Extract"]},
    ]
    name = pipeline(one, "p", activities)
    for hour in range(8, 0, -1):
        ago = hour * HOUR
        adf_run(one, name, started_seconds_ago=ago + 600, ended_seconds_ago=ago)
    going = {"status": "InProgress", "activity": "Extract"}
    run = adf_run(one, name, finished=False, outcome=going)
    one.sandbox.advance(20 * MINUTE)
    one.sweep()
    found = {f.kind.value: f for f in one.parts.findings.standing()}
    assert run in found["slow_run"].summary
    line = "activity Extract (Copy) under way"
    assert any(said.startswith(line) for said in found["slow_run"].evidence)
    slow = found["slow_activity"]
    assert (slow.resource, slow.severity) == ("p/Extract", "warning")
    assert "longer than 15 min, usual is 10 min" in slow.summary

    one.sandbox.control("DELETE", "requests")
    one.restarted()
    one.sweep()
    assert len(one.sandbox.requests("queryActivityruns")) == 1  # the rest is remembered
    one.sandbox.advance(50 * MINUTE)
    one.sweep()
    kinds = {f.kind.value: f.severity for f in one.parts.findings.standing()}
    assert kinds["slow_activity"] == "critical"


def test_few_runs_are_looked_into_however_many_are_late(watch: Make) -> None:
    one = watch()
    names = [pipeline(one, f"p{n}", [{"name": "Load", "type": "Copy"}]) for n in range(15)]
    for hour in range(6, 0, -1):
        for name in names:
            ago = hour * HOUR
            adf_run(one, name, started_seconds_ago=ago + 600, ended_seconds_ago=ago)
    for name in names:
        going = {"status": "InProgress", "activity": "Load"}
        adf_run(one, name, finished=False, outcome=going)
    one.sandbox.advance(11 * MINUTE)  # late, and not slow yet
    one.sandbox.control("DELETE", "requests")

    one.sweep()

    most = MOST_RUNS + MOST_LEARNT * RUNS_LEARNT
    assert len(one.sandbox.requests("queryActivityruns")) <= most
    assert one.findings() == {}


def test_500_pipelines_and_5000_runs_stay_within_the_limits(watch: Make) -> None:
    one = watch()
    names = [pipeline(one, f"p{number}") for number in range(200)]
    jobs = [job(one) for _ in range(200)]
    for number in range(100):
        made = one.sandbox.script("databricks/pipelines", name=f"dlt{number}")
        one.sandbox.script("databricks/updates", pipeline_id=made["pipeline_id"], finished=True)
    for number in range(12):
        ago = (12 - number) * 4 * MINUTE
        when = {"started_seconds_ago": ago + 120, "ended_seconds_ago": ago}
        for name in names:
            adf_run(one, name, **when)
        for job_id in jobs:
            job_run(one, job_id, finished=True, **when)
    for job_id in jobs[:100]:
        job_run(one, job_id, outcome={"result": "HANG"})
    one.sandbox.control("DELETE", "requests")
    began = one.clock.now()

    one.sweep()  # the first one: it sees all 5,000 runs at once

    first = counted(one)
    assert first.total() <= 400
    assert first["adf"] <= QUERIES_A_MINUTE / 2
    assert first["adf"] * (HOUR / INTERVAL) <= READS_AN_HOUR
    assert first["dbx"] <= CALLS_A_SECOND * INTERVAL / 4
    assert (one.clock.now() - began).total_seconds() < INTERVAL  # nothing had to be waited for
    assert one.sandbox.requests("get-output") == []

    one.sandbox.control("DELETE", "requests")
    one.sandbox.advance(INTERVAL)
    one.sweep()

    assert counted(one).total() <= first.total() / 2
    # After the runs are old, the cost does not depend on how many there were.
    one.sandbox.advance(HOUR)
    one.sweep()
    one.sandbox.advance(INTERVAL)
    one.sandbox.control("DELETE", "requests")
    one.sweep()
    assert counted(one).total() <= 20


def counted(watch: Watch) -> Counter[str]:
    """Calls by platform."""
    paths = [row["path"] for row in watch.sandbox.requests()]
    return Counter("adf" if "DataFactory" in path else "dbx" for path in paths)

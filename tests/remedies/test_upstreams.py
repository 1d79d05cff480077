"""Whether an upstream has delivered in this round: which of its runs count."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from shared.clock import from_iso
from shared.models import Evidence, Json
from shared.remedies.base import DONE, FAILED, PENDING, Case, Plan
from shared.remedies.wait_for_upstream import (
    AwaitUpstream,
    UpstreamRun,
    WaitForUpstream,
    delivered,
)
from shared.vocabulary import FailureKind, RunState
from tests.remedies.conftest import Bench

SINCE = datetime.fromisoformat("2026-03-02T06:00:00+00:00")
GOOD, BAD, BUSY = RunState.SUCCEEDED, RunState.FAILED, RunState.ACTIVE


def run(state: RunState, start: float, end: float | None) -> UpstreamRun:
    """A run between two moments, in hours from the round's begin."""
    ended = None if end is None else SINCE + timedelta(hours=end)
    return UpstreamRun(f"r{start:g}", state, SINCE + timedelta(hours=start), ended)


@pytest.mark.parametrize(
    ("runs", "expected", "said"),
    [
        ([], PENDING, "(none)"),
        ([run(GOOD, -24, -23)], PENDING, "older"),
        ([run(BAD, -24, -23)], PENDING, "older"),
        ([run(GOOD, -24, -23), run(BUSY, 1, None)], PENDING, "r1 is active"),
        ([run(GOOD, 1, 2), run(BUSY, -1, None)], PENDING, "r-1 is active"),
        ([run(GOOD, -0.5, 0.5)], DONE, "r-0.5 is succeeded"),
        ([run(GOOD, 1, 2)], DONE, "r1 is succeeded"),
        ([run(BAD, 1, 2), run(GOOD, 3, 4)], DONE, "r3 is succeeded"),
        ([run(GOOD, 1, 2), run(BAD, 3, 4)], FAILED, "r3 is failed"),
        ([run(RunState.CANCELLED, 1, 2)], FAILED, "r1 is cancelled"),
    ],
)
def test_the_last_run_of_the_round_decides(
    runs: list[UpstreamRun], expected: str, said: str
) -> None:
    status, words = delivered(list(reversed(runs)), SINCE)
    assert (status, said in words) == (expected, True), words


def test_where_the_round_is_not_known_nothing_counts() -> None:
    assert delivered([run(GOOD, 1, 2)], None)[0] == PENDING


def began(hours: float) -> Json:
    """A run that began so many hours ago and took a minute."""
    return {"started_seconds_ago": hours * 3600, "ended_seconds_ago": hours * 3600 - 60}


def pipeline_case(bench: Bench, *good: float, upstream: float | None) -> Case:
    """Ours has failed just now; hours ago when our good runs and the upstream's last one began."""
    for step in (1, 2):
        body: Json = {"factory": "adf", "name": f"Sales_Step{step}"}
        activities = [{"name": "Load", "type": "Copy"}]
        bench.sandbox.script("adf/pipelines", **body, activities=activities, duration_seconds=60)
    for hours in good:
        bench.pipeline_run("Sales_Step2", fails=False, **began(hours))
    if upstream is not None:
        bench.pipeline_run("Sales_Step1", fails=False, **began(upstream))
    failed = bench.pipeline_run("Sales_Step2", fails=True)
    return bench.case(FailureKind.PIPELINE_RUN, "Sales_Step2", failed)


def status_of(bench: Bench, case: Case) -> str:
    plan = WaitForUpstream().plan(case, [])
    assert isinstance(plan, Plan), plan
    assert plan.phases[0] == "await_upstream"
    return AwaitUpstream(bench.clock).look(case, plan.memo).status


@pytest.mark.parametrize(
    ("good", "upstream", "expected"),
    [
        ((24,), 2, DONE),  # delivered after our last good run, before the failed one
        ((1, 24), 2, PENDING),  # our last good run has had that delivery
        ((168,), 72, DONE),  # weekly
        ((168,), 240, PENDING),
        ((720,), 360, DONE),  # monthly
        ((), 2, PENDING),
        ((24,), None, PENDING),
    ],
)
def test_a_round_begins_with_our_last_good_run(
    bench: Bench, good: tuple[float, ...], upstream: float | None, expected: str
) -> None:
    assert status_of(bench, pipeline_case(bench, *good, upstream=upstream)) == expected


def test_a_success_after_our_failure_counts_where_no_good_run_is_known(bench: Bench) -> None:
    case = pipeline_case(bench, upstream=2)
    assert status_of(bench, case) == PENDING
    bench.sandbox.advance(600)
    bench.pipeline_run("Sales_Step1", fails=False)
    assert status_of(bench, case) == DONE


def test_a_jobs_round(bench: Bench) -> None:
    def ran(job: str, hours: float) -> None:
        bench.sandbox.script("databricks/runs", job_id=int(job), finished=True, **began(hours))

    task = {"task_key": "load", "notebook_task": {"notebook_path": "/etl"}}
    upstream = bench.sandbox.script("databricks/jobs", name="Sales_Step1", tasks=[task])["job_id"]
    case = bench.failed_job({}, "no table", name="Sales_Step2")
    evidence = case.evidence or Evidence(RunState.FAILED)
    named = replace(case, failure=replace(case.failure, name="Sales_Step2"))
    ran(upstream, 5)
    assert status_of(bench, named) == PENDING
    ran(evidence.job_id, 3)
    assert status_of(bench, named) == PENDING
    ran(evidence.job_id, 24)
    assert status_of(bench, named) == PENDING
    ran(upstream, 2)
    assert status_of(bench, named) == DONE


def test_the_round_is_written_down_when_the_wait_is_planned(bench: Bench) -> None:
    case = pipeline_case(bench, 24, upstream=2)
    plan = WaitForUpstream().plan(case, [])
    assert isinstance(plan, Plan)
    assert case.evidence is not None
    assert case.evidence.started_at is not None
    gap = case.evidence.started_at - from_iso(plan.memo["round_since"])
    assert timedelta(hours=23) < gap < timedelta(hours=25)

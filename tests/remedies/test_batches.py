"""A smaller batch: whose run is ours, and where a new run is no cure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from shared.catalog.loader import BatchParameter
from shared.models import Attempt
from shared.remedies.base import ABSENT, DONE, PENDING, Case, Plan, Refusal
from shared.remedies.reduce_batch import ReduceBatch, RunPipelineAnew
from shared.vocabulary import FailureKind
from tests.remedies.conftest import FACTORY, Bench

PIPELINE = "pl_load"
JOB = "job_load"


@pytest.fixture
def bench(bench: Bench) -> Bench:
    batch = BatchParameter("batch_size", 100)
    bench.catalog = replace(bench.catalog, batch_parameters={PIPELINE: batch, JOB: batch})
    bench.sandbox.script(
        "adf/pipelines",
        factory=FACTORY,
        name=PIPELINE,
        activities=[{"name": "Load", "type": "Copy"}],
        parameters={"batch_size": {"type": "String", "defaultValue": "1000"}},
    )
    return bench


def run(bench: Bench, batch: str = "1000", *, fails: bool = False, **more: Any) -> str:
    return bench.pipeline_run(PIPELINE, fails=fails, parameters={"batch_size": batch}, **more)


def failed(bench: Bench, batch: str = "1000", **more: Any) -> Case:
    run_id = run(bench, batch, fails=True, **more)
    case = bench.case(FailureKind.PIPELINE_RUN, PIPELINE, run_id)
    return replace(case, failure=replace(case.failure, name=PIPELINE))


def planned(case: Case, *tried: Attempt) -> Plan:
    plan = ReduceBatch().plan(case, list(tried))
    assert isinstance(plan, Plan), plan
    return plan


def test_a_run_with_such_a_batch_that_was_there_before_is_not_ours(bench: Bench) -> None:
    run(bench, "500")
    bench.sandbox.advance(60)
    case = failed(bench)
    plan = planned(case)
    phase = RunPipelineAnew(bench.clock)
    assert phase.look(case, plan.memo).status == ABSENT


def test_a_run_that_a_trigger_started_meanwhile_is_not_ours(bench: Bench) -> None:
    case = failed(bench)
    plan = planned(case)
    trigger = {"name": "tr_daily", "type": "ScheduleTrigger"}
    run(bench, "500", trigger=trigger)
    assert RunPipelineAnew(bench.clock).look(case, plan.memo).status == ABSENT


def test_our_run_is_found_without_its_id_and_followed_by_it(bench: Bench) -> None:
    case = failed(bench)
    memo = planned(case).memo
    phase = RunPipelineAnew(bench.clock)
    made = phase.act(case, memo)
    found = phase.look(case, memo)  # as after a crash: the answer was not written down
    assert (found.status, found.memo["new_run_id"]) == (PENDING, made["new_run_id"])
    bench.sandbox.advance(600)
    run(bench, "500", fails=True)
    look = phase.look(case, memo | made)
    assert (look.status, look.memo["new_run_id"]) == (DONE, made["new_run_id"])
    assert look.memo["new_group"] == made["new_run_id"]


def test_a_window_of_a_tumbling_trigger_is_not_run_anew(bench: Bench) -> None:
    trigger = {"name": "tr_hourly", "type": "TumblingWindowTrigger"}
    refused = ReduceBatch().plan(failed(bench, trigger=trigger), [])
    assert isinstance(refused, Refusal)
    assert "window of trigger tr_hourly would stay failed" in refused.reason


@pytest.mark.parametrize("batch", ["", "many", "-5", "1.5", "\u00b2", "9" * 5000])
def test_what_is_no_number_is_not_halved(bench: Bench, batch: str) -> None:
    refused = ReduceBatch().plan(failed(bench, batch), [])
    assert isinstance(refused, Refusal)
    assert "no whole number" in refused.reason


@pytest.mark.parametrize(("batch", "after"), [("1000", "500"), ("150", "100"), ("101", "100")])
def test_half_of_it_but_never_below_the_floor(bench: Bench, batch: str, after: str) -> None:
    assert planned(failed(bench, batch)).memo["parameters"] == {"batch_size": after}


def test_of_a_job_what_was_tried_is_halved_again(bench: Bench) -> None:
    """A repaired run goes on telling the parameter that it began with."""
    task = {"task_key": "load", "notebook_task": {"notebook_path": "/etl"}}
    parameters = [{"name": "batch_size", "default": "1000"}]
    job = bench.sandbox.script("databricks/jobs", name=JOB, tasks=[task], parameters=parameters)
    outcome = {"result": "FAILED", "error": "java.lang.OutOfMemoryError: Java heap space"}
    body = {"job_id": job["job_id"], "outcome": outcome, "job_parameters": {"batch_size": "1000"}}
    made = bench.sandbox.script("databricks/runs", **body)
    bench.sandbox.advance(600)
    case = bench.job_case(job["job_id"], made["run_id"])
    case = replace(case, failure=replace(case.failure, name=JOB))
    first = planned(case)
    assert (first.phases, first.memo["parameters"]) == (["repair_run"], {"batch_size": "500"})
    now = datetime(2026, 11, 20, tzinfo=UTC)
    attempt = Attempt(1, "x", "reduce_batch", first.phases, now, memo=first.memo)
    assert planned(case, attempt).memo["parameters"] == {"batch_size": "250"}

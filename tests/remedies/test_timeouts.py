"""Raising time-outs: the failed task's, the job's, or both, and what the summary says of it."""

from __future__ import annotations

import pytest

from shared.models import Json
from shared.remedies.base import Plan, Refusal
from shared.remedies.increase_timeout import IncreaseTimeout
from tests.remedies.conftest import Bench


@pytest.mark.parametrize(
    ("task", "settings", "words"),
    [
        ({"timeout_seconds": 60}, {}, "the time-out of task load from 60 to 90 s in job"),
        ({}, {"timeout_seconds": 80}, "the time-out of the job as a whole from 80 to 120 s in job"),
        (
            {"timeout_seconds": 60},
            {"timeout_seconds": 80},
            "task load from 60 to 90 s, the job as a whole from 80 to 120 s in job",
        ),
    ],
)
def test_what_is_raised_is_said(bench: Bench, task: Json, settings: Json, words: str) -> None:
    plan = IncreaseTimeout().plan(bench.failed_job(task, "it took too long", **settings), [])
    assert isinstance(plan, Plan)
    assert words in plan.summary
    paths = [edit["path"] for edit in plan.memo["edits"]]
    set_ones = [["tasks", "load", "timeout_seconds"]] * bool(task)
    assert paths == set_ones + [["timeout_seconds"]] * bool(settings)


@pytest.mark.parametrize("timeout", [0, 43_200])
def test_what_is_not_set_or_at_the_ceiling_is_not_raised(bench: Bench, timeout: int) -> None:
    case = bench.failed_job({"timeout_seconds": timeout}, "it took too long")
    plan = IncreaseTimeout().plan(case, [])
    assert isinstance(plan, Refusal)
    assert "at the ceiling" in plan.reason

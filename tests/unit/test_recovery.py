"""Which runs count as a recovery, and by whom; the platform's own answers, read into facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.clock import iso
from shared.models import Attempt, Failure, Incident
from shared.monitoring.recovery import (
    Recovery,
    _earliest,
    _job_recoveries,
    _pipeline_recoveries,
    _update_recoveries,
)
from shared.vocabulary import FailureKind, IncidentState, RecoveredBy

FAILED = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
INCIDENT = Incident(
    "20261120-030100000-ab",
    IncidentState.ESCALATED,
    Failure(FailureKind.PIPELINE_RUN, "adf", "pl", "r0", group="r0"),
    FAILED + timedelta(minutes=1),
    FAILED,
    "owner",
    attempts=[
        Attempt(1, "T", "rerun", ["rerun_pipeline"], FAILED, memo={"new_run_id": "ours"}),
        Attempt(2, "T", "rerun", ["repair_run"], FAILED, memo={"repair_id": ""}),
    ],
)


def after(minutes: float) -> datetime:
    return FAILED + timedelta(minutes=minutes)


def millis(minutes: float) -> int:
    return int(after(minutes).timestamp() * 1000)


def pipeline_run(**more: Any) -> dict[str, Any]:
    return {
        "runId": "r1",
        "runGroupId": "r1",
        "status": "Succeeded",
        "runStart": iso(after(10)),
        "runEnd": iso(after(20)),
        "invokedBy": {"invokedByType": "ScheduleTrigger"},
    } | more


@pytest.mark.parametrize(
    ("more", "by"),
    [
        ({}, RecoveredBy.ITSELF),
        ({"runGroupId": "r0"}, RecoveredBy.HAND),
        ({"invokedBy": {"invokedByType": "Manual"}}, RecoveredBy.HAND),
        ({"invokedBy": None}, RecoveredBy.ITSELF),
        ({"runId": "ours", "runGroupId": "r0"}, RecoveredBy.US_LATE),
        ({"status": "Failed"}, None),
        ({"status": "InProgress", "runEnd": None}, None),
        ({"status": "Flabbergasted"}, None),
        ({"runStart": iso(after(-1))}, None),  # it ran beside the failed one
    ],
)
def test_pipeline_runs(more: dict[str, Any], by: RecoveredBy | None) -> None:
    found = _earliest(_pipeline_recoveries([pipeline_run(**more)], INCIDENT, FAILED))
    assert (found.by if found else None) == by
    assert found is None or found.at == after(20)


def job_run(**more: Any) -> dict[str, Any]:
    return {
        "run_id": 7,
        "job_id": 1,
        "state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"},
        "start_time": millis(10),
        "end_time": millis(30),
        "trigger": "PERIODIC",
    } | more


@pytest.mark.parametrize(
    ("more", "by"),
    [
        ({}, RecoveredBy.ITSELF),
        ({"trigger": "ONE_TIME"}, RecoveredBy.HAND),
        ({"trigger": "SOMETHING_NEW"}, RecoveredBy.ITSELF),
        ({"job_id": 2}, None),
        ({"start_time": millis(-5)}, None),
        ({"state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED"}}, None),
        ({"end_time": 0}, None),
    ],
)
def test_job_runs(more: dict[str, Any], by: RecoveredBy | None) -> None:
    found = _earliest(_job_recoveries([job_run(**more)], "1", FAILED))
    assert (found.by if found else None) == by
    assert found is None or found.at == after(30)


@pytest.mark.parametrize(
    ("more", "by"),
    [
        ({"cause": "USER_ACTION"}, RecoveredBy.HAND),
        ({"cause": "JOB_TASK"}, RecoveredBy.ITSELF),
        ({"cause": "API_CALL", "update_id": "ours"}, RecoveredBy.US_LATE),
        ({"state": "FAILED"}, None),
        ({"creation_time": millis(-1)}, None),
    ],
)
def test_updates(more: dict[str, Any], by: RecoveredBy | None) -> None:
    update = {"update_id": "u1", "state": "COMPLETED", "creation_time": millis(5)} | more
    found = _earliest(_update_recoveries([update], INCIDENT, FAILED))
    assert (found.by if found else None) == by


def test_the_earliest_counts() -> None:
    late = Recovery(after(50), RecoveredBy.ITSELF, "late")
    early = Recovery(after(20), RecoveredBy.HAND, "early")
    assert _earliest([late, early]) == early
    assert _earliest([]) is None

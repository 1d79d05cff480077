"""Which update of a pipeline is ours: the reset that we asked for, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from shared.models import Failure
from shared.remedies.base import ABSENT, DONE, FAILED, PENDING, Case
from shared.remedies.full_refresh import RefreshTables
from shared.vocabulary import FailureKind
from tests.remedies.conftest import WORKSPACE, Bench

TABLE = "main.sales.bronze"
PIPELINE = "0a1b2c3d-0000-0000-0000-000000000001"


def case(bench: Bench) -> Case:
    failure = Failure(FailureKind.UPDATE, WORKSPACE, PIPELINE, "u1", group="pipeline")
    return Case(failure, "u1", bench.platforms, bench.catalog, 16, bench.memory)


def pipeline(bench: Bench, *outcomes: dict[str, Any]) -> None:
    body = {"pipeline_id": PIPELINE, "name": "p", "serverless": True, "outcomes": list(outcomes)}
    bench.sandbox.script("databricks/pipelines", **body)


def somebody(bench: Bench, **body: Any) -> str:
    script = {"pipeline_id": PIPELINE, "finished": True} | body
    return str(bench.sandbox.script("databricks/updates", **script)["update_id"])


@pytest.mark.parametrize(
    "theirs",
    [{"cause": "JOB_TASK"}, {"cause": "USER_ACTION"}, {"cause": "API_CALL", "full_refresh": True}],
)
def test_somebody_elses_update_is_not_taken_for_ours(bench: Bench, theirs: dict[str, Any]) -> None:
    pipeline(bench)
    memo = {"pipeline_id": PIPELINE, "known": [], "reset": [TABLE]}
    somebody(bench, **theirs)
    assert RefreshTables().look(case(bench), memo).status == ABSENT


def test_ours_is_found_by_what_it_refreshes_and_then_by_its_id(bench: Bench) -> None:
    pipeline(bench)
    memo = {"pipeline_id": PIPELINE, "known": [], "full": [TABLE]}
    phase = RefreshTables()
    made = phase.act(case(bench), memo)
    somebody_else = {"pipeline_id": PIPELINE, "known": [], "full": ["main.sales.other"]}
    assert phase.look(case(bench), somebody_else).status == ABSENT
    assert phase.look(case(bench), memo).status == PENDING
    bench.sandbox.advance(600)
    failed = {"state": "FAILED", "flow": "x"}
    somebody(bench, cause="JOB_TASK", outcome=failed)
    found = phase.look(case(bench), memo)
    assert (found.status, found.memo["refresh_id"]) == (DONE, made["refresh_id"])
    assert phase.look(case(bench), memo | made).status == DONE


def test_the_platforms_own_retry_of_ours_is_waited_for(bench: Bench) -> None:
    retried = {"state": "FAILED", "flow": "x", "platform_retry": True}
    pipeline(bench, retried, {"state": "COMPLETED"})
    memo = {"pipeline_id": PIPELINE, "known": [], "reset": [TABLE]}
    phase = RefreshTables()
    memo |= phase.act(case(bench), memo)
    seen = set()
    for _ in range(60):
        seen.add(phase.look(case(bench), memo).status)
        bench.sandbox.advance(1)
    assert FAILED not in seen
    assert phase.look(case(bench), memo).status == DONE

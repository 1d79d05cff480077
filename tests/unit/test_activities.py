"""Activities against their own history: what is learnt, what is slow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.monitoring.activities import Known, judged, learnt
from shared.monitoring.feed import Run
from shared.vocabulary import FailureKind, RunState

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RUN = Run(
    kind=FailureKind.PIPELINE_RUN,
    run_id="r-1",
    resource="p",
    name="p",
    state=RunState.ACTIVE,
    started=NOW - timedelta(hours=1),
    ended=None,
    waiting=False,
    row={},
)


def activity(name: str, took: float | None, ago: float = 0, **more: Any) -> dict[str, Any]:
    ended = NOW - timedelta(seconds=ago)
    began = ended - timedelta(seconds=took or 0)
    row = {"activityName": name, "activityType": "Copy", "activityRunStart": began.isoformat()}
    state = {"status": "Succeeded", "activityRunEnd": ended.isoformat()}
    return row | (state if took is not None else {"status": "InProgress"}) | more


def test_of_an_activity_in_a_loop_the_longest_of_each_run_counts() -> None:
    runs = [
        [activity("Copy", 10), activity("Copy", 40), activity("Load", 5)],
        [activity("Copy", 30)],
    ]
    assert learnt(runs) == {"Copy": [40, 30], "Load": [5]}
    odd = [activity("Copy", 9, status="Failed"), activity("Copy", 9, activityRunEnd="never"), {}]
    assert learnt([odd]) == {}


def test_slow_stuck_and_what_always_was_slow() -> None:
    known = Known(0, {"Copy": [60, 62, 58, 60, 61], "Always": [600] * 5, "New": [1, 1]})

    def seen(name: str, ago: float) -> list[str]:
        row = activity(name, None, ago)
        return [one.severity.value for one in judged("adf", RUN, [row], known, NOW)]

    assert seen("Copy", 100) == []
    assert seen("Copy", 130) == ["warning"]
    assert seen("Copy", 1000) == ["critical"]
    assert seen("Always", 800) == []
    assert seen("New", 9000) == []  # two runs say nothing
    done = activity("Copy", 5000)
    assert list(judged("adf", RUN, [done], known, NOW)) == []

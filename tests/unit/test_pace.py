"""What is usual, and what is not: properties of the measure, and the findings made of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.findings.model import FindingKind, Seen
from shared.models import ClusterFacts
from shared.monitoring.activities import _late
from shared.monitoring.feed import Feed, Run, failed_updates, updates_feed
from shared.monitoring.judging import clusters_down, judged, runtime_offline
from shared.monitoring.lookback import Window
from shared.monitoring.pace import (
    KEPT,
    Sample,
    Track,
    added,
    error_rate_rose,
    overdue,
    usual,
    usual_before,
)
from shared.notify.model import Severity
from shared.vocabulary import FailureKind, RunState

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
DAY = 86_400

durations = st.lists(st.integers(1, 100_000), min_size=5, max_size=KEPT)
samples = st.lists(
    st.tuples(st.integers(1, 10**6), st.integers(0, 10**5), st.integers(0, 1)), max_size=40
)


def track(*took: int, good: int = 1, step: int = DAY) -> Track:
    """Runs that ended one step apart, the last one a step ago."""
    listed = [(EPOCH - (len(took) - n) * step, seconds, good) for n, seconds in enumerate(took)]
    return Track("job", listed, 0, EPOCH)


def run(state: RunState = RunState.ACTIVE, ago: float = 0, **row: object) -> Run:
    started = NOW - timedelta(seconds=ago)
    waiting = bool(row.pop("waiting", False))
    return Run(FailureKind.JOB_RUN, "1", "job", "77", state, started, None, waiting, dict(row))


def kinds(found: list[Seen]) -> list[FindingKind]:
    return [seen.kind for seen in found]


@given(durations)
def test_slow_lies_clearly_above_the_median(took: list[int]) -> None:
    known = usual(took)
    assert known is not None
    assert known.limit >= median(took) + 60
    assert known.limit >= 1.5 * median(took)
    assert known.stuck > known.limit


@given(st.integers(1, 50_000), st.integers(5, KEPT))
def test_what_always_was_slow_is_not_slow_and_twice_as_slow_is(took: int, count: int) -> None:
    known = usual([took] * count)
    assert known is not None
    assert took < known.limit
    assert (2 * took > known.limit) == (took > 60)  # the floor of a minute: short work varies


@given(durations, st.integers(10**6, 10**9))
def test_one_odd_run_does_not_hide_the_next(took: list[int], odd: int) -> None:
    steady = [max(took)] * 8
    known, after = usual(steady), usual([*steady, odd])
    assert known is not None
    assert after is not None
    assert after.limit == known.limit


@given(samples, samples)
def test_adding_again_changes_nothing_and_the_newest_are_kept(
    one: list[Sample], other: list[Sample]
) -> None:
    once = added(added(Track(), one, 1), other, 1)
    assert added(once, other, 1) == once
    assert len(once.samples) <= 2 * KEPT
    assert once.samples[-KEPT:] == sorted({*one, *other})[-KEPT:]
    good = [sample for sample in sorted({*one, *other}) if sample[2] and sample[1]]
    assert set(good[-KEPT:]) <= set(once.samples)
    assert once.samples == sorted(once.samples)


def test_a_run_is_measured_against_the_runs_before_it() -> None:
    known = track(100, 100, 100, 100, 100, 400)
    last = known.samples[-1]
    before = usual_before(known, last[0] - last[1])
    assert before is not None
    assert (before.median, before.runs) == (100, 5)
    assert usual_before(known, known.samples[3][0]) is None  # four are too few


def test_failed_runs_say_nothing_about_what_is_usual() -> None:
    assert usual_before(track(1, 1, 1, 1, 1, 1, good=0), EPOCH) is None


@pytest.mark.parametrize(
    ("ago", "expected"),
    [(500, []), (1000, [FindingKind.SLOW_RUN]), (4000, [FindingKind.STUCK_RUN])],
)
def test_a_run_under_way(ago: int, expected: list[FindingKind]) -> None:
    tracks = {"1": track(600, 600, 600, 600, 600, 600)}
    found = judged("w", Feed([], [run(ago=ago)]), tracks, NOW)
    assert kinds(found) == expected


def test_the_slowest_task_is_named() -> None:
    start = int((NOW - timedelta(seconds=900)).timestamp() * 1000)
    tasks = [
        {"task_key": "a", "start_time": start, "end_time": start + 5},
        {"task_key": "b", "start_time": start + 5},
    ]
    found = judged("w", Feed([], [run(ago=1000, tasks=tasks)]), {"1": track(*[600] * 6)}, NOW)
    assert any(line.startswith("task b under way since") for line in found[0].evidence)


def test_the_last_good_run_counts_and_the_next_usual_one_resolves_it() -> None:
    slow = {"1": track(600, 600, 600, 600, 600, 1300)}
    assert kinds(judged("w", Feed([], []), slow, NOW)) == [FindingKind.SLOW_RUN]
    fine = {"1": track(600, 600, 600, 600, 600, 1300, 610)}
    assert judged("w", Feed([], []), fine, NOW) == []


def test_more_failures_than_before() -> None:
    good, bad = [(n, 5, 1) for n in range(10)], [(20 + n, 5, 0) for n in range(3)]
    rose = error_rate_rose(Track("x", good + bad))
    assert rose == (3, 6, 0.0)
    always = [(n, 5, n % 2) for n in range(16)]
    assert error_rate_rose(Track("x", always)) is None
    assert error_rate_rose(Track("x", bad)) is None  # nothing to compare with


def test_regular_work_that_stopped_and_weekends() -> None:
    daily = track(*[60] * 10)
    assert overdue(daily, EPOCH) is None
    assert overdue(daily, EPOCH + 4 * DAY) == (5 * DAY, 3 * DAY)
    workdays = [day for day in range(21) if day % 7 < 5]
    weekly = Track("x", [(day * DAY, 60, 1) for day in workdays])
    last = workdays[-1] * DAY
    assert overdue(weekly, last + 3 * DAY) is None
    assert overdue(weekly, last + 6 * DAY) is not None
    odd = Track("x", [(2**n * DAY, 60, 1) for n in range(10)])
    assert overdue(odd, 9000 * DAY) is None  # never came regularly


def test_queues_and_retries() -> None:
    waiting = [run(ago=ago, waiting=True) for ago in (900, 500, 100)]
    assert kinds(judged("w", Feed([], waiting), {}, NOW)) == [FindingKind.QUEUE_GROWING]
    assert judged("w", Feed([], waiting[:2]), {}, NOW) == []
    young = [run(ago=60, waiting=True)] * 5
    assert judged("w", Feed([], young), {}, NOW) == []
    again = run(tasks=[{"task_key": "t", "attempt_number": 2}, {"task_key": "u"}])
    found = judged("w", Feed([], [again]), {}, NOW)
    assert kinds(found) == [FindingKind.RETRIES_PILING_UP]
    assert found[0].summary == "job is at attempt 3 in run 77"


def test_a_cluster_that_is_down_while_tasks_wait() -> None:
    task = {
        "task_key": "t",
        "existing_cluster_id": "c1",
        "state": {"life_cycle_state": "PENDING"},
    }
    down = [ClusterFacts("c1", state="ERROR", code="X"), ClusterFacts("c2", state="ERROR")]
    found = clusters_down("w", down, [run(tasks=[task])])
    assert [(seen.resource, seen.severity) for seen in found] == [("c1", Severity.CRITICAL)]
    assert clusters_down("w", [ClusterFacts("c1", state="RUNNING")], [run(tasks=[task])]) == []
    busy = {**task, "state": {"life_cycle_state": "RUNNING"}}
    assert clusters_down("w", down, [run(tasks=[busy])]) == []


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        ({"state": "Online"}, None),
        ({"state": "Started"}, None),
        ({"state": "Stopped"}, None),
        ({"state": "Offline"}, Severity.CRITICAL),
        (
            {
                "state": "Online",
                "typeProperties": {
                    "nodes": [
                        {"nodeName": "a", "status": "Online"},
                        {"nodeName": "b", "status": "Limited"},
                    ]
                },
            },
            Severity.WARNING,
        ),
    ],
)
def test_integration_runtimes(status: dict[str, object], severity: Severity | None) -> None:
    found = runtime_offline("adf", "ir", status)
    assert (found.severity if found else None) == severity


def test_what_waits_in_a_queue_is_neither_slow_nor_stuck() -> None:
    tracks = {"1": track(*[600] * 6)}
    waiting = run(ago=3720, waiting=True)
    assert judged("adf", Feed([], [waiting]), tracks, NOW) == []
    assert list(_late(Feed([], [waiting]), tracks, NOW)) == []
    assert kinds(judged("adf", Feed([], [waiting] * 3), tracks, NOW)) == [FindingKind.QUEUE_GROWING]


def test_what_ran_after_the_look_ended_is_not_missing() -> None:
    hourly = {"1": track(*[60] * 10, step=3600)}
    later = NOW + timedelta(days=3)
    assert judged("adf", Feed([], []), hourly, later, NOW) == []
    assert kinds(judged("adf", Feed([], []), hourly, later, later)) == [FindingKind.MISSING_RUNS]


def test_work_that_takes_long_each_fourth_time() -> None:
    took = [300, 300, 300, 3000] * 5
    assert judged("w", Feed([], []), {"1": track(*took)}, NOW) == []
    assert judged("w", Feed([], [run(ago=3100)]), {"1": track(*took, 300, 300, 300)}, NOW) == []
    slower = {"1": track(*took, 300, 300, 300, 6000)}
    assert kinds(judged("w", Feed([], []), slower, NOW)) == [FindingKind.SLOW_RUN]
    # What has become slow stays slow until it is most of what is known.
    become = {"1": track(*[300] * 12, *[3000] * 6)}
    assert kinds(judged("w", Feed([], []), become, NOW)) == [FindingKind.SLOW_RUN]


def test_failures_do_not_push_out_the_good_runs() -> None:
    good = [(EPOCH - 40 * DAY + n, 600, 1) for n in range(6)]
    bad = [(EPOCH - 3 * DAY + n, 5, 0) for n in range(60)]
    known = added(added(Track("x"), good, 1), bad, 1)
    before = usual_before(known, EPOCH)
    assert before is not None
    assert (before.median, before.runs) == (600, 6)


def pipeline(*updates: tuple[str, str, float]) -> dict[str, object]:
    """A listed pipeline with updates (id, state, seconds ago), the newest first."""
    rows = [
        {"update_id": u, "state": s, "creation_time": (NOW - timedelta(seconds=ago)).isoformat()}
        for u, s, ago in updates
    ]
    return {"pipeline_id": "p", "name": "p", "latest_updates": rows}


def window(active: dict[str, int] | None = None) -> Window:
    since, began = NOW - timedelta(minutes=25), NOW - timedelta(days=9)
    return Window("updates", "w", since, NOW, began, active or {}, NOW - timedelta(minutes=15))


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (["RUNNING", "FAILED"], ["u1"]),
        (["FAILED", "COMPLETED"], ["u0"]),
        (["COMPLETED", "FAILED"], []),
        (["CANCELED", "FAILED"], []),
        (["RUNNING", "COMPLETED", "FAILED"], []),
    ],
)
def test_a_failed_update_is_told_though_another_has_begun(
    states: list[str], told: list[str]
) -> None:
    listed = [(f"u{n}", state, 60.0 * (n + 1)) for n, state in enumerate(states)]
    assert [r.run_id for r in failed_updates([pipeline(*listed)], window())] == told


def test_short_updates_count_with_their_outcome_alone() -> None:
    listed = pipeline(
        ("new", "QUEUED", 5), ("short", "FAILED", 300), ("long", "COMPLETED", 1200),
        ("told", "COMPLETED", 1300),
    )  # fmt: skip
    feed = updates_feed([listed], window({"long": 1}))
    assert [(r.run_id, r.seconds(NOW)) for r in feed.ended] == [("short", 0.0), ("long", 1200.0)]
    assert [r.run_id for r in feed.active] == ["new"]
    short = [(EPOCH - n * 600, 0, int(n > 3)) for n in range(20)]
    tracks = {"1": Track("job", sorted(short), 0, EPOCH)}
    assert kinds(judged("w", Feed([], [run(ago=50_000)]), tracks, NOW)) == [FindingKind.ERROR_RATE]

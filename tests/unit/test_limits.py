"""Breakers, blast radius and storms: the rules by themselves."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.policy import limits, storms
from shared.policy.limits import Act, Log
from shared.policy.model import BlastRadius, BreakerLimits, StormTerms
from shared.policy.storms import Storm, StormState

NOW = datetime(2026, 11, 20, 3, tzinfo=UTC)
BREAKER = BreakerLimits(
    failures=3, window=600, ineffective=3, ineffective_window=3600, half_open_after=60
)
TERMS = StormTerms(
    failures=3, within=60, probes=(10, 20, 40), release=2, release_every=5, gives_up=1000
)


def act(incident: str, seconds: float = 0.0, number: int = 1) -> Act:
    return Act(f"{incident}/{number}", NOW + timedelta(seconds=seconds), "thing", "rerun")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def failed(log: Log, *acts: Act) -> list[str]:
    return [limits.conclude(BREAKER, log, one, healed=False) for one in acts]


def test_one_incident_tried_again_and_again_does_not_open_the_breaker() -> None:
    log = Log()
    assert failed(log, *[act("a", n, n) for n in range(1, 9)]) == [""] * 8
    assert failed(log, act("b"), act("c"))[1].startswith("remediation failed in 3 incidents")


def test_failures_count_once_and_within_the_window_only() -> None:
    log = Log()
    assert failed(log, act("a"), act("a"), act("b", 1), act("c", 700)) == [""] * 4
    assert log.opened_at is None


def test_half_open_lets_one_through_and_its_success_closes() -> None:
    log = Log()
    failed(log, act("a"), act("b"), act("c"))
    assert "open until" in limits.tripped(BREAKER, log, at(30))
    assert limits.tripped(BREAKER, log, at(61)) == ""
    limits.begin(log, act("d", 61))
    assert "half open" in limits.tried(BREAKER, log, at(62), "e/1")
    assert limits.tried(BREAKER, log, at(62), "d/1") == ""
    assert limits.conclude(BREAKER, log, act("d", 70), healed=True) == ""
    assert limits.tripped(BREAKER, log, at(71)) == ""


def test_half_open_opens_again_when_its_try_fails() -> None:
    log = Log()
    failed(log, act("a"), act("b"), act("c"))
    limits.begin(log, act("d", 61))
    assert "failed" in limits.conclude(BREAKER, log, act("d", 70), healed=False)
    assert limits.tripped(BREAKER, log, at(129))
    assert limits.tripped(BREAKER, log, at(131)) == ""


def test_a_try_that_never_ended_does_not_block_for_ever() -> None:
    log = Log()
    failed(log, act("a"), act("b"), act("c"))
    limits.begin(log, act("d", 61))
    assert limits.tried(BREAKER, log, at(600), "e/1")
    assert limits.tried(BREAKER, log, at(662), "e/1") == ""


def test_what_works_and_does_not_last_opens_it() -> None:
    log = Log()
    told = [limits.conclude(BREAKER, log, act(n, i), healed=True) for i, n in enumerate("abc")]
    assert told[:2] == ["", ""]
    assert "worked 3 times" in told[2]


def test_a_share_counts_from_enough_targets_on() -> None:
    radius = BlastRadius(actions_per_hour=100, percent_of_targets=50, percent_from=2)
    log = Log(begun=[Act(f"{n}/1", NOW, f"t{n}") for n in range(2)])
    assert "3 of 4" in limits.crowded(radius, log, 4, "x/1", "t9")
    assert limits.crowded(radius, log, 8, "x/1", "t9") == ""
    assert "not known" in limits.crowded(radius, log, None, "x/1", "t9")
    assert limits.crowded(radius, log, 4, "x/1", "t0") == ""  # no further one is touched


@given(st.integers(0, 40), st.integers(1, 20))
def test_never_more_begin_than_the_limit(wanted: int, ceiling: int) -> None:
    radius, log = BlastRadius(actions_per_hour=ceiling), Log()
    for number in range(wanted):
        one = act(f"i{number}", number)
        if not limits.crowded(radius, log, None, one.key, one.thing):
            limits.begin(log, one)
            limits.begin(log, one)
    assert len(log.begun) == min(wanted, ceiling)


def opened() -> Storm:
    storm = Storm()
    assert storms.declare(storm, "storm", "adf", "GatewayTimeout", NOW)
    return storm


def test_one_probe_at_a_time_at_growing_intervals() -> None:
    storm = opened()
    assert not storms.declare(storm, "another", "adf", "GatewayTimeout", NOW)
    tried = []
    moment = 0.0
    for name in "abcd":
        while not storms.admit(TERMS, storm, name, at(moment)).probe:
            assert storms.admit(TERMS, storm, f"{name}-other", at(moment)).held
            moment += 1
            storm.probe = "" if storm.probe.endswith("other") else storm.probe
        tried.append(moment)
        assert storms.admit(TERMS, storm, "someone", at(moment)).held
        assert storms.conclude(TERMS, storm, name, at(moment), healed=False)
    assert [round(b - a) for a, b in itertools.pairwise(tried)] == [10, 20, 40]


def test_members_are_released_in_growing_numbers() -> None:
    storm = opened()
    assert storms.admit(TERMS, storm, "p", NOW).probe
    assert storms.conclude(TERMS, storm, "p", NOW, healed=True)
    names = [f"m{n}" for n in range(30)]
    through = [
        sum(not storms.admit(TERMS, storm, name, at(seconds)).held for name in names)
        for seconds in (0, 5, 10, 15, 20)
    ]
    assert through == [1, 3, 7, 15, 30]


def test_a_relapse_holds_the_others_again() -> None:
    storm = opened()
    storms.admit(TERMS, storm, "p", NOW)
    storms.conclude(TERMS, storm, "p", NOW, healed=True)
    assert not storms.admit(TERMS, storm, "m", NOW).held
    assert storms.conclude(TERMS, storm, "m", NOW, healed=False)
    assert storms.admit(TERMS, storm, "n", at(1)).held


def test_a_storm_that_does_not_end_is_given_up() -> None:
    storm = opened()
    late = storms.admit(TERMS, storm, "m", at(1001))
    assert late.held
    assert late.over
    assert storms.end(storm, at(1002), StormState.GIVEN_UP)
    assert not storms.end(storm, at(1003), StormState.OVER)
    assert not storms.admit(TERMS, storm, "m", at(1004)).held


def test_who_need_not_ask_tries_in_place_of_who_must() -> None:
    storm = opened()
    assert storms.admit(TERMS, storm, "asks", NOW, asks=True).probe
    assert storms.admit(TERMS, storm, "asks too", NOW, asks=True).held
    assert storms.admit(TERMS, storm, "acts", at(1)).probe
    assert storms.admit(TERMS, storm, "asks", at(2), asks=True).held
    assert storm.probes == 1


def test_a_probe_that_may_not_act_lets_another_try_at_once() -> None:
    storm = opened()
    assert storms.admit(TERMS, storm, "a", NOW).probe
    assert not storms.withdraw(storm, "b", at(1))
    assert storms.withdraw(storm, "a", at(1))
    assert storms.admit(TERMS, storm, "b", at(1)).probe
    storms.conclude(TERMS, storm, "b", at(2), healed=True)
    assert not storms.withdraw(storm, "b", at(3))  # and a release goes on whoever says no


@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.integers(1, 30), st.sampled_from([True, False])),
        max_size=60,
    )
)
def test_never_two_probes(steps: list[tuple[str, int, bool]]) -> None:
    storm, moment, probing = opened(), 0, ""
    for name, later, healed in steps:
        moment += later
        admission = storms.admit(TERMS, storm, name, at(moment))
        if admission.probe:
            assert probing in {"", name}
            probing = name
        if probing == name and storms.conclude(TERMS, storm, name, at(moment), healed=healed):
            probing = ""
        if storm.state is not StormState.ON:
            return

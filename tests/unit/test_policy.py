"""decide(): nothing it is given makes it act where it must not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.catalog.loader import NEVER_AUTOMATED, ErrorSpec, RemedySpec
from shared.models import Diagnosis
from shared.policy.decide import Option, Situation, decide
from shared.vocabulary import DecisionKind, Mode, Reason, RunState

RERUN = RemedySpec("rerun", 3, (10.0, 30.0, 60.0))
TYPES = ["GatewayTimeout", "Unknown", "Cancelled", *sorted(NEVER_AUTOMATED)]


def spec(*remedies: RemedySpec) -> ErrorSpec:
    return ErrorSpec("t", "network", True, "low", remedies, ("do",))


def situation(**changes: object) -> Situation:
    fields: dict[str, object] = {
        "enabled": True,
        "mode": Mode.PRODUCTION,
        "state": RunState.FAILED,
        "platform_retrying": False,
        "diagnosis": Diagnosis("GatewayTimeout", "network", True, 0.95, "r", "b"),
        "spec": spec(RERUN),
        "options": (Option(RERUN),),
        "tries_in_all": 0,
        "max_retries": 5,
        "waited": 0.0,
        "wait_ceiling": 100.0,
        "wait_interval": 1.0,
        "hold_ceiling": 100.0,
        "hold_interval": 2.0,
    }
    return Situation(**(fields | changes))  # type: ignore[arg-type]  # built from a table


options = st.lists(
    st.builds(
        Option,
        st.just(RERUN),
        st.integers(0, 4),
        st.sampled_from(["", "does not apply"]),
        st.booleans(),
        st.sampled_from(["", "another"]),
    ),
    max_size=3,
).map(tuple)
situations = st.builds(
    situation,
    enabled=st.booleans(),
    mode=st.sampled_from(Mode),
    state=st.sampled_from(RunState),
    platform_retrying=st.booleans(),
    diagnosis=st.builds(
        Diagnosis,
        st.sampled_from(TYPES),
        st.just("c"),
        st.none(),
        st.floats(0, 1),
        st.just("r"),
        st.just("b"),
    ),
    spec=st.sampled_from([spec(), spec(RERUN)]),
    options=options,
    tries_in_all=st.integers(0, 8),
    waited=st.floats(0, 200),
    retry_after=st.none() | st.floats(0, 1000),
)


@given(situations)
def test_it_acts_only_where_everything_allows_it(given_one: Situation) -> None:
    decision = decide(given_one)
    if decision.kind is not DecisionKind.ACT:
        return
    assert given_one.enabled
    assert given_one.mode is Mode.PRODUCTION
    assert given_one.state in {RunState.FAILED, RunState.UNKNOWN}
    assert given_one.diagnosis.error_type not in {*NEVER_AUTOMATED, "Cancelled"}
    assert given_one.diagnosis.confidence >= 0.7
    assert given_one.tries_in_all < given_one.max_retries
    chosen = [o for o in given_one.options if o.tries < o.spec.attempts and not o.refusal]
    assert not chosen[0].locked_by
    assert decision.delay == RERUN.backoff[min(chosen[0].tries, 2)]


@given(situations)
def test_it_always_has_a_reason_and_never_waits_for_ever(given_one: Situation) -> None:
    decision = decide(given_one)
    assert decision.reason in set(Reason)
    if decision.kind in {DecisionKind.WAIT, DecisionKind.HOLD}:
        assert decision.delay > 0
        assert given_one.waited <= 100


def test_the_backoff_is_the_next_one_of_the_table() -> None:
    delays = [decide(situation(options=(Option(RERUN, tries),))).delay for tries in range(3)]
    assert delays == [10.0, 30.0, 60.0]


def test_retry_after_replaces_the_backoff_where_the_catalog_says_so() -> None:
    told = RemedySpec("rerun", 5, (30.0,), honor_retry_after=True)
    assert decide(situation(options=(Option(told),), retry_after=7.0)).delay == 7.0
    assert decide(situation(retry_after=7.0)).delay == 10.0


def test_reasons_in_their_order() -> None:
    paused = situation(enabled=False, state=RunState.SUCCEEDED)
    assert decide(paused).reason is Reason.PAUSED
    assert decide(situation(state=RunState.SUCCEEDED)).reason is Reason.ALREADY_RECOVERED
    assert decide(situation(state=RunState.ACTIVE)).reason is Reason.PLATFORM_BUSY
    assert decide(situation(state=RunState.CANCELLED)).reason is Reason.STOPPED_BY_SOMEBODY
    assert decide(situation(tries_in_all=5)).reason is Reason.ATTEMPTS_USED_UP
    assert decide(situation(options=(Option(RERUN, 3),))).reason is Reason.ATTEMPTS_USED_UP
    refused = Option(RERUN, 0, "no")
    assert decide(situation(options=(refused,))).reason is Reason.NO_REMEDY_APPLIES
    locked = Option(RERUN, locked_by="x")
    assert decide(situation(options=(locked,))).reason is Reason.TARGET_LOCKED
    assert decide(situation(mode=Mode.PILOT)).kind is DecisionKind.ASK
    assert decide(situation(mode=Mode.OBSERVE)).kind is DecisionKind.OBSERVE

"""decide(): nothing it is given makes it act where it must not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from shared.catalog.loader import NEVER_AUTOMATED, ErrorSpec, RemedySpec
from shared.models import Diagnosis
from shared.policy.decide import Option, Situation, decide
from shared.policy.model import Permit, Permits
from shared.vocabulary import DecisionKind, Mode, Reason, RunState

RERUN = RemedySpec("rerun", 3, (10.0, 30.0, 60.0))
TYPES = ["GatewayTimeout", "Unknown", "Cancelled", *sorted(NEVER_AUTOMATED)]


def spec(*remedies: RemedySpec) -> ErrorSpec:
    return ErrorSpec("t", "network", True, "low", remedies, ("do",))


def situation(**changes: object) -> Situation:
    fields: dict[str, object] = {
        "paused": "",
        "mode": Mode.PRODUCTION,
        "production": True,
        "out_of_scope": "",
        "window": "",
        "window_left": 0.0,
        "grace_left": 0.0,
        "rerunnable": True,
        "permits": Permits(),
        "storm": "",
        "storm_over": False,
        "storm_delay": 5.0,
        "budget_left": None,
        "approved": "",
        "refused": "",
        "expired": "",
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


# A window and a grace period have their end, a storm is given up.
ENDS_BY_ITSELF = {Reason.MAINTENANCE_WINDOW, Reason.GRACE_PERIOD, Reason.STORM}

options = st.lists(
    st.builds(
        Option,
        st.just(RERUN),
        st.integers(0, 4),
        st.sampled_from(["", "does not apply"]),
        st.booleans(),
        st.sampled_from(["", "another"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([0.0, 1.0, 3.0]),
        st.sampled_from(["", "medium", "high"]),
        st.sampled_from([0.0, 60.0]),
        st.sampled_from(["", "too many"]),
        st.sampled_from(["", "open"]),
    ),
    max_size=3,
).map(tuple)
said = st.sampled_from(["", "", "", "words"])
situations = st.builds(
    situation,
    paused=said,
    mode=st.sampled_from(Mode),
    production=st.booleans(),
    out_of_scope=said,
    window=said,
    window_left=st.floats(1, 1e6),
    grace_left=st.sampled_from([0.0, 0.0, -5.0, 30.0]),
    rerunnable=st.sampled_from([True, False, None]),
    permits=st.builds(
        Permits,
        *[st.sampled_from(Permit)] * 3,
        st.dictionaries(st.sampled_from(TYPES), st.sampled_from(Permit)),
        st.sampled_from(Permit),
    ),
    storm=said,
    storm_over=st.booleans(),
    budget_left=st.none() | st.sampled_from([-1.0, 0.0, 2.0, 100.0]),
    approved=st.sampled_from(["", "a", "b"]),
    refused=said,
    expired=said,
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
    assert not given_one.paused
    assert given_one.mode is not Mode.OBSERVE
    assert not given_one.out_of_scope
    assert not given_one.window
    assert given_one.rerunnable is not False
    assert not given_one.storm
    assert not given_one.refused
    assert not given_one.expired
    assert given_one.grace_left <= 0
    assert given_one.state in {RunState.FAILED, RunState.UNKNOWN}
    assert given_one.diagnosis.error_type not in {*NEVER_AUTOMATED, "Cancelled"}
    assert given_one.diagnosis.confidence >= 0.7
    assert given_one.tries_in_all < given_one.max_retries
    chosen = [o for o in given_one.options if o.tries < o.spec.attempts and not o.refusal]
    assert not chosen[0].locked_by
    assert not chosen[0].cooldown
    assert not chosen[0].crowded
    assert not chosen[0].tripped
    assert given_one.budget_left is None or chosen[0].cost_usd <= given_one.budget_left
    assert decision.delay == RERUN.backoff[min(chosen[0].tries, 2)]
    if chosen[0].action == given_one.approved:
        return
    assert given_one.mode is Mode.PRODUCTION  # pilot acts on nothing but what was approved
    assert given_one.rerunnable or given_one.permits.undeclared is Permit.ACT
    by_type = given_one.permits.error_types.get(given_one.diagnosis.error_type)
    by_risk = {"low": "low", "medium": "medium"}.get(_risk(given_one, chosen[0]), "high")
    assert (by_type or getattr(given_one.permits, by_risk)) is Permit.ACT


def _risk(one: Situation, option: Option) -> str:
    order = ["low", "medium", "high"]
    return max(one.spec.risk, option.risk or "low", key=order.index)


@given(situations)
def test_an_approval_never_lifts_more_than_the_permission(given_one: Situation) -> None:
    without = decide(structs.replace(given_one, approved=""))
    withal = decide(given_one)
    if withal != without:
        assert without.kind in {DecisionKind.ASK, DecisionKind.ACT}
        assert (withal.kind, withal.reason) == (DecisionKind.ACT, Reason.APPROVED)


@given(situations)
def test_pilot_asks_for_low_risks_outside_production_only(given_one: Situation) -> None:
    decision = decide(structs.replace(given_one, mode=Mode.PILOT))
    if decision.kind in {DecisionKind.ASK, DecisionKind.ACT}:
        assert not given_one.production
        chosen = [o for o in given_one.options if o.tries < o.spec.attempts and not o.refusal]
        assert _risk(given_one, chosen[0]) == "low"


@given(situations)
def test_observe_mode_never_asks_or_acts(given_one: Situation) -> None:
    decision = decide(structs.replace(given_one, mode=Mode.OBSERVE))
    assert decision.kind not in {DecisionKind.ASK, DecisionKind.ACT}


@given(situations)
def test_it_always_has_a_reason_and_never_waits_for_ever(given_one: Situation) -> None:
    decision = decide(given_one)
    assert decision.reason in set(Reason)
    if decision.kind in {DecisionKind.WAIT, DecisionKind.HOLD}:
        assert decision.delay > 0
        assert given_one.waited <= 100 or decision.reason in ENDS_BY_ITSELF


def test_the_backoff_is_the_next_one_of_the_table() -> None:
    delays = [decide(situation(options=(Option(RERUN, tries),))).delay for tries in range(3)]
    assert delays == [10.0, 30.0, 60.0]


def test_retry_after_replaces_the_backoff_where_the_catalog_says_so() -> None:
    told = RemedySpec("rerun", 5, (30.0,), honor_retry_after=True)
    assert decide(situation(options=(Option(told),), retry_after=7.0)).delay == 7.0
    assert decide(situation(retry_after=7.0)).delay == 10.0


def test_reasons_in_their_order() -> None:
    paused = situation(paused="by somebody", state=RunState.SUCCEEDED)
    assert decide(paused).reason is Reason.PAUSED
    assert decide(situation(out_of_scope="x", window="y")).reason is Reason.OUT_OF_SCOPE
    windowed = decide(situation(window="y", window_left=5.0, state=RunState.SUCCEEDED))
    assert (windowed.reason, windowed.delay) == (Reason.MAINTENANCE_WINDOW, 5.0)
    assert decide(situation(state=RunState.SUCCEEDED)).reason is Reason.ALREADY_RECOVERED
    assert decide(situation(state=RunState.ACTIVE)).reason is Reason.PLATFORM_BUSY
    assert decide(situation(state=RunState.CANCELLED)).reason is Reason.STOPPED_BY_SOMEBODY
    assert decide(situation(tries_in_all=5)).reason is Reason.ATTEMPTS_USED_UP
    assert decide(situation(options=(Option(RERUN, 3),))).reason is Reason.ATTEMPTS_USED_UP
    refused = Option(RERUN, 0, "no")
    assert decide(situation(options=(refused,))).reason is Reason.NO_REMEDY_APPLIES
    locked = Option(RERUN, locked_by="x")
    assert decide(situation(options=(locked,))).reason is Reason.TARGET_LOCKED
    cool = Option(RERUN, cooldown=9.0, crowded="c", tripped="t", cost_usd=5.0)
    ordered = [
        (situation(options=(cool,), storm="s", grace_left=3.0), Reason.GRACE_PERIOD),
        (situation(options=(cool,), storm="s"), Reason.COOLDOWN),
        (situation(options=(structs.replace(cool, cooldown=0.0),), storm="s"), Reason.STORM),
        (situation(options=(structs.replace(cool, cooldown=0.0),)), Reason.BLAST_RADIUS),
        (
            situation(options=(structs.replace(cool, cooldown=0.0, crowded=""),), budget_left=1.0),
            Reason.BREAKER_OPEN,
        ),
        (situation(options=(Option(RERUN, cost_usd=5.0),), budget_left=1.0), Reason.OVER_BUDGET),
        (situation(rerunnable=None), Reason.UNDECLARED_RERUNNABLE),
        (situation(rerunnable=False), Reason.NOT_RERUNNABLE),
        (situation(options=(Option(RERUN, risk="high"),)), Reason.APPROVAL_REQUIRED),
        (situation(refused="no", expired="late"), Reason.APPROVAL_REFUSED),
        (situation(expired="late"), Reason.APPROVAL_EXPIRED),
    ]
    assert [decide(one).reason for one, _ in ordered] == [reason for _, reason in ordered]
    assert decide(situation(mode=Mode.PILOT)).kind is DecisionKind.OBSERVE
    assert decide(situation(mode=Mode.PILOT, production=False)).kind is DecisionKind.ASK
    would = [decide(situation(mode=Mode.OBSERVE, rerunnable=r)).would for r in (True, None)]
    assert would == ["act", "ask"]

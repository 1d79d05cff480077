"""What we may do now. One ordered list of checks; the first that objects decides, with its reason.

Pure: everything it looks at is in `Situation`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from shared.catalog.loader import CANCELLED, NEVER_AUTOMATED, ErrorSpec, RemedySpec
from shared.diagnosis.classifier import ACT_CONFIDENCE
from shared.models import Decision, Diagnosis
from shared.policy.model import Permit, Permits
from shared.vocabulary import DecisionKind, Mode, Reason, RunState


class Option(msgspec.Struct, frozen=True):
    """One remedy of the catalog, seen from here and now.

    `tries` were made of it for this error type; `refusal` says why it does not apply, and `busy`
    that it will when others are done; `locked_by` names the incident that has its target.
    """

    spec: RemedySpec
    tries: int = 0
    refusal: str = ""
    busy: bool = False
    locked_by: str = ""
    action: str = ""  # digest of exactly what would be done
    cost_usd: float = 0.0
    risk: str = ""  # of this remedy, where it is higher than the error type's
    cooldown: float = 0.0  # seconds until it may touch what another incident has just acted on
    crowded: str = ""  # which limit on actions per hour it would exceed
    tripped: str = ""  # which breaker stops it
    half_open: str = ""  # another attempt tries whether a breaker may close


class Situation(msgspec.Struct, frozen=True):
    """Everything that a decision depends on. Times in seconds.

    Texts that are empty do not object; others say why they do.
    """

    paused: str
    mode: Mode
    production: bool  # whether it is a production environment's
    out_of_scope: str
    window: str
    window_left: float
    grace_left: float
    rerunnable: bool | None
    permits: Permits
    storm: str
    storm_over: bool  # it was given up: its members go to people
    storm_delay: float
    budget_left: float | None
    approved: str  # the digest of the action that a person has approved
    refused: str  # who refused, and expired: nobody answered in time
    expired: str
    state: RunState
    platform_retrying: bool
    diagnosis: Diagnosis
    spec: ErrorSpec
    options: tuple[Option, ...]
    tries_in_all: int
    max_retries: int
    waited: float
    wait_ceiling: float
    wait_interval: float
    hold_ceiling: float
    hold_interval: float
    retry_after: float | None = None


Check = Callable[[Situation], Decision | None]


def decide(situation: Situation) -> Decision:
    """The decision: act, ask, observe, wait, hold or escalate, always with a reason."""
    for check in _CHECKS:
        decision = check(situation)
        if decision is not None:
            return decision
    return _by_mode(situation)


def hold(paused: str, mode: Mode, approved_by: str) -> Reason | None:
    """Whether an attempt under way must wait before its next mutation, and why.

    What was begun is not left half done without a word: it waits to be let on. Giving back what
    was borrowed is always allowed.
    """
    if paused:
        return Reason.PAUSED
    if mode is Mode.PRODUCTION or (mode is Mode.PILOT and approved_by):
        return None
    return Reason.OBSERVE_MODE


def _paused(s: Situation) -> Decision | None:
    if not s.paused:
        return None
    if s.waited > s.hold_ceiling:
        return _escalate(Reason.WAITED_TOO_LONG, f"automation stayed paused: {s.paused}")
    return Decision(DecisionKind.HOLD, Reason.PAUSED, delay=s.hold_interval, note=s.paused)


def _out_of_scope(s: Situation) -> Decision | None:
    if not s.out_of_scope:
        return None
    return Decision(DecisionKind.OBSERVE, Reason.OUT_OF_SCOPE, note=s.out_of_scope)


def _in_window(s: Situation) -> Decision | None:
    if not s.window:
        return None
    delay = min(s.window_left, _LONGEST_TIMER)
    return Decision(DecisionKind.HOLD, Reason.MAINTENANCE_WINDOW, delay=delay, note=s.window)


_LONGEST_TIMER = 86_400.0  # then it is looked at again: windows are edited, too


def _grace(s: Situation) -> Decision | None:
    if s.grace_left <= 0 or s.mode is Mode.OBSERVE:
        return None
    note = "it may yet recover by itself"
    return Decision(DecisionKind.WAIT, Reason.GRACE_PERIOD, delay=s.grace_left, note=note)


def _recovered(s: Situation) -> Decision | None:
    if s.state is not RunState.SUCCEEDED:
        return None
    return Decision(DecisionKind.OBSERVE, Reason.ALREADY_RECOVERED, note="it is good by now")


def _missing(s: Situation) -> Decision | None:
    if s.state is not RunState.MISSING:
        return None
    return _escalate(Reason.NOT_FOUND, "the platform does not know it any more")


def _busy(s: Situation) -> Decision | None:
    if s.state not in {RunState.ACTIVE, RunState.UNKNOWN} and not s.platform_retrying:
        return None
    reason = Reason.PLATFORM_RETRYING if s.platform_retrying else Reason.PLATFORM_BUSY
    return _wait(s, reason, f"its state is {s.state.value}")


def _stopped(s: Situation) -> Decision | None:
    if s.state is not RunState.CANCELLED and s.diagnosis.error_type != CANCELLED:
        return None
    return Decision(
        DecisionKind.OBSERVE, Reason.STOPPED_BY_SOMEBODY, note="what was stopped stays stopped"
    )


def _never(s: Situation) -> Decision | None:
    if s.diagnosis.error_type not in NEVER_AUTOMATED:
        return None
    return _escalate(Reason.NEVER_AUTOMATED, f"{s.diagnosis.error_type} is never automated")


def _not_remediable(s: Situation) -> Decision | None:
    if s.diagnosis.hands_off:
        return _escalate(Reason.NOT_REMEDIABLE, f"this is for a person: {s.diagnosis.because}")
    if s.options:
        return None
    return _escalate(Reason.NOT_REMEDIABLE, f"no remedy for {s.diagnosis.error_type}")


def _unsure(s: Situation) -> Decision | None:
    if s.diagnosis.confidence >= ACT_CONFIDENCE:
        return None
    return _escalate(
        Reason.LOW_CONFIDENCE, f"only {s.diagnosis.confidence:.0%} sure that it is this"
    )


def _harmful(s: Situation) -> Decision | None:
    if s.rerunnable is not False:
        return None
    return _escalate(Reason.NOT_RERUNNABLE, "it is declared not rerunnable: twice would do harm")


def _answered(s: Situation) -> Decision | None:
    if s.refused:
        return _escalate(Reason.APPROVAL_REFUSED, s.refused)
    return _escalate(Reason.APPROVAL_EXPIRED, s.expired) if s.expired else None


def _used_up(s: Situation) -> Decision | None:
    if s.tries_in_all >= s.max_retries:
        return _escalate(Reason.ATTEMPTS_USED_UP, f"{s.tries_in_all} tries in all, the ceiling")
    left = [o for o in s.options if o.tries < o.spec.attempts and (o.busy or not o.refusal)]
    tries = sum(option.tries for option in s.options)
    if left or not tries:
        return None
    return _escalate(Reason.ATTEMPTS_USED_UP, f"{tries} tries for {s.diagnosis.error_type}")


def _nothing_applies(s: Situation) -> Decision | None:
    if _chosen(s) is not None:
        return None
    waiting = next((o for o in s.options if o.busy), None)
    if waiting is not None:
        return _wait(s, Reason.PLATFORM_BUSY, waiting.refusal)
    notes = "; ".join(f"{o.spec.remedy}: {o.refusal}" for o in s.options if o.refusal)
    return _escalate(Reason.NO_REMEDY_APPLIES, notes)


def _locked(s: Situation) -> Decision | None:
    option = _chosen(s)
    if option is None or not option.locked_by:
        return None
    return _wait(s, Reason.TARGET_LOCKED, f"incident {option.locked_by} is at work on it")


def _cooling(s: Situation) -> Decision | None:
    option = _chosen(s)
    if option is None or option.cooldown <= 0 or s.mode is Mode.OBSERVE:
        return None
    note = "another incident has just acted on it"
    return _wait(s, Reason.COOLDOWN, note, min(option.cooldown, _LONGEST_TIMER))


def _stormy(s: Situation) -> Decision | None:
    if not s.storm or s.mode is Mode.OBSERVE:
        return None
    if s.storm_over:
        return _escalate(Reason.STORM, s.storm)
    return Decision(DecisionKind.HOLD, Reason.STORM, delay=s.storm_delay, note=s.storm)


def _crowded(s: Situation) -> Decision | None:
    option = _chosen(s)
    if option is None or not option.crowded or s.mode is Mode.OBSERVE:
        return None
    return _wait(s, Reason.BLAST_RADIUS, option.crowded)


def _tripped(s: Situation) -> Decision | None:
    option = _chosen(s)
    if option is None or s.mode is Mode.OBSERVE:
        return None
    if option.tripped:
        return _escalate(Reason.BREAKER_OPEN, option.tripped)
    return _wait(s, Reason.BREAKER_OPEN, option.half_open) if option.half_open else None


def _too_dear(s: Situation) -> Decision | None:
    option = _chosen(s)
    if option is None or s.budget_left is None or s.mode is Mode.OBSERVE:
        return None
    if option.cost_usd <= s.budget_left:
        return None
    note = f"it may cost {option.cost_usd:.2f} USD, {max(s.budget_left, 0):.2f} are left of today's"
    return _escalate(Reason.OVER_BUDGET, note)


# The order is the order of design: what stops everything first, what is cheapest to know next.
_CHECKS: tuple[Check, ...] = (
    _paused,
    _out_of_scope,
    _in_window,
    _recovered,
    _missing,
    _busy,
    _stopped,
    _never,
    _not_remediable,
    _unsure,
    _harmful,
    _answered,
    _used_up,
    _nothing_applies,
    _grace,
    _locked,
    _cooling,
    _stormy,
    _crowded,
    _tripped,
    _too_dear,
)


def _by_mode(s: Situation) -> Decision:
    option = _chosen(s)
    if option is None:  # _nothing_applies has answered that
        return _escalate(Reason.NO_REMEDY_APPLIES, "")
    remedy = option.spec.remedy
    delay = option.spec.delay(option.tries, s.retry_after)
    permit, reason = permitted(s, option)
    if s.mode is Mode.OBSERVE:
        return Decision(DecisionKind.OBSERVE, Reason.OBSERVE_MODE, remedy, delay, would=permit)
    if permit is Permit.OBSERVE:
        return Decision(DecisionKind.OBSERVE, reason, remedy, delay, would=permit)
    if s.approved and s.approved == option.action:
        return Decision(DecisionKind.ACT, Reason.APPROVED, remedy, delay)
    if permit is Permit.ASK or s.mode is Mode.PILOT:
        return Decision(DecisionKind.ASK, reason, remedy, delay)
    return Decision(DecisionKind.ACT, Reason.ALLOWED, remedy, delay)


def permitted(s: Situation, option: Option) -> tuple[Permit, Reason]:
    """What the permits say of a remedy, and the reason where it is not simply allowed.

    Observe mode looks at it as production would: that is what its report is about.
    """
    permit = _by_risk(s, option)
    pilot = s.mode is Mode.PILOT
    if permit is Permit.OBSERVE or (pilot and (s.production or _risk(s, option) != _LOW)):
        return Permit.OBSERVE, Reason.NOT_PERMITTED
    if pilot:
        return Permit.ASK, Reason.APPROVAL_REQUIRED
    if s.rerunnable is None and s.permits.undeclared is not Permit.ACT:
        return s.permits.undeclared, Reason.UNDECLARED_RERUNNABLE
    return permit, Reason.APPROVAL_REQUIRED if permit is Permit.ASK else Reason.ALLOWED


_LOW, _MEDIUM = "low", "medium"
_RISKS = (_LOW, _MEDIUM, "high")


def _risk(s: Situation, option: Option) -> str:
    """The higher one of the error type's and the remedy's own."""
    return max(s.spec.risk, option.risk or _LOW, key=_RISKS.index)


def _by_risk(s: Situation, option: Option) -> Permit:
    named = s.permits.error_types.get(s.diagnosis.error_type)
    if named is not None:
        return named
    by_risk = {_LOW: s.permits.low, _MEDIUM: s.permits.medium}
    return by_risk.get(_risk(s, option), s.permits.high)


def _chosen(s: Situation) -> Option | None:
    return next((o for o in s.options if o.tries < o.spec.attempts and not o.refusal), None)


def _wait(s: Situation, reason: Reason, note: str, delay: float = 0.0) -> Decision:
    if s.waited > s.wait_ceiling:
        return _escalate(Reason.WAITED_TOO_LONG, note)
    return Decision(DecisionKind.WAIT, reason, delay=delay or s.wait_interval, note=note)


def _escalate(reason: Reason, note: str) -> Decision:
    return Decision(DecisionKind.ESCALATE, reason, note=note)

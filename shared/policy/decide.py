"""What we may do now. One ordered list of checks; the first that objects decides, with its reason.

Pure: everything it looks at is in `Situation`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from shared.catalog.loader import CANCELLED, NEVER_AUTOMATED, ErrorSpec, RemedySpec
from shared.diagnosis.classifier import ACT_CONFIDENCE
from shared.models import Decision, Diagnosis
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


class Situation(msgspec.Struct, frozen=True):
    """Everything that a decision depends on. Times in seconds."""

    enabled: bool
    mode: Mode
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


def hold(enabled: bool, mode: Mode) -> Reason | None:  # noqa: FBT001 - the switch itself
    """Whether an attempt under way must wait before its next mutation, and why.

    What was begun is not left half done without a word: it waits to be let on. Giving back what
    was borrowed is always allowed.
    """
    if not enabled:
        return Reason.PAUSED
    return None if mode is Mode.PRODUCTION else Reason.OBSERVE_MODE


def _paused(s: Situation) -> Decision | None:
    if s.enabled:
        return None
    if s.waited > s.hold_ceiling:
        return _escalate(Reason.WAITED_TOO_LONG, "automation stayed paused")
    return Decision(DecisionKind.HOLD, Reason.PAUSED, delay=s.hold_interval)


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


# The order is the order of design: what stops everything first, what is cheapest to know next.
_CHECKS: tuple[Check, ...] = (
    _paused,
    _recovered,
    _missing,
    _busy,
    _stopped,
    _never,
    _not_remediable,
    _unsure,
    _used_up,
    _nothing_applies,
    _locked,
)


def _by_mode(s: Situation) -> Decision:
    option = _chosen(s)
    if option is None:  # _nothing_applies has answered that
        return _escalate(Reason.NO_REMEDY_APPLIES, "")
    remedy = option.spec.remedy
    delay = option.spec.delay(option.tries, s.retry_after)
    if s.mode is Mode.OBSERVE:
        return Decision(DecisionKind.OBSERVE, Reason.OBSERVE_MODE, remedy, delay)
    if s.mode is Mode.PILOT:
        return Decision(DecisionKind.ASK, Reason.APPROVAL_REQUIRED, remedy, delay)
    return Decision(DecisionKind.ACT, Reason.ALLOWED, remedy, delay)


def _chosen(s: Situation) -> Option | None:
    return next((o for o in s.options if o.tries < o.spec.attempts and not o.refusal), None)


def _wait(s: Situation, reason: Reason, note: str) -> Decision:
    if s.waited > s.wait_ceiling:
        return _escalate(Reason.WAITED_TOO_LONG, note)
    return Decision(DecisionKind.WAIT, reason, delay=s.wait_interval, note=note)


def _escalate(reason: Reason, note: str) -> Decision:
    return Decision(DecisionKind.ESCALATE, reason, note=note)

"""The steps that the orchestrator calls: each goes as far as it can, then says what is next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from shared.delivery.closing import close, locks_of, promote, rounds, take_back
from shared.delivery.gates.l1 import check
from shared.delivery.gates.l2 import deploy
from shared.delivery.gates.l3 import run
from shared.delivery.gates.l4 import judge
from shared.delivery.leaving import GateFailed, Later
from shared.delivery.reporting import report
from shared.delivery.work import Work, go_to
from shared.delivery_models import Delivery, DeliveryState, GateState
from shared.errors import NothingChanged
from shared.healing.context import CLOSED, Context, Step
from shared.vocabulary import Action

_ROLL_BACK = "deliver_roll_back"
_GATES: dict[str, Callable[[Work], None]] = {
    "deliver_check": check,
    "deliver_deploy": deploy,
    "deliver_run": run,
    "deliver_quality": judge,
}
_LONGEST = 3000  # characters of a reason
STEPS = frozenset({*_GATES, "deliver_promote", _ROLL_BACK})
_DEPLOYING = frozenset({"deliver_check", "deliver_deploy", "deliver_promote"})


def step(context: Context, delivery_id: str, name: str) -> Step:
    """Go on with a delivery; the next step and the seconds until then.

    Args:
        context: the parts.
        delivery_id: which delivery.
        name: the step that the caller holds for the present one; the record knows better.
    """
    work = Work(context, context.deliveries.get(delivery_id))
    if work.delivery.state.closed:
        return CLOSED
    if work.delivery.step != name:  # a late copy of an activity that was done already
        return Step(work.delivery.step)
    other = context.locks.acquire(locks_of(work), delivery_id, context.timings.lease)
    if other:
        return _wait(work, context.timings.wait_interval, f"{other} works on this pipeline")
    if work.delivery.cancel is not None and name != _ROLL_BACK:
        return _begin_rollback(work, "cancelled", "Delivery cancelled")
    left = _asked_to_wait(work, name)
    if left > 0:
        return _wait(work, left, work.delivery.waiting_for)
    try:
        _do(work, name)
    except Later as later:
        return _wait(work, later.seconds, later.why, asked=later.asked)
    except GateFailed as failed:
        return _failed(work, name, failed)
    except NothingChanged as error:
        return _unanswered(work, name, error)
    return _onward(work)


def _onward(work: Work) -> Step:
    return CLOSED if work.delivery.state.closed else Step(work.delivery.step)


def _do(work: Work, name: str) -> None:
    if name in _GATES:
        _in_time(work, name)
        _GATES[name](work)
    elif name == "deliver_promote":
        promote(work)
    else:
        take_back(work)


def _in_time(work: Work, name: str) -> None:
    """Checking and deploying have their own time; the execution gate counts its own."""
    minutes = work.plan.deploy_timeout_minutes
    if name in _DEPLOYING and work.now > work.due(minutes):
        raise GateFailed(f"not done within {minutes:g} minutes")


def _asked_to_wait(work: Work, name: str) -> float:
    """Seconds left of the pause that the platform asked for, or of the gate's time if less."""
    until, deadline = work.delivery.not_before, work.stage.deadline
    if until is None:
        return 0.0
    if name == "deliver_run" and deadline is not None:
        until = min(until, deadline)
    return (until - work.now).total_seconds()


def _wait(work: Work, seconds: float, why: str, *, asked: bool = False) -> Step:
    """Come back, for long pauses more than once: the locks have to be renewed in between."""
    until = work.now + timedelta(seconds=seconds) if asked else None
    seconds = min(seconds, work.context.timings.verify_ceiling)
    why = work.context.redactor.text(why)[:_LONGEST]
    if asked or why != work.delivery.waiting_for:

        def note(fresh: Delivery) -> None:
            fresh.waiting_for, fresh.not_before = why, until or fresh.not_before

        work.change(note)
    return Step(work.delivery.step, seconds, "cancel")


def _unanswered(work: Work, name: str, error: NothingChanged) -> Step:
    """The platform refused or does not answer. A refusal is final, silence is waited for."""
    from shared.errors import PlatformThrottled, PlatformUnavailable

    timings = work.context.timings
    passing = isinstance(error, PlatformThrottled | PlatformUnavailable)
    since = work.delivery.step_since or work.delivery.updated_at
    patience = timedelta(seconds=timings.wait_ceiling)
    deadline = work.stage.deadline
    late = name == "deliver_run" and deadline is not None and work.now >= deadline
    if passing and not late and work.now - since < patience:
        wait = error.retry_after if isinstance(error, PlatformThrottled) else None
        return _wait(work, wait or timings.wait_interval, str(error), asked=wait is not None)
    return _failed(work, name, error)


def _failed(work: Work, name: str, error: Exception) -> Step:
    why = work.context.redactor.text(str(error))[:_LONGEST]
    report(work, why, error)
    if name == _ROLL_BACK:
        return close(work, DeliveryState.FAILED, f"the rollback stopped: {why}")
    gate = work.delivery.gate
    if gate is not None and gate.state is GateState.RUNNING:
        work.leave(GateState.FAILED, why, name)
    words = f"{gate.name.value} in {work.stage.target}: {why}" if gate else why
    if work.plan.rollback == "manual" and not work.delivery.cancel:
        return close(work, DeliveryState.FAILED, words)
    return _begin_rollback(work, words, "Rollback begins")


def _begin_rollback(work: Work, why: str, words: str) -> Step:
    now, cancel = work.now, work.delivery.cancel

    def begin(fresh: Delivery) -> None:
        fresh.state, fresh.failure = DeliveryState.ROLLING_BACK, fresh.failure or why
        for gate in fresh.gates:
            if gate.state is GateState.RUNNING:
                gate.state, gate.ended_at, gate.note = GateState.FAILED, now, why
        go_to(fresh, _ROLL_BACK, now)

    by = f" by {cancel.by}" if cancel else ""
    entry = work.entry(Action.ROLLBACK_STARTED, f"{words}{by}: {why}", f"rollback-{rounds(work)}")
    work.change(begin, entry)
    return Step(_ROLL_BACK)

"""The steps that the orchestrator calls: each goes as far as it can, then says what is next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from shared.delivery.gates.l1 import check
from shared.delivery.gates.l2 import deploy, release
from shared.delivery.gates.l3 import run
from shared.delivery.gates.l4 import judge
from shared.delivery.rollback import restore_guide, roll_back
from shared.delivery.work import GateFailed, Later, Mutation, Work, go_to
from shared.delivery_models import Delivery, DeliveryState, GateState
from shared.errors import NothingChanged
from shared.healing.context import CLOSED, Context, Step
from shared.models import Json
from shared.notify.messages import delivery_result
from shared.remedies.base import job_lock
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
_DEPLOYING = frozenset({"deliver_check", "deliver_deploy", "deliver_promote", "deliver_quality"})


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
    other = context.locks.acquire(_locks(work), delivery_id, context.timings.lease)
    if other:
        return _wait(work, context.timings.wait_interval, f"{other} works on this pipeline")
    if work.delivery.cancel is not None and name != _ROLL_BACK:
        return _begin_rollback(work, "cancelled", "Delivery cancelled")
    try:
        _do(work, name)
    except Later as later:
        return _wait(work, later.seconds, later.why)
    except GateFailed as failed:
        return _failed(work, name, str(failed))
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
        _promote(work)
    else:
        _take_back(work)


def _in_time(work: Work, name: str) -> None:
    """Checking and deploying have their own time; the execution gate counts its own."""
    minutes = work.plan.deploy_timeout_minutes
    if name in _DEPLOYING and work.now > work.due(minutes):
        raise GateFailed(f"not done within {minutes:g} minutes")


def _locks(work: Work) -> list[str]:
    """Nobody else delivers to these names or heals these pipelines meanwhile."""
    stage = work.stage
    names = [f"delivery|{stage.workspace}|{stage.pipeline_name}"]
    return names + ([job_lock(stage.workspace, stage.pipeline_id)] if stage.pipeline_id else [])


def _wait(work: Work, seconds: float, why: str) -> Step:
    """Come back, for long pauses more than once: the locks have to be renewed in between."""
    seconds = min(seconds, work.context.timings.verify_ceiling)
    why = work.context.redactor.text(why)[:_LONGEST]
    if why != work.delivery.waiting_for:

        def note(fresh: Delivery) -> None:
            fresh.waiting_for = why

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
        return _wait(work, wait or timings.wait_interval, str(error))
    return _failed(work, name, str(error))


def _failed(work: Work, name: str, why: str) -> Step:
    why = work.context.redactor.text(why)[:_LONGEST]
    if name == _ROLL_BACK:
        return _close(work, DeliveryState.FAILED, f"the rollback stopped: {why}")
    gate = work.delivery.gate
    if gate is not None and gate.state is GateState.RUNNING:
        work.leave(GateState.FAILED, why, name)
    words = f"{gate.name.value} in {work.stage.target}: {why}" if gate else why
    if work.plan.rollback == "manual" and not work.delivery.cancel:
        return _close(work, DeliveryState.FAILED, words)
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
    entry = work.entry(Action.ROLLBACK_STARTED, f"{words}{by}: {why}", f"rollback-{_round(work)}")
    work.change(begin, entry)
    return Step(_ROLL_BACK)


def _round(work: Work) -> int:
    return sum(1 for stage in work.delivery.stages if stage.rolled_back_at is not None)


def _promote(work: Work) -> None:
    """The stage is green: let its jobs run, then go to the next target or close."""
    release(work)
    _tidy(work)
    number, now = work.delivery.stage_number, work.now
    last = number + 1 >= len(work.delivery.stages)

    def note(fresh: Delivery) -> None:
        stage = fresh.stages[number]
        stage.delivered_at = stage.delivered_at or now
        if not last and fresh.stage_number == number:
            fresh.stage_number = number + 1
            go_to(fresh, "deliver_check", now)
            fresh.step_since = now

    key = f"{work.stage.target}-delivered"
    words = f"Delivered to {work.stage.target}"
    action = Action.DELIVERY_PROMOTED
    before = _locks(work)
    work.change(note, work.entry(action, words, key, result="delivered"))
    if last:
        _close(work, DeliveryState.SUCCEEDED, _delivered(work))
    else:
        work.context.locks.release(before, work.delivery.delivery_id)


def _tidy(work: Work) -> None:
    """The sources of versions that were never good go; those of the version before us stay."""
    for number, folder in enumerate(work.stage.folders[:-1]):
        name, words = f"{work.stage.target}-tidy-{number}", f"remove the folder {folder}"
        work.once(Mutation(name, words, partial(_folder_removed, work, folder)))


def _folder_removed(work: Work, folder: str) -> Json:
    work.api.remove_folder(folder)
    return {"folder": folder}


def _delivered(work: Work) -> str:
    names = ", ".join(stage.target for stage in work.delivery.stages)
    return f"{work.plan.name} is green in {names}"


def _take_back(work: Work) -> None:
    left = roll_back(work)
    why = work.delivery.failure
    if left:
        _close(work, DeliveryState.FAILED, f"{why}; {left}")
        return
    cancelled = work.delivery.cancel is not None and not work.delivery.closed_at
    state = DeliveryState.CANCELLED if cancelled else DeliveryState.ROLLED_BACK
    _close(work, state, why)


def _close(work: Work, state: DeliveryState, outcome: str) -> Step:
    _tell(work, state, outcome)
    steps, now = _next_steps(work, state), work.now

    def close(fresh: Delivery) -> None:
        fresh.state, fresh.outcome, fresh.closed_at = state, outcome, now
        fresh.next_steps, fresh.waiting_for = steps, ""

    key = f"closed-{state.value}-{_round(work)}"
    words = f"Delivery {state.value}: {outcome}"
    work.change(close, work.entry(Action.DELIVERY_CLOSED, words, key, result=state.value))
    for number in range(len(work.delivery.stages)):
        work.delivery.stage_number = number  # only this copy of the record
        work.context.locks.release(_locks(work), work.delivery.delivery_id)
    return CLOSED


def _tell(work: Work, state: DeliveryState, outcome: str) -> None:
    message = delivery_result(
        work.delivery.delivery_id,
        work.plan.name,
        outcome[:1500],
        good=state is DeliveryState.SUCCEEDED,
        at=work.now,
        environment=work.context.environment(work.stage.workspace),
        target=work.stage.workspace,
        channels=work.plan.notify,
    )
    work.context.outbox.put([message])


def _next_steps(work: Work, state: DeliveryState) -> list[str]:
    """What is left for people."""
    delivery = work.delivery
    steps = [
        f"{check.note}: let an owner of the schema run the bundle's sql/permissions_*.sql"
        for gate in delivery.gates
        for check in gate.checks
        if check.name == "grants" and " lacks " in check.note
    ]
    if delivery.changes:
        changed = "; ".join(delivery.changes)
        steps.append(f"Take the changes over into your own specification: {changed}.")
    if delivery.plan.clean is False:
        steps.append("The source tree was not clean: commit what was delivered.")
    if state is not DeliveryState.SUCCEEDED:
        last = next((f for f in reversed(delivery.findings) if not f.resolved), None)
        place = f"Look at {last.where}." if last and last.where else ""
        steps += [place] if place else []
        steps += last.guidance if last else []
    return list(dict.fromkeys([*steps, *restore_guide(work)]))

"""The end of a delivery, and of its stages: what is told, and what is left for people."""

from __future__ import annotations

from shared.delivery.baseline import accept
from shared.delivery.folders import tidy
from shared.delivery.gates.l2 import release
from shared.delivery.guidance import AGAIN
from shared.delivery.guide import restore_guide
from shared.delivery.leaving import GateFailed
from shared.delivery.reporting import report
from shared.delivery.rollback import roll_back
from shared.delivery.work import Work, go_to
from shared.delivery_models import Delivery, DeliveryState, Finding
from shared.healing.context import CLOSED, Step
from shared.notify.messages import delivery_result
from shared.remedies.base import job_lock
from shared.vocabulary import Action


def promote(work: Work) -> None:
    """The stage is green: let its jobs run, then go to the next target or close."""
    release(work)
    _remember(work, [tidy(work), accept(work)])
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
    before = locks_of(work)
    work.change(note, work.entry(action, words, key, result="delivered"))
    if last:
        close(work, DeliveryState.SUCCEEDED, _delivered(work))
    else:
        work.context.locks.release(before, work.delivery.delivery_id)


def _remember(work: Work, notes: list[str]) -> None:
    """What does not fail a delivery, and is left for a person."""
    fresh_notes = [note for note in notes if note]

    def note(fresh: Delivery) -> None:
        fresh.notes += [note for note in fresh_notes if note not in fresh.notes]

    if fresh_notes:
        work.change(note)


def _accept_previous(work: Work) -> list[str]:
    """What came back in place of a version that had been the baseline is the baseline again."""
    here, notes = work.delivery.stage_number, []
    for number, stage in enumerate(work.delivery.stages):
        back = stage.previous is not None and stage.rollback_note.startswith("ok: ")
        if back and stage.delivered_at is not None:
            work.delivery.stage_number = number  # only this copy of the record
            notes.append(accept(work))
    work.delivery.stage_number = here
    return notes


def take_back(work: Work) -> None:
    """Everything as it was, stage by stage; then the delivery is over."""
    left = roll_back(work)
    _remember(work, _accept_previous(work))
    why = work.delivery.failure
    if left:
        report(work, left, GateFailed(left))
        close(work, DeliveryState.FAILED, f"{why}; {left}")
        return
    cancelled = work.delivery.cancel is not None and not work.delivery.closed_at
    state = DeliveryState.CANCELLED if cancelled else DeliveryState.ROLLED_BACK
    close(work, state, why)


def _delivered(work: Work) -> str:
    names = ", ".join(stage.target for stage in work.delivery.stages)
    return f"{work.plan.name} is green in {names}"


def close(work: Work, state: DeliveryState, outcome: str) -> Step:
    """End a delivery: tell people, say what is left for them, let go of the pipeline."""
    _tell(work, state, outcome)
    steps, now = _next_steps(work, state), work.now

    def end(fresh: Delivery) -> None:
        fresh.state, fresh.outcome, fresh.closed_at = state, outcome, now
        fresh.next_steps, fresh.waiting_for = steps, ""

    key = f"closed-{state.value}-{rounds(work)}"
    words = f"Delivery {state.value.replace('_', ' ')}: {outcome}"
    work.change(end, work.entry(Action.DELIVERY_CLOSED, words, key, result=state.value))
    for number in range(len(work.delivery.stages)):
        work.delivery.stage_number = number  # only this copy of the record
        work.context.locks.release(locks_of(work), work.delivery.delivery_id)
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
    steps += [
        f"{check.note}: remove it if nobody needs it."
        for gate in delivery.gates
        for check in gate.checks
        if check.name == "left job" and state is DeliveryState.SUCCEEDED
    ]
    steps += delivery.notes
    if delivery.changes:
        changed = "; ".join(delivery.changes)
        steps.append(f"Take the changes over into your own specification: {changed}.")
    if delivery.plan.clean is False:
        steps.append("The source tree was not clean: commit what was delivered.")
    if state is not DeliveryState.SUCCEEDED:
        last = next((f for f in reversed(delivery.findings) if not f.resolved), None)
        place = f"Look at {last.where}." if last and last.where else ""
        steps += [place] if place else []
        steps += _guidance(delivery, last) if last else []
    return list(dict.fromkeys([*steps, *restore_guide(work)]))


def _guidance(delivery: Delivery, last: Finding) -> list[str]:
    """The steps for the newest failure; where several checks failed at once, for each of them."""
    same = [f for f in delivery.findings if (f.gate, f.target) == (last.gate, last.target)]
    together = [
        f for f in same if f.error_type == last.error_type and not f.resolved and not f.tried
    ]
    steps = [step for finding in [*together, last] for step in finding.guidance]
    return [*(step for step in steps if step != AGAIN), *([AGAIN] if AGAIN in steps else [])]


def locks_of(work: Work) -> list[str]:
    """Nobody else delivers to these names or heals these pipelines meanwhile."""
    stage = work.stage
    names = [f"delivery|{stage.workspace}|{stage.pipeline_name}"]
    return names + ([job_lock(stage.workspace, stage.pipeline_id)] if stage.pipeline_id else [])


def rounds(work: Work) -> int:
    """How many stages were taken back: it sets one rollback apart from the next."""
    return sum(1 for stage in work.delivery.stages if stage.rolled_back_at is not None)

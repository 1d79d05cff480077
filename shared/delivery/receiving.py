"""A delivery is written down before it begins; what asks for it twice gets the same one."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import msgspec

from shared.delivery.plan import Asked, PlanRefused
from shared.delivery_models import CancelRequest, Delivery, DeliveryPlan, DeliveryState, Stage
from shared.errors import LakemendError
from shared.healing.context import Context
from shared.ledger.deliveries import Receipt
from shared.ledger.tables import digest
from shared.vocabulary import Action

_ENVIRONMENTS = {"dev": "development", "staging": "staging", "prod": "production"}
_MAX_RESUMES = 10


class NotNow(LakemendError):
    """The delivery is not in a state in which this can be done."""


def receive(context: Context, asked: Asked, by: str) -> Receipt:
    """Write a delivery down.

    Raises:
        PlanRefused: it names a workspace or a channel that there is not.
        LedgerConflict: its key stands for another delivery.
        LedgerUnavailable: storage did not answer; nothing was accepted.
    """
    stages = _stages(context, asked.plan)
    content = digest(f"{msgspec.json.encode(asked.plan)!r}|{digest(asked.source.content.hex())}")
    key = f"{by}|{asked.delivery_key}" if asked.delivery_key else uuid.uuid4().hex
    now = context.clock.now()
    receipt = context.deliveries.reserve(key, content, now)
    delivery = Delivery(
        delivery_id=receipt.delivery_id,
        state=DeliveryState.RECEIVED,
        plan=asked.plan,
        opened_at=now,
        updated_at=now,
        by=by,
        step_since=now,
        stages=stages,
    )
    if asked.source.name:
        context.deliveries.keep_source(receipt.delivery_id, asked.source.name, asked.source.content)
    words = f"{asked.plan.name} to {asked.plan.target}, asked for by {by}{_commit(asked.plan)}"
    entry = context.entry(Action.DELIVERY_RECEIVED, words, "received", actor=by)
    if not receipt.duplicate:
        context.audit.append(receipt.delivery_id, [entry])
    opened = context.deliveries.open(delivery)
    return Receipt(receipt.delivery_id, duplicate=not opened)


def _commit(plan: DeliveryPlan) -> str:
    if not plan.commit:
        return ""
    tree = {True: ", clean", False: ", with changes that are in no commit", None: ""}[plan.clean]
    return f"; commit {plan.commit}{tree}"


def _stages(context: Context, plan: DeliveryPlan) -> list[Stage]:
    problems: list[dict[str, str]] = []
    channels = {channel.name for channel in context.settings.channels}
    for name in plan.notify:
        if name not in channels:
            told = f"no channel is called {name}: expected some of {_named(channels)}"
            problems.append({"field": "notify", "expected": told})
    stages = [_stage(context, plan, plan.target, plan.workspace, "workspace", problems)]
    if plan.promote:
        at = "promote_to.workspace"
        wanted = plan.promote
        stages.append(_stage(context, plan, wanted.target, wanted.workspace, at, problems))
    if problems:
        raise PlanRefused(problems)
    return stages


def _stage(
    context: Context,
    plan: DeliveryPlan,
    target: str,
    workspace: str,
    field: str,
    problems: list[dict[str, str]],
) -> Stage:
    name = plan.name if target == "prod" or plan.pipeline_id else f"{plan.name} ({target})"
    found = _workspace(context, target, workspace)
    if not found:
        listed = _named(w.name for w in context.settings.targets.workspaces)
        told = f"which workspace is {target}? Expected one of {listed}"
        problems.append({"field": field, "expected": told})
    return Stage(target, found, name, pipeline_id=plan.pipeline_id)


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none: none is configured"


def _workspace(context: Context, target: str, wanted: str) -> str:
    """The listed workspace that is meant: by its name, by its environment, or the only one."""
    listed = context.settings.targets.workspaces
    if wanted:
        return next((w.name for w in listed if w.name.lower() == wanted.lower()), "")
    fitting = [w.name for w in listed if w.environment == _ENVIRONMENTS[target]]
    if len(fitting) == 1:
        return fitting[0]
    return listed[0].name if len(listed) == 1 else ""


def cancel(context: Context, delivery_id: str, by: str, why: str) -> Delivery:
    """Stop an open delivery and take it back; asked a second time, the first asking stands.

    Raises:
        LedgerMissing: there is none with this id.
        NotNow: it is over already.
    """
    asked = CancelRequest(by, context.clock.now(), why)

    first = False

    def ask(fresh: Delivery) -> None:
        nonlocal first
        if fresh.state.closed:
            raise NotNow(f"the delivery is {fresh.state.value}: there is nothing to stop")
        first = fresh.cancel is None
        fresh.cancel = fresh.cancel or asked

    delivery = context.deliveries.change(delivery_id, ask)
    if first:
        _told(context, delivery, "cancelled", f"Stopped by {by}{_because(why)}", by)
    return delivery


def take_back(context: Context, delivery_id: str, by: str, why: str) -> Delivery:
    """Take back a delivery that is over.

    Raises:
        LedgerMissing: there is none with this id.
        NotNow: it is still open, or taken back already.
    """
    now = context.clock.now()
    asked = CancelRequest(by, now, why)

    def ask(fresh: Delivery) -> None:
        if fresh.state not in {DeliveryState.SUCCEEDED, DeliveryState.FAILED}:
            raise NotNow(f"the delivery is {fresh.state.value}: there is nothing to take back")
        fresh.state, fresh.cancel = DeliveryState.ROLLING_BACK, asked
        fresh.failure = f"taken back by {by}{_because(why)}"
        fresh.step, fresh.step_since = "deliver_roll_back", now
        for stage in fresh.stages:
            if stage.rollback_note and not stage.rollback_note.startswith("ok: "):
                stage.rolled_back_at, stage.rollback_note = None, ""

    delivery = context.deliveries.change(delivery_id, ask)
    _told(context, delivery, f"taken-back-{now.isoformat()}", delivery.failure, by)
    return delivery


def _because(why: str) -> str:
    return f": {why}" if why else ""


def _told(context: Context, delivery: Delivery, key: str, words: str, by: str) -> None:
    entry = context.entry(Action.DELIVERY_CANCELLED, words, key, actor=by)
    context.audit.append(delivery.delivery_id, [entry])


def resumable(context: Context, delivery_id: str) -> bool:
    """Note that a delivery is taken up again; False if that was done too often."""
    delivery = context.deliveries.get(delivery_id)
    if delivery.resumes >= _MAX_RESUMES:
        _give_up(context, delivery_id)
        return False

    def count(fresh: Delivery) -> None:
        fresh.resumes += 1

    words = "The delivery had stopped and is taken up again"
    key = f"resumed-{delivery.resumes + 1}"
    context.audit.append(delivery_id, [context.entry(Action.DELIVERY_RESUMED, words, key)])
    context.deliveries.change(delivery_id, count)
    return True


def _give_up(context: Context, delivery_id: str) -> None:
    words = "it stopped unexpectedly again and again; what is deployed is left as it is"
    now = context.clock.now()

    def close(fresh: Delivery) -> None:
        fresh.state, fresh.outcome, fresh.closed_at = DeliveryState.FAILED, words, now

    entry = context.entry(Action.DELIVERY_CLOSED, f"Delivery failed: {words}", "given-up")
    context.audit.append(delivery_id, [entry])
    context.deliveries.change(delivery_id, close)

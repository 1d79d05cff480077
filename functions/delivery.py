"""Pipelines delivered until they are green: the orchestrator and its activities.

The orchestrator only waits and calls, like those of the healing: every activity answers with the
name of the next one and the seconds until then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df

from functions.observed import working
from shared.composition import current
from shared.errors import LedgerUnavailable

bp = df.Blueprint()
log = logging.getLogger("lakemend.delivery")

Step = dict[str, Any]

_STEPS = 40  # activities per generation; then the history is cut by continue-as-new
_ACTIVITIES = frozenset(
    {
        "deliver_check",
        "deliver_deploy",
        "deliver_run",
        "deliver_quality",
        "deliver_promote",
        "deliver_roll_back",
    }
)
_LEDGER_WAIT = 15.0  # seconds until a step is tried again while storage does not answer


@bp.orchestration_trigger(context_name="context")
def deliver_pipeline(context: df.DurableOrchestrationContext) -> Generator[Any, Any, str]:
    """Takes one delivery through its gates, step by step, until it is closed."""
    state = context.get_input()
    given = {"delivery_id": state["delivery_id"], "traceparent": state.get("traceparent", "")}
    step: Step = {"next": "deliver_check", "seconds": 0, **state}
    cancelled = context.wait_for_external_event("cancel")
    for _ in range(_STEPS):
        if step["next"] not in _ACTIVITIES:
            return str(step["next"])
        if step["seconds"]:
            timer = context.create_timer(
                context.current_utc_datetime + timedelta(seconds=step["seconds"])
            )
            if cancelled is None:
                yield timer
            elif (yield context.task_any([cancelled, timer])) is cancelled:
                # What was wanted is read from the ledger; from here on only time is waited for.
                timer.cancel()
                cancelled = None
        step = yield context.call_activity(step["next"], given)
    context.continue_as_new({**step, **given})
    return "continued"


@bp.activity_trigger(input_name="delivery")
def deliver_check(delivery: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """L1, configuration and syntax; see `shared.delivery.gates.l1`."""
    return _run("deliver_check", delivery)


@bp.activity_trigger(input_name="delivery")
def deliver_deploy(delivery: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """L2, deployment; see `shared.delivery.gates.l2`."""
    return _run("deliver_deploy", delivery)


@bp.activity_trigger(input_name="delivery")
def deliver_run(delivery: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """L3, execution; see `shared.delivery.gates.l3`."""
    return _run("deliver_run", delivery)


@bp.activity_trigger(input_name="delivery")
def deliver_quality(delivery: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """L4, data quality; see `shared.delivery.gates.l4`."""
    return _run("deliver_quality", delivery)


@bp.activity_trigger(input_name="delivery")
def deliver_promote(delivery: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """The next target, or the end; see `shared.delivery.steps`."""
    return _run("deliver_promote", delivery)


@bp.activity_trigger(input_name="delivery")
def deliver_roll_back(delivery: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """Everything as it was; see `shared.delivery.rollback`."""
    return _run("deliver_roll_back", delivery)


def _run(name: str, delivery: Any) -> Step:  # noqa: ANN401 - the id alone was handed on by earlier versions
    from shared.delivery.steps import step
    from shared.healing.context import as_json

    given = {"delivery_id": delivery} if isinstance(delivery, str) else delivery
    delivery_id = given["delivery_id"]
    with working(name, given.get("traceparent", ""), delivery_id=delivery_id) as span:
        try:
            done = dict(as_json(step(current().context, delivery_id, name)))
        except LedgerUnavailable:
            log.warning("storage does not answer; %s of %s is tried again", name, delivery_id)
            return {"next": name, "seconds": _LEDGER_WAIT}
        span.set(next=done["next"])
        return done


async def start(client: df.DurableOrchestrationClient, delivery_id: str, trace: str = "") -> None:
    """Start or take up a delivery. If that fails, the dispatch sweep finds it."""
    delivery = await asyncio.to_thread(lambda: current().context.deliveries.get(delivery_id))
    content = {"delivery_id": delivery_id, "next": delivery.step, "seconds": 0}
    content["traceparent"] = trace
    try:
        await client.start_new("deliver_pipeline", instance_id=delivery_id, client_input=content)
    except Exception:  # noqa: BLE001 - whatever it is, the delivery is stored and will be found
        log.warning("delivery %s not started, left to the dispatch sweep", delivery_id)

"""Orchestrators and activities of a healing.

The orchestrators only wait and call: every activity answers with the name of the next one and the
seconds until then. They read no clock, draw no random number and do no I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df

from functions.observed import working
from shared.composition import current
from shared.errors import LedgerUnavailable

bp = df.Blueprint()
log = logging.getLogger("lakemend.healing")

Step = dict[str, Any]

_STEPS = 40  # activities per generation; then the history is cut by continue-as-new
_ACTIVITIES = frozenset({"diagnose", "remediate", "verify", "give_back"})
_LEDGER_WAIT = 15.0  # seconds until a step is tried again while storage does not answer


@bp.orchestration_trigger(context_name="context")
def heal_alert(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Step]:
    """From an alert to incidents; heals those that it owns side by side and joins the outcomes."""
    given = _given(context.get_input(), "alert_id")
    request: Step = {**given, "tries": 0}
    expansion = yield context.call_activity("expand_alert", request)
    while expansion["seconds"]:
        yield _timer(context, expansion["seconds"])
        request = {**request, "tries": request["tries"] + (not expansion.get("unavailable"))}
        expansion = yield context.call_activity("expand_alert", request)
    owned = expansion["owned"]
    if owned:
        states = {i: {"incident_id": i, "traceparent": given["traceparent"]} for i in owned}
        yield context.task_all(
            [context.call_sub_orchestrator("heal_failure", s, i) for i, s in states.items()]
        )
    return {"incidents": owned}


@bp.orchestration_trigger(context_name="context")
def heal_alerts(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Step]:
    """As `heal_alert`, for alerts that came together: they are expanded in one go.

    What is to be looked at again, or was too much for one go, goes to one of its own: the others'
    healings do not wait for it.
    """
    burst = context.get_input()
    later, tries, seconds = burst["alert_ids"], burst["tries"], burst["seconds"]
    owned: list[str] = []
    left: list[str] = []
    traces: dict[str, str] = {}
    while later and not owned and not left:
        if seconds:
            yield _timer(context, seconds)
        request = {"alert_ids": later, "owner": context.instance_id, "tries": tries}
        expansion = yield context.call_activity("expand_alerts", request)
        owned, later, seconds = expansion["owned"], expansion["later"], expansion["seconds"]
        traces, left = expansion["traces"], expansion["left"]
        tries += not expansion.get("unavailable")
    states = {i: {"incident_id": i, "traceparent": traces.get(i, "")} for i in owned}
    parts = [context.call_sub_orchestrator("heal_failure", s, i) for i, s in states.items()]
    if later:
        rest = {"alert_ids": later, "tries": tries, "seconds": seconds}
        parts.append(context.call_sub_orchestrator("heal_alerts", rest))
    if left:
        rest = {"alert_ids": left, "tries": tries - 1, "seconds": 0}
        parts.append(context.call_sub_orchestrator("heal_alerts", rest))
    if parts:
        yield context.task_all(parts)
    return {"incidents": owned}


@bp.orchestration_trigger(context_name="context")
def heal_failure(context: df.DurableOrchestrationContext) -> Generator[Any, Any, str]:
    """Heals one incident, step by step, until it is closed."""
    state = context.get_input()
    given = _given(state, "incident_id")
    step: Step = {"next": "diagnose", "seconds": 0, **state}
    for _ in range(_STEPS):
        if step.get("event"):
            yield from _answer_or_timer(context, step)
            step = {"next": "diagnose", "seconds": 0}
        if step["next"] not in _ACTIVITIES:
            return str(step["next"])
        if step["seconds"]:
            yield _timer(context, step["seconds"])
        step = yield context.call_activity(step["next"], given)
    context.continue_as_new({**step, **given})
    return "continued"


def _answer_or_timer(
    context: df.DurableOrchestrationContext, step: Step
) -> Generator[Any, Any, None]:
    """Wait for a person's answer; what the answer was is read from the ledger, not from it."""
    answer = context.wait_for_external_event(step["event"])
    timer = _timer(context, step["seconds"])
    first = yield context.task_any([answer, timer])
    if first is answer:
        timer.cancel()


def _timer(context: df.DurableOrchestrationContext, seconds: float) -> Any:  # noqa: ANN401 - a durable task
    return context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))


def _given(content: Any, name: str) -> dict[str, str]:  # noqa: ANN401 - an input, as it was begun with
    """An id and the trace that it belongs to.

    The id alone is what orchestrations of earlier versions were begun with, and hand on.
    """
    if isinstance(content, str):
        return {name: content, "traceparent": ""}
    return {name: content[name], "traceparent": content.get("traceparent", "")}


@bp.activity_trigger(input_name="request")
def expand_alert(request: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """Find out what an alert means; see `shared.healing.expand`."""
    from shared.healing.context import as_json
    from shared.healing.expand import expand

    given, tries = _given(request, "alert_id"), request["tries"]
    alert_id = given["alert_id"]
    with (
        current().precedence.step(),
        working("expand_alert", given["traceparent"], alert_id=alert_id),
    ):
        try:
            return dict(as_json(expand(current().context, alert_id, tries)))
        except LedgerUnavailable:
            log.warning("storage does not answer; alert %s is looked at again", alert_id)
            return {"owned": [], "seconds": _LEDGER_WAIT, "unavailable": True}


@bp.activity_trigger(input_name="request")
def expand_alerts(request: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """Find out what a burst of alerts means; see `shared.healing.bursts`."""
    from shared.healing.bursts import expand_burst
    from shared.healing.context import as_json

    alert_ids, tries = request["alert_ids"], request["tries"]
    with current().precedence.step(), working("expand_alerts") as span:
        span.set(alerts=len(alert_ids))
        try:
            found = expand_burst(current().context, request["owner"], alert_ids, tries)
            return dict(as_json(found))
        except LedgerUnavailable:
            log.warning("storage does not answer; %s alerts are looked at again", len(alert_ids))
            return {
                "owned": [],
                "seconds": _LEDGER_WAIT,
                "later": alert_ids,
                "traces": {},
                "left": [],
            }


@bp.activity_trigger(input_name="incident")
def diagnose(incident: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """Gather, classify, decide; see `shared.healing.diagnose`."""
    from shared.healing import diagnose as step

    return _run("diagnose", step.diagnose, incident)


@bp.activity_trigger(input_name="incident")
def remediate(incident: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """Make the next mutation; see `shared.healing.remediate`."""
    from shared.healing import remediate as step

    return _run("remediate", step.remediate, incident)


@bp.activity_trigger(input_name="incident")
def verify(incident: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """Look how far it has come; see `shared.healing.verify`."""
    from shared.healing import verify as step

    return _run("verify", step.verify, incident)


@bp.activity_trigger(input_name="incident")
def give_back(incident: dict) -> Step:  # type: ignore[type-arg]  # the host takes no generics
    """Give back what was borrowed, then close; see `shared.healing.closing`."""
    from shared.healing import closing as step

    return _run("give_back", step.give_back, incident)


def _run(name: str, step: Callable[[Any, str], Any], incident: Any) -> Step:  # noqa: ANN401 - see _given
    from shared.healing.context import as_json

    given = _given(incident, "incident_id")
    incident_id = given["incident_id"]
    trace = given["traceparent"]
    with current().precedence.step(), working(name, trace, incident_id=incident_id) as span:
        try:
            done = dict(as_json(step(current().context, incident_id)))
        except LedgerUnavailable:
            log.warning("storage does not answer; %s of %s is tried again", name, incident_id)
            return {"next": name, "seconds": _LEDGER_WAIT}
        span.set(next=done["next"])
        return done

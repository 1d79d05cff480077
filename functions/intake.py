"""Alerts in: authenticate, parse, store, answer, then start the healing.

What gets a 2xx is stored. An alert that names nothing we may touch is stored too, as refused, and
answered 2xx: an action group that meets an error stops calling for 15 minutes, and other alerts
would be lost with it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from msgspec.structs import replace

from functions.http import answer, base_url, caller, malformed, problem, unavailable
from functions.observed import sent_with, working
from shared.composition import current
from shared.errors import InputError, LedgerError, LedgerRefused, LedgerUnavailable
from shared.intake.parse import Parsed, Rejected, decode, parse, validation_code
from shared.intake.shapes import clean, fingerprint
from shared.ledger.alerts import Receipt
from shared.models import Alert
from shared.telemetry import signals
from shared.telemetry.metrics import ALERTS
from shared.vocabulary import Condition, Disposition, Scope

bp = df.Blueprint()
log = logging.getLogger("lakemend.intake")

_BURST = 2_000  # alerts of one orchestration, at most
# Seconds that a burst's followers gather: the more come, the longer, since what they are about is
# looked up once a burst. A single alert is started at once.
_GATHER_EACH, _GATHER_LEAST, _GATHER_MOST = 0.05, 0.3, 5.0
_to_be_started: deque[tuple[df.DurableOrchestrationClient, str, str]] = deque()  # with its trace
_starting: set[asyncio.Task[None]] = set()  # one at most: senders who wait come first


@bp.route(route="azure-monitor", methods=["POST", "OPTIONS"])
@bp.durable_client_input(client_name="client")
async def azure_monitor(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Azure Monitor action groups, Event Grid webhooks."""
    return await _receive(req, client, "azure-monitor")


@bp.route(route="databricks-monitor", methods=["POST", "OPTIONS"])
@bp.durable_client_input(client_name="client")
async def databricks_monitor(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Databricks notifications and cluster or library events."""
    return await _receive(req, client, "databricks-monitor")


@bp.route(route="api/alerts", methods=["POST", "OPTIONS"])
@bp.durable_client_input(client_name="client")
async def own_alerts(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Our own normalised form."""
    return await _receive(req, client, "api")


@bp.event_grid_trigger(arg_name="event")
@bp.durable_client_input(client_name="client")
async def event_grid_alert(
    event: func.EventGridEvent, client: df.DurableOrchestrationClient
) -> None:
    """One event of an Event Grid subscription; raising makes Event Grid deliver it again."""
    with working("intake") as span:
        await _take_in(_parse([_envelope(event)]), client, "event-grid", span)


def _envelope(event: Any) -> dict[str, Any]:  # noqa: ANN401 - EventGridEvent or CloudEvent
    """The event as it was sent; the host hands over either schema under the same trigger."""
    data = event.get_json()
    if hasattr(event, "event_type"):
        kind = {"eventType": event.event_type, "topic": event.topic}
        return {"id": event.id, "data": data} | kind
    kind = {"type": event.type, "source": event.source}
    return {"specversion": "1.0", "id": event.id, "data": data} | kind


async def _receive(
    req: func.HttpRequest, client: df.DurableOrchestrationClient, way: str
) -> func.HttpResponse:
    known = caller(req, Scope.SENDER)
    if isinstance(known, func.HttpResponse):
        return known
    if req.method == "OPTIONS":
        return _handshake(req)
    limit = current().settings.max_body_bytes
    if len(req.get_body()) > limit:
        return problem(413, f"expected at most {limit} bytes")
    with current().precedence.sender(), working("intake", sent_with(req), way=way) as span:
        return await _understand(req, client, way, span)


async def _understand(
    req: func.HttpRequest, client: df.DurableOrchestrationClient, way: str, span: signals.Span
) -> func.HttpResponse:
    body = req.get_body()
    try:
        value = decode(body)
        code = validation_code(value)
        if code:
            # Event Grid takes 200 only here. Its validationUrl is never called: it is the sender's.
            return answer(200, {"validationResponse": code})
        parsed = _parse(value)
        receipts = await _take_in(parsed, client, way, span)
    except InputError as error:
        ALERTS.record(dialect=way, disposition=Disposition.POISON.value)
        return malformed(error)
    except LedgerUnavailable as error:
        return unavailable(error)
    except (LedgerRefused, ValueError):
        return problem(413, "one alert names more than can be stored in a row")
    return _accepted(parsed, receipts, base_url(req))


def _handshake(req: func.HttpRequest) -> func.HttpResponse:
    """CloudEvents' abuse protection: consent is the header, not the status."""
    origin = req.headers.get("WebHook-Request-Origin", "")
    if not origin or len(origin) > 253 or not _is_host(origin):  # noqa: PLR2004 - RFC 1035
        return problem(400, "expected the name of a host", "WebHook-Request-Origin")
    return func.HttpResponse(
        status_code=200,
        headers={
            "WebHook-Allowed-Origin": origin,
            "WebHook-Allowed-Rate": "120",
            "Allow": "POST",
        },
    )


def _is_host(origin: str) -> bool:
    return all(part.replace("-", "a").isalnum() for part in origin.split("."))


def _parse(value: Any) -> Parsed:  # noqa: ANN401 - any JSON value
    return parse(value, current().settings.targets)


async def _take_in(
    parsed: Parsed, client: df.DurableOrchestrationClient, way: str, span: signals.Span
) -> list[Receipt]:
    """Store everything, then start what is new."""
    redactor, trace = current().redactor, span.traceparent
    alerts = [replace(clean(alert, redactor), traceparent=trace) for alert in parsed.alerts]
    poison = [_poison(rejected) for rejected in parsed.rejected]
    receipts = await current().writer.store([*alerts, *poison])
    span.set(alerts=len(alerts), rejected=len(poison))
    _count([*alerts, *poison], receipts, way)
    _start_soon(client, await _to_start(parsed.alerts, receipts), trace)
    return receipts[: len(parsed.alerts)]


def _count(alerts: Sequence[Alert], receipts: Sequence[Receipt], way: str) -> None:
    """Count what is stored; what came before is told apart, so that a repeat counts once."""
    for alert, receipt in zip(alerts, receipts, strict=True):
        disposition = "duplicate" if receipt.duplicate else alert.disposition.value
        unknown = alert.disposition is Disposition.POISON
        ALERTS.record(dialect=way if unknown else alert.dialect, disposition=disposition)
        with signals.about(alert_id=receipt.alert_id):
            log.info("%s alert by %s: %s", alert.dialect, way, disposition)


async def _to_start(alerts: Sequence[Alert], receipts: Sequence[Receipt]) -> list[str]:
    """The ids of those that are new, and of those that may mean a new failure."""
    accepted = [
        (alert, receipt)
        for alert, receipt in zip(alerts, receipts, strict=False)
        if alert.disposition is Disposition.ACCEPTED
    ]
    again = [r.alert_id for alert, r in accepted if r.duplicate and not alert.dated]
    renewed = await asyncio.to_thread(_came_again, again) if again else set()
    return [r.alert_id for _, r in accepted if not r.duplicate or r.alert_id in renewed]


def _came_again(alert_ids: Sequence[str]) -> set[str]:
    """Alerts that carry no time and came again so late that they may mean a new failure."""
    composition = current()
    after = timedelta(seconds=composition.context.timings.look_again_after)
    now, renewed = composition.clock.now(), set()
    for alert_id in alert_ids:
        try:
            if composition.alerts.look_again(alert_id, now, after):
                renewed.add(alert_id)
        except LedgerError:
            break  # they are stored; the sender comes again anyway
    return renewed


def _start_soon(
    client: df.DurableOrchestrationClient, alert_ids: Sequence[str], trace: str
) -> None:
    """Start healings after the answer: no sender waits for that."""
    _to_be_started.extend((client, alert_id, trace) for alert_id in alert_ids)
    if alert_ids and all(task.done() for task in _starting):
        task = asyncio.create_task(_start_in_turn())
        _starting.add(task)
        task.add_done_callback(_starting.discard)


async def _start_in_turn() -> None:
    """Start what waits: one alert by itself, those that came meanwhile as one burst."""
    while _to_be_started:
        count = min(len(_to_be_started), _BURST)
        taken = [_to_be_started.popleft() for _ in range(count)]
        client, alert_id, trace = taken[0]
        if count == 1:
            content = {"alert_id": alert_id, "traceparent": trace}
            with signals.about(alert_id=alert_id):
                await _start(client, "heal_alert", alert_id, content)
        else:
            burst = {"alert_ids": [one for _, one, _ in taken], "tries": 0, "seconds": 0}
            await _start(client, "heal_alerts", f"alerts-{uuid.uuid4().hex}", burst)
            if len(_to_be_started) < _BURST:
                await asyncio.sleep(max(_GATHER_LEAST, min(count * _GATHER_EACH, _GATHER_MOST)))


async def _start(
    client: df.DurableOrchestrationClient, name: str, instance_id: str, content: dict[str, Any]
) -> None:
    """Start the healing. If that fails, the dispatch sweep finds the stored alerts."""
    try:
        await client.start_new(name, instance_id=instance_id, client_input=content)
    except Exception:  # noqa: BLE001 - whatever it is, the alerts are stored and will be found
        log.warning("%s %s not started, left to the dispatch sweep", name, instance_id)


def _poison(rejected: Rejected) -> Alert:
    redactor = current().redactor
    raw, reason = redactor.text(rejected.raw), f"{rejected.field}: {rejected.expected}"
    return Alert(
        fingerprint=fingerprint("poison", [rejected.field, raw]),
        dialect="poison",
        rule=raw,
        condition=Condition.INFORMATION,
        disposition=Disposition.POISON,
        reason=redactor.text(reason),
    )


def _accepted(parsed: Parsed, receipts: list[Receipt], base: str) -> func.HttpResponse:
    accepted = [
        _receipt(alert, receipt, base)
        for alert, receipt in zip(parsed.alerts, receipts, strict=True)
    ]
    if not parsed.batch:
        return answer(202, accepted[0], Location=str(accepted[0]["status_url"]))
    text = current().redactor.text
    rejected = [
        {"position": item.position, "field": text(item.field), "error": text(item.expected)}
        for item in parsed.rejected
    ]
    return answer(202, {"alerts": accepted, "rejected": rejected})


def _receipt(alert: Alert, receipt: Receipt, base: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "alert_id": receipt.alert_id,
        "status_url": f"{base}/api/alerts/{receipt.alert_id}",
        "duplicate": receipt.duplicate,
        "disposition": alert.disposition.value,
    }
    if alert.reason:
        body["reason"] = current().redactor.text(alert.reason)
    return body

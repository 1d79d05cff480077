"""Timers: what no alert told, what was left lying, what is too old."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func
from azure.durable_functions import OrchestrationRuntimeStatus
from msgspec.structs import replace

from functions.observed import Turn, sweeping, working
from shared.composition import current
from shared.errors import LedgerUnavailable
from shared.telemetry import signals
from shared.telemetry.metrics import ALERTS, QUEUE_AGE
from shared.vocabulary import IncidentState

if TYPE_CHECKING:
    from shared.healing.context import Context
    from shared.models import Alert, Incident
    from shared.monitoring.health import Swept

bp = df.Blueprint()
log = logging.getLogger("lakemend.sweeps")

_ALIVE = frozenset({"Running", "Pending", "ContinuedAsNew", "Suspended"})


@bp.timer_trigger(schedule="0 * * * * *", arg_name="timer", run_on_startup=False)
@bp.durable_client_input(client_name="client")
async def dispatch_sweep(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Every minute: start stored alerts that nothing took up, resume healings that are gone."""
    del timer
    with sweeping("dispatch_sweep") as turn:
        await _dispatch(client, turn)


async def _dispatch(client: df.DurableOrchestrationClient, turn: Turn) -> None:
    try:
        await _start_alerts(client)
        await _resume_incidents(client)
        await _end_storms()
        await _resume_deliveries(client)
        await asyncio.to_thread(lambda: current().context.limits.tell_breakers(current().policy))
    except LedgerUnavailable:
        turn.failed = True
        log.warning("storage does not answer; the dispatch sweep tries again in a minute")


@bp.timer_trigger(schedule="30 */5 * * * *", arg_name="timer", run_on_startup=False)
@bp.durable_client_input(client_name="client")
async def health_sweep(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Every five minutes: what failed and no alert told becomes an alert of our own.

    What is slow, stuck or waiting becomes a finding.
    """
    del timer
    with sweeping("health_sweep") as turn:
        try:
            await _sweep_health(client)
        except LedgerUnavailable:
            turn.failed = True
            log.warning("storage does not answer; the health sweep tries again in five minutes")


async def _sweep_health(client: df.DurableOrchestrationClient) -> None:
    from shared.monitoring.health import Health

    parts = await asyncio.to_thread(current)
    health = await asyncio.to_thread(lambda: Health(parts.context, parts.documents))
    targets = health.sweep()
    new = 0
    while (swept := await asyncio.to_thread(next, targets, None)) is not None:
        for alert in swept.alerts:
            await _take_in(client, alert)
        new += await asyncio.to_thread(_take, swept)
        await asyncio.to_thread(health.done, swept)
    if new:
        await asyncio.to_thread(_ask)
    for finding in await asyncio.to_thread(lambda: list(parts.proposals.unopened())):
        opened = await asyncio.to_thread(parts.proposals.open, finding)
        await _start(
            client, "heal_failure", opened.incident_id, {"incident_id": opened.incident_id}
        )


async def _take_in(client: df.DurableOrchestrationClient, alert: Alert) -> None:
    """Store an alert of our own and start its healing; each has a trace of its own."""
    with working("intake", way="health_sweep") as span:
        traced = replace(alert, traceparent=span.traceparent)
        receipt = (await current().writer.store([traced]))[0]
        disposition = "duplicate" if receipt.duplicate else alert.disposition.value
        ALERTS.record(dialect=alert.dialect, disposition=disposition)
        if not receipt.duplicate:
            await _start_alert(client, receipt.alert_id, span.traceparent)


def _take(swept: Swept) -> int:
    return current().notes.take(swept.looks)


def _ask() -> None:
    """What new findings propose is worked out at once; what fails here, the hour tries again."""
    try:
        current().proposals.ask_all()
    except LedgerUnavailable:
        log.warning("storage does not answer; proposals are worked out within the hour")


@bp.timer_trigger(schedule="0 30 3 * * *", arg_name="timer", run_on_startup=False)
@bp.durable_client_input(client_name="client")
async def purge_sweep(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Every night: remove what is older than the retention, the orchestrations' history too."""
    del timer
    with sweeping("purge_sweep"):
        await _purge(client)


async def _purge(client: df.DurableOrchestrationClient) -> None:
    from shared.monitoring.purge import purge

    context = await asyncio.to_thread(lambda: current().context)
    counts = await asyncio.to_thread(purge, context)
    before = context.clock.now() - timedelta(days=context.settings.retention_days)
    await asyncio.to_thread(lambda: current().rollups.purge(before))
    await asyncio.to_thread(lambda: _purge_findings(before))
    ended = [
        OrchestrationRuntimeStatus.Completed,
        OrchestrationRuntimeStatus.Failed,
        OrchestrationRuntimeStatus.Terminated,
    ]
    await client.purge_instance_history_by(_LONG_AGO, before, ended)
    log.info("purged %s alerts and %s incidents", counts["alerts"], counts["incidents"])


def _purge_findings(before: datetime) -> None:
    parts = current()
    for finding_id in parts.findings.purge(before):
        parts.context.audit.purge(finding_id)


_LONG_AGO = datetime(2020, 1, 1)  # noqa: DTZ001 - the SDK prints it and adds the Z itself


async def _start_alerts(client: df.DurableOrchestrationClient) -> None:
    from shared.monitoring.dispatch import stale_alerts

    stale = await asyncio.to_thread(lambda: list(stale_alerts(current().context)))
    now = current().clock.now()
    QUEUE_AGE.record(max(((now - each.received_at).total_seconds() for each in stale), default=0.0))
    takers = {each.taker for each in stale if each.taker}
    alive = {taker for taker in takers if await _alive(client, taker)}
    left = [each for each in stale if each.taker not in alive]
    left = [each for each in left if not await _alive(client, each.alert_id)]
    if len(left) > _FEW:
        await _start_burst(client, [each.alert_id for each in left])
        return
    for each in left:
        await _start_alert(client, each.alert_id, each.alert.traceparent)


_FEW = 5  # alerts that are started one by one; more share what they cost


async def _start_burst(client: df.DurableOrchestrationClient, alert_ids: list[str]) -> None:
    burst = {"alert_ids": alert_ids, "tries": 0, "seconds": 0}
    await _start(client, "heal_alerts", f"alerts-{uuid.uuid4().hex}", burst)


async def _resume_incidents(client: df.DurableOrchestrationClient) -> None:
    from shared.monitoring.dispatch import quiet_incidents

    context = await asyncio.to_thread(lambda: current().context)
    quiet = await asyncio.to_thread(lambda: list(quiet_incidents(context)))
    for incident in quiet:
        with signals.about(incident_id=incident.incident_id):
            try:
                await _resume(client, context, incident)
            except Exception:  # one incident must not hold up the others
                log.exception("incident %s is not taken up", incident.incident_id)


async def _resume(
    client: df.DurableOrchestrationClient, context: Context, incident: Incident
) -> None:
    from shared.monitoring.dispatch import resumable

    identity = incident.incident_id
    if await _alive(client, identity):
        return
    untouched = incident.state is IncidentState.RECEIVED
    if untouched and await _alive(client, incident.owner):
        return  # its own alert's orchestration is about to start it
    if await asyncio.to_thread(resumable, context, identity):
        content = {"incident_id": identity, "traceparent": incident.traceparent}
        await _start(client, "heal_failure", identity, content)


async def _resume_deliveries(client: df.DurableOrchestrationClient) -> None:
    from functions.delivery import start
    from shared.delivery.receiving import resumable
    from shared.monitoring.dispatch import quiet_deliveries

    context = await asyncio.to_thread(lambda: current().context)
    for delivery_id in await asyncio.to_thread(lambda: list(quiet_deliveries(context))):
        with signals.about(delivery_id=delivery_id):
            try:
                if await _alive(client, delivery_id):
                    continue
                if await asyncio.to_thread(resumable, context, delivery_id):
                    await start(client, delivery_id)
            except Exception:  # one delivery must not hold up the others
                log.exception("delivery %s is not taken up", delivery_id)


async def _end_storms() -> None:
    from shared.healing.storming import end_storms

    await asyncio.to_thread(lambda: end_storms(current().context))


async def _alive(client: df.DurableOrchestrationClient, instance_id: str) -> bool:
    status = await client.get_status(instance_id)
    state = status.runtime_status if status else None
    return state is not None and state.value in _ALIVE


async def _start_alert(client: df.DurableOrchestrationClient, alert_id: str, trace: str) -> None:
    content = {"alert_id": alert_id, "traceparent": trace}
    with signals.about(alert_id=alert_id):
        await _start(client, "heal_alert", alert_id, content)


async def _start(
    client: df.DurableOrchestrationClient, name: str, instance_id: str, content: dict[str, Any]
) -> None:
    try:
        await client.start_new(name, instance_id=instance_id, client_input=content)
    except Exception as error:  # noqa: BLE001 - refused because it runs already, or to be tried again
        log.warning("%s %s not started: %s", name, instance_id, error)

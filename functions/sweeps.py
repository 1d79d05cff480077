"""Timers: what no alert told, what was left lying, what is too old."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import azure.durable_functions as df
import azure.functions as func
from azure.durable_functions import OrchestrationRuntimeStatus

from shared.composition import current
from shared.errors import LedgerUnavailable
from shared.vocabulary import IncidentState

if TYPE_CHECKING:
    from shared.healing.context import Context
    from shared.models import Incident
    from shared.monitoring.health import Swept

bp = df.Blueprint()
log = logging.getLogger("lakemend.sweeps")

_ALIVE = frozenset({"Running", "Pending", "ContinuedAsNew", "Suspended"})


@bp.timer_trigger(schedule="0 * * * * *", arg_name="timer", run_on_startup=False)
@bp.durable_client_input(client_name="client")
async def dispatch_sweep(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Every minute: start stored alerts that nothing took up, resume healings that are gone."""
    del timer
    try:
        await _start_alerts(client)
        await _resume_incidents(client)
        await _end_storms()
        await _resume_deliveries(client)
    except LedgerUnavailable:
        log.warning("storage does not answer; the dispatch sweep tries again in a minute")


@bp.timer_trigger(schedule="30 */5 * * * *", arg_name="timer", run_on_startup=False)
@bp.durable_client_input(client_name="client")
async def health_sweep(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Every five minutes: what failed and no alert told becomes an alert of our own.

    What is slow, stuck or waiting becomes a finding.
    """
    del timer
    try:
        await _sweep_health(client)
    except LedgerUnavailable:
        log.warning("storage does not answer; the health sweep tries again in five minutes")


async def _sweep_health(client: df.DurableOrchestrationClient) -> None:
    from shared.monitoring.health import Health

    parts = await asyncio.to_thread(current)
    health = await asyncio.to_thread(lambda: Health(parts.context, parts.documents))
    targets = health.sweep()
    new = 0
    while (swept := await asyncio.to_thread(next, targets, None)) is not None:
        receipts = await parts.writer.store(swept.alerts) if swept.alerts else []
        for receipt in receipts:
            if not receipt.duplicate:
                await _start(client, "heal_alert", receipt.alert_id, receipt.alert_id)
        new += await asyncio.to_thread(_take, swept)
        await asyncio.to_thread(health.done, swept)
    if new:
        await asyncio.to_thread(_ask)
    for finding in await asyncio.to_thread(lambda: list(parts.proposals.unopened())):
        opened = await asyncio.to_thread(parts.proposals.open, finding)
        await _start(
            client, "heal_failure", opened.incident_id, {"incident_id": opened.incident_id}
        )


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
    from shared.monitoring.purge import purge

    del timer
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
    for alert_id in stale:
        if not await _alive(client, alert_id):
            await _start(client, "heal_alert", alert_id, alert_id)


async def _resume_incidents(client: df.DurableOrchestrationClient) -> None:
    from shared.monitoring.dispatch import quiet_incidents

    context = await asyncio.to_thread(lambda: current().context)
    quiet = await asyncio.to_thread(lambda: list(quiet_incidents(context)))
    for incident in quiet:
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
        await _start(client, "heal_failure", identity, {"incident_id": identity})


async def _resume_deliveries(client: df.DurableOrchestrationClient) -> None:
    from functions.delivery import start
    from shared.delivery.receiving import resumable
    from shared.monitoring.dispatch import quiet_deliveries

    context = await asyncio.to_thread(lambda: current().context)
    for delivery_id in await asyncio.to_thread(lambda: list(quiet_deliveries(context))):
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


async def _start(
    client: df.DurableOrchestrationClient,
    name: str,
    instance_id: str,
    content: str | dict[str, str],
) -> None:
    try:
        await client.start_new(name, instance_id=instance_id, client_input=content)
    except Exception as error:  # noqa: BLE001 - refused because it runs already, or to be tried again
        log.warning("%s %s not started: %s", name, instance_id, error)

"""Removes what is older than the retention, with everything that belongs to it."""

from __future__ import annotations

from datetime import timedelta

from shared.healing.context import Context


def purge(context: Context) -> dict[str, int]:
    """Remove old alerts, and old closed incidents with their claims and timelines; counts."""
    before = context.clock.now() - timedelta(days=context.settings.retention_days)
    incidents = 0
    for incident in context.incidents.purge(before):
        context.claims.release(incident.failure.root_key, incident.incident_id)
        context.audit.purge(incident.incident_id)
        incidents += 1
    for delivery_id in context.deliveries.purge(before):
        context.audit.purge(delivery_id)
    context.outbox.purge(before)
    context.storms.purge(before)
    context.spend.purge(before)
    context.incidents.closed.purge(before)
    return {"alerts": context.alerts.purge(before), "incidents": incidents}

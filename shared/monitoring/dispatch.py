"""What was accepted and no healing took up, and healings that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from shared.errors import LedgerMissing
from shared.healing.closing import abandon, begin_closing
from shared.healing.context import CLOSED, Context
from shared.ledger.alerts import StoredAlert
from shared.models import Incident
from shared.vocabulary import Action, FailureKind, IncidentState

_MAX_RESUMES = 5


def stale_alerts(context: Context) -> Iterator[StoredAlert]:
    """Stored alerts that should have been taken up by now."""
    after = timedelta(seconds=context.timings.dispatch_after)
    return context.alerts.pending(context.clock.now() - after)


def quiet_incidents(context: Context) -> Iterator[Incident]:
    """Open incidents that nothing has written to for longer than they planned to wait."""
    now = context.clock.now()
    for incident_id in context.incidents.opened():
        try:
            incident = context.incidents.get(incident_id)
        except LedgerMissing:
            context.incidents.forget_open(incident_id)
            continue
        if incident.state.closed:  # it died between closing and the indexes
            context.incidents.settle(incident)
            continue
        if incident.failure.kind is FailureKind.STORM:  # nothing heals it but its members' probes
            continue
        due = max(incident.updated_at, incident.planned_for or incident.updated_at)
        if now - due > timedelta(seconds=context.timings.orphan_after):
            yield incident


def quiet_deliveries(context: Context) -> Iterator[str]:
    """Ids of open deliveries that nothing has written to for a while.

    One that waits long writes nothing either; whether it lives, its orchestration tells.
    """
    after = timedelta(seconds=context.timings.dispatch_after)
    for delivery_id in context.deliveries.opened():
        try:
            delivery = context.deliveries.get(delivery_id)
        except LedgerMissing:
            continue  # its row is about to be written, or never was
        if delivery.state.closed:
            context.deliveries.forget_open(delivery_id)
        elif context.clock.now() - delivery.updated_at > after:
            yield delivery_id


def resumable(context: Context, incident_id: str) -> bool:
    """Note that a healing is taken up again; False if that was done too often.

    An incident whose healing dies again and again goes to a person.
    """
    incident = context.incidents.get(incident_id)
    if incident.resumes >= 2 * _MAX_RESUMES:
        abandon(context, incident)
        return False
    if incident.resumes >= _MAX_RESUMES and incident.closing is None:
        words = "its healing stopped unexpectedly again and again"
        step = begin_closing(context, incident, IncidentState.ESCALATED, None, words)
        if step == CLOSED:
            return False

    def change(fresh: Incident) -> None:
        fresh.resumes += 1

    words = "Its healing had stopped and is taken up again"
    key = f"resumed-{incident.resumes + 1}"
    context.record(incident_id, [context.entry(Action.RESUMED, words, key)], change)
    return True

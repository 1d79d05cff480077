"""What operators call: alerts, incidents, timelines."""

from __future__ import annotations

import re
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import msgspec

from functions.http import (
    answer,
    base_url,
    caller,
    malformed,
    problem,
    query_pairs,
    unavailable,
)
from shared.composition import current
from shared.errors import InputError, LedgerMissing, LedgerUnavailable
from shared.vocabulary import Scope

bp = df.Blueprint()

_ALERT_ID = re.compile(r"[0-9a-f]{32}")
_DAYS = 31  # of opening, looked at in one request


@bp.route(route="api/alerts/{alert_id}", methods=["GET"])
def read_alert(req: func.HttpRequest) -> func.HttpResponse:
    """An alert, what became of it, and its incidents as they are found."""
    known = caller(req, Scope.SENDER, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    identity = req.route_params["alert_id"]
    try:
        stored = current().alerts.get(identity) if _ALERT_ID.fullmatch(identity) else None
    except LedgerUnavailable as error:
        return unavailable(error)
    if stored is None:
        return problem(404, "no such alert")
    base = base_url(req)
    return answer(
        200,
        {
            "alert_id": stored.alert_id,
            "received_at": stored.received_at,
            "dialect": stored.alert.dialect,
            "rule": stored.alert.rule,
            "disposition": stored.disposition.value,
            "reason": stored.reason,
            "incidents": [
                {"incident_id": i, "url": f"{base}/api/incidents/{i}"} for i in stored.incidents
            ],
        },
    )


@bp.route(route="api/incidents", methods=["GET"])
def list_incidents(req: func.HttpRequest) -> func.HttpResponse:
    """Incidents, newest first; see docs/api.md for the filters.

    A request looks at 31 days of opening at most. A page that ends for that reason is short or
    empty and still has a `next`; only `next: null` says that there is no more.
    """
    known = caller(req, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    try:
        body = _listed(req)
    except InputError as error:
        return malformed(error)
    except LedgerUnavailable as error:
        return unavailable(error)
    return answer(200, current().redactor.tree(msgspec.to_builtins(body)))


def _listed(req: func.HttpRequest) -> dict[str, Any]:
    from shared.remedies.registry import NAMES
    from shared.reporting.listing import Allowed, next_cursor, parse
    from shared.reporting.view import summary

    context = current().context
    allowed = Allowed(
        error_types=frozenset(context.catalog.error_types),
        targets=frozenset(target.name for target in context.settings.targets),
        remedies=NAMES,
    )
    key = context.settings.signing_key
    listing = parse(query_pairs(req), allowed, context.clock.now(), key)
    page = context.incidents.search(listing.wanted, listing.after, listing.limit, _DAYS)
    return {
        "incidents": [summary(incident) for incident in page.incidents],
        "next": next_cursor(listing, page.after, key),
    }


@bp.route(route="api/incidents/{incident_id}", methods=["GET"])
def read_incident(req: func.HttpRequest) -> func.HttpResponse:
    """An incident with its timeline, and whether the timeline's chain of hashes is whole."""
    known = caller(req, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    from shared.reporting.view import view

    context = current().context
    try:
        incident = context.incidents.get(req.route_params["incident_id"])
        timeline, checked = context.audit.read(
            incident.incident_id, incident.audit_count, incident.audit_head
        )
    except LedgerMissing:
        return problem(404, "no such incident")
    except LedgerUnavailable as error:
        return unavailable(error)
    body = {**view(incident, timeline), "audit": checked}
    return answer(200, current().redactor.tree(msgspec.to_builtins(body)))

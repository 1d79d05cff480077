"""What operators call: alerts, incidents, timelines."""

from __future__ import annotations

import re
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import msgspec

from functions.http import answer, base_url, caller, malformed, problem, unavailable
from shared.composition import current
from shared.errors import InputError, LedgerMissing, LedgerUnavailable
from shared.vocabulary import Scope

bp = df.Blueprint()

_ALERT_ID = re.compile(r"^[0-9a-f]{32}$")
_DAYS, _LIMIT = 31, 200


@bp.route(route="api/alerts/{alert_id}", methods=["GET"])
def read_alert(req: func.HttpRequest) -> func.HttpResponse:
    """An alert, what became of it, and its incidents as they are found."""
    known = caller(req, Scope.SENDER, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    identity = req.route_params["alert_id"]
    try:
        stored = current().alerts.get(identity) if _ALERT_ID.match(identity) else None
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
    """The newest incidents. `limit` (1 to 200, default 50), `days` back (1 to 31, default 7)."""
    known = caller(req, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    try:
        limit = _whole(req, "limit", 50, _LIMIT)
        days = _whole(req, "days", 7, _DAYS)
        context = current().context
        found = context.incidents.newest(context.clock.now(), days, limit)
    except InputError as error:
        return malformed(error)
    except LedgerUnavailable as error:
        return unavailable(error)
    listed = [_summary(incident) for incident in found]
    return answer(200, {"incidents": current().redactor.tree(msgspec.to_builtins(listed))})


@bp.route(route="api/incidents/{incident_id}", methods=["GET"])
def read_incident(req: func.HttpRequest) -> func.HttpResponse:
    """An incident with its timeline, and whether the timeline's chain of hashes is whole."""
    known = caller(req, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    context = current().context
    try:
        incident = context.incidents.get(req.route_params["incident_id"])
        timeline = context.audit.timeline(incident.incident_id)
        checked = context.audit.verify(
            incident.incident_id, incident.audit_count, incident.audit_head
        )
    except LedgerMissing:
        return problem(404, "no such incident")
    except LedgerUnavailable as error:
        return unavailable(error)
    body = {
        **_summary(incident),
        "members": incident.members,
        "alerts": incident.alerts,
        "aliases": incident.aliases,
        "diagnosis": incident.diagnosis,
        "decision": incident.decision,
        "attempts": incident.attempts,
        "loans": incident.loans,
        "guidance": incident.guidance,
        "timeline": timeline,
        "audit": checked,
    }
    return answer(200, current().redactor.tree(msgspec.to_builtins(body)))


def _summary(incident: Any) -> dict[str, Any]:  # noqa: ANN401 - the struct's module is not loaded for this
    return {
        "incident_id": incident.incident_id,
        "state": incident.state.value,
        "failure": msgspec.to_builtins(incident.failure),
        "error_type": incident.diagnosis.error_type if incident.diagnosis else None,
        "opened_at": incident.opened_at,
        "updated_at": incident.updated_at,
        "closed_at": incident.closed_at,
        "waiting_for": incident.waiting_for or None,
        "outcome": incident.outcome or None,
        "run_id": incident.run_id,
        "tries": len(incident.attempts),
    }


def _whole(req: func.HttpRequest, name: str, default: int, high: int) -> int:
    raw = req.params.get(name)
    if raw is None:
        return default
    if not (raw.isascii() and raw.isdigit()) or not 1 <= int(raw[:9]) <= high:
        raise InputError(name, f"expected a whole number from 1 to {high}")
    return int(raw)

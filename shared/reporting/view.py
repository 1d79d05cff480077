"""One incident as a person wants to read it, taken from its row and its timeline. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.models import AuditEntry, Incident
from shared.reporting.facts import failure_moment
from shared.vocabulary import Action

View = dict[str, Any]

_ACTIONS = frozenset(
    {
        Action.ATTEMPTED,
        Action.ACTION_TAKEN,
        Action.ACTION_FOUND,
        Action.ACTION_REFUSED,
        Action.ACTION_IN_DOUBT,
        Action.CLUSTER_RESTARTED,
        Action.WAITING_UPSTREAM,
        Action.GIVEN_BACK,
        Action.GIVE_BACK_FAILED,
    }
)
_VERDICTS = frozenset({Action.SUCCEEDED, Action.FAILED, Action.MAX_RETRIES})
_APPROVAL = "Approval "
_MESSAGE = "Message "


def summary(incident: Incident) -> View:
    """What a list shows of an incident."""
    return {
        "incident_id": incident.incident_id,
        "state": incident.state.value,
        "failure": incident.failure,
        "error_type": incident.diagnosis.error_type if incident.diagnosis else None,
        "environment": incident.environment or None,
        "mode": incident.mode or None,
        "failed_at": incident.failed_at,
        "opened_at": incident.opened_at,
        "updated_at": incident.updated_at,
        "closed_at": incident.closed_at,
        "recovered_at": incident.recovered_at,
        "recovered_by": incident.recovered_by or None,
        "waiting_for": incident.waiting_for or None,
        "outcome": incident.outcome or None,
        "run_id": incident.run_id,
        "tries": len(incident.attempts),
        "cost_usd": round(sum((attempt.cost_usd for attempt in incident.attempts), 0.0), 6),
        "storm": incident.storm or None,
    }


def view(incident: Incident, timeline: Sequence[AuditEntry]) -> View:
    """All that is known of an incident, sorted by what a reader asks: what was seen, decided, done.

    The lists are taken from the timeline, so what they say is what the audit chain covers.
    """
    return {
        **summary(incident),
        "members": incident.members,
        "alerts": incident.alerts,
        "aliases": incident.aliases,
        "diagnosis": incident.diagnosis,
        "decision": incident.decision,
        "question": incident.question,
        "estimate_usd": incident.estimate_usd,
        "seconds": _seconds(incident),
        "evidence": [_evidence(e) for e in timeline if e.action == Action.DIAGNOSED],
        "decisions": [_decision(e) for e in timeline if e.action == Action.DECIDED],
        "actions": [_line(e) for e in timeline if e.action in _ACTIONS],
        "verdicts": [_line(e) for e in timeline if e.action in _VERDICTS],
        "approvals": [_line(e) for e in timeline if e.action.startswith(_APPROVAL)],
        "messages": [_line(e) for e in timeline if e.action.startswith(_MESSAGE)],
        "attempts": incident.attempts,
        "loans": incident.loans,
        "guidance": incident.guidance,
        "timeline": timeline,
    }


def _evidence(entry: AuditEntry) -> View:
    """What the platform said, and what it was taken for."""
    diagnosis = entry.details.get("diagnosis") or {}
    return {
        "at": entry.at,
        "run_id": entry.details.get("run_id"),
        "lines": entry.details.get("evidence") or [],
        "error_type": diagnosis.get("error_type"),
        "confidence": diagnosis.get("confidence"),
        "rule": diagnosis.get("rule"),
        "because": entry.reason,
    }


def _decision(entry: AuditEntry) -> View:
    return {
        "at": entry.at,
        "kind": entry.result,
        "reason": entry.reason,
        "summary": entry.summary,
        "inputs": entry.details,
    }


def _line(entry: AuditEntry) -> View:
    return {
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "summary": entry.summary,
        "result": entry.result or None,
    }


def _seconds(incident: Incident) -> View:
    """From the failure to each milestone, in seconds; None where it is not reached."""
    start = failure_moment(incident)
    first = incident.attempts[0].started_at if incident.attempts else None
    marks = {
        "to_alert": incident.opened_at,
        "to_first_attempt": first,
        "to_closed": incident.closed_at,
        "to_recovered": incident.recovered_at,
    }
    return {
        name: round((moment - start).total_seconds(), 3) if moment else None
        for name, moment in marks.items()
    }

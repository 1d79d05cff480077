"""What a caller asks of the list of findings: query parameters in, a filter out. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from shared.clock import iso
from shared.errors import InputError
from shared.findings.model import Finding, FindingKind, FindingState
from shared.ledger.tables import Condition, Entity
from shared.models import Incident, Question
from shared.notify.model import Severity
from shared.reporting.listing import DEFAULT_LIMIT, MAX_LIMIT, Pairs, single_values, whole

PARAMETERS = ("state", "kind", "target", "severity", "limit", "cursor")
_SEAL = 16  # bytes
_MAX_CURSOR = 600


class FindingListing(msgspec.Struct, frozen=True):
    """One page that is asked for."""

    states: frozenset[FindingState]
    where: Condition
    limit: int
    after: str
    filters: str  # as the caller wrote them: a cursor belongs to them

    @property
    def standing(self) -> bool:
        """Whether findings that are not resolved are wanted."""
        return bool(self.states - {FindingState.RESOLVED})

    @property
    def resolved(self) -> bool:
        """Whether resolved findings are wanted."""
        return FindingState.RESOLVED in self.states


def parse(pairs: Pairs, targets: Iterable[str], now: datetime, key: str) -> FindingListing:
    """The page that a query asks for; without a state the open findings.

    Args:
        pairs: the query's names and values.
        targets: the listed ones.
        now: decides which silences are in force.
        key: what cursors are signed with.

    Raises:
        InputError: a parameter is wrong; names it and says what is allowed.
    """
    values = single_values(pairs, PARAMETERS)
    kept = {name: values[name] for name in sorted(values) if name not in {"limit", "cursor"}}
    filters = msgspec.json.encode(kept).decode()
    states = _states(values.get("state", FindingState.OPEN.value))
    return FindingListing(
        states,
        _where(values, states, {name.lower(): name for name in targets}, now),
        whole("limit", values.get("limit"), DEFAULT_LIMIT, MAX_LIMIT),
        _opened(values["cursor"], filters, key) if "cursor" in values else "",
        filters,
    )


def next_cursor(listing: FindingListing, after: str, key: str) -> str | None:
    """The cursor of the page that follows, None if there is none."""
    if not after:
        return None
    body = after.encode()
    sealed = _seal(body, listing.filters, key) + body
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def finding_view(finding: Finding, now: datetime) -> dict[str, Any]:
    """A finding as the API shows it."""
    return {
        "finding_id": finding.finding_id,
        "state": finding.state(now).value,
        "kind": finding.kind.value,
        "severity": finding.severity.value,
        "target": finding.target,
        "resource": finding.resource,
        "name": finding.name,
        "summary": finding.summary,
        "evidence": list(finding.evidence),
        "proposal": finding.proposal,
        "remedy": finding.remedy or None,
        "first_seen": iso(finding.first_seen),
        "last_seen": iso(finding.last_seen),
        "resolved_at": iso(finding.resolved_at) if finding.resolved_at else None,
        "times": finding.times,
        "silence": _silence_view(finding),
        "question": _question_view(finding.question),
        "incident_id": finding.incident_id or None,
    }


def _question_view(question: Question | None) -> dict[str, Any] | None:
    """The change that can be approved, or what was answered."""
    if question is None:
        return None
    said = "approved" if question.approved else "refused"
    return {
        "question_id": question.question_id,
        "summary": question.summary,
        "why": question.why,
        "cost_usd": question.cost_usd,
        "asked_at": iso(question.asked_at),
        "expires_at": iso(question.expires_at),
        "otherwise": question.otherwise,
        "said": said if question.answered_by else None,
        "answered_by": question.answered_by or None,
        "answered_at": iso(question.answered_at) if question.answered_at else None,
        "note": question.note,
    }


def change_view(
    finding: Finding, made: Incident | None, back: Incident | None
) -> dict[str, Any] | None:
    """What became of an approved change, and of taking it back; None where none was approved."""
    if made is None:
        return None
    return {"summary": finding.question.summary if finding.question else "", **_outcome(made)} | {
        "reversal": _outcome(back) if back else None
    }


def _outcome(incident: Incident) -> dict[str, Any]:
    decision = incident.decision
    return {
        "incident_id": incident.incident_id,
        "state": incident.state.value,
        "mode": incident.mode or None,
        "decision": decision.kind.value if decision else None,
        "reason": decision.reason.value if decision else None,
        "outcome": incident.outcome or incident.waiting_for or None,
        "ended_at": iso(incident.closed_at) if incident.closed_at else None,
    }


def _silence_view(finding: Finding) -> dict[str, str] | None:
    silence = finding.silence
    if silence is None:
        return None
    times = {"since": iso(silence.since), "until": iso(silence.until)}
    return {"by": silence.by, "why": silence.why, **times}


def _where(
    values: dict[str, str],
    states: frozenset[FindingState],
    targets: dict[str, str],
    now: datetime,
) -> Condition:
    allowed: dict[str, list[str]] = {
        "kind": [kind.value for kind in FindingKind],
        "severity": [severity.value for severity in Severity],
        "target": list(targets),
    }
    clauses: list[str] = []
    wanted: Entity = {}
    for name, choices in allowed.items():
        if name not in values:
            continue
        value = values[name].strip().lower()
        if value not in choices:
            raise InputError(name, f"expected one of {', '.join(sorted(choices)) or 'none'}")
        clauses.append(f"{name} eq @{name}")
        wanted[name] = targets[value] if name == "target" else value
    standing = states - {FindingState.RESOLVED}
    if len(standing) == 1:
        # Of resolved ones the silence does not matter: they come from rows of their own.
        sign = "le" if FindingState.OPEN in standing else "gt"
        clauses.append(f"( RowKey ge @past or silenced_until {sign} @now )")
        wanted |= {"now": iso(now), "past": "past-"}
    return clauses, wanted


def _states(raw: str) -> frozenset[FindingState]:
    names = [name.strip() for name in raw.split(",")]
    if any(name not in set(FindingState) for name in names):
        raise InputError("state", f"expected some of {', '.join(FindingState)}")
    return frozenset(FindingState(name) for name in names)


def _seal(body: bytes, filters: str, key: str) -> bytes:
    text = filters.encode() + b"\n" + body
    return hmac.digest(b"findings" + key.encode(), text, "sha256")[:_SEAL]


def _opened(cursor: str, filters: str, key: str) -> str:
    try:
        padded = cursor[:_MAX_CURSOR] + "=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    seal, body = raw[:_SEAL], raw[_SEAL:]
    if not body or not hmac.compare_digest(seal, _seal(body, filters, key)):
        raise InputError("cursor", "expected the `next` of an answer to the same query")
    return body.decode()

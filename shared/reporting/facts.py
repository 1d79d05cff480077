"""What counts of a closed incident: a pure function of the incident, so it can be taken again."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from shared.models import Attempt, Incident
from shared.vocabulary import DecisionKind, FailureKind, IncidentState, Reason, Verdict

WOULD_ASK = "would_ask"  # observed, and production would have asked first
NONE = "none"  # no error type was found, no remedy was chosen


class End(StrEnum):
    """How a closed incident ended, as reports tell it."""

    HEALED = "healed"
    WOULD_HEAL = "would_heal"  # a remedy was chosen and only written down
    ESCALATED = "escalated"
    OUT_OF_SCOPE = "out_of_scope"
    LEFT = "left"  # nothing was to be done: good already, or not permitted
    CANCELLED = "cancelled"  # somebody had stopped it


class AttemptFact(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt. `verdict` is inconclusive too where none was given."""

    error_type: str
    remedy: str
    verdict: str
    cost_micros: int = 0


class Fact(msgspec.Struct, frozen=True, omit_defaults=True):
    """One closed incident. Money in millionths of a US dollar, durations in seconds."""

    incident_id: str
    day: str  # of closing, YYYYMMDD in UTC
    state: str
    end: str
    error_type: str = NONE
    remedy: str = NONE
    environment: str = ""
    mode: str = ""
    reason: str = ""
    attempts: tuple[AttemptFact, ...] = ()
    unaided: bool = False  # healed, and nobody had to approve
    healed_after: float | None = None  # from the failure
    recovered_after: float | None = None  # from the failure, by others
    recovered_by: str = ""
    question: str = ""  # approved, refused, unanswered; empty: nobody was asked
    estimate_micros: int | None = None


def day_of(moment: datetime) -> str:
    """The day of a moment as rows are keyed by it."""
    return moment.strftime("%Y%m%d")


def remedy_of(incident: Incident) -> str:
    """The remedy that an incident is about: tried last, planned, or only decided on."""
    if incident.attempts:
        return incident.attempts[-1].remedy
    decided = incident.decision.remedy if incident.decision else ""
    return incident.planned or decided


def failure_moment(incident: Incident) -> datetime:
    """When the work failed: what the platform says, at the latest when the incident was opened."""
    return min(incident.failed_at or incident.opened_at, incident.opened_at)


def fact_of(incident: Incident) -> Fact | None:
    """The fact of a closed incident; None while it is open.

    None too for a storm, whose members count, and for an approved proposal: nothing had failed.
    """
    if not incident.state.closed or incident.failure.kind in _NO_FAILURE:
        return None
    closed_at = incident.closed_at or incident.opened_at
    decision = incident.decision
    estimate = incident.estimate_usd
    healed = incident.state is IncidentState.HEALED
    return Fact(
        incident_id=incident.incident_id,
        day=day_of(closed_at),
        state=incident.state.value,
        end=_end(incident).value,
        error_type=incident.diagnosis.error_type if incident.diagnosis else NONE,
        remedy=remedy_of(incident) or NONE,
        environment=incident.environment,
        mode=incident.mode,
        reason=decision.reason.value if decision else "",
        attempts=tuple(_attempt(attempt) for attempt in incident.attempts),
        unaided=healed and not any(attempt.approved_by for attempt in incident.attempts),
        healed_after=_since_failure(incident, _healed_at(incident)) if healed else None,
        recovered_after=None if healed else _since_failure(incident, incident.recovered_at),
        recovered_by=incident.recovered_by,
        question=_question(incident),
        estimate_micros=None if estimate is None else round(estimate * 1_000_000),
    )


def worth_following(incident: Incident) -> bool:
    """Whether others may make it good now that we are done with it."""
    left = incident.state in {IncidentState.ESCALATED, IncidentState.OBSERVED}
    return left and incident.failure.kind not in _NO_FAILURE


_NO_FAILURE = frozenset({FailureKind.STORM, FailureKind.PROPOSAL})


def _end(incident: Incident) -> End:
    if incident.state is IncidentState.HEALED:
        return End.HEALED
    if incident.decision is not None and incident.decision.reason is Reason.OUT_OF_SCOPE:
        return End.OUT_OF_SCOPE
    if incident.state is IncidentState.ESCALATED:
        return End.ESCALATED
    if incident.state is IncidentState.CANCELLED:
        return End.CANCELLED
    decision = incident.decision
    if decision is None or decision.kind is not DecisionKind.OBSERVE or not decision.remedy:
        return End.LEFT
    return End.LEFT if decision.would == DecisionKind.OBSERVE else End.WOULD_HEAL


def _attempt(attempt: Attempt) -> AttemptFact:
    verdict = attempt.verdict or Verdict.INCONCLUSIVE
    micros = round(attempt.cost_usd * 1_000_000)
    return AttemptFact(attempt.error_type, attempt.remedy, verdict.value, micros)


def _healed_at(incident: Incident) -> datetime | None:
    ended = incident.attempts[-1].ended_at if incident.attempts else None
    return ended or incident.closed_at


def _since_failure(incident: Incident, moment: datetime | None) -> float | None:
    if moment is None:
        return None
    return max(0.0, (moment - failure_moment(incident)).total_seconds())


def _question(incident: Incident) -> str:
    if incident.decision is not None and incident.decision.would == DecisionKind.ASK:
        return WOULD_ASK
    question = incident.question
    if question is None:
        return ""
    if not question.answered_by:
        return "unanswered"
    return "approved" if question.approved else "refused"

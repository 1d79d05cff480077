"""Questions to people: asked once for an action, answered once, used once."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from shared.errors import LakemendError
from shared.healing import telling
from shared.healing.assess import Assessment
from shared.healing.context import Context, Step
from shared.ledger.tables import digest
from shared.models import AuditEntry, Incident, Question
from shared.policy.decide import Option
from shared.vocabulary import Action, IncidentState, Reason

AWAIT = "await_approval"


class AnswerRefused(LakemendError):
    """An answer that comes too late, twice, or to something else; the text says which."""


class Answer(msgspec.Struct, frozen=True):
    """What somebody says to a question."""

    question_id: str
    approve: bool
    by: str
    note: str = ""


def waits_for(incident: Incident, option: Option | None) -> bool:
    """Whether exactly this action was asked for already and nobody has answered yet."""
    question = incident.question
    return (
        question is not None
        and option is not None
        and not question.answered_by
        and question.action == option.action
    )


def ask(context: Context, incident: Incident, found: Assessment, entries: list[AuditEntry]) -> Step:
    """Put the question, or go on waiting for its answer."""
    option = found.option
    if option is None:  # a decision to ask is always about an option
        raise ValueError("nothing to ask for")
    question = incident.question
    if question is None or not waits_for(incident, option):
        question = _question(context, incident, found, option)
        incident = _put(context, incident, question, entries)
    left = (question.expires_at - context.clock.now()).total_seconds()
    seconds = max(0.0, min(left, context.policy.approval.look))
    _plan(context, incident, seconds)
    return Step(AWAIT, seconds, event_of(question.question_id))


def event_of(question_id: str) -> str:
    """The name of the external event that says a question was answered."""
    return f"answered-{question_id}"


def answer(context: Context, incident_id: str, given: Answer) -> Incident:
    """Write an answer down. The healing takes it up by itself.

    Raises:
        AnswerRefused: the question is another one by now, is answered or has expired.
        LedgerMissing: no such incident.
    """
    now = context.clock.now()
    refused = ""

    def change(fresh: Incident) -> None:
        nonlocal refused
        refused = take(fresh.question, given, now, over=fresh.state.closed)

    incident = context.incidents.change(incident_id, change)
    if refused:
        raise AnswerRefused(refused)
    return note_answer(context, incident)


def note_answer(context: Context, incident: Incident) -> Incident:
    """The row of an answer, once. The healing writes it too: whoever answered may have died."""
    question = incident.question
    if question is None or not question.answered_by:
        return incident
    said = "approved" if question.approved else "refused"
    note = f": {question.note}" if question.note else ""
    entry = context.entry(
        Action.APPROVAL_GIVEN if question.approved else Action.APPROVAL_REFUSED,
        f"{question.answered_by} {said} to {question.summary}{note}",
        f"answer-{question.question_id}",
        target=incident.failure.key,
        result=said,
        actor=question.answered_by,
    )
    return context.record(incident.incident_id, [entry])


def take(question: Question | None, given: Answer, now: datetime, *, over: bool) -> str:
    """Write an answer into its question; what speaks against it if it does not count.

    `over`: what it was asked for has ended meanwhile.
    """
    refused = objection(question, given.question_id, now, over=over)
    if not refused and question is not None:
        question.approved, question.answered_by = given.approve, given.by
        question.answered_at, question.note = now, given.note
    return refused


def objection(question: Question | None, question_id: str, now: datetime, *, over: bool) -> str:
    """Why this question cannot be answered now, empty if it can."""
    if question is None or question.question_id != question_id:
        return "this question is not open: what would be done has changed, or was never asked for"
    if question.answered_by:
        said = "approved" if question.approved else "refused"
        return f"{question.answered_by} has {said} it already"
    if now >= question.expires_at or over:
        return "this question has expired"
    return ""


def _question(context: Context, incident: Incident, found: Assessment, option: Option) -> Question:
    now = context.clock.now()
    expires = now + timedelta(seconds=context.policy.approval.expires)
    plan = found.plans[option.spec.remedy]
    # The same for two copies of this activity: they ask one question. Another one than before.
    before = incident.question.question_id if incident.question else ""
    seed = f"{incident.incident_id}|{len(incident.attempts) + 1}|{option.action}|{before}"
    return Question(
        question_id=digest(seed, 12),
        action=option.action,
        remedy=option.spec.remedy,
        summary=plan.summary,
        why=_WHY.get(found.decision.reason, found.decision.reason.value),
        asked_at=now,
        expires_at=expires,
        cost_usd=option.cost_usd,
        otherwise="nothing is done and the incident goes to a person, with this evidence",
    )


_WHY = {
    Reason.UNDECLARED_RERUNNABLE: "nobody has declared whether running it twice does harm",
    Reason.APPROVAL_REQUIRED: "policy wants a person's word for this kind of action",
}


def _put(
    context: Context, incident: Incident, question: Question, entries: list[AuditEntry]
) -> Incident:
    words = f"Asks whether to {question.summary}, because {question.why}"
    entry = context.entry(
        Action.APPROVAL_REQUESTED,
        words,
        f"asked-{question.question_id}",
        target=incident.failure.key,
        details={
            "question_id": question.question_id,
            "expires_at": question.expires_at.isoformat(),
            "cost_usd": question.cost_usd,
            "otherwise": question.otherwise,
        },
    )
    # The question last: a repeat after a crash finds it unasked and leaves the same message again.
    telling.asked(context, incident, question)

    def change(fresh: Incident) -> None:
        standing = fresh.question
        if standing is None or standing.question_id != question.question_id:
            fresh.question = question

    return context.record(incident.incident_id, [*entries, entry], change)


def _plan(context: Context, incident: Incident, seconds: float) -> None:
    def change(fresh: Incident) -> None:
        fresh.state = IncidentState.AWAITING_APPROVAL
        fresh.planned_for = context.clock.now() + timedelta(seconds=seconds)
        fresh.waiting_for = "somebody to approve or refuse"

    context.incidents.change(incident.incident_id, change)

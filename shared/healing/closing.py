"""Ends an incident: gives back what was borrowed, then closes with its outcome.

Giving back is a mutation like any other: looked for before it is made, made once, tried a few
times. What cannot be given back goes to a person, whatever else became of the incident.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.errors import ChangeInDoubt, NothingChanged
from shared.healing import storming, telling
from shared.healing.context import CLOSED, Context, Step, as_json
from shared.models import AuditEntry, Decision, Incident, Loan
from shared.platforms.calls import as_promised
from shared.remedies.base import ABSENT, DONE, FAILED, PENDING
from shared.reporting.facts import NONE, failure_moment, remedy_of
from shared.telemetry import signals
from shared.telemetry.metrics import HEALINGS, RECOVERY
from shared.vocabulary import Action, FailureKind, IncidentState, Reason


def begin_closing(
    context: Context,
    incident: Incident,
    state: IncidentState,
    decision: Decision | None,
    words: str,
    entries: list[AuditEntry] | None = None,
) -> Step:
    """Write down how the incident ends; closes it at once if nothing is to be given back."""
    listed = list(entries or [])
    if decision is not None and decision.reason is Reason.ATTEMPTS_USED_UP:
        listed.append(
            context.entry(
                Action.MAX_RETRIES,
                f"No tries left: {decision.note}",
                "max-retries",
                target=incident.failure.key,
                reason=decision.reason.value,
            )
        )
    if decision is not None and decision != incident.decision:
        _note_decision(context, incident, decision)
    open_loans = any(not loan.settled for loan in incident.loans)
    if not open_loans:
        return _close(context, incident, state, words, listed)

    def change(fresh: Incident) -> None:
        fresh.closing = state
        fresh.outcome = words

    context.record(incident.incident_id, listed, change)
    return Step("give_back")


def _note_decision(context: Context, incident: Incident, decision: Decision) -> None:
    def change(fresh: Incident) -> None:
        fresh.decision = decision

    context.incidents.change(incident.incident_id, change)


def give_back(context: Context, incident_id: str) -> Step:
    """One step of giving back: the first loan that is not settled; closes when all are."""
    incident = context.incidents.get(incident_id)
    if incident.state.closed or incident.closing is None:
        return CLOSED
    position = next((i for i, loan in enumerate(incident.loans) if not loan.settled), None)
    if position is None:
        return _finish(context, incident)
    loan = incident.loans[position]
    holder = context.locks.acquire(loan.locks, incident_id, context.timings.lock_margin)
    if holder:
        return Step("give_back", context.timings.wait_interval)
    try:
        with as_promised():
            outcome = _try(context, incident, loan)
    except (NothingChanged, ChangeInDoubt) as error:
        outcome = Return(note=str(error))
    _write(context, incident, position, outcome)
    ended = outcome.settled or _out_of_patience(context, loan, outcome)
    return Step("give_back", 0 if ended else context.timings.look_after(loan.looks))


class Return(msgspec.Struct, frozen=True):
    """How one try to give something back went. `waits`: others are busy with it, not our turn."""

    settled: bool = False
    waits: bool = False
    note: str = ""


def _out_of_patience(context: Context, loan: Loan, outcome: Return) -> bool:
    if outcome.waits:
        waited = loan.looks * context.timings.verify_ceiling
        return waited > context.timings.wait_ceiling
    return loan.tries + 1 >= context.timings.give_back_tries


def _try(context: Context, incident: Incident, loan: Loan) -> Return:
    """Look, give back if it is still lent, look again."""
    phase = context.phases[loan.what]
    case = context.case(incident)
    look = phase.look(case, loan.memo)
    if look.status == ABSENT:
        phase.act(case, loan.memo)
        look = phase.look(case, loan.memo)
    if look.status == FAILED:
        return Return(settled=True, note=look.note)  # somebody else has set it since: theirs now
    if look.status == DONE:
        return Return(settled=True)
    return Return(waits=look.status == PENDING, note=look.note)


def _write(context: Context, incident: Incident, position: int, outcome: Return) -> None:
    loan = incident.loans[position]
    gave_up = not outcome.settled and _out_of_patience(context, loan, outcome)
    entries: list[AuditEntry] = []
    if outcome.settled or gave_up:
        note = outcome.note
        action = Action.GIVE_BACK_FAILED if note else Action.GIVEN_BACK
        words = f"{loan.summary}: {note}" if note else f"Given back: {loan.summary}"
        key = f"loan-{position}"
        entries = [context.entry(action, words, key, details=as_json(loan))]

    def change(fresh: Incident) -> None:
        mine = fresh.loans[position]
        mine.looks += 1
        mine.tries += not outcome.waits
        mine.settled = outcome.settled or gave_up
        left = gave_up or (outcome.settled and fresh.failure.kind is FailureKind.PROPOSAL)
        mine.note = (outcome.note or ("it did not take effect" if gave_up else "")) if left else ""

    context.record(incident.incident_id, entries, change)


def abandon(context: Context, incident: Incident) -> None:
    """Close an incident whose giving back dies again and again: a person has to do it."""
    words = _ended(context, incident)
    key = "abandoned"
    entry = context.entry(Action.GIVE_BACK_FAILED, words, key, target=incident.failure.key)
    _close(context, incident, IncidentState.ESCALATED, words, [entry])


def _finish(context: Context, incident: Incident) -> Step:
    state = incident.closing or IncidentState.ESCALATED
    if any(map(_left, incident.loans)):
        state = IncidentState.ESCALATED
    return _close(context, incident, state, _ended(context, incident), [])


def _left(loan: Loan) -> bool:
    return bool(loan.note) or not loan.settled


def _ended(context: Context, incident: Incident) -> str:
    """How it ended, from what has gone back and what has not."""
    left = [loan for loan in incident.loans if _left(loan)]
    if incident.failure.kind is FailureKind.PROPOSAL and not incident.attempts:
        return context.redactor.text(_reversed(incident, left))
    if not left:
        return incident.outcome
    names = "; ".join(loan.summary for loan in left)
    return f"{incident.outcome}; not given back, do it by hand: {names}"


def _reversed(incident: Incident, left: list[Loan]) -> str:
    """What a reversal, which does nothing but give back, has come to."""
    done = [loan.summary for loan in incident.loans if not _left(loan)]
    parts = [f"taken back: {'; '.join(done)}"] if done else []
    if left:
        notes = "; ".join(f"{loan.summary} ({loan.note or 'it did not end'})" for loan in left)
        parts.append(f"not taken back, look at it: {notes}")
    return "; ".join(parts)


def _close(
    context: Context,
    incident: Incident,
    state: IncidentState,
    words: str,
    entries: list[AuditEntry],
) -> Step:
    now = context.clock.now()
    action = Action.ESCALATED if state is IncidentState.ESCALATED else Action.CLOSED
    closing = context.entry(
        action,
        f"{state.value.capitalize()} after {_duration(now, incident)}: {words}",
        "closed",
        target=incident.failure.key,
        result=state.value,
        details={"attempts": len(incident.attempts), "guidance": _guidance(state, incident)},
    )

    first = False

    def change(fresh: Incident) -> None:
        nonlocal first
        first = not fresh.state.closed
        fresh.state = state
        fresh.closing = None
        fresh.outcome = words
        fresh.closed_at = now
        fresh.planned, fresh.planned_for, fresh.waiting_for = "", None, ""

    held = [name for loan in incident.loans for name in loan.locks]
    held += incident.attempt.locks if incident.attempt else []
    context.locks.release(list(dict.fromkeys(held)), incident.incident_id)
    good = incident.decision is not None and incident.decision.reason is Reason.ALREADY_RECOVERED
    storming.leave(context, incident, good=good or state is IncidentState.HEALED)
    ended = msgspec.structs.replace(incident, state=state, outcome=words, closed_at=now)
    # Before the incident is closed: a repeat leaves the same message once more, which is one.
    telling.ended(context, ended)
    closed = context.record(incident.incident_id, [*entries, closing], change)
    if first:
        _tell(closed)
    return CLOSED


def _tell(closed: Incident) -> None:
    """Count it, and draw it in its trace from the opening to the end.

    Only by whoever has closed it, after that is written: a repeated activity counts nothing twice.
    A process that dies just in between has counted nothing.
    """
    if closed.failure.kind is FailureKind.STORM:  # its members are counted
        return
    error_type = closed.diagnosis.error_type if closed.diagnosis else NONE
    remedy, outcome = remedy_of(closed) or NONE, closed.state.value
    HEALINGS.record(error_type=error_type, remedy=remedy, outcome=outcome)
    if closed.state is IncidentState.HEALED and closed.closed_at is not None:
        took = closed.closed_at - failure_moment(closed)
        RECOVERY.record(took.total_seconds(), error_type=error_type)
    with signals.about(incident_id=closed.incident_id):
        signals.past(
            "heal_failure",
            closed.opened_at,
            closed.traceparent,
            error_type=error_type,
            remedy=remedy,
            outcome=outcome,
            attempts=len(closed.attempts),
        )


def _duration(now: datetime, incident: Incident) -> str:
    seconds = (now - incident.opened_at).total_seconds()
    return f"{seconds:.0f} s" if seconds < _TWO_MINUTES else f"{seconds / 60:.0f} min"


_TWO_MINUTES = 120


def _guidance(state: IncidentState, incident: Incident) -> list[str]:
    return incident.guidance if state is IncidentState.ESCALATED else []

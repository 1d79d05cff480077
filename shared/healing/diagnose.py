"""Find out what it is and decide what may be done: one step of a healing, repeatable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from shared.diagnosis.facts_in_text import first_step
from shared.errors import NothingChanged, PlatformRefused, PlatformThrottled
from shared.healing.approvals import ask, note_answer, waits_for
from shared.healing.assess import Assessment, assess, waited
from shared.healing.closing import begin_closing
from shared.healing.context import CLOSED, Context, Step, as_json
from shared.healing.storming import join, still_held
from shared.healing.verify import concluded
from shared.ledger.tables import digest
from shared.models import AuditEntry, Decision, Evidence, Incident, Json
from shared.policy.model import Permit
from shared.remedies.refresh_credential import UNAUTHENTICATED, is_own_expired
from shared.vocabulary import Action, DecisionKind, FailureKind, IncidentState, Reason, RunState


def diagnose(context: Context, incident_id: str) -> Step:
    """Gather, classify, decide; write it down; say what comes next."""
    incident = context.incidents.get(incident_id)
    if incident.state.closed:
        return CLOSED
    if incident.closing is not None:
        return Step("give_back")
    if incident.attempt is not None:  # taken up again in the middle of an attempt
        return Step("remediate")
    if (ended := concluded(context, incident)) is not None:  # or just after it
        return ended
    if incident.question is not None and not incident.question.used:
        incident = note_answer(context, incident)
    held = _still_held(context, incident)
    if held is not None:
        return held
    try:
        assessment = assess(context, incident)
    except NothingChanged as error:
        return _not_answered(context, incident, error)
    return _conclude(context, incident, assessment)


def _still_held(context: Context, incident: Incident) -> Step | None:
    """Where a hold goes on no platform need be asked: in a storm it has enough to do."""
    decision, diagnosis = incident.decision, incident.diagnosis
    if decision is None or decision.kind is not DecisionKind.HOLD or diagnosis is None:
        return None
    if decision.reason is Reason.PAUSED and decision.note == context.paused():
        patient = waited(incident, context.clock.now()) <= context.timings.hold_ceiling
        return Step("diagnose", context.timings.hold_interval) if patient else None
    if decision.reason is not Reason.STORM:
        return None
    admission = still_held(context, incident)
    return Step("diagnose", admission.delay) if admission.held and not admission.over else None


def _not_answered(context: Context, incident: Incident, error: NothingChanged) -> Step:
    """The platform could not be asked: wait and ask again, escalate after the wait's ceiling."""
    if is_own_expired(error):
        return _renew(context, incident, error)
    if error.status == UNAUTHENTICATED:
        return _refused_us(context, incident, error, NOT_TAKEN)
    if waited(incident, context.clock.now()) > context.timings.wait_ceiling:
        decision = Decision(DecisionKind.ESCALATE, Reason.WAITED_TOO_LONG, note=str(error))
        return begin_closing(context, incident, IncidentState.ESCALATED, decision, str(error))
    if isinstance(error, PlatformRefused) and _refused_long(context, incident):
        decision = Decision(DecisionKind.ESCALATE, Reason.NOT_FOUND, note=str(error))
        words = f"the platform does not let us look: {error}"
        return begin_closing(context, incident, IncidentState.ESCALATED, decision, words)
    delay = context.timings.wait_interval
    if isinstance(error, PlatformThrottled) and error.retry_after is not None:
        delay = error.retry_after
    decision = Decision(DecisionKind.WAIT, Reason.PLATFORM_BUSY, delay=delay, note=str(error))
    words = f"Waits: the platform could not be asked: {error}"
    key = f"unanswered-{len(incident.attempts)}-{type(error).__name__}"
    entry = context.entry(
        Action.DECIDED, words, key, reason=decision.reason.value, result=decision.kind.value
    )
    return _wait(context, incident, decision, [entry])


def _refused_long(context: Context, incident: Incident) -> bool:
    return waited(incident, context.clock.now()) > context.timings.ready_timeout


def _renew(context: Context, incident: Incident, error: NothingChanged) -> Step:
    """Our own token was refused: another one where it can be had, once; else a person."""
    spec = context.catalog.spec(EXPIRED)
    once = incident.renewals == 0
    if once and spec.remedies and context.platforms.renew(incident.failure.target):
        words = f"Our own token was refused; once more with a new one. {error}"

        def change(fresh: Incident) -> None:
            fresh.renewals += 1

        entry = context.entry(Action.ATTEMPTED, words, "renewed", reason=EXPIRED)
        context.record(incident.incident_id, [entry], change)
        return Step("diagnose")

    return _refused_us(context, incident, error, EXPIRED)


def _refused_us(
    context: Context, incident: Incident, error: NothingChanged, error_type: str
) -> Step:
    """Our own credential is not taken: a person, with the guidance of that type."""

    def guide(fresh: Incident) -> None:
        fresh.guidance = list(context.catalog.spec(error_type).guidance)

    incident = context.incidents.change(incident.incident_id, guide)
    words = f"our own credential for {incident.failure.target} is refused: {error}"
    decision = Decision(DecisionKind.ESCALATE, Reason.NOT_REMEDIABLE, note=words)
    return begin_closing(context, incident, IncidentState.ESCALATED, decision, words)


EXPIRED, NOT_TAKEN = "CredentialExpired", "AuthenticationError"


def _conclude(context: Context, incident: Incident, found: Assessment) -> Step:
    decision = found.decision
    open_question = waits_for(incident, found.option)
    entries = [] if open_question else _entries(context, incident, found)
    if decision.kind is DecisionKind.ACT and not found.admission.storm:
        remember, plan = (
            _remembering(context, incident, found),
            _planned(decision, context.clock.now()),
        )

        def change(fresh: Incident) -> None:
            remember(fresh)
            plan(fresh)

        context.record(incident.incident_id, entries, change)
        return Step("remediate", decision.delay)
    incident = _remember(context, incident, found)
    incident = join(context, incident, found.admission, found.diagnosis.error_type)
    if decision.kind is DecisionKind.ACT:
        context.record(incident.incident_id, entries, _planned(decision, context.clock.now()))
        return Step("remediate", decision.delay)
    if decision.kind is DecisionKind.ASK:
        return ask(context, incident, found, entries)
    if decision.kind in {DecisionKind.WAIT, DecisionKind.HOLD}:
        return _wait(context, incident, decision, entries)
    state, words = _end(decision)
    if decision.reason is Reason.ALREADY_RECOVERED and _by_us(incident, found.evidence):
        state, words = IncidentState.HEALED, incident.attempts[-1].summary
    return begin_closing(context, incident, state, decision, words, entries)


def _by_us(incident: Incident, evidence: Evidence) -> bool:
    """Whether what is good now is what our last attempt started."""
    memo = incident.attempts[-1].memo if incident.attempts else {}
    repaired = bool(evidence.repair_ids) and memo.get("repair_id") == evidence.repair_ids[-1]
    return repaired or bool(evidence.run_id and memo.get("new_run_id") == evidence.run_id)


def _end(decision: Decision) -> tuple[IncidentState, str]:
    if decision.kind is not DecisionKind.OBSERVE:
        return IncidentState.ESCALATED, decision.note
    if decision.reason is Reason.STOPPED_BY_SOMEBODY:
        return IncidentState.CANCELLED, decision.note
    return IncidentState.OBSERVED, decision.note or f"would have done: {decision.remedy}"


def _entries(context: Context, incident: Incident, found: Assessment) -> list[AuditEntry]:
    entries = _decided(context, incident, found)
    if found.evidence.state is RunState.FAILED and _news(incident, found):
        entries.insert(0, _diagnosed(context, incident, found))
    return entries


def _news(incident: Incident, found: Assessment) -> bool:
    """Whether the diagnosis is of a run that was not diagnosed yet."""
    return (
        incident.diagnosis != found.diagnosis
        or incident.decision is None
        or (incident.decision.kind is DecisionKind.ACT)
    )


def _diagnosed(context: Context, incident: Incident, found: Assessment) -> AuditEntry:
    diagnosis = found.diagnosis
    title = context.catalog.spec(diagnosis.error_type).title
    line = next((line for line in diagnosis.lines if line.message), None)
    who = _SOURCES.get(line.source if line is not None else "", "The platform")
    said = " ".join(line.message.split()) if line is not None else ""
    words = f"{diagnosis.error_type}: {title.lower()} ({diagnosis.confidence:.0%} sure)"
    return context.entry(
        Action.DIAGNOSED,
        f"{words}. {who} said: {said[:300]}" if said else words,
        _moment_key("diagnosed", incident, found),
        target=incident.failure.key,
        reason=diagnosis.because,
        details={
            "diagnosis": as_json(diagnosis),
            "evidence": [as_json(line) for line in found.evidence.lines],
            "run_id": found.evidence.run_id,
        },
    )


_SOURCES = {"alert": "The alert", "finding": "The finding"}


def _decided(context: Context, incident: Incident, found: Assessment) -> list[AuditEntry]:
    """The row of a decision; none where the last one is only repeated on the same grounds."""
    decision, number = found.decision, incident.decisions + 1
    if incident.decided == _mark(found):
        return []
    entry = context.entry(
        Action.DECIDED,
        _decision_words(found),
        f"decided-{number}",
        target=incident.failure.key,
        reason=decision.reason.value,
        result=decision.kind.value,
        details=inputs(found),
    )
    return [entry]


def _mark(found: Assessment) -> str:
    """What a decision says and stands on, without what changes from second to second."""
    told, decision = inputs(found), found.decision
    grounds = {name: value for name, value in told.items() if name not in _FLEETING}
    for option in grounds["options"]:
        for name in ("cooldown", "crowded", "half_open"):
            option.pop(name, None)
    said = [decision.kind, decision.reason, decision.remedy, found.evidence.run_id]
    return digest(msgspec.json.encode([said, grounds], order="sorted").decode(), 16)


_FLEETING = frozenset(
    {"waited", "window_left", "grace_left", "storm_delay", "budget_left", "delay_seconds"}
)


def inputs(found: Assessment) -> Json:
    """What the decision was made on: the situation without what the diagnosis has said already."""
    told = as_json(found.situation)
    told.pop("spec")
    diagnosis = told.pop("diagnosis")
    told["error_type"], told["confidence"] = diagnosis["error_type"], diagnosis["confidence"]
    told["risk"] = found.situation.spec.risk
    told["delay_seconds"], told["would"] = found.decision.delay, found.decision.would
    return dict(told)


def _decision_words(found: Assessment) -> str:
    decision = found.decision
    plan = found.plans.get(decision.remedy)
    what = plan.summary if plan else decision.note
    if decision.kind is DecisionKind.ACT:
        return f"Will {what}" + (f", in {decision.delay:g} s" if decision.delay else "")
    if decision.reason is Reason.OBSERVE_MODE:
        would = "would ask whether to" if decision.would == Permit.ASK else "would"
        would = "would only note, not" if decision.would == Permit.OBSERVE else would
        return f"Observe mode: {would} {what}, after {decision.delay:g} s"
    if decision.reason is Reason.NOT_PERMITTED:
        return f"Not permitted by policy: would {what}"
    words = {
        DecisionKind.ASK: "Needs an approval to",
        DecisionKind.OBSERVE: "Nothing to do:",
        DecisionKind.WAIT: "Waits:",
        DecisionKind.HOLD: "Held:",
        DecisionKind.ESCALATE: "Goes to a person:",
    }
    return f"{words[decision.kind]} {what}".strip()


def _moment_key(word: str, incident: Incident, found: Assessment) -> str:
    return f"{word}-{len(incident.attempts)}-{found.evidence.run_id}-{found.diagnosis.rule}"


def _remember(context: Context, incident: Incident, found: Assessment) -> Incident:
    change = _remembering(context, incident, found)
    return context.incidents.change(incident.incident_id, change)


def _remembering(
    context: Context, incident: Incident, found: Assessment
) -> Callable[[Incident], None]:
    def change(fresh: Incident) -> None:
        fresh.state = IncidentState.DIAGNOSING
        fresh.decision = found.decision
        if found.evidence.state is RunState.FAILED:
            fresh.diagnosis = found.diagnosis
            fresh.failed_at = fresh.failed_at or found.evidence.ended_at
            fresh.guidance = _guidance(context, found)
        fresh.mode = found.situation.mode.value
        if found.option is not None:
            fresh.estimate_usd = found.option.cost_usd
        fresh.usual_seconds, fresh.tags = incident.usual_seconds, incident.tags
        mark = _mark(found)
        fresh.decisions += fresh.decided != mark
        fresh.decided = mark
        if found.evidence.run_id:
            fresh.run_id = found.evidence.run_id
        for alias in _seen(fresh, found.evidence):
            if alias not in fresh.aliases:
                fresh.aliases.append(alias)
        if found.decision.kind not in {DecisionKind.WAIT, DecisionKind.HOLD}:
            fresh.waiting_since, fresh.waiting_for, fresh.waiting_reason = None, "", ""

    return change


def _guidance(context: Context, found: Assessment) -> list[str]:
    """The catalog's steps for a person; before them, what the evidence names."""
    diagnosis = found.diagnosis
    said = [line.message for line in (*diagnosis.lines, *found.evidence.lines)]
    named = first_step(diagnosis.error_type, said, context.redactor.text)
    steps = list(context.catalog.spec(diagnosis.error_type).guidance)
    return [named, *steps] if named else steps


def _seen(incident: Incident, evidence: Evidence) -> list[str]:
    """Occurrences that are this incident's: an alert about one of them joins it."""
    if incident.failure.kind in {FailureKind.CLUSTER, FailureKind.LIBRARY}:
        return [str(c.terminated_time) for c in evidence.clusters if c.terminated_time]
    repairs = [f"{evidence.run_id}/{repair}" for repair in evidence.repair_ids[-1:]]
    return [evidence.run_id, *repairs] if evidence.run_id else []


def _planned(decision: Decision, now: datetime) -> Callable[[Incident], None]:
    def change(incident: Incident) -> None:
        incident.state = IncidentState.WAITING if decision.delay else IncidentState.REMEDIATING
        incident.planned = decision.remedy
        incident.planned_for = now + timedelta(seconds=decision.delay)
        remedy = decision.remedy.replace("_", " ")
        incident.waiting_for = f"pauses for {decision.delay:g} s before the {remedy}"

    return change


def _wait(
    context: Context, incident: Incident, decision: Decision, entries: list[AuditEntry]
) -> Step:
    def change(fresh: Incident) -> None:
        now = context.clock.now()
        fresh.state = IncidentState.WAITING
        if fresh.waiting_reason != decision.reason:  # patience is for one thing, not for all
            fresh.waiting_since = None
        fresh.waiting_since = fresh.waiting_since or now
        fresh.waiting_reason = decision.reason.value
        fresh.waiting_for = decision.note or decision.reason.value
        fresh.planned_for = now + timedelta(seconds=decision.delay)

    context.record(incident.incident_id, entries, change)
    return Step("diagnose", decision.delay)

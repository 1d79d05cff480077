"""Find out what it is and decide what may be done: one step of a healing, repeatable."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.catalog.loader import NEVER_AUTOMATED, RemedySpec
from shared.errors import NothingChanged, PlatformRefused, PlatformThrottled
from shared.healing.closing import begin_closing
from shared.healing.context import CLOSED, Context, Step, as_json
from shared.models import (
    Attempt,
    AuditEntry,
    Decision,
    Diagnosis,
    Evidence,
    EvidenceLine,
    Incident,
)
from shared.policy.decide import Option, Situation, decide
from shared.remedies.base import Case, Plan, Refusal
from shared.remedies.playbook import playbook_for
from shared.remedies.refresh_credential import is_own_expired
from shared.remedies.registry import REMEDIES
from shared.vocabulary import Action, DecisionKind, FailureKind, IncidentState, Reason, RunState


class Assessment:
    """What was found and decided at one moment."""

    def __init__(
        self,
        evidence: Evidence,
        diagnosis: Diagnosis,
        decision: Decision,
        plans: dict[str, Plan],
        options: tuple[Option, ...],
    ) -> None:
        self.evidence = evidence
        self.diagnosis = diagnosis
        self.decision = decision
        self.plans = plans
        self.options = options


def diagnose(context: Context, incident_id: str) -> Step:
    """Gather, classify, decide; write it down; say what comes next."""
    incident = context.incidents.get(incident_id)
    if incident.state.closed:
        return CLOSED
    if incident.closing is not None:
        return Step("give_back")
    if incident.attempt is not None:  # taken up again in the middle of an attempt
        return Step("remediate")
    try:
        assessment = assess(context, incident)
    except NothingChanged as error:
        return _not_answered(context, incident, error)
    return _conclude(context, incident, assessment)


def assess(context: Context, incident: Incident) -> Assessment:
    """What the failure is and what may be done about it now. Reads only.

    Raises:
        NothingChanged: a platform could not be asked.
    """
    evidence = context.gatherer.gather(incident.failure, incident.run_id, incident.members)
    lines = [_clean(context, line) for line in evidence.lines]
    # What the alert said counts only where the platform says nothing: it knows better.
    if not lines and not incident.attempts:
        lines = [_clean(context, line) for line in incident.hints]
    diagnosis = context.classifier.classify(lines)
    evidence.retry_after = evidence.retry_after or _told_to_wait(diagnosis)
    plans, options = _options(context, incident, evidence, diagnosis)
    decision = decide(_situation(context, incident, evidence, diagnosis, options))
    return Assessment(evidence, diagnosis, decision, plans, options)


def _told_to_wait(diagnosis: Diagnosis) -> float | None:
    """Seconds that the platform asked for in its words, None if it did not."""
    for line in diagnosis.lines:
        match = _RETRY_AFTER.search(line.message[:20_000])
        if match:
            return min(float(match.group(1)), _LONGEST_PAUSE)
    return None


_RETRY_AFTER = re.compile(r"retry[- _]?after[^0-9\n]{0,20}(\d{1,6})(?!\d)", re.IGNORECASE)
_LONGEST_PAUSE = 3600.0


def _clean(context: Context, line: EvidenceLine) -> EvidenceLine:
    return replace(line, message=context.redactor.text(line.message))


def _options(
    context: Context, incident: Incident, evidence: Evidence, diagnosis: Diagnosis
) -> tuple[dict[str, Plan], tuple[Option, ...]]:
    plans: dict[str, Plan] = {}
    options: list[Option] = []
    if evidence.state is not RunState.FAILED:
        return plans, ()
    case = context.case(incident, evidence, diagnosis.error_type)
    for spec in _remedies(context, case, diagnosis):
        tries = sum(_same(attempt, diagnosis, spec.remedy) for attempt in incident.attempts)
        plan = REMEDIES[spec.remedy].plan(case, incident.attempts)
        if isinstance(plan, Refusal):
            options.append(Option(spec, tries, plan.reason, plan.busy))
            continue
        plans[spec.remedy] = plan
        options.append(Option(spec, tries, locked_by=_locked_by(context, incident, plan)))
    return plans, tuple(options)


def _remedies(context: Context, case: Case, diagnosis: Diagnosis) -> list[RemedySpec]:
    """The remedies of an error type: the one that fits best first, or a playbook for them all."""
    automated = diagnosis.error_type not in NEVER_AUTOMATED and not diagnosis.hands_off
    listed = context.catalog.remedies(
        diagnosis.error_type, diagnosis.prefer, hands_off=diagnosis.hands_off
    )
    if automated and playbook_for(case):
        first = listed[0] if listed else _PLAYBOOK
        return [replace(first, remedy="playbook", honor_retry_after=False)]
    return listed


_PLAYBOOK = RemedySpec("playbook", attempts=1, backoff=(0.0,))


def _same(attempt: Attempt, diagnosis: Diagnosis, remedy: str) -> bool:
    return attempt.error_type == diagnosis.error_type and attempt.remedy == remedy


def _locked_by(context: Context, incident: Incident, plan: Plan) -> str:
    holders = (context.locks.holder(name) for name in plan.locks)
    return next((h for h in holders if h and h != incident.incident_id), "")


def _situation(
    context: Context,
    incident: Incident,
    evidence: Evidence,
    diagnosis: Diagnosis,
    options: tuple[Option, ...],
) -> Situation:
    timings, settings = context.timings, context.settings
    return Situation(
        enabled=settings.enabled,
        mode=settings.mode,
        state=evidence.state,
        platform_retrying=evidence.platform_retrying,
        diagnosis=diagnosis,
        spec=context.catalog.spec(diagnosis.error_type),
        options=options,
        tries_in_all=len(incident.attempts),
        max_retries=settings.max_retries,
        waited=_waited(incident, context.clock.now()),
        wait_ceiling=timings.wait_ceiling,
        wait_interval=timings.wait_interval,
        hold_ceiling=timings.hold_ceiling,
        hold_interval=timings.hold_interval,
        retry_after=evidence.retry_after,
    )


def _waited(incident: Incident, now: datetime) -> float:
    return (now - incident.waiting_since).total_seconds() if incident.waiting_since else 0.0


def _not_answered(context: Context, incident: Incident, error: NothingChanged) -> Step:
    """The platform could not be asked: wait and ask again, escalate after the wait's ceiling."""
    if is_own_expired(error):
        return _renew(context, incident, error)
    if _waited(incident, context.clock.now()) > context.timings.wait_ceiling:
        decision = Decision(DecisionKind.ESCALATE, Reason.WAITED_TOO_LONG, note=str(error))
        return begin_closing(context, incident, IncidentState.ESCALATED, decision, str(error))
    waited = _waited(incident, context.clock.now())
    if isinstance(error, PlatformRefused) and waited > context.timings.ready_timeout:
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

    def guide(fresh: Incident) -> None:
        fresh.guidance = list(spec.guidance)

    incident = context.incidents.change(incident.incident_id, guide)
    words = f"our own credential for {incident.failure.target} is refused: {error}"
    decision = Decision(DecisionKind.ESCALATE, Reason.NOT_REMEDIABLE, note=words)
    return begin_closing(context, incident, IncidentState.ESCALATED, decision, words)


EXPIRED = "CredentialExpired"


def _conclude(context: Context, incident: Incident, found: Assessment) -> Step:
    decision = found.decision
    entries = _entries(context, incident, found)
    incident = _remember(context, incident, found)
    if decision.kind is DecisionKind.ACT:
        context.record(incident.incident_id, entries, _planned(decision, context.clock.now()))
        return Step("remediate", decision.delay)
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
    if decision.kind is DecisionKind.OBSERVE:
        state = IncidentState.OBSERVED
        if decision.reason is Reason.STOPPED_BY_SOMEBODY:
            state = IncidentState.CANCELLED
        return state, decision.note or f"would have done: {decision.remedy}"
    if decision.kind is DecisionKind.ASK:
        return IncidentState.ESCALATED, f"{decision.remedy} needs an approval"
    return IncidentState.ESCALATED, decision.note


def _entries(context: Context, incident: Incident, found: Assessment) -> list[AuditEntry]:
    entries = [_decided(context, incident, found)]
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
    who = "The alert" if line is not None and line.source == "alert" else "The platform"
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


def _decided(context: Context, incident: Incident, found: Assessment) -> AuditEntry:
    decision = found.decision
    return context.entry(
        Action.DECIDED,
        _decision_words(found),
        _moment_key(f"decided-{decision.kind}-{decision.reason}", incident, found),
        target=incident.failure.key,
        reason=decision.reason.value,
        result=decision.kind.value,
        details={
            "mode": context.settings.mode.value,
            "state": found.evidence.state.value,
            "error_type": found.diagnosis.error_type,
            "confidence": found.diagnosis.confidence,
            "tries": len(incident.attempts),
            "options": [as_json(option) for option in found.options],
            "delay_seconds": decision.delay,
        },
    )


def _decision_words(found: Assessment) -> str:
    decision = found.decision
    plan = found.plans.get(decision.remedy)
    what = plan.summary if plan else decision.note
    if decision.kind is DecisionKind.ACT:
        return f"Will {what}" + (f", in {decision.delay:g} s" if decision.delay else "")
    if decision.reason is Reason.OBSERVE_MODE:
        return f"Observe mode: would {what}, after {decision.delay:g} s"
    words = {
        DecisionKind.ASK: "Needs an approval to",
        DecisionKind.OBSERVE: "Nothing to do:",
        DecisionKind.WAIT: "Waits:",
        DecisionKind.HOLD: "Held: automation is paused",
        DecisionKind.ESCALATE: "Goes to a person:",
    }
    return f"{words[decision.kind]} {what}".strip()


def _moment_key(word: str, incident: Incident, found: Assessment) -> str:
    return f"{word}-{len(incident.attempts)}-{found.evidence.run_id}-{found.diagnosis.rule}"


def _remember(context: Context, incident: Incident, found: Assessment) -> Incident:
    def change(fresh: Incident) -> None:
        fresh.state = IncidentState.DIAGNOSING
        fresh.decision = found.decision
        if found.evidence.state is RunState.FAILED:
            fresh.diagnosis = found.diagnosis
            fresh.guidance = list(context.catalog.spec(found.diagnosis.error_type).guidance)
        if found.evidence.run_id:
            fresh.run_id = found.evidence.run_id
        for alias in _seen(fresh, found.evidence):
            if alias not in fresh.aliases:
                fresh.aliases.append(alias)
        if found.decision.kind not in {DecisionKind.WAIT, DecisionKind.HOLD}:
            fresh.waiting_since, fresh.waiting_for = None, ""

    return context.incidents.change(incident.incident_id, change)


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
        fresh.state = IncidentState.WAITING
        fresh.waiting_since = fresh.waiting_since or context.clock.now()
        fresh.waiting_for = decision.note or decision.reason.value

    context.record(incident.incident_id, entries, change)
    return Step("diagnose", decision.delay)

"""What it is and what may be done about it, as of one moment. Reads only."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from msgspec.json import encode
from msgspec.structs import replace

from shared.catalog.loader import NEVER_AUTOMATED, RemedySpec
from shared.clock import iso
from shared.diagnosis.pauses import told_to_wait
from shared.errors import NothingChanged
from shared.healing import changes
from shared.healing.context import Context, next_key, usage_of, work_of
from shared.healing.costs import cost_of
from shared.healing.storming import admit, leave, note_failure
from shared.ledger.limits import Objection
from shared.ledger.tables import digest
from shared.models import Attempt, Decision, Diagnosis, Evidence, EvidenceLine, Incident, Question
from shared.platforms.calls import as_promised
from shared.policy import scope, windows
from shared.policy.decide import Option, Situation, decide
from shared.policy.model import Policy
from shared.policy.storms import FREE, Admission
from shared.remedies.base import Case, Plan, Refusal
from shared.remedies.playbook import playbook_for
from shared.remedies.registry import REMEDIES
from shared.vocabulary import DecisionKind, FailureKind, Mode, RunState


class Assessment:
    """What was found and decided at one moment."""

    def __init__(
        self,
        evidence: Evidence,
        diagnosis: Diagnosis,
        decision: Decision,
        plans: dict[str, Plan],
        situation: Situation,
        admission: Admission,
    ) -> None:
        self.evidence = evidence
        self.diagnosis = diagnosis
        self.decision = decision
        self.plans = plans
        self.situation = situation
        self.admission = admission

    @property
    def option(self) -> Option | None:
        """The option that the decision is about."""
        wanted = self.decision.remedy
        return next((o for o in self.situation.options if o.spec.remedy == wanted), None)


def assess(context: Context, incident: Incident) -> Assessment:
    """What the failure is and what may be done about it now.

    Changes nothing on a platform. In the ledger it only counts the failure and, in a storm, takes
    its turn.

    Raises:
        NothingChanged: a platform could not be asked.
    """
    proposed = incident.failure.kind is FailureKind.PROPOSAL
    look = changes.look if proposed else _examine
    with as_promised():
        evidence, diagnosis = look(context, incident)
        plans, options = _options(context, incident, evidence, diagnosis)
    situation = _situation(context, incident, evidence, diagnosis, options)
    decision = decide(situation)
    admission = FREE
    if proposed:  # nothing failed that could belong to a storm
        return Assessment(evidence, diagnosis, decision, plans, situation, admission)
    if decision.kind in {DecisionKind.ACT, DecisionKind.ASK}:
        note_failure(context, incident, diagnosis.error_type)
        asks = decision.kind is DecisionKind.ASK
        admission = admit(context, incident, diagnosis.error_type, asks=asks)
    elif incident.storm:
        leave(context, incident, good=False)
    if admission.held:
        situation = replace(
            situation,
            storm=admission.words,
            storm_over=admission.over,
            storm_delay=admission.delay,
        )
        decision = decide(situation)
    return Assessment(evidence, diagnosis, decision, plans, situation, admission)


def _examine(context: Context, incident: Incident) -> tuple[Evidence, Diagnosis]:
    evidence = context.gatherer.gather(incident.failure, incident.run_id, incident.members)
    lines = [_clean(context, line) for line in evidence.lines]
    # What the alert said counts only where the platform says nothing: it knows better.
    if not lines and not incident.attempts:
        lines = [_clean(context, line) for line in incident.hints]
    diagnosis = context.classifier.classify(lines)
    evidence.retry_after = evidence.retry_after or told_to_wait(diagnosis.lines)
    _look_up(context, incident, evidence)
    return evidence, diagnosis


def _look_up(context: Context, incident: Incident, evidence: Evidence) -> None:
    """How long it usually takes, asked once; what it is tagged with, which may change any time."""
    if evidence.state is not RunState.FAILED:
        return
    if incident.usual_seconds is None:
        with suppress(NothingChanged), as_promised():
            incident.usual_seconds = context.history.usual_seconds(incident.failure, evidence)
    if scope.uses_tags(context.policy):
        incident.tags = context.history.tags(incident.failure, evidence)


def _clean(context: Context, line: EvidenceLine) -> EvidenceLine:
    """Without secrets, and of texts only: a platform may send a number where its words belong."""
    texts = {name: _text(getattr(line, name)) for name in ("source", "code", "message", "kind")}
    return replace(line, **texts | {"message": context.redactor.text(texts["message"])})


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a platform has sent
    return "" if value is None else str(value)


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
        plan = _plan(case, spec.remedy, incident)
        if isinstance(plan, Refusal):
            options.append(Option(spec, tries, plan.reason, plan.busy))
            continue
        plans[spec.remedy] = plan
        options.append(_option(context, incident, diagnosis, case, spec, plan, tries))
    return plans, tuple(options)


def _plan(case: Case, remedy: str, incident: Incident) -> Plan | Refusal:
    if incident.failure.kind is FailureKind.PROPOSAL:
        return changes.plan(case, incident, remedy)
    return REMEDIES[remedy].plan(case, incident.attempts)


def _option(  # noqa: PLR0913, PLR0917 - what makes an option
    context: Context,
    incident: Incident,
    diagnosis: Diagnosis,
    case: Case,
    spec: RemedySpec,
    plan: Plan,
    tries: int,
) -> Option:
    usage = usage_of(incident, plan, diagnosis.error_type, spec.remedy)
    objection: Objection = context.limits.objection(context.policy, usage, context.known_targets())
    return Option(
        spec,
        tries,
        locked_by=_locked_by(context, incident, plan),
        action=action_of(incident, diagnosis.error_type, spec.remedy, plan),
        cost_usd=cost_of(
            context.policy,
            incident.failure.kind,
            case.evidence or Evidence(RunState.FAILED),
            spec.remedy,
            incident.usual_seconds,
        ),
        risk=REMEDY_RISKS.get(spec.remedy, ""),
        cooldown=objection.cooldown,
        crowded=objection.crowded,
        tripped=objection.tripped,
        half_open=objection.half_open,
    )


# What a remedy risks by itself, whatever it is used for. high: it changes results.
REMEDY_RISKS = {
    "restart_cluster": "medium",
    "scale_up": "medium",
    "change_node_type": "medium",
    "library_fallback": "medium",
    "increase_timeout": "low",
    "reduce_batch": "high",
    "create_table": "high",
    "full_refresh": "high",
}


def action_of(incident: Incident, error_type: str, remedy: str, plan: Plan) -> str:
    """A digest of exactly what would be done: an approval is bound to it."""
    loans = [loan.summary for loan in plan.loans]
    # Of a change that stays, every value from before and after counts.
    loans += [encode(back, order="sorted").decode() for back in changes.ways_back(plan.memo)]
    parts = [incident.failure.key, incident.run_id, error_type, remedy, plan.summary]
    return digest("\n".join([*parts, *plan.phases, *loans]))


def _remedies(context: Context, case: Case, diagnosis: Diagnosis) -> list[RemedySpec]:
    """The remedies of an error type: the one that fits best first, or a playbook for them all."""
    if case.failure.kind is FailureKind.PROPOSAL:
        return [replace(_ONCE, remedy=diagnosis.prefer)]
    automated = diagnosis.error_type not in NEVER_AUTOMATED and not diagnosis.hands_off
    listed = context.catalog.remedies(
        diagnosis.error_type, diagnosis.prefer, hands_off=diagnosis.hands_off
    )
    if automated and playbook_for(case):
        first = listed[0] if listed else _ONCE
        return [replace(first, remedy="playbook", honor_retry_after=False)]
    return listed


_ONCE = RemedySpec("playbook", attempts=1, backoff=(0.0,))


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
    timings, policy, now = context.timings, context.policy, context.clock.now()
    work = work_of(context, incident)
    window = windows.open_window(policy, work, now)
    ends = windows.ends_at(window, now) if window else now
    opened = (now - incident.opened_at).total_seconds()
    ceiling = policy.cost.usd_per_day
    question = incident.question
    proposed = incident.failure.kind is FailureKind.PROPOSAL
    return Situation(
        paused=context.paused(),
        mode=policy.mode,
        production=is_production(work.environment),
        out_of_scope=scope.in_scope(policy, work),
        window=f"maintenance window {window.name} until {iso(ends)}" if window else "",
        window_left=(ends - now).total_seconds(),
        grace_left=0.0 if proposed else policy.grace - opened,
        rerunnable=True if proposed else scope.rerunnable(policy, work),  # nothing is run twice
        permits=policy.permits.pilot if policy.mode is Mode.PILOT else policy.permits.production,
        storm="",
        storm_over=False,
        storm_delay=0.0,
        budget_left=None if ceiling is None else ceiling - _spent(context, incident),
        approved=_approved(question, now),
        refused=_refused(question),
        expired=_expired(question, now),
        state=evidence.state,
        platform_retrying=evidence.platform_retrying,
        diagnosis=diagnosis,
        spec=context.catalog.spec(diagnosis.error_type),
        options=options,
        tries_in_all=len(incident.attempts),
        max_retries=_max_retries(policy, incident, diagnosis),
        waited=waited(incident, now),
        wait_ceiling=timings.wait_ceiling,
        wait_interval=timings.wait_interval,
        hold_ceiling=timings.hold_ceiling,
        hold_interval=timings.hold_interval,
        retry_after=evidence.retry_after,
    )


def _spent(context: Context, incident: Incident) -> float:
    """What others have reserved of the day: an attempt's own reservation is not against it."""
    key = next_key(incident)
    return context.spend.spent(context.clock.now()) - context.spend.reserved(key)


def is_production(environment: str) -> bool:
    """Whether an environment is production, by its name."""
    return environment.lower().startswith(("prod", "prd", "live"))


def _max_retries(policy: Policy, incident: Incident, diagnosis: Diagnosis) -> int:
    """How many tries the incident may have in all, as things are."""
    own = policy.attempts.error_types.get(diagnosis.error_type)
    if own is None:
        return policy.attempts.overall
    others = sum(a.error_type != diagnosis.error_type for a in incident.attempts)
    return min(policy.attempts.overall, own + others)


def _approved(question: Question | None, now: datetime) -> str:
    """The action that a person has approved; a word that was not used in time does not count."""
    if question is None or question.used or now >= question.expires_at:
        return ""
    return question.action if question.answered_by and question.approved else ""


def _refused(question: Question | None) -> str:
    if question is None or not question.answered_by or question.approved:
        return ""
    note = f": {question.note}" if question.note else ""
    return f"{question.answered_by} refused to {question.summary}{note}"


def _expired(question: Question | None, now: datetime) -> str:
    if question is None or question.answered_by or now < question.expires_at:
        return ""
    return f"nobody answered by {iso(question.expires_at)} whether to {question.summary}"


def waited(incident: Incident, now: datetime) -> float:
    """Seconds that the incident has waited for the same thing."""
    return (now - incident.waiting_since).total_seconds() if incident.waiting_since else 0.0

"""Make the next mutation of a healing, as nearly exactly once as the platforms allow.

The intent is in the ledger before the call and its outcome after it. Whoever finds an intent
without an outcome (after a crash, or because an activity ran twice) looks whether the mutation was
made before it makes it. Looked-for-and-not-found is believed only after a few looks.
"""

from __future__ import annotations

from shared.diagnosis.libraries import label
from shared.errors import (
    ChangeInDoubt,
    NothingChanged,
    PlatformMissing,
    PlatformRefused,
    PlatformThrottled,
    PlatformUnavailable,
)
from shared.healing import telling
from shared.healing.assess import Assessment, assess
from shared.healing.closing import begin_closing
from shared.healing.context import CLOSED, Context, Step, usage_of
from shared.healing.diagnose import inputs
from shared.healing.storming import join
from shared.healing.verify import claim_line, end_attempt, in_phase, note_progress
from shared.ledger.limits import Usage
from shared.models import Attempt, AuditEntry, Decision, Incident, Intent, Json, Loan
from shared.platforms.calls import as_promised
from shared.policy.decide import hold
from shared.remedies.base import ABSENT, FAILED, Look, Plan
from shared.remedies.refresh_credential import is_own_expired
from shared.telemetry.metrics import ATTEMPTS, COST
from shared.vocabulary import Action, DecisionKind, IncidentState, Reason, Verdict

_MAX_ACTS = 3  # of one phase: refusals for now (throttled, unavailable) and doubts resolved to "no"


def remediate(context: Context, incident_id: str) -> Step:
    """Start or go on with an attempt; say what comes next."""
    incident = context.incidents.get(incident_id)
    if incident.state.closed:
        return CLOSED
    if incident.closing is not None:
        return Step("give_back")
    attempt = incident.attempt
    if attempt is None:
        return _begin(context, incident)
    if not _hold_locks(context, incident, attempt):
        if _too_long(context, attempt):
            return _give_up(context, incident, "somebody else has its target")
        return Step("remediate", context.timings.wait_interval)
    intent = attempt.intent
    if intent is None:
        return _act(context, incident, attempt)
    if intent.outcome in {"taken", "found"}:
        return Step("verify", context.timings.verify_first)
    return _resolve(context, incident, attempt, intent)


def _begin(context: Context, incident: Incident) -> Step:
    """Decide once more, now; then open the attempt."""
    try:
        found = assess(context, incident)
    except NothingChanged:
        return Step("diagnose", context.timings.wait_interval)
    decision = found.decision
    if decision.kind is not DecisionKind.ACT or decision.remedy != incident.planned:
        return Step("diagnose")
    plan = found.plans[decision.remedy]
    if context.locks.acquire(plan.locks, incident.incident_id, context.timings.lease):
        return Step("diagnose")
    incident = join(context, incident, found.admission, found.diagnosis.error_type)
    usage = usage_of(incident, plan, found.diagnosis.error_type, decision.remedy)
    if not _reserve(context, found, usage):
        return _not_now(context, incident, plan, usage)
    attempt = _new_attempt(context, incident, plan, found)
    opened = _open_attempt(context, incident, attempt, plan, inputs(found))
    if opened is None:  # another copy of this activity was faster
        return Step("remediate", context.timings.doubt_interval)
    telling.started(context, opened)
    return _act(context, opened, opened.attempts[attempt.number - 1])


def _reserve(context: Context, found: Assessment, usage: Usage) -> bool:
    """Count the attempt and its cost before it is made, so that ceilings hold in a race.

    Both are counted once for the attempt's key. What is counted for an attempt that then dies
    before it begins stays counted: the error is to do less.
    """
    option, policy = found.option, context.policy
    cost = option.cost_usd if option else 0.0
    if not context.spend.reserve(usage.key, cost, policy.cost.usd_per_day):
        return False
    return not context.limits.begin(policy, usage, context.known_targets())


def _not_now(context: Context, incident: Incident, plan: Plan, usage: Usage) -> Step:
    """Give back what was taken for an attempt that may not begin."""
    fresh = context.incidents.get(incident.incident_id)
    if len(fresh.attempts) == len(incident.attempts):  # else another copy has begun it
        context.spend.release(usage.key)
        free = [name for name in plan.locks if name not in incident.lent_locks]
        context.locks.release(free, incident.incident_id)
    return Step("diagnose")


def _new_attempt(context: Context, incident: Incident, plan: Plan, found: Assessment) -> Attempt:
    question, option = incident.question, found.option
    approved = found.decision.reason is Reason.APPROVED and question is not None
    return Attempt(
        number=len(incident.attempts) + 1,
        error_type=found.diagnosis.error_type,
        remedy=incident.planned,
        phases=list(plan.phases),
        started_at=context.clock.now(),
        summary=plan.summary,
        locks=list(plan.locks),
        memo=dict(plan.memo),
        cost_usd=option.cost_usd if option else 0.0,
        approved_by=question.answered_by if approved and question else "",
    )


def _open_attempt(
    context: Context, incident: Incident, attempt: Attempt, plan: Plan, grounds: Json
) -> Incident | None:
    """Write the attempt down; None if it is there already, which makes it somebody else's.

    Nor is an incident touched that was closed meanwhile.
    """
    if context.incidents.get(incident.incident_id).over:
        return None
    entry = context.entry(
        Action.ATTEMPTED,
        f"Attempt {attempt.number}: {attempt.summary}",
        f"attempt-{attempt.number}",
        target=incident.failure.key,
        reason=attempt.error_type,
        details={
            "remedy": attempt.remedy,
            "phases": attempt.phases,
            "memo": attempt.memo,
            "cost_usd": attempt.cost_usd,
            "approved_by": attempt.approved_by,
            "decided_on": grounds,
        },
    )

    won = False

    def change(fresh: Incident) -> None:
        nonlocal won
        won = len(fresh.attempts) < attempt.number and not fresh.over
        if not won:
            return
        fresh.attempts.append(attempt)
        if fresh.question is not None and attempt.approved_by:
            fresh.question.used = True
        _borrow(fresh, plan)
        fresh.state = IncidentState.REMEDIATING
        fresh.planned, fresh.planned_for, fresh.waiting_for = "", None, ""

    changed = context.record(incident.incident_id, [entry], change)
    if not won:
        return None
    # By the copy that has written it, after that: each attempt counts once, or not at all.
    ATTEMPTS.record(error_type=attempt.error_type, remedy=attempt.remedy)
    COST.record(attempt.cost_usd, remedy=attempt.remedy)
    return changed


def _borrow(incident: Incident, plan: Plan) -> None:
    """Remember what goes back. Of the same thing borrowed twice, its first state goes back."""
    for loan in plan.loans:
        loan.locks = [name for name in plan.locks if name.startswith(("cluster|", "job|"))]
        earlier = next((old for old in incident.loans if _same_thing(old, loan)), None)
        if earlier is None:
            incident.loans.append(loan)
        elif "lent" in loan.memo:
            # The earlier one too: it is what is there if this change is refused.
            earlier.memo["lent"] = [*earlier.memo["lent"], *loan.memo["lent"]]
        else:
            incident.loans.insert(0, loan)  # later edits are undone before earlier ones


def _same_thing(one: Loan, other: Loan) -> bool:
    keys = ("cluster_id", "job_id")
    return one.what == other.what and all(one.memo.get(k) == other.memo.get(k) for k in keys)


def _hold_locks(context: Context, incident: Incident, attempt: Attempt) -> bool:
    lease = context.timings.lease
    return not context.locks.acquire(attempt.locks, incident.incident_id, lease)


def _too_long(context: Context, attempt: Attempt) -> bool:
    return in_phase(context, attempt) > context.timings.wait_ceiling


def _refused_long(context: Context, attempt: Attempt, error: NothingChanged) -> bool:
    """Whether the platform has refused for a while to show what was acted on, as if it were gone.

    It is not out, so there is nothing to wait for until the ceiling of all waiting.
    """
    refused = isinstance(error, PlatformRefused | PlatformMissing)
    return refused and in_phase(context, attempt) > context.timings.ready_timeout


def _act(context: Context, incident: Incident, attempt: Attempt) -> Step:
    held = hold(context.paused(), context.policy.mode, attempt.approved_by)
    if held is not None:
        return _hold(context, incident, attempt, held)
    ours = _intend(context, incident, attempt)
    if ours is None:  # another copy of this activity was faster: it acts, we look
        return Step("remediate", context.timings.doubt_interval)
    incident, attempt = ours, ours.attempts[attempt.number - 1]
    try:
        with as_promised(ChangeInDoubt):
            memo = context.phases[attempt.phase].act(context.case(incident), attempt.memo)
    except ChangeInDoubt as error:
        return _in_doubt(context, incident, attempt, error)
    except NothingChanged as error:
        return _not_made(context, incident, attempt, error)
    return _made(context, incident, attempt, memo, "taken")


def _hold(context: Context, incident: Incident, attempt: Attempt, reason: Reason) -> Step:
    """Stopped between two mutations: wait to be let on, for as long as the catalog allows."""
    now = context.clock.now()
    since = incident.waiting_since or now
    if (now - since).total_seconds() > context.timings.hold_ceiling:
        return _give_up(context, incident, "automation stayed stopped in the middle of it")
    words = f"Held before the next action ({_words(attempt)}): {reason.value}"
    key = f"held-{attempt.number}-{attempt.phase}"
    entry = context.entry(Action.DECIDED, words, key, reason=reason.value, result="hold")

    def change(fresh: Incident) -> None:
        fresh.state = IncidentState.WAITING
        fresh.waiting_since = since
        fresh.waiting_for = words

    context.record(incident.incident_id, [entry], change)
    return Step("remediate", context.timings.hold_interval)


def _intend(context: Context, incident: Incident, attempt: Attempt) -> Incident | None:
    """Write the intent before the call; None if it is not as we have read it any more.

    Activities may run twice at once: only the copy that changes what it has read may act. The
    attempt's own entry stands for the intent of its first phase.
    """
    entries: list[AuditEntry] = []
    if attempt.position > 0:
        words = f"About to {_words(attempt)}"
        key = f"intend-{attempt.number}-{attempt.phase}"
        entries = [context.entry(Action.INTENDED, words, key, details={"memo": attempt.memo})]
    now = context.clock.now()
    seen = attempt.intent
    won = False

    def change(fresh: Incident) -> None:
        nonlocal won
        mine = fresh.attempts[attempt.number - 1]
        won = mine.position == attempt.position and mine.intent == seen and not fresh.over
        if not won:
            return
        if mine.intent is None:
            mine.intents.append(Intent(attempt.phase, now))
        else:
            mine.intent.tries += 1
            mine.intent.looks = 0
            mine.intent.outcome = ""
        mine.phase_started_at = mine.phase_started_at or now
        fresh.state = IncidentState.REMEDIATING
        fresh.waiting_since = None

    changed = context.record(incident.incident_id, entries, change)
    return changed if won else None


def _made(context: Context, incident: Incident, attempt: Attempt, memo: Json, outcome: str) -> Step:
    action = Action.ACTION_TAKEN if outcome == "taken" else Action.ACTION_FOUND
    action = _ACTIONS.get(attempt.phase.partition("#")[0], action)
    found = " (found already done)" if outcome == "found" else ""
    entry = context.entry(
        action,
        f"Done: {_words(attempt)}{found}{_names(memo)}",
        f"made-{attempt.number}-{attempt.phase}",
        target=incident.failure.key,
        result=outcome,
        details=memo,
    )

    def change(fresh: Incident) -> None:
        mine = fresh.attempts[attempt.number - 1]
        mine.memo |= memo
        for intent in mine.intents:
            if intent.phase == attempt.phase:
                intent.outcome = outcome
        fresh.state = IncidentState.VERIFYING
        note_progress(fresh, memo)

    incident = context.record(incident.incident_id, [entry], change)
    claim_line(context, incident, memo)
    return Step("verify", context.timings.verify_first)


# Phases whose entries keep the field's own names.
_ACTIONS = {
    "start_cluster": Action.CLUSTER_RESTARTED,
    "restart_cluster": Action.CLUSTER_RESTARTED,
    "await_upstream": Action.WAITING_UPSTREAM,
}


def _in_doubt(context: Context, incident: Incident, attempt: Attempt, error: ChangeInDoubt) -> Step:
    tries = attempt.intent.tries if attempt.intent else 0
    entry = context.entry(
        Action.ACTION_IN_DOUBT,
        f"Not known whether it was done: {_words(attempt)}. {error}",
        f"doubt-{attempt.number}-{attempt.phase}-{tries}",
        target=incident.failure.key,
        result="doubt",
    )
    _set_intent(context, incident, attempt, "doubt", [entry])
    return Step("remediate", context.timings.doubt_interval)


def _resolve(context: Context, incident: Incident, attempt: Attempt, intent: Intent) -> Step:
    """An intent without an outcome: was the mutation made?"""
    if context.phases[attempt.phase].blind and intent.outcome != "refused":
        words = f"{_words(attempt)}: it cannot be told whether it was done, and is not repeated"
        return _give_up(context, incident, words)
    if context.phases[attempt.phase].blind:  # refused for now: it was not made
        return _act(context, incident, attempt)
    try:
        with as_promised():
            look = context.phases[attempt.phase].look(context.case(incident), attempt.memo)
    except NothingChanged as error:
        if _too_long(context, attempt) or _refused_long(context, attempt, error):
            return _give_up(context, incident, f"{_words(attempt)}: {error}")
        return Step("remediate", context.timings.wait_interval)
    if look.status != ABSENT:
        return _made(context, incident, attempt, look.memo, "found")
    if intent.looks + 1 < context.timings.doubt_looks:
        _count_look(context, incident, attempt)
        return Step("remediate", context.timings.doubt_interval)
    if intent.tries >= _MAX_ACTS:
        words = f"{_words(attempt)}: it cannot be told whether it was done"
        return _give_up(context, incident, words)
    return _act(context, incident, attempt)


def _not_made(
    context: Context, incident: Incident, attempt: Attempt, error: NothingChanged
) -> Step:
    """The platform said no. Perhaps because it is done already; perhaps only for now."""
    renewed = is_own_expired(error) and context.platforms.renew(incident.failure.target)
    passing = renewed or isinstance(error, PlatformThrottled | PlatformUnavailable)
    tries = attempt.intent.tries if attempt.intent else 0
    blind = context.phases[attempt.phase].blind
    look = None if blind else _look_safely(context, incident, attempt)
    if look is not None and look.status not in {ABSENT, FAILED}:
        return _made(context, incident, attempt, look.memo, "found")
    if passing and tries < _MAX_ACTS:
        _set_intent(context, incident, attempt, "refused", [])
        wait = error.retry_after if isinstance(error, PlatformThrottled) else None
        return Step("remediate", wait or context.timings.doubt_interval)
    entry = context.entry(
        Action.ACTION_REFUSED,
        f"The platform refused to {_words(attempt)}: {error}",
        f"refused-{attempt.number}-{attempt.phase}",
        target=incident.failure.key,
        result="refused",
    )
    _set_intent(context, incident, attempt, "refused", [entry])
    return end_attempt(context, incident.incident_id, Verdict.FAILED, str(error))


def _look_safely(context: Context, incident: Incident, attempt: Attempt) -> Look | None:
    try:
        with as_promised():
            return context.phases[attempt.phase].look(context.case(incident), attempt.memo)
    except NothingChanged:
        return None


def _give_up(context: Context, incident: Incident, words: str) -> Step:
    end_attempt(context, incident.incident_id, Verdict.INCONCLUSIVE, words)
    decision = Decision(DecisionKind.ESCALATE, Reason.CHANGE_IN_DOUBT, note=words)
    fresh = context.incidents.get(incident.incident_id)
    return begin_closing(context, fresh, IncidentState.ESCALATED, decision, words)


def _set_intent(
    context: Context,
    incident: Incident,
    attempt: Attempt,
    outcome: str,
    entries: list[AuditEntry],
) -> None:
    def change(fresh: Incident) -> None:
        for intent in fresh.attempts[attempt.number - 1].intents:
            if intent.phase == attempt.phase:
                intent.outcome = outcome

    context.record(incident.incident_id, entries, change)


def _count_look(context: Context, incident: Incident, attempt: Attempt) -> None:
    def change(fresh: Incident) -> None:
        for intent in fresh.attempts[attempt.number - 1].intents:
            if intent.phase == attempt.phase:
                intent.looks += 1

    context.incidents.change(incident.incident_id, change)


def _words(attempt: Attempt) -> str:
    """What the present phase does, with what."""
    phase = attempt.phase.partition("#")[0]
    words = phase.replace("_", " ")
    if phase == "uninstall_library":
        return f"{words} {label(attempt.memo['failed_library'])}"
    return f"{words} version {attempt.memo['version']}" if phase == "install_library" else words


def _names(memo: Json) -> str:
    run = memo.get("new_run_id") or memo.get("repair_id")
    return f", as {run}" if run else ""

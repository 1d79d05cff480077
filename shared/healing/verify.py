"""Look how far the remedy has come, until the platform's own state is final."""

from __future__ import annotations

from msgspec.structs import replace

from shared.errors import NothingChanged
from shared.healing import storming
from shared.healing.closing import begin_closing
from shared.healing.context import CLOSED, Context, Step, things_of
from shared.ledger.claims import Claim
from shared.ledger.limits import Usage
from shared.models import Attempt, AuditEntry, Decision, Incident, Json
from shared.platforms.calls import as_promised
from shared.remedies.base import ABSENT, DONE, FAILED, READY, RUN, WAIT, Look, Phase
from shared.remedies.refresh_credential import is_own_expired
from shared.vocabulary import Action, DecisionKind, IncidentState, Reason, Verdict

_UNSEEN = 6  # looks after which an accepted mutation that shows no effect has failed


def verify(context: Context, incident_id: str) -> Step:
    """One look; say what comes next."""
    incident = context.incidents.get(incident_id)
    if incident.state.closed:
        return CLOSED
    if incident.closing is not None:
        return Step("give_back")
    attempt = incident.attempt
    if attempt is None:
        return concluded(context, incident) or Step("diagnose")
    if attempt.intent is None or attempt.intent.outcome not in {"taken", "found"}:
        return Step("remediate")
    _renew_locks(context, incident, attempt)
    try:
        with as_promised():
            look = context.phases[attempt.phase].look(context.case(incident), attempt.memo)
    except NothingChanged as error:
        if is_own_expired(error):
            context.platforms.renew(incident.failure.target)
        return _look_again(context, incident, attempt, str(error))
    if look.status == DONE:
        return _phase_done(context, incident, attempt, look)
    if look.status == FAILED:
        _remember(context, incident, attempt, look)
        return end_attempt(context, incident_id, Verdict.FAILED, look.note)
    if look.status == ABSENT and attempt.looks >= _UNSEEN:
        return end_attempt(context, incident_id, Verdict.FAILED, "accepted, but nothing happened")
    return _look_again(context, incident, attempt, look.note)


def note_progress(incident: Incident, memo: Json) -> None:
    """Follow what a rerun has made: its failure, should it fail, is this incident's."""
    new_run = str(memo.get("new_run_id") or "")
    repair = str(memo.get("repair_id") or "")
    if new_run:
        incident.run_id = new_run
    alias = new_run or (f"{incident.run_id}/{repair}" if repair else "")
    if alias and alias not in incident.aliases:
        incident.aliases.append(alias)


def claim_line(context: Context, incident: Incident, memo: Json) -> None:
    """A run that began a line of its own (a full new run) is claimed too: its failure joins."""
    group = str(memo.get("new_group") or "")
    if not group or group == incident.failure.group:
        return
    root = replace(incident.failure, occurrence=group, group=group)
    claim = Claim(incident.incident_id, incident.owner, root)
    context.claims.take(root.root_key, claim)


def end_attempt(context: Context, incident_id: str, verdict: Verdict, note: str) -> Step:
    """Close the attempt with its verdict; healed closes the incident too."""
    incident = context.incidents.get(incident_id)
    attempt = incident.attempt
    if attempt is None:
        return concluded(context, incident) or Step("diagnose")
    note = context.redactor.text(note)
    entry = _verdict_entry(context, incident, attempt, verdict, note)

    def change(fresh: Incident) -> None:
        mine = fresh.attempts[attempt.number - 1]
        mine.verdict, mine.verdict_note = verdict, note
        mine.ended_at = context.clock.now()

    # Before the verdict is written: a repeat finds the attempt still open and counts again, once.
    _count(context, incident, attempt, healed=verdict is Verdict.HEALED)
    incident = context.record(incident_id, [entry], change)
    _release(context, incident, attempt)
    return concluded(context, incident) or Step("diagnose")


def concluded(context: Context, incident: Incident) -> Step | None:
    """Close an incident whose last attempt's verdict ends it; None if there is no such verdict.

    Also for an incident that is taken up again between the verdict and its end: asked once more,
    the platform would only say that all is well by itself.
    """
    last = incident.attempts[-1] if incident.attempts else None
    if last is None or last.verdict not in {Verdict.HEALED, Verdict.INCONCLUSIVE}:
        return None
    if last.verdict is Verdict.HEALED:
        if last.memo.get("worked"):
            context.memory.remember(*last.memo["worked"])
        words = str(last.memo.get("summary") or last.summary)
        return begin_closing(context, incident, IncidentState.HEALED, None, words)
    note = last.verdict_note
    decision = Decision(DecisionKind.ESCALATE, Reason.WAITED_TOO_LONG, note=note)
    return begin_closing(context, incident, IncidentState.ESCALATED, decision, note)


def _count(context: Context, incident: Incident, attempt: Attempt, *, healed: bool) -> None:
    """Tell breakers and storm how the attempt ended. May be repeated."""
    usage = Usage(
        incident.incident_id,
        f"{incident.incident_id}/{attempt.number}",
        attempt.error_type,
        attempt.remedy,
        things_of(incident, attempt.locks),
    )
    for why in context.limits.conclude(context.policy, usage, healed=healed):
        key = f"breaker-{attempt.number}-{why.partition(':')[0]}"
        entry = context.entry(Action.BREAKER_OPENED, f"Circuit breaker opened for {why}", key)
        context.record(incident.incident_id, [entry])
    storming.conclude(context, incident, attempt.error_type, healed=healed)


def _release(context: Context, incident: Incident, attempt: Attempt) -> None:
    """Release what the attempt locked, but keep what is borrowed: nobody may build on a loan."""
    lent = incident.lent_locks
    context.locks.release([n for n in attempt.locks if n not in lent], incident.incident_id)
    if lent:
        context.locks.acquire(sorted(lent), incident.incident_id, LOAN_LEASE)


LOAN_LEASE = 3600.0  # seconds; longer than the longest pause between two tries


def _verdict_entry(
    context: Context, incident: Incident, attempt: Attempt, verdict: Verdict, note: str
) -> AuditEntry:
    healed = verdict is Verdict.HEALED
    return context.entry(
        Action.SUCCEEDED if healed else Action.FAILED,
        f"Attempt {attempt.number} {verdict.value}: {note or attempt.summary}",
        f"verdict-{attempt.number}",
        target=incident.failure.key,
        reason=attempt.error_type,
        result=verdict.value,
        details={"remedy": attempt.remedy, "memo": attempt.memo},
    )


def _phase_done(context: Context, incident: Incident, attempt: Attempt, look: Look) -> Step:
    _remember(context, incident, attempt, look)
    last = attempt.position + 1 >= len(attempt.phases) and not look.then
    if last:
        return end_attempt(context, incident.incident_id, Verdict.HEALED, look.note)

    def advance(fresh: Incident) -> None:
        mine = fresh.attempts[attempt.number - 1]
        if mine.position != attempt.position:
            return
        after = mine.position + 1
        mine.phases[after:after] = look.then
        mine.position = after
        mine.looks = 0
        mine.phase_started_at = None

    context.incidents.change(incident.incident_id, advance)
    return Step("remediate")


def _remember(context: Context, incident: Incident, attempt: Attempt, look: Look) -> None:
    new_run = str(look.memo.get("new_run_id") or "")
    entries = []
    if new_run and new_run not in incident.aliases:
        words = f"Follows the new run {new_run}"
        entries = [context.entry(Action.RUN_FOLLOWED, words, f"followed-{new_run}")]
    if not look.memo:
        return

    def change(fresh: Incident) -> None:
        fresh.attempts[attempt.number - 1].memo |= look.memo
        note_progress(fresh, look.memo)

    incident = context.record(incident.incident_id, entries, change)
    claim_line(context, incident, look.memo)


def _look_again(context: Context, incident: Incident, attempt: Attempt, note: str) -> Step:
    phase = context.phases[attempt.phase]
    limit = _limit(context, phase)
    elapsed = in_phase(context, attempt)
    if elapsed > limit:
        words = f"not finished after {elapsed / 60:.0f} min: {note}"
        verdict = Verdict.INCONCLUSIVE if phase.limit == RUN else Verdict.FAILED
        return end_attempt(context, incident.incident_id, verdict, words)

    def change(fresh: Incident) -> None:
        fresh.attempts[attempt.number - 1].looks += 1
        fresh.state = IncidentState.VERIFYING
        fresh.waiting_for = note

    context.incidents.change(incident.incident_id, change)
    return Step("verify", context.timings.look_after(attempt.looks))


def in_phase(context: Context, attempt: Attempt) -> float:
    """Seconds that the attempt's present phase has taken so far."""
    since = attempt.phase_started_at or attempt.started_at
    return (context.clock.now() - since).total_seconds()


def _limit(context: Context, phase: Phase) -> float:
    """Seconds that a phase may take."""
    timings = context.timings
    limits = {READY: timings.ready_timeout, RUN: timings.run_timeout, WAIT: timings.wait_ceiling}
    return limits[phase.limit]


def _renew_locks(context: Context, incident: Incident, attempt: Attempt) -> None:
    context.locks.acquire(attempt.locks, incident.incident_id, context.timings.lease)

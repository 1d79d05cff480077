"""What storms mean to incidents: counted, declared, held, let go, ended.

A storm is an incident of its own, which nothing remediates: its members' probes do.
"""

from __future__ import annotations

from datetime import timedelta

from shared.healing import telling
from shared.healing.context import Context, find
from shared.ledger.incidents import new_incident_id
from shared.models import Failure, Incident
from shared.policy.storms import Admission, Storm, StormState
from shared.vocabulary import Action, FailureKind, IncidentState

_MOST_MEMBERS = 2_000  # looked at by one sweep


def note_failure(context: Context, incident: Incident, error_type: str) -> None:
    """Count a failure of this kind; declares a storm where there are too many."""
    if incident.attempts or _is_counted(incident, error_type):
        return
    target, storms, terms = incident.failure.target, context.storms, context.policy.storm
    storms.note(target, error_type, incident.incident_id, incident.opened_at)
    members = storms.brewing(terms, target, error_type)
    if members:
        _declare(context, target, error_type, len(members))


def _is_counted(incident: Incident, error_type: str) -> bool:
    """Whether the decision that is planned has counted it already, under the same row."""
    diagnosis = incident.diagnosis
    return bool(incident.planned) and diagnosis is not None and diagnosis.error_type == error_type


def admit(context: Context, incident: Incident, error_type: str, *, asks: bool) -> Admission:
    """Whether an incident may go on, or waits for the end of a storm of its kind."""
    terms, target = context.policy.storm, incident.failure.target
    return context.storms.admit(terms, target, error_type, incident.incident_id, asks=asks)


def still_held(context: Context, incident: Incident) -> Admission:
    """Whether a held incident has to wait on; changes nothing."""
    terms, kind = context.policy.storm, incident.storm_kind
    return context.storms.peek(terms, incident.failure.target, kind, incident.incident_id)


def join(context: Context, incident: Incident, admission: Admission, error_type: str) -> Incident:
    """Write down that an incident belongs to a storm, once."""
    if not admission.storm or admission.storm == incident.storm:
        return incident
    how = "is let through to try" if admission.probe else "is held by it"
    how = how if admission.probe or admission.held else "is let go"
    words = f"Belongs to the storm {admission.storm} and {how}"
    key = f"storm-{admission.storm}"
    entry = context.entry(Action.STORM_JOINED, words, key, details={"storm": admission.storm})

    def change(fresh: Incident) -> None:
        fresh.storm, fresh.storm_kind = admission.storm, error_type

    return context.record(incident.incident_id, [entry], change)


def conclude(context: Context, incident: Incident, error_type: str, *, healed: bool) -> None:
    """Tell the storm of a kind, if there is one, how a member's attempt ended."""
    terms, target = context.policy.storm, incident.failure.target
    storm = context.storms.conclude(terms, target, error_type, incident.incident_id, healed=healed)
    if not storm:
        return
    action = Action.STORM_RELEASED if healed else Action.STORM_PROBED
    result = "healed: the others are let go gradually" if healed else "failed: the storm goes on"
    words = f"The attempt of {incident.incident_id} {result}"
    entry = context.entry(action, words, f"probe-{incident.incident_id}-{len(incident.attempts)}")
    context.record(storm, [entry])


def leave(context: Context, incident: Incident, *, good: bool) -> None:
    """Tell the storm that an incident is closed, or may not act: it cannot be the probe any more.

    That it was refused, or may not be done, says nothing about the platform. That it is good by
    now does.
    """
    kinds = {incident.storm_kind, incident.diagnosis.error_type if incident.diagnosis else ""}
    for kind in kinds - {""}:
        if good:
            conclude(context, incident, kind, healed=True)
        else:
            context.storms.withdraw(incident.failure.target, kind, incident.incident_id)


def end_storms(context: Context) -> int:
    """End the storms whose members are all closed, give up those that last too long."""
    ended = 0
    for storm in context.storms.on():
        if find(context, storm.incident_id) is None:  # whoever declared it died of it
            _open_incident(context, storm, f"many failures of {storm.error_type}", 0)
        members = _members(context, storm)
        stuck = next((m for m in members if m.incident_id == storm.probe), None)
        if stuck is not None and stuck.state.closed:  # whoever closed it died before it was told
            leave(context, stuck, good=stuck.state is IncidentState.HEALED)
        if all(member.state.closed for member in members):
            ended += _end(context, storm, members, StormState.OVER)
        elif _too_long(context, storm):
            ended += _end(context, storm, members, StormState.GIVEN_UP)
    return ended


def _too_long(context: Context, storm: Storm) -> bool:
    # Twice as long as it is held: by then its members have gone to people one by one.
    limit = timedelta(seconds=2 * context.policy.storm.gives_up)
    return storm.opened_at is not None and context.clock.now() - storm.opened_at > limit


def _members(context: Context, storm: Storm) -> list[Incident]:
    """Failures of its kind since shortly before it, also those that have yet to join it.

    Most wait for their backoff to pass before they ask whether they may go on.
    """
    found = (find(context, name) for name in context.storms.members(storm, _MOST_MEMBERS))
    listed = [incident for incident in found if incident is not None]
    begun = (storm.opened_at or context.clock.now()) - timedelta(
        seconds=context.policy.storm.within
    )
    return [incident for incident in listed if incident.opened_at >= begun]


def _declare(context: Context, target: str, error_type: str, count: int) -> None:
    now = context.clock.now()
    wanted = new_incident_id(now, f"storm|{target}|{error_type}")
    if context.storms.declare(target, error_type, wanted) != wanted:
        return
    minutes = context.policy.storm.within / 60
    words = f"{count} failures of {error_type} in {target} within {minutes:g} min"
    _open_incident(context, context.storms.read(target, error_type), words, count)


def _open_incident(context: Context, storm: Storm, words: str, members: int) -> None:
    """The incident that stands for a storm; may be repeated."""
    now = storm.opened_at or context.clock.now()
    occurrence = now.strftime("%Y%m%dT%H%M%S")
    root = Failure(FailureKind.STORM, storm.target, storm.error_type, occurrence)
    incident = Incident(
        incident_id=storm.incident_id,
        state=IncidentState.WAITING,
        failure=root,
        opened_at=now,
        updated_at=now,
        owner="storm",
        waiting_for="a probe to heal",
        environment=context.environment(storm.target),
        guidance=_GUIDANCE,
    )
    context.incidents.open(incident)
    held = f"{words}. They are held; one at a time is tried"
    entry = context.entry(Action.STORM_DECLARED, held, "declared", target=root.key)
    telling.storm_declared(context, incident, words, members)
    context.record(storm.incident_id, [entry])


_GUIDANCE = [
    "Look at the platform's own status page and its service health alerts for the region.",
    "Look for one cause that all share: a gateway, a network change, a credential, a quota.",
    "When the cause is mended, the next probe heals and the members are let go by themselves.",
    "Pause automation if they must not be run again now.",
]


def _end(context: Context, storm: Storm, members: list[Incident], state: StormState) -> bool:
    if not context.storms.end(storm, state):
        return False
    joined = [member for member in members if member.storm == storm.incident_id]
    healed = sum(member.state is IncidentState.HEALED for member in joined)
    over = state is StormState.OVER
    words = f"{len(joined)} members: {healed} healed, {len(joined) - healed} not"
    closing = IncidentState.HEALED if over and healed else IncidentState.ESCALATED

    def change(incident: Incident) -> None:
        incident.state, incident.closed_at = closing, context.clock.now()
        incident.outcome, incident.waiting_for = words, ""

    action = Action.CLOSED if closing is IncidentState.HEALED else Action.ESCALATED
    entry = context.entry(action, f"The storm is {state.value}: {words}", "ended")
    incident = context.record(storm.incident_id, [entry], change)
    telling.storm_over(context, incident, words, len(joined), healed)
    return True

"""From an alert to incidents: locate roots, claim them, open or join.

Who claims a root heals it; everybody else's alert joins. A claim stands on the line of reruns, so
our own rerun's failure finds the incident that made it. When the incident of a line is closed, a
failure that it knows joins it still; a new one in that line opens a new incident.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from shared.diagnosis.roots import Located
from shared.errors import NothingChanged, PlatformRefused
from shared.healing.closing import begin_closing
from shared.healing.context import Context, find
from shared.ledger.alerts import Settled, StoredAlert
from shared.ledger.claims import Claim
from shared.ledger.incidents import new_incident_id
from shared.ledger.tables import digest
from shared.models import EvidenceLine, Failure, Incident, Subject
from shared.platforms.calls import as_promised
from shared.remedies.refresh_credential import is_own_expired
from shared.telemetry import signals
from shared.vocabulary import (
    HEARTBEAT,
    SELFTEST,
    Action,
    Disposition,
    FailureKind,
    IncidentState,
)


class Expansion(msgspec.Struct, frozen=True):
    """What alerts led to. `seconds` is set when the platform must be asked again after it.

    Of a burst, `later` are the alerts that are asked about again then, `left` those that were not
    asked about yet, and `traces` tells by incident what trace it belongs to.
    """

    owned: list[str]
    seconds: float = 0.0
    later: list[str] = []
    traces: dict[str, str] = {}
    left: list[str] = []


class Taken(msgspec.Struct, frozen=True):
    """A root's claim and the incident that stands for it."""

    claim: Claim
    incident: Incident

    def is_for(self, owner: str) -> bool:
        """Whether this owner is to heal it."""
        return self.claim.owner == owner and not self.incident.state.closed


def expand(context: Context, alert_id: str, tries: int) -> Expansion:
    """Find what an alert means and make it incidents. May be repeated at any point.

    Args:
        context: the parts.
        alert_id: a stored alert.
        tries: how often this was tried before.
    """
    stored = context.alerts.get(alert_id)
    if stored is None or stored.disposition is not Disposition.ACCEPTED:
        return Expansion(owned_again(context, stored, alert_id))
    if is_selftest(stored):
        return selftest(context, stored)
    located, problems = locate(context, stored)
    last = is_last(context, stored, tries)
    if not last and (problems or too_few(stored, located)):
        return Expansion([], context.timings.expand_retry)
    if problems and not located and _worth_waiting(context, stored, problems):
        return Expansion([], context.timings.wait_interval)
    trace = stored.alert.traceparent
    taken = [take(context, alert_id, alert_id, item, trace) for item in located]
    taken += _put_off(context, stored, problems)
    incidents = list(dict.fromkeys(each.claim.incident_id for each in taken))
    owned = [each.claim.incident_id for each in taken if each.is_for(alert_id)]
    context.alerts.settle_all([settled(alert_id, incidents)])
    return Expansion(list(dict.fromkeys(owned)))


def is_selftest(stored: StoredAlert) -> bool:
    """Whether it is our own self-test's, or the heartbeat of our rule in Azure Monitor."""
    return stored.alert.dialect.rpartition("/")[2] in {SELFTEST, HEARTBEAT}


def selftest(context: Context, stored: StoredAlert) -> Expansion:
    """Note that the self-test's alert came back, or that the heartbeat arrived."""
    if stored.alert.dialect == HEARTBEAT:  # not inside an event: that is another way in
        context.selftests.beat()
        words = "the heartbeat came through Azure Monitor"
    else:
        newest = context.selftests.came_back(stored.alert.rule)
        words = "the self-test came back" if newest else "not the newest self-test"
    context.alerts.settle(stored.alert_id, Disposition.IGNORED, words, [])
    return Expansion([])


def owned_again(context: Context, stored: StoredAlert | None, owner: str) -> list[str]:
    """The incidents of a settled alert that nobody heals yet: its expansion was repeated.

    Only untouched ones: a healing under way must not be started a second time.
    """
    if stored is None:
        return []
    mine = []
    for incident_id in stored.incidents:
        incident = context.incidents.get(incident_id)
        untouched = incident.state is IncidentState.RECEIVED
        if incident.owner == owner and untouched:
            mine.append(incident_id)
    return mine


Problem = tuple[Subject, NothingChanged]


def _worth_waiting(context: Context, stored: StoredAlert, problems: list[Problem]) -> bool:
    """Whether the platform may yet answer: it is out, not refusing, and not for too long."""
    waited = (context.clock.now() - stored.received_at).total_seconds()
    out = any(not isinstance(error, PlatformRefused) for _, error in problems)
    return out and waited < context.timings.wait_ceiling


def _put_off(context: Context, stored: StoredAlert, problems: list[Problem]) -> list[Taken]:
    """What cannot be looked up beside what can be.

    While there is hope it becomes alerts of its own, which a sweep takes up; else it is a person's.
    """
    hopeful = [s for s, e in problems if _worth_waiting(context, stored, [(s, e)])]
    later = [
        replace(stored.alert, fingerprint=f"{stored.alert.fingerprint}/{n}", subjects=(subject,))
        for n, subject in enumerate(hopeful)
    ]
    context.alerts.store(later, stored.received_at)
    lost = [(s, e) for s, e in problems if s not in hopeful]
    return [_give_up(context, stored, subject, str(error)) for subject, error in lost]


def locate(context: Context, stored: StoredAlert) -> tuple[list[Located], list[Problem]]:
    """The roots of what an alert names, and what could not be looked up."""
    located: list[Located] = []
    problems: list[Problem] = []
    for subject in stored.alert.subjects:
        try:
            with as_promised():
                located += context.roots.locate(subject)
        except NothingChanged as error:
            if is_own_expired(error):
                context.platforms.renew(subject.target)
            problems.append((subject, error))
    return located, problems


def settled(alert_id: str, incidents: list[str]) -> Settled:
    """What is written of an alert that was looked up."""
    if incidents:
        return Settled(alert_id, Disposition.DISPATCHED, "", incidents)
    reason = "the platform knows no failure that the alert could mean"
    return Settled(alert_id, Disposition.NOTHING_FOUND, reason)


def is_last(context: Context, stored: StoredAlert, tries: int) -> bool:
    """Whether it is not worth asking again, after `tries` earlier ones."""
    return tries + 1 >= _tries_worth(context, stored)


def _tries_worth(context: Context, stored: StoredAlert) -> int:
    """A run that is named is there or not; runs in a window of time may become visible late."""
    named = all(s.run_id or s.cluster_id for s in stored.alert.subjects)
    return (
        min(_NAMED_TRIES, context.timings.expand_tries) if named else context.timings.expand_tries
    )


_NAMED_TRIES = 3


def too_few(stored: StoredAlert, located: list[Located]) -> bool:
    """Whether the alert counted more failures than the platform shows yet."""
    members = {member.key for item in located for member in item.members}
    expected = sum(subject.expected or 1 for subject in stored.alert.subjects)
    windows = [s for s in stored.alert.subjects if not s.run_id and s.kind is _PIPELINE]
    return not located or (bool(windows) and len(members) < expected)


_PIPELINE = FailureKind.PIPELINE_RUN


def take(context: Context, owner: str, alert_id: str, item: Located, trace: str) -> Taken:
    """Claim a root for `owner`, or join an alert to who has it.

    The owner is the orchestration that will heal it: that of the alert, or of a burst of alerts.
    """
    standing, existing = _claimed(context, owner, item)
    first, trace = (alert_id, trace) if standing.owner == owner else ("", "")
    with signals.about(incident_id=standing.incident_id):
        incident = existing or _opened(context, standing, first, item, trace)
        if standing.owner != owner or alert_id not in incident.alerts:
            incident = join(context, standing, [(alert_id, item)])
    return Taken(standing, incident)


def _claimed(context: Context, owner: str, item: Located) -> tuple[Claim, Incident | None]:
    """The claim that stands on a root, and its incident if that is written."""
    key = item.root.root_key
    seen = context.claims.last(key)
    known = find(context, seen.incident_id) if seen is not None else None
    if seen is not None and known is not None and not known.state.closed:
        return seen, known
    wanted = Claim(new_incident_id(context.clock.now(), key), owner, item.root)
    standing = context.claims.take(key, wanted)
    if standing is wanted:  # nobody can have written its incident yet
        return standing, None
    existing = find(context, standing.incident_id)
    if existing is None or not _spent(existing, item):
        return standing, existing
    standing = context.claims.take_over(key, standing, wanted)
    return standing, None if standing is wanted else find(context, standing.incident_id)


def _spent(incident: Incident, item: Located) -> bool:
    """Whether a claim's incident is over and does not know this occurrence of its root.

    Only the root counts: a job that takes its cluster down each time is one failure, not many.
    """
    return incident.state.closed and not knows(incident, item.root)


def knows(incident: Incident, failure: Failure) -> bool:
    """Whether a failure is one of those that the incident is about."""
    known = {*incident.aliases, incident.failure.occurrence, incident.run_id}
    return failure.occurrence in known | {member.occurrence for member in incident.members}


def _opened(context: Context, claim: Claim, alert_id: str, item: Located, trace: str) -> Incident:
    """The claim's incident, opened; by whoever comes first, its owner or one who joins.

    Without an `alert_id` its owner's own alert is still to join it.
    """
    now = context.clock.now()
    root = claim.failure
    incident = Incident(
        incident_id=claim.incident_id,
        state=IncidentState.RECEIVED,
        failure=root,
        opened_at=now,
        updated_at=now,
        owner=claim.owner,
        members=[m for m in item.members if m.key != root.key],
        aliases=[root.occurrence],
        alerts=[alert_id] if alert_id else [],
        hints=list(item.hints),
        run_id=root.occurrence.partition("/")[0],
        environment=context.environment(root.target),
        traceparent=trace,
    )
    if context.incidents.open(incident):
        context.audit.begin(incident.incident_id)
    words = f"Opened for {root.label}"
    details: dict[str, Any] = {"alert_id": alert_id, "members": [m.label for m in item.members]}
    entry = context.entry(Action.OPENED, words, "opened", target=root.key, details=details)
    return context.record(claim.incident_id, [entry])


def join(context: Context, claim: Claim, joining: Sequence[tuple[str, Located]]) -> Incident:
    """Write down that alerts are about an incident that there is, all of them in one entry."""
    alert_ids = [alert_id for alert_id, _ in joining]
    members = dict.fromkeys(member.label for _, item in joining for member in item.members)
    who = "Another alert" if len(joining) == 1 else f"Another {len(joining)} alerts"
    named = {"alert_id": alert_ids[0]} if len(joining) == 1 else {"alert_ids": alert_ids}
    entry = context.entry(
        Action.ALERT_JOINED,
        f"{who} about this: {', '.join(members)}",
        f"joined-{alert_ids[0] if len(joining) == 1 else digest(' '.join(alert_ids))}",
        details=named,
    )

    def change(incident: Incident) -> None:
        for alert_id, item in joining:
            _add(incident, alert_id, item)

    return context.record(claim.incident_id, [entry], change)


def _add(incident: Incident, alert_id: str, item: Located) -> None:
    if alert_id not in incident.alerts:
        incident.alerts = [*incident.alerts, alert_id][-_MOST_ALERTS:]
    known = {m.key for m in incident.members} | {incident.failure.key}
    new = [m for m in item.members if m.key not in known]
    incident.members = [*incident.members, *new][:_MOST_MEMBERS]
    hints = [hint for hint in item.hints if hint not in incident.hints]
    incident.hints = [*incident.hints, *hints][:_MOST_HINTS]


# An incident stays one row, however many alerts a bad night sends about it. The timeline has all.
_MOST_ALERTS, _MOST_MEMBERS, _MOST_HINTS = 200, 50, 10


def _give_up(context: Context, stored: StoredAlert, subject: Subject, why: str) -> Taken:
    """An incident for a person: what the alert names could not be looked up."""
    resource = subject.pipeline or subject.cluster_id or subject.cluster_name or "unknown"
    failure = Failure(
        kind=subject.kind,
        target=subject.target,
        resource=resource,
        occurrence=subject.run_id or stored.alert_id,
    )
    hints = (EvidenceLine("platform", "", why), EvidenceLine("alert", "", subject.message))
    located = Located(failure, (failure,), hints)
    taken = take(context, stored.alert_id, stored.alert_id, located, stored.alert.traceparent)
    incident = context.incidents.get(taken.claim.incident_id)
    # Nothing is known of it, so nothing may be done about it: it is closed before it is healed.
    if not incident.state.closed:
        words = f"what the alert names could not be looked up: {why}"
        begin_closing(context, incident, IncidentState.ESCALATED, None, words)
    # As it is now: what is closed here is healed by nobody.
    return Taken(taken.claim, context.incidents.get(taken.claim.incident_id))

"""Incidents about findings: how an approved change becomes one, and a finding's own timeline."""

from __future__ import annotations

from shared.clock import iso
from shared.findings.model import Finding
from shared.healing import changes
from shared.healing.context import ACTOR, Context
from shared.models import EvidenceLine, Failure, Incident
from shared.vocabulary import Action, FailureKind, IncidentState


def draft(context: Context, finding: Finding, remedy: str) -> Incident:
    """An incident for the change that a finding proposes; not written anywhere."""
    now = context.clock.now()
    return Incident(
        incident_id=f"draft-{finding.finding_id}",
        state=IncidentState.RECEIVED,
        failure=failure_of(finding, iso(finding.first_seen)),
        opened_at=now,
        updated_at=now,
        owner=finding.finding_id,
        hints=[EvidenceLine("finding", finding.kind.value, finding.summary)],
        planned=remedy,
        environment=context.environment(finding.target),
    )


def begin(context: Context, finding: Finding, incident: Incident, words: str) -> bool:
    """Write an incident; False if it is there already."""
    new = context.incidents.open(incident)
    details = {"finding_id": finding.finding_id, "kind": finding.kind.value}
    target = incident.failure.key
    entry = context.entry(Action.OPENED, words, "opened", target=target, details=details)
    context.record(incident.incident_id, [entry])
    return new


def failure_of(finding: Finding, occurrence: str) -> Failure:
    """What the incident is about: the job or cluster that would be changed."""
    kind, resource = FailureKind.PROPOSAL, subject_of(finding)
    return Failure(kind, finding.target, resource, occurrence, finding.name)


def offered(finding: Finding) -> bool:
    """Whether a finding names a change that can be made from here, and to what."""
    return finding.remedy in changes.OFFERED and bool(subject_of(finding))


def subject_of(finding: Finding) -> str:
    """The job or cluster that a finding is about, as `job <id>` or `cluster <id>`."""
    what, _, identity = finding.resource.partition(" ")
    if what in {changes.JOB, changes.CLUSTER} and identity:
        return finding.resource
    if finding.remedy == "start_cluster":
        return f"{changes.CLUSTER} {finding.resource}"
    return f"{changes.JOB} {finding.resource}" if finding.resource.isdigit() else ""


def note(  # noqa: PLR0913 - one keyword per column of the timeline
    context: Context,
    finding: Finding,
    action: Action,
    words: str,
    *,
    key: str = "",
    reason: str = "",
    actor: str = "",
) -> None:
    """A row of a finding's own timeline, under the finding's id."""
    target = f"{finding.kind.value}|{finding.target}|{finding.resource}"
    entry = context.entry(action, words, key, target=target, reason=reason, actor=actor or ACTOR)
    context.audit.append(finding.finding_id, [entry])

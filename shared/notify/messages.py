"""What Lakemend tells people: the functions that compose each message.

Written for who is woken at night: what failed where, what it is, what was done, what to do now,
the evidence, a link. All texts are plain; rendering and redaction are done where they are sent.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.clock import iso
from shared.findings.model import LISTED, Finding
from shared.ledger.tables import digest as digest_of
from shared.models import EvidenceLine, Incident, Question
from shared.notify.digest import Figures
from shared.notify.model import MAX_BODY, MAX_TITLE, Link, Message, MessageKind, Severity
from shared.targets import Targets
from shared.vocabulary import IncidentState

_MAX_LINE = 600
_MAX_STEPS = 8
_STEP = "\n  "


class _Said(msgspec.Struct, frozen=True):
    """What differs between the messages about incidents and storms."""

    kind: MessageKind
    severity: Severity
    title: str
    lines: list[tuple[str, str]]
    at: datetime
    url: str
    owner: str = ""


def owner_of(targets: Targets, incident: Incident) -> str:
    """Who owns what failed: the target's tag `owner`, or `team`; empty when neither is there."""
    target = targets.by_name(incident.failure.target)
    tags = target.tags if target else {}
    return tags.get("owner") or tags.get("team") or ""


def started(incident: Incident, url: str, owner: str = "") -> Message:
    """A healing has begun: what will be done, and that nobody has to do anything."""
    attempt = incident.attempts[-1] if incident.attempts else None
    doing = attempt.summary if attempt else incident.planned
    lines = [("Doing", doing), ("You", "nothing to do; you hear how it ends")]
    title = f"Healing {_what(incident)}"
    kind, at = MessageKind.STARTED, incident.updated_at
    return _about(incident, _Said(kind, Severity.INFO, title, lines, at, url, owner))


def approval_wanted(
    incident: Incident, question: Question, links: tuple[Link, ...], url: str = "", owner: str = ""
) -> Message:
    """A person is asked: what would be done, why they are asked, what it costs, until when."""
    cost = f"about {question.cost_usd:.2f} USD" if question.cost_usd else ""
    lines = [
        ("Would do", question.summary),
        ("Asked because", question.why),
        ("Cost", cost),
        ("Answer until", iso(question.expires_at)),
        ("Otherwise", question.otherwise),
    ]
    title = f"Approval wanted: {question.summary or question.remedy}, for {_what(incident)}"
    kind, at = MessageKind.APPROVAL_WANTED, question.asked_at
    message = _about(incident, _Said(kind, Severity.WARNING, title, lines, at, url, owner))
    identity = f"{incident.incident_id}:approval:{question.question_id}"
    return msgspec.structs.replace(message, message_id=identity, links=links)


_ENDINGS = {
    IncidentState.HEALED: (MessageKind.HEALED, Severity.INFO, "Healed"),
    IncidentState.ESCALATED: (MessageKind.ESCALATED, Severity.CRITICAL, "Needs you"),
    IncidentState.OBSERVED: (MessageKind.OBSERVED, Severity.INFO, "Observed"),
    IncidentState.CANCELLED: (MessageKind.OBSERVED, Severity.INFO, "Cancelled"),
}


def closed(incident: Incident, url: str, owner: str = "") -> Message:
    """How an incident has ended; for an escalated one also what to do now.

    Raises:
        ValueError: the incident is not closed.
    """
    if incident.state not in _ENDINGS:
        raise ValueError(f"not closed: {incident.incident_id} is {incident.state.value}")
    kind, severity, word = _ENDINGS[incident.state]
    lines = [("Outcome", incident.outcome), ("Tried", _tried(incident))]
    if kind is MessageKind.ESCALATED:
        lines += [("Do now", _steps(incident.guidance))]
    at = incident.closed_at or incident.updated_at
    title = f"{word}: {_what(incident)}"
    return _about(incident, _Said(kind, severity, title, lines, at, url, owner))


class StormNews(msgspec.Struct, frozen=True):
    """A storm, as messages tell it. `what` is what the members have in common."""

    storm_id: str
    what: str
    members: int
    environment: str
    target: str = ""
    sample: str = ""  # one evidence line of a member
    released: int = 0  # members that were healed again, once it is over


def storm_declared(storm: StormNews, url: str, at: datetime) -> Message:
    """Many failures of one kind: probably the platform's trouble; members are held."""
    lines = [
        ("Failing", f"{storm.members} so far, all with {storm.what}"),
        ("Doing", "members are held; one is probed with growing pauses"),
        ("Do now", "check the platform's status page; members are released when a probe works"),
        ("Evidence", storm.sample),
    ]
    title = f"Storm: {storm.members} failures with {storm.what}{_where(storm)}"
    kind = MessageKind.STORM_DECLARED
    return _about_storm(storm, _Said(kind, Severity.CRITICAL, title, lines, at, url))


def storm_over(storm: StormNews, url: str, at: datetime) -> Message:
    """A storm has passed: what became of its members."""
    lines = [
        ("Members", f"{storm.members}, of which {storm.released} are released by now"),
        ("You", "nothing to do; members that need you are told one by one"),
    ]
    title = f"Storm over: {storm.what}{_where(storm)}"
    kind = MessageKind.STORM_OVER
    return _about_storm(storm, _Said(kind, Severity.INFO, title, lines, at, url))


def delivery_result(  # noqa: PLR0913 - one keyword per fact that is told
    delivery_id: str,
    pipeline: str,
    summary: str,
    *,
    good: bool,
    at: datetime,
    environment: str = "",
    target: str = "",
    owner: str = "",
    url: str = "",
    channels: tuple[str, ...] = (),
) -> Message:
    """How the delivery of a pipeline ended, or at which gate it stopped."""
    word = "Delivered" if good else "Delivery stopped"
    return Message(
        message_id=f"{delivery_id}:delivery:{'good' if good else 'stopped'}",
        kind=MessageKind.DELIVERY,
        severity=Severity.INFO if good else Severity.WARNING,
        title=_cut(f"{word}: {pipeline}", MAX_TITLE),
        body=_body([("Result", summary)]),
        at=at,
        group=f"delivery:{target}",
        environment=environment,
        owner=owner,
        target=target,
        url=url,
        channels=channels,
    )


def finding_seen(finding: Finding, environment: str, owner: str = "", url: str = "") -> Message:
    """Something was found that is not a failure yet; again when it comes back or gets worse."""
    lines = [
        ("Found", finding.summary),
        ("Where", f"{finding.name} on {finding.target}"),
        ("Evidence", "; ".join(finding.evidence)),
        ("Would help", finding.proposal),
        ("You", "look at it, or silence it with a reason and an end"),
    ]
    identity = f"finding:{finding.finding_id}:{finding.times}:{finding.severity.value}"
    if finding.kind in LISTED:
        identity += f":{digest_of('|'.join(finding.evidence), 12)}"
    words = f"Found: {finding.kind.value.replace('_', ' ')}, {finding.name} on {finding.target}"
    return Message(
        message_id=identity,
        kind=MessageKind.FINDING,
        severity=finding.severity,
        title=_cut(_line(words), MAX_TITLE),
        body=_body(lines),
        at=finding.last_seen,
        group=f"finding:{finding.kind.value}:{finding.target}",
        environment=environment,
        owner=owner,
        target=finding.target,
        url=url,
    )


def digest(figures: Figures, url: str = "") -> Message:
    """The last 24 hours in figures; one a day, to everybody."""
    total = figures.healed + figures.escalated + figures.observed + figures.cancelled
    closed_as = f"{figures.healed} healed, {figures.escalated} escalated"
    rest = f"{figures.observed} observed, {figures.cancelled} cancelled"
    lines = [
        ("Closed", f"{total}: {closed_as}, {rest}"),
        ("Open now", str(figures.open)),
        ("Findings", _counted(figures.findings)),
        ("Gravest findings", "; ".join(figures.worst)),
        ("By error type", "; ".join(f"{name} {count}" for name, count in figures.by_type)),
        ("Slowest recoveries", "; ".join(f"{w} {_span(s)}" for w, s in figures.slowest)),
        ("Estimated cost", f"{figures.cost_usd:.2f} USD"),
    ]
    day = iso(figures.until)[:10]
    return Message(
        message_id=f"digest:{day}",
        kind=MessageKind.DIGEST,
        severity=Severity.INFO,
        title=f"Lakemend, {day}: {closed_as}",
        body=_body(lines),
        at=figures.until,
        url=url,
    )


def channel_test(identity: str, who: str, at: datetime) -> Message:
    """A message that only shows that the channel works."""
    return Message(
        message_id=f"test:{identity}",
        kind=MessageKind.TEST,
        severity=Severity.INFO,
        title="Lakemend: test message",
        body=_body([("Sent by", who), ("You", "nothing to do; this channel works")]),
        at=at,
    )


def _counted(findings: tuple[tuple[str, int], ...]) -> str:
    """Open findings by kind; empty where there are none."""
    total = sum(count for _, count in findings)
    named = "; ".join(f"{kind} {count}" for kind, count in findings)
    return f"{total} open: {named}" if total else ""


def selftest_silent(identity: str, why: str, at: datetime) -> Message:
    """Alerts may not be arriving: the self-test's own one did not come back."""
    lines = [
        ("What happened", f"the self-test {identity} did not come back: {why}"),
        ("What it means", "alerts may not be taken in or not be healed"),
        ("You", "look at the app's health, its storage and PUBLIC_URL; then POST /api/selftest"),
    ]
    return Message(
        message_id=f"selftest:{identity}",
        kind=MessageKind.SELFTEST,
        severity=Severity.CRITICAL,
        title="Lakemend: its self-test did not come back",
        body=_body(lines),
        at=at,
    )


def _about(incident: Incident, said: _Said) -> Message:
    evidence = ("Evidence", _evidence(incident))
    return Message(
        message_id=f"{incident.incident_id}:{said.kind.value}",
        kind=said.kind,
        severity=said.severity,
        title=_cut(_line(said.title), MAX_TITLE),
        body=_body([*_facts(incident), *said.lines, evidence]),
        at=said.at,
        group=_group(incident),
        environment=incident.environment,
        owner=said.owner,
        target=incident.failure.target,
        url=said.url,
        incident_id=incident.incident_id,
    )


def _about_storm(storm: StormNews, said: _Said) -> Message:
    return Message(
        message_id=f"{storm.storm_id}:{said.kind.value}",
        kind=said.kind,
        severity=said.severity,
        title=_cut(_line(said.title), MAX_TITLE),
        body=_body(said.lines),
        at=said.at,
        group=storm.storm_id,
        environment=storm.environment,
        owner=said.owner,
        target=storm.target,
        url=said.url,
        incident_id=storm.storm_id,
    )


def _group(incident: Incident) -> str:
    """Messages about members of a storm are one group, before it is declared as well."""
    if incident.storm:
        return incident.storm
    return f"{incident.failure.kind.value}:{incident.failure.target}:{_error_type(incident)}"


def _error_type(incident: Incident) -> str:
    return incident.diagnosis.error_type if incident.diagnosis else "not diagnosed"


def _what(incident: Incident) -> str:
    failure = incident.failure
    name = failure.name or failure.resource
    what = f"{failure.kind.value.replace('_', ' ')} {name} on {failure.target}"
    return f"{what} ({_error_type(incident)})"


def _facts(incident: Incident) -> list[tuple[str, str]]:
    where = f" ({incident.environment})" if incident.environment else ""
    found = [("Failed", f"{incident.failure.label} on {incident.failure.target}{where}")]
    if incident.diagnosis:
        sure = f"{incident.diagnosis.confidence:.0%} sure"
        found.append(("It is", f"{incident.diagnosis.error_type}, {sure}"))
        found.append(("Because", incident.diagnosis.because))
    return found


def _evidence(incident: Incident) -> str:
    lines: tuple[EvidenceLine, ...] = incident.diagnosis.lines if incident.diagnosis else ()
    if not lines:
        return ""
    first = lines[0]
    return f"{first.source}: {f'[{first.code}] ' if first.code else ''}{first.message}"


def _tried(incident: Incident) -> str:
    said = [
        f"{attempt.number}. {attempt.summary or attempt.remedy}: "
        f"{attempt.verdict.value if attempt.verdict else 'not ended'}"
        for attempt in incident.attempts
    ]
    return "; ".join(said) or "nothing was changed"


def _steps(guidance: list[str]) -> str:
    if not guidance:
        return "look at the timeline; the catalog has no guidance for this"
    steps = [f"{_STEP}{n}. {_line(step)}" for n, step in enumerate(guidance[:_MAX_STEPS], 1)]
    return "".join(steps)


def _where(storm: StormNews) -> str:
    return f" on {storm.target}" if storm.target else ""


def _body(lines: list[tuple[str, str]]) -> str:
    written = [f"{label}: {_shaped(text)}" for label, text in lines if text]
    return _cut("\n".join(written), MAX_BODY)


def _shaped(text: str) -> str:
    """Numbered steps keep their lines: `_steps` has made each one a single line."""
    return text if text.startswith(_STEP) else _line(text)


def _line(text: str) -> str:
    """A text on one line: error texts must not look like further fields of ours."""
    return _cut(" ".join(text.split()), _MAX_LINE)


def _cut(text: str, longest: int) -> str:
    mark = f" [cut, {len(text)} characters in all]"
    return text if len(text) <= longest else text[: longest - len(mark)] + mark


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _TWO_MINUTES else f"{seconds / 60:.0f} min"


_TWO_MINUTES = 120

"""A finding: something that is not a failure yet, with what shows it and what would help. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from shared.ledger.tables import digest
from shared.models import Question
from shared.notify.model import Severity

MAX_TEXT = 1000
MAX_EVIDENCE = 24


class FindingKind(StrEnum):
    """What was found. Closed: nothing is found that is not listed here and in docs/health.md."""

    SLOW_RUN = "slow_run"
    STUCK_RUN = "stuck_run"
    SLOW_ACTIVITY = "slow_activity"
    ERROR_RATE = "error_rate"
    MISSING_RUNS = "missing_runs"
    QUEUE_GROWING = "queue_growing"
    RETRIES_PILING_UP = "retries_piling_up"
    QUALITY_FALLING = "quality_falling"
    THROUGHPUT_FALLING = "throughput_falling"
    CLUSTER_DOWN = "cluster_down"
    RUNTIME_OFFLINE = "runtime_offline"
    NOT_READY = "not_ready"
    DRIFT = "drift"
    CREDENTIAL_EXPIRES = "credential_expires"
    SECRET_EXPIRES = "secret_expires"  # noqa: S105 - a kind, no secret
    RUNTIME_EXPIRES = "runtime_expires"
    RATE_LIMITED = "rate_limited"
    QUOTA_NEARLY_USED = "quota_nearly_used"
    MEMORY_HIGH = "memory_high"
    CPU_HIGH = "cpu_high"
    COST_RISING = "cost_rising"
    DISK_FILLING = "disk_filling"
    TABLE_GROWING = "table_growing"


# Findings whose evidence is a list of faults: another fault is news.
LISTED = frozenset({FindingKind.NOT_READY, FindingKind.DRIFT})


class FindingState(StrEnum):
    """Where a finding stands."""

    OPEN = "open"
    SILENCED = "silenced"  # still there, and nobody wants to hear of it until a time
    RESOLVED = "resolved"


class Silence(msgspec.Struct, frozen=True):
    """Who does not want to hear of a finding, why, and until when."""

    by: str
    why: str
    since: datetime
    until: datetime


class Seen(msgspec.Struct, frozen=True):
    """What a look has found now. `remedy` names what would help, if the catalog has it.

    `run_id` is the run under way that it is about, if it is about one.
    """

    kind: FindingKind
    target: str
    resource: str
    name: str
    severity: Severity
    summary: str
    evidence: tuple[str, ...] = ()
    proposal: str = ""
    remedy: str = ""
    run_id: str = ""

    @property
    def finding_id(self) -> str:
        """The same thing found again has the same id."""
        return finding_id(self.kind, self.target, self.resource)


class Finding(msgspec.Struct, omit_defaults=True):
    """One row: what is found again and again stays the same finding.

    `first_seen` is of the present time that it stands; `times` counts how often it came back.
    `told` is the severity that people have heard of, and `told_faults` which of a list of faults:
    what gets worse while nobody wants to hear of it is told when the silence ends.
    """

    finding_id: str
    kind: FindingKind
    target: str
    resource: str
    name: str
    severity: Severity
    summary: str
    first_seen: datetime
    last_seen: datetime
    evidence: tuple[str, ...] = ()
    proposal: str = ""
    remedy: str = ""
    times: int = 1
    resolved_at: datetime | None = None
    silence: Silence | None = None
    question: Question | None = None  # whether to make the change that it proposes
    incident_id: str = ""  # of the approved change, and of the way back
    reversal_id: str = ""
    told: Severity | None = None
    told_faults: tuple[str, ...] = ()

    def state(self, now: datetime) -> FindingState:
        """Where it stands; a silence ends by itself."""
        if self.resolved_at is not None:
            return FindingState.RESOLVED
        return FindingState.SILENCED if self.silenced(now) else FindingState.OPEN

    def silenced(self, now: datetime) -> bool:
        """Whether a silence is in force."""
        return self.silence is not None and self.silence.until > now


def finding_id(kind: FindingKind, target: str, resource: str) -> str:
    """The id of what is found: a digest of kind, target and resource."""
    return digest(f"{kind.value}|{target}|{resource}")


def opened(seen: Seen, now: datetime, before: Finding | None) -> Finding:
    """A finding that begins to stand; `before` is how it stood the last time."""
    fresh = _of(seen, now)
    fresh.times = before.times + 1 if before else 1
    fresh.silence = before.silence if before else None
    return _told(now, fresh, None)


def _of(seen: Seen, now: datetime) -> Finding:
    return Finding(
        finding_id=seen.finding_id,
        kind=seen.kind,
        target=seen.target,
        resource=seen.resource,
        name=seen.name,
        severity=seen.severity,
        summary=_cut(seen.summary),
        first_seen=now,
        last_seen=now,
        evidence=tuple(_cut(line) for line in seen.evidence[:MAX_EVIDENCE]),
        proposal=_cut(seen.proposal),
        remedy=seen.remedy,
    )


def refreshed(finding: Finding, seen: Seen, now: datetime) -> Finding:
    """A finding that still stands, as it is seen now."""
    fresh = _of(seen, now)
    fresh.first_seen, fresh.times = finding.first_seen, finding.times
    fresh.silence, fresh.question = finding.silence, finding.question
    fresh.incident_id, fresh.reversal_id = finding.incident_id, finding.reversal_id
    return _told(now, fresh, finding)


def _told(now: datetime, fresh: Finding, before: Finding | None) -> Finding:
    """With what people have heard of it, this time included; what is gone is news again."""
    if worth_telling(now, fresh, before):
        fresh.told = fresh.severity
        fresh.told_faults = fresh.evidence if fresh.kind in LISTED else ()
    elif before is not None and before.told is not None:
        fresh.told = min(before.told, fresh.severity, key=lambda severity: severity.rank)
        fresh.told_faults = tuple(one for one in before.told_faults if one in fresh.evidence)
    return fresh


def worth_telling(now: datetime, fresh: Finding, before: Finding | None) -> bool:
    """Whether people hear of it: new, more severe, with a new fault; of warning or higher."""
    if fresh.severity is Severity.INFO or fresh.silenced(now):
        return False
    if before is None or before.told is None or before.told.rank < fresh.severity.rank:
        return True
    return fresh.kind in LISTED and bool(set(fresh.evidence) - set(before.told_faults))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"

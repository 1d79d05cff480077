"""What all steps of a healing share: the ledger, the platforms, the catalog, the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from shared.catalog.loader import Catalog, Timings
from shared.clock import Clock
from shared.diagnosis.classifier import Classifier
from shared.diagnosis.gather import Gatherer
from shared.diagnosis.history import History
from shared.diagnosis.roots import Roots
from shared.errors import LedgerMissing
from shared.ledger.alerts import Alerts
from shared.ledger.audit import Audit
from shared.ledger.claims import Claims
from shared.ledger.deliveries import Deliveries
from shared.ledger.documents import Documents
from shared.ledger.incidents import Incidents
from shared.ledger.limits import Limits, Usage
from shared.ledger.locks import Locks
from shared.ledger.memory import Memory
from shared.ledger.pause import Pauses
from shared.ledger.spend import Spend
from shared.ledger.storms import Storms
from shared.models import AuditEntry, Evidence, Incident, Json
from shared.monitoring.inventory import Inventory
from shared.notify.links import Links
from shared.notify.outbox import Outbox
from shared.platforms.directory import Platforms
from shared.policy.model import Policy
from shared.policy.scope import Work
from shared.redaction import Redactor
from shared.remedies.base import Case, Plan
from shared.remedies.registry import Phases
from shared.settings import Settings
from shared.vocabulary import Action, FailureKind

if TYPE_CHECKING:
    from shared.monitoring.selftest import SelfTests

ACTOR = "lakemend"


class Step(msgspec.Struct, frozen=True):
    """What the orchestrator does next: call the activity `next` after `seconds`.

    With an `event`, as soon as that event comes, and after `seconds` at the latest.
    """

    next: str
    seconds: float = 0.0
    event: str = ""


CLOSED = Step("closed")


class Context(msgspec.Struct, frozen=True):
    """The parts that the steps work with."""

    settings: Settings
    clock: Clock
    redactor: Redactor
    catalog: Catalog
    classifier: Classifier
    platforms: Platforms
    gatherer: Gatherer
    roots: Roots
    phases: Phases
    alerts: Alerts
    claims: Claims
    incidents: Incidents
    audit: Audit
    locks: Locks
    memory: Memory
    policy: Policy
    history: History
    inventory: Inventory
    limits: Limits
    spend: Spend
    pauses: Pauses
    storms: Storms
    outbox: Outbox
    links: Links
    selftests: SelfTests
    deliveries: Deliveries
    documents: Documents

    @property
    def timings(self) -> Timings:
        """The catalog's waiting times."""
        return self.catalog.timings

    def paused(self) -> str:
        """Who stopped all automation and why, empty if nobody did."""
        if not self.settings.enabled:
            return "AUTO_REMEDIATION_ENABLED is false"
        pause = self.pauses.current()
        return pause.words() if pause else ""

    def known_targets(self) -> int | None:
        """How many pipelines and jobs there are; None too where policy does not limit a share."""
        limited = self.policy.blast_radius.percent_of_targets < ALL_TARGETS
        return self.inventory.known() if limited else None

    def environment(self, target: str) -> str:
        """The environment that a target is listed in."""
        listed = self.settings.targets.by_name(target)
        return listed.environment if listed else ""

    def case(
        self, incident: Incident, evidence: Evidence | None = None, error_type: str = ""
    ) -> Case:
        """The incident as remedies and phases see it."""
        return Case(
            incident_id=incident.incident_id,
            error_type=error_type,
            playbooks=self.catalog.spec(error_type).playbooks,
            max_retries=self.policy.attempts.overall,
            failure=incident.failure,
            run_id=incident.run_id,
            platforms=self.platforms,
            catalog=self.catalog,
            max_workers=self.settings.max_workers,
            memory=self.memory,
            evidence=evidence,
        )

    def entry(  # noqa: PLR0913 - one keyword per column of the timeline
        self,
        action: Action,
        summary: str,
        key: str = "",
        *,
        target: str = "",
        reason: str = "",
        result: str = "",
        details: Json | None = None,
        actor: str = ACTOR,
    ) -> AuditEntry:
        """An audit entry of now, by us if not by somebody who is named."""
        return AuditEntry(
            at=self.clock.now(),
            actor=actor,
            action=action.value,
            summary=summary,
            key=key,
            target=target,
            reason=reason,
            result=result,
            details=details or {},
        )

    def record(
        self,
        incident_id: str,
        entries: list[AuditEntry],
        change: Callable[[Incident], None] | None = None,
    ) -> Incident:
        """Write entries to the timeline, then the change to the incident, with the chain's head."""
        head = self.audit.append(incident_id, entries) if entries else None

        def apply(incident: Incident) -> None:
            if change is not None:
                change(incident)
            if head is not None and head.count > incident.audit_count:
                incident.audit_count, incident.audit_head = head.count, head.hash

        return self.incidents.change(incident_id, apply)


ALL_TARGETS = 100.0  # per cent


def find(context: Context, incident_id: str) -> Incident | None:
    """The incident, None if it is not written (yet)."""
    try:
        return context.incidents.get(incident_id)
    except LedgerMissing:
        return None


def work_of(context: Context, incident: Incident) -> Work:
    """The failed work, as policy selects it."""
    failure = incident.failure
    kind, resource = failure.kind, failure.resource
    if kind is FailureKind.PROPOSAL:  # policy speaks of what would be changed
        what, _, resource = resource.partition(" ")
        kind = FailureKind.JOB_RUN if what == "job" else FailureKind.CLUSTER
    target = context.settings.targets.by_name(failure.target)
    return Work(
        target=failure.target,
        environment=context.environment(failure.target),
        tags={**(target.tags if target else {}), **(incident.tags or {})},
        kind=kind,
        resource=resource,
        name=failure.name,
    )


def next_key(incident: Incident) -> str:
    """What the incident's next attempt is counted and paid for under."""
    return f"{incident.incident_id}/{len(incident.attempts) + 1}"


def usage_of(incident: Incident, plan: Plan, error_type: str, remedy: str) -> Usage:
    """What the incident's next attempt would count against."""
    key = next_key(incident)
    return Usage(incident.incident_id, key, error_type, remedy, things_of(incident, plan.locks))


def things_of(incident: Incident, locks: list[str]) -> tuple[str, ...]:
    """What an attempt acts on: the failed work first, then the clusters that it locks."""
    failure = incident.failure
    work = f"{failure.kind.value}|{failure.target}|{failure.resource}"
    clusters = [name for name in locks if name.startswith("cluster|")]
    return tuple(dict.fromkeys([work, *clusters]))


def as_json(value: Any) -> Any:  # noqa: ANN401 - any struct in, plain JSON values out
    """A struct as plain JSON values, for audit details and activity results."""
    return msgspec.to_builtins(value)

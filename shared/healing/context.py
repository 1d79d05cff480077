"""What all steps of a healing share: the ledger, the platforms, the catalog, the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from shared.catalog.loader import Catalog, Timings
from shared.clock import Clock
from shared.diagnosis.classifier import Classifier
from shared.diagnosis.gather import Gatherer
from shared.diagnosis.roots import Roots
from shared.ledger.alerts import Alerts
from shared.ledger.audit import Audit
from shared.ledger.claims import Claims
from shared.ledger.incidents import Incidents
from shared.ledger.locks import Locks
from shared.ledger.memory import Memory
from shared.models import AuditEntry, Evidence, Incident, Json
from shared.notify.outbox import Outbox
from shared.platforms.directory import Platforms
from shared.redaction import Redactor
from shared.remedies.base import Case
from shared.remedies.registry import Phases
from shared.settings import Settings
from shared.vocabulary import Action

ACTOR = "lakemend"


class Step(msgspec.Struct, frozen=True):
    """What the orchestrator does next: call the activity `next` after `seconds`."""

    next: str
    seconds: float = 0.0


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
    outbox: Outbox

    @property
    def timings(self) -> Timings:
        """The catalog's waiting times."""
        return self.catalog.timings

    def case(
        self, incident: Incident, evidence: Evidence | None = None, error_type: str = ""
    ) -> Case:
        """The incident as remedies and phases see it."""
        return Case(
            incident_id=incident.incident_id,
            error_type=error_type,
            playbooks=self.catalog.spec(error_type).playbooks,
            max_retries=self.settings.max_retries,
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
    ) -> AuditEntry:
        """An audit entry of now, by us."""
        return AuditEntry(
            at=self.clock.now(),
            actor=ACTOR,
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


def as_json(value: Any) -> Any:  # noqa: ANN401 - any struct in, plain JSON values out
    """A struct as plain JSON values, for audit details and activity results."""
    return msgspec.to_builtins(value)

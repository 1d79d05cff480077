"""What all steps of a delivery share: the record, its gates, its time.

Steps leave by raising (`shared.delivery.leaving`); changes of the platform are in
`shared.delivery.mutations`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from shared.delivery.leaving import GateFailed
from shared.delivery_models import (
    Check,
    Delivery,
    DeliveryPlan,
    DeliveryState,
    Gate,
    GateName,
    GateState,
    Stage,
)
from shared.healing.context import Context
from shared.models import AuditEntry, Json
from shared.platforms.databricks import WorkspaceApi
from shared.platforms.deployments import Deployments
from shared.vocabulary import Action

_MOST_CHECKS, _LONGEST_NOTE = 200, 1000


class Work:
    """One delivery in the hands of one activity."""

    def __init__(self, context: Context, delivery: Delivery) -> None:
        self.context = context
        self.delivery = delivery

    @property
    def plan(self) -> DeliveryPlan:
        """What was asked for."""
        return self.delivery.plan

    @property
    def stage(self) -> Stage:
        """The stage that is on now."""
        return self.delivery.stage

    @property
    def api(self) -> Deployments:
        """The stage's workspace, as a delivery changes it."""
        return self.reads.deployments

    @property
    def reads(self) -> WorkspaceApi:
        """The stage's workspace, as healing reads it."""
        return self.context.platforms.workspace(self.stage.workspace)

    @property
    def now(self) -> datetime:
        """The present moment."""
        return self.context.clock.now()

    @property
    def version(self) -> str:
        """This delivery and version, as tags of what it deploys say it."""
        return f"{self.delivery.delivery_id}.{self.delivery.version}"

    @property
    def prefix(self) -> str:
        """What makes names of mutations unique: stage and version."""
        return f"{self.stage.target}-{self.delivery.version}"

    def change(self, change: Callable[[Delivery], None], *entries: AuditEntry) -> None:
        """Write entries to the timeline, then the change to the record."""
        identity = self.delivery.delivery_id
        head = self.context.audit.append(identity, entries) if entries else None

        def apply(fresh: Delivery) -> None:
            change(fresh)
            if head is not None and head.count > fresh.audit_count:
                fresh.audit_count, fresh.audit_head = head.count, head.hash

        self.delivery = self.context.deliveries.change(identity, apply, held=True)

    def entry(  # noqa: PLR0913 - one keyword per column of the timeline
        self,
        action: Action,
        words: str,
        key: str = "",
        *,
        result: str = "",
        reason: str = "",
        details: Json | None = None,
        actor: str = "lakemend",
    ) -> AuditEntry:
        """An audit entry about the present stage."""
        target = f"{self.stage.workspace}/{self.stage.pipeline_name}"
        return self.context.entry(
            action,
            words,
            key,
            target=target,
            result=result,
            reason=reason,
            details=details,
            actor=actor,
        )

    # Gates

    def enter(self, name: GateName) -> Gate:
        """The gate's passage that is on; begun, if it is not.

        Raises:
            GateFailed: it had found what fails it when it stopped.
        """
        gate = self.delivery.gate
        if gate is not None and gate.state is GateState.RUNNING and gate.name is name:
            _refuse(gate.checks)
            return gate
        now, target, version = self.now, self.stage.target, self.delivery.version
        number = len(self.delivery.gates)
        fresh_gate = Gate(name, target, version, GateState.RUNNING, now)

        def begin(fresh: Delivery) -> None:
            fresh.state = DeliveryState.RUNNING
            if len(fresh.gates) == number:
                fresh.gates.append(fresh_gate)

        words = f"{name.value} begins in {target}"
        self.change(begin, self.entry(Action.GATE_STARTED, words, f"gate-{number}-begins"))
        return self.delivery.gates[number]

    def phase(self, phase: str, checks: list[Check]) -> None:
        """Note how far the gate has come, with what it looked at."""
        redact = self.context.redactor.text
        kept = [Check(c.name, c.ok, redact(c.note)[:_LONGEST_NOTE]) for c in bounded(checks)]

        def note(fresh: Delivery) -> None:
            fresh.gates[-1].phase = phase
            fresh.gates[-1].checks += kept

        self.change(note)

    def leave(self, state: GateState, note: str, then: str) -> None:
        """End the gate and say which step is next."""
        number, now = len(self.delivery.gates) - 1, self.now
        gate = self.delivery.gates[number]
        action = Action.GATE_PASSED if state is not GateState.FAILED else Action.GATE_FAILED
        words = f"{gate.name.value} {state.value} in {gate.target}: {note}"
        checks = [msgspec.to_builtins(check) for check in gate.checks]

        def end(fresh: Delivery) -> None:
            ended = fresh.gates[number]
            ended.state, ended.note, ended.ended_at = state, note, now
            go_to(fresh, then, now)

        entry = self.entry(
            action,
            words,
            f"gate-{number}-{state.value}",
            result=state.value,
            details={"checks": checks},
        )
        self.change(end, entry)

    def require(self, checks: list[Check], phase: str) -> None:
        """Keep what was looked at, and that the gate has come so far; what is wrong fails it."""
        self.phase(phase, checks)
        _refuse(checks)

    # Time

    def due(self, minutes: float) -> datetime:
        """The end of a time that began with the present step."""
        return (self.delivery.step_since or self.now) + timedelta(minutes=minutes)


def _refuse(checks: list[Check]) -> None:
    wrong = [f"{check.name}: {check.note}" for check in checks if check.ok is False]
    if wrong:
        raise GateFailed("; ".join(wrong))


def bounded(checks: list[Check]) -> list[Check]:
    """All that is wrong first, and no more than a record holds."""
    ordered = sorted(checks, key=lambda check: check.ok is not False)
    if len(ordered) <= _MOST_CHECKS:
        return checks
    left = len(ordered) - _MOST_CHECKS
    return [*ordered[:_MOST_CHECKS], Check("others", ok=None, note=f"{left} more are not listed")]


def go_to(delivery: Delivery, step: str, now: datetime) -> None:
    """Make `step` the next one; its time begins now."""
    if delivery.step != step:
        delivery.step, delivery.step_since = step, now
    delivery.waiting_for = ""

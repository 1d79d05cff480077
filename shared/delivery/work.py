"""What all steps of a delivery share: the record, its gates, and mutations that are made once.

Steps are written as straight lines. They leave by raising: `Later` to come back after a pause,
`GateFailed` when the gate cannot be passed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from shared.clock import iso
from shared.delivery_models import (
    Check,
    Delivery,
    DeliveryIntent,
    DeliveryPlan,
    DeliveryState,
    Gate,
    GateName,
    GateState,
    Stage,
)
from shared.errors import (
    ChangeInDoubt,
    NothingChanged,
    PlatformThrottled,
    PlatformUnavailable,
)
from shared.healing.context import Context
from shared.models import AuditEntry, Json
from shared.platforms.databricks import WorkspaceApi
from shared.platforms.deployments import Deployments
from shared.vocabulary import Action

_MOST_CHECKS, _LONGEST_NOTE = 200, 1000
_MAX_ACTS = 3  # of one mutation: refusals for now, and doubts resolved to "no"


class Later(Exception):
    """The step goes on after a pause; `why` is shown to people."""

    def __init__(self, seconds: float, why: str = "") -> None:
        super().__init__(why)
        self.seconds = seconds
        self.why = why


class GateFailed(Exception):
    """The gate is not passed; the text says why."""


class Mutation(msgspec.Struct, frozen=True):
    """One change of the platform.

    `name` is unique in the delivery. `look` says what the change has made, None if it is not there;
    without it the change may be made again at any time with the same result. `before` is what has
    to be remembered of the time before it.
    """

    name: str
    words: str
    act: Callable[[], Json]
    look: Callable[[Json], Json | None] | None = None
    before: Callable[[], Json] | None = None


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

        self.delivery = self.context.deliveries.change(identity, apply)

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
        """The gate's passage that is on; begun, if it is not."""
        gate = self.delivery.gate
        if gate is not None and gate.state is GateState.RUNNING and gate.name is name:
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
        wrong = [f"{check.name}: {check.note}" for check in checks if check.ok is False]
        if wrong:
            raise GateFailed("; ".join(wrong))

    # Mutations

    def once(self, mutation: Mutation) -> Json:
        """Make a mutation, as nearly exactly once as the platform allows; what it has made.

        Raises:
            Later: it is not known yet whether it was made, or nothing may be done now.
            NothingChanged: the platform refused it.
            GateFailed: it cannot be told whether it was made.
        """
        intent = self.delivery.intents.get(mutation.name)
        if intent is not None and intent.made:
            return intent.memo
        self._hold()
        if intent is None or intent.outcome == "refused" or mutation.look is None:
            return self._act(mutation, intent)
        found = mutation.look(intent.memo)
        if found is not None:
            return self._made(mutation, {**intent.memo, **found}, "found")
        timings = self.context.timings
        if intent.looks + 1 < timings.doubt_looks:
            self._set(mutation.name, intent.outcome, looks=intent.looks + 1)
            raise Later(timings.doubt_interval, f"looking whether it was done: {mutation.words}")
        return self._act(mutation, intent)

    def _hold(self) -> None:
        paused = self.context.paused()
        if paused:
            raise Later(self.context.timings.hold_interval, f"automation is stopped: {paused}")

    def _act(self, mutation: Mutation, seen: DeliveryIntent | None) -> Json:
        if seen is not None and seen.tries >= _MAX_ACTS and mutation.look is not None:
            raise GateFailed(f"it cannot be told whether it was done: {mutation.words}")
        memo = dict(seen.memo) if seen else dict(mutation.before() if mutation.before else {})
        if not self._intend(mutation, seen, memo):
            raise Later(self.context.timings.doubt_interval, mutation.words)
        try:
            made = mutation.act()
        except ChangeInDoubt as error:
            self._set(mutation.name, "doubt")
            raise Later(self.context.timings.doubt_interval, str(error)) from None
        except NothingChanged as error:
            self._refused(mutation, error)
            raise
        return self._made(mutation, {**memo, **made}, "taken")

    def _refused(self, mutation: Mutation, error: NothingChanged) -> None:
        """The platform said no: perhaps only for now, perhaps because it is done already."""
        tries = self.delivery.intents[mutation.name].tries
        self._set(mutation.name, "refused")
        passing = isinstance(error, PlatformThrottled | PlatformUnavailable)
        if passing and tries < _MAX_ACTS:
            wait = error.retry_after if isinstance(error, PlatformThrottled) else None
            raise Later(wait or self.context.timings.doubt_interval, str(error))
        words = f"The platform refused: {mutation.words}. {error}"
        entry = self.entry(Action.ACTION_REFUSED, words, f"{mutation.name}-refused-{tries}")
        self.change(lambda _: None, entry)

    def _intend(self, mutation: Mutation, seen: DeliveryIntent | None, memo: Json) -> bool:
        """Write the intent before the call; False if another copy of the activity was faster."""
        now, won = self.now, False

        def intend(fresh: Delivery) -> None:
            nonlocal won
            won = fresh.intents.get(mutation.name) == seen
            if not won:
                return
            tries = seen.tries + 1 if seen else 1
            intent = DeliveryIntent(now, mutation.words, memo=memo, tries=tries)
            fresh.intents[mutation.name] = intent

        words = f"About to {mutation.words}"
        entry = self.entry(Action.INTENDED, words, f"{mutation.name}-intended", details=memo)
        self.change(intend, *([entry] if seen is None else []))
        return won

    def _made(self, mutation: Mutation, memo: Json, outcome: str) -> Json:
        action = Action.ACTION_TAKEN if outcome == "taken" else Action.ACTION_FOUND
        words = f"Done: {mutation.words}" + (" (found already done)" * (outcome == "found"))
        key = f"{mutation.name}-made"
        entry = self.entry(action, words, key, result=outcome, details=memo)

        def note(fresh: Delivery) -> None:
            intent = fresh.intents[mutation.name]
            intent.outcome, intent.memo = outcome, memo

        self.change(note, entry)
        return memo

    def _set(self, name: str, outcome: str, looks: int = 0) -> None:
        def note(fresh: Delivery) -> None:
            intent = fresh.intents[name]
            if not intent.made:
                intent.outcome, intent.looks = outcome, looks

        self.change(note)

    # Time

    def due(self, minutes: float) -> datetime:
        """The end of a time that began with the present step."""
        return (self.delivery.step_since or self.now) + timedelta(minutes=minutes)

    def moment(self) -> str:
        """Now, as the platform writes it."""
        return iso(self.now)


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

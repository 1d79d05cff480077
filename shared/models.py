"""What is handed between the parts: alerts, failures, evidence, diagnoses, attempts, incidents.

All are plain structs with a JSON form; the ledger stores that form.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from shared.clock import from_millis, iso
from shared.vocabulary import (
    ComputeKind,
    Condition,
    DecisionKind,
    Disposition,
    FailureKind,
    IncidentState,
    Reason,
    RunState,
    Verdict,
)

Json = dict[str, Any]


class Subject(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that an alert names, before the platform was asked.

    `run_id` may be empty: a metric alert names a factory and a window of time only.
    """

    kind: FailureKind
    target: str
    run_id: str = ""
    pipeline: str = ""
    cluster_id: str = ""
    cluster_name: str = ""
    task_run: bool = False  # run_id is a task's run, its job run is not known
    library: str = ""
    window_start: datetime | None = None
    window_end: datetime | None = None
    expected: int = 0  # how many failures the alert counted, 0 when it did not
    code: str = ""
    message: str = ""


class Alert(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message from outside, normalised.

    `fingerprint` is equal for two deliveries of the same alert; `dated` tells whether it holds
    the time of firing (a Databricks notification does not).
    """

    fingerprint: str
    dialect: str
    rule: str
    condition: Condition
    subjects: tuple[Subject, ...] = ()
    severity: str = ""
    fired_at: datetime | None = None
    dated: bool = True
    disposition: Disposition = Disposition.ACCEPTED
    reason: str = ""  # why it was ignored or refused
    traceparent: str = ""  # the span that took it in: what is done about it continues that trace


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One failed thing and which time it failed.

    `resource` is what it is called on the platform: pipeline name, job id, cluster id, pipeline
    id. `occurrence` is which time: run id, update id, termination time.
    """

    kind: FailureKind
    target: str
    resource: str
    occurrence: str
    name: str = ""
    group: str = ""  # stays the same across our own reruns: the ADF run group, the job run
    library: str = ""

    @property
    def key(self) -> str:
        """Identity of this failure."""
        return f"{self.kind}|{self.target}|{self.resource}|{self.occurrence}|{self.library}"

    @property
    def root_key(self) -> str:
        """Identity of the line of reruns that it belongs to."""
        line = self.group or self.occurrence
        return f"{self.kind}|{self.target}|{self.resource}|{line}|{self.library}"

    @property
    def label(self) -> str:
        """What a person would call it."""
        if self.kind in {FailureKind.CLUSTER, FailureKind.LIBRARY}:
            ended = iso(from_millis(int(self.occurrence))) if self.occurrence.isdigit() else "now"
            what = f" {_library_name(self.library)} on" if self.library else ""
            return f"{self.kind.value}{what} {self.name or self.resource} (as of {ended})"
        if self.kind is FailureKind.PROPOSAL:
            return f"change of {self.resource}"
        return f"{self.kind.replace('_', ' ')} {self.name or self.resource} ({self.occurrence})"


def _library_name(library: str) -> str:
    content: Any = next(iter(msgspec.json.decode(library).values()), "")
    if isinstance(content, dict):
        content = content.get("package") or content.get("coordinates") or ""
    return str(content)


class EvidenceLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that the platform said. Root causes come before symptoms."""

    source: str
    code: str = ""
    message: str = ""
    kind: str = ""  # the platform's own class: failureType, termination type, SQLSTATE


class ClusterFacts(msgspec.Struct, omit_defaults=True):
    """What matters of a cluster; times in epoch milliseconds, as the platform counts."""

    cluster_id: str
    name: str = ""
    state: str = ""
    source: str = ""
    workers: int | None = None
    min_workers: int | None = None
    max_workers: int | None = None
    node_type: str = ""
    driver_type: str = ""
    terminated_time: int = 0
    restarted_time: int = 0
    code: str = ""
    code_type: str = ""
    message: str = ""

    @property
    def compute(self) -> ComputeKind:
        """Whether people and jobs share it, or a job made it for one run."""
        return ComputeKind.JOB_CLUSTER if self.source == "JOB" else ComputeKind.ALL_PURPOSE


class TaskFacts(msgspec.Struct, omit_defaults=True):
    """What matters of one failed task of a job run."""

    task_key: str
    run_id: str
    compute: ComputeKind
    cluster_id: str = ""
    job_cluster_key: str = ""
    update_id: str = ""
    pipeline_id: str = ""


class Evidence(msgspec.Struct, omit_defaults=True):
    """What the platform says about a failure now.

    `run_id` is the run to look at: the newest of the line of reruns. `baseline` holds what was
    there before us, so that our own doing can be told apart later.
    """

    state: RunState
    run_id: str = ""
    lines: list[EvidenceLine] = []
    retry_after: float | None = None
    platform_retrying: bool = False
    job_id: str = ""
    pipeline: str = ""
    trigger: str = ""
    trigger_run_id: str = ""
    repair_ids: list[str] = []
    tasks: list[TaskFacts] = []
    clusters: list[ClusterFacts] = []
    workspace: str = ""  # where the clusters are, if not in the failure's own target
    runs: list[str] = []
    one_time_run: bool = False
    parameters: dict[str, str] = {}
    activity_runs: int = 0  # of a pipeline run, those of its children too
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def compute(self) -> ComputeKind:
        """The compute of the failed work: the first failed task's."""
        if self.tasks:
            return self.tasks[0].compute
        return self.clusters[0].compute if self.clusters else ComputeKind.NONE


class Diagnosis(msgspec.Struct, frozen=True, omit_defaults=True):
    """What it is. `confidence` runs from 0 to 1; `rule` names the rule that decided."""

    error_type: str
    category: str
    transient: bool | None
    confidence: float
    rule: str
    because: str
    lines: tuple[EvidenceLine, ...] = ()
    prefer: str = ""  # the remedy that fits best
    hands_off: bool = False  # for a person, whatever the type


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """What policy lets us do now, and why."""

    kind: DecisionKind
    reason: Reason
    remedy: str = ""
    delay: float = 0.0  # seconds of backoff before the remedy, or until looking again
    note: str = ""
    would: str = ""  # act, ask or observe: what the permits say where the mode only observes


class Question(msgspec.Struct, omit_defaults=True):
    """A decision that a person is asked for, bound to exactly the action that was shown.

    `action` is a digest of what would be done; `answered_by` is empty until somebody answers.
    """

    question_id: str
    action: str
    remedy: str
    summary: str
    why: str
    asked_at: datetime
    expires_at: datetime
    cost_usd: float = 0.0
    otherwise: str = ""  # what happens if nobody answers
    approved: bool = False
    answered_by: str = ""
    answered_at: datetime | None = None
    note: str = ""  # what who answered has added
    used: bool = False  # its action was begun


class Intent(msgspec.Struct, omit_defaults=True):
    """One mutation: written before it is made, completed after."""

    phase: str
    at: datetime
    outcome: str = ""  # taken, found, refused, doubt; empty: we do not know yet
    looks: int = 0  # looks for it while in doubt
    tries: int = 1


class Attempt(msgspec.Struct, omit_defaults=True):
    """One try of one remedy: its phases in order, what it remembers, how it ended."""

    number: int
    error_type: str
    remedy: str
    phases: list[str]
    started_at: datetime
    summary: str = ""
    locks: list[str] = []
    memo: Json = {}
    position: int = 0
    intents: list[Intent] = []
    phase_started_at: datetime | None = None
    looks: int = 0  # looks at the present phase
    verdict: Verdict | None = None
    verdict_note: str = ""
    ended_at: datetime | None = None
    cost_usd: float = 0.0  # estimated, reserved from the day's budget
    approved_by: str = ""

    @property
    def phase(self) -> str:
        """The phase that is on now."""
        return self.phases[self.position]

    @property
    def intent(self) -> Intent | None:
        """The intent of the present phase, if it was written."""
        return next((i for i in self.intents if i.phase == self.phase), None)


class Loan(msgspec.Struct, omit_defaults=True):
    """Something changed for a remedy that goes back when the incident closes."""

    what: str  # the phase that gives it back
    memo: Json
    summary: str
    locks: list[str] = []
    settled: bool = False
    note: str = ""  # why it could not be given back
    tries: int = 0
    looks: int = 0


class Incident(msgspec.Struct, omit_defaults=True):
    """The life of one failure, from first alert to closed."""

    incident_id: str
    state: IncidentState
    failure: Failure
    opened_at: datetime
    updated_at: datetime
    owner: str
    closed_at: datetime | None = None
    members: list[Failure] = []
    aliases: list[str] = []
    alerts: list[str] = []
    hints: list[EvidenceLine] = []
    run_id: str = ""  # the run that is followed now
    diagnosis: Diagnosis | None = None
    decision: Decision | None = None
    planned: str = ""  # the remedy that waits for its backoff to pass
    planned_for: datetime | None = None
    attempts: list[Attempt] = []
    loans: list[Loan] = []
    question: Question | None = None  # the newest one
    environment: str = ""
    mode: str = ""  # that it was decided in last
    usual_seconds: float | None = None  # how long the same work takes when all is well
    tags: dict[str, str] | None = None  # of the work on its platform, as last seen
    storm: str = ""  # the incident of the storm that it belongs to
    storm_kind: str = ""  # the error type of that storm
    decided: str = ""  # digest of what was decided last and on what: the same is written once
    decisions: int = 0
    traceparent: str = ""  # of the alert that opened it
    failed_at: datetime | None = None  # when the work failed, as far as the platform tells
    estimate_usd: float | None = None  # of the remedy decided on last, done or not
    recovered_at: datetime | None = None  # good again, by whomever, seen after it was closed
    recovered_by: str = ""  # one of RecoveredBy
    waiting_since: datetime | None = None
    waiting_for: str = ""
    waiting_reason: str = ""
    renewals: int = 0  # how often our own token was renewed for it
    resumes: int = 0  # how often its healing was gone and taken up again
    closing: IncidentState | None = None  # what it becomes once everything borrowed is back
    outcome: str = ""
    guidance: list[str] = []
    audit_count: int = 0
    audit_head: str = ""

    @property
    def lent_locks(self) -> frozenset[str]:
        """Locks on what is borrowed and not yet given back."""
        return frozenset(n for loan in self.loans if not loan.settled for n in loan.locks)

    @property
    def over(self) -> bool:
        """Whether it is closed or about to be: nothing more is remediated."""
        return self.state.closed or self.closing is not None

    @property
    def attempt(self) -> Attempt | None:
        """The attempt under way, None between attempts."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.verdict is None else None


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of the timeline: who did what to which thing, when, why, with what result."""

    at: datetime
    actor: str
    action: str
    summary: str
    key: str = ""  # equal for two writings of the same entry: the second is dropped
    target: str = ""
    reason: str = ""
    result: str = ""
    details: Json = {}
    sequence: int = 0
    previous: str = ""
    hash: str = ""

"""A delivery: one pipeline taken from its source to green and promoted, gate by gate.

Plain structs with a JSON form, like `shared.models`; the ledger stores that form.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from shared.models import Json


class DeliveryState(StrEnum):
    """Where in its life a delivery is."""

    RECEIVED = "received"
    RUNNING = "running"
    ROLLING_BACK = "rolling_back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"  # a gate failed, and everything is as it was
    CANCELLED = "cancelled"  # somebody stopped it, and everything is as it was
    FAILED = "failed"  # a person is needed: what is left is named

    @property
    def closed(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in _CLOSED


_CLOSED = frozenset(
    {
        DeliveryState.SUCCEEDED,
        DeliveryState.ROLLED_BACK,
        DeliveryState.CANCELLED,
        DeliveryState.FAILED,
    }
)


class GateName(StrEnum):
    """The gates, in order."""

    L1 = "L1 configuration"
    L2 = "L2 deployment"
    L3 = "L3 execution"
    L4 = "L4 data quality"


class GateState(StrEnum):
    """How a gate stands."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the data has to keep. Rates run from 0 to 1."""

    min_pass_rate: float = 0.95  # of each expectation, over the records that it looked at
    expectations: dict[str, float] = {}  # another rate for the named ones
    min_rows: dict[str, int] = {}  # by table, of the update
    min_table_rows: int = 0  # in each silver table
    max_quarantined: float | None = None  # share of a source's rows that is set aside
    max_age_hours: float | None = None  # since a table was last written
    warehouse: str = ""  # SQL warehouse that reads one row of every table


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who may do something with the pipeline."""

    principal: str
    level: str = "CAN_VIEW"
    kind: str = "group"


class Promotion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where it goes once it is green."""

    target: str
    workspace: str = ""


class DeliveryPlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked for, without the source."""

    name: str
    target: str
    source: str  # specification, bundle or pipeline
    pipeline_id: str = ""
    workspace: str = ""
    promote: Promotion | None = None
    retry_attempts: int = 3
    timeout_minutes: float = 30.0
    deploy_timeout_minutes: float = 15.0
    settle_seconds: float = 120.0
    notify: tuple[str, ...] = ()
    rollback: str = "previous"
    quality: Thresholds = Thresholds()
    expected_tables: tuple[str, ...] = ()
    refreshable_tables: tuple[str, ...] = ()
    access: tuple[Access, ...] = ()
    check_tasks: tuple[str, ...] = ()  # of the jobs, run once when the update is green
    keep_versions: int = 3  # folders of sources that stay in the workspace, by target
    root: str = ""
    commit: str = ""
    clean: bool | None = None


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that a gate looked at. `ok` is None for what is only worth knowing."""

    name: str
    ok: bool | None
    note: str = ""


class Gate(msgspec.Struct, omit_defaults=True):
    """One passage through one gate."""

    name: GateName
    target: str
    version: int
    state: GateState
    started_at: datetime
    ended_at: datetime | None = None
    phase: str = ""  # how far it has come
    note: str = ""
    checks: list[Check] = []


class DeliveryIntent(msgspec.Struct, omit_defaults=True):
    """One mutation: written before it is made, completed after."""

    at: datetime
    words: str
    outcome: str = ""  # taken, found, refused, doubt; empty: we do not know yet
    memo: Json = {}
    looks: int = 0
    tries: int = 1

    @property
    def made(self) -> bool:
        """Whether it is known to have been made."""
        return self.outcome in {"taken", "found"}


class Flow(msgspec.Struct, omit_defaults=True):
    """What the event log tells of one flow of an update."""

    status: str = ""
    rows: int = 0
    dropped: int = 0
    seconds: float = 0.0
    expectations: dict[str, tuple[int, int]] = {}  # passed and failed records by name

    @property
    def rate(self) -> float:
        """Rows per second, 0 where nothing can be said."""
        return round(self.rows / self.seconds, 1) if self.seconds > 0 else 0.0


class Run(msgspec.Struct, omit_defaults=True):
    """One update that the execution gate follows."""

    number: int
    update_id: str = ""
    state: str = ""
    not_before: datetime | None = None
    started_at: datetime | None = None
    created_at: datetime | None = None  # by the platform's clock
    running_since: datetime | None = None
    wrong_since: datetime | None = None  # a continuous one: it has had an error
    ended_at: datetime | None = None
    reset: list[str] = []
    full: list[str] = []
    flows: dict[str, Flow] = {}


class CheckRun(msgspec.Struct, omit_defaults=True):
    """One run of a job's quality checks."""

    key: str  # the bundle's key of the job
    number: int
    run_id: str = ""
    not_before: datetime | None = None
    result: str = ""  # empty while it is not over


class Snapshot(msgspec.Struct, omit_defaults=True):
    """What was there before."""

    pipeline: Json
    last_modified: int
    jobs: dict[str, Json] = {}  # settings by the bundle's key of the job


class Stage(msgspec.Struct, omit_defaults=True):
    """The delivery in one target."""

    target: str
    workspace: str
    pipeline_name: str
    pipeline_id: str = ""
    previous: Snapshot | None = None
    looked: bool = False  # whether `previous` says what was there
    catalog: str = ""
    schema: str = ""
    tables: list[str] = []
    jobs: dict[str, int] = {}
    deployed: str = ""  # version and digest of the pipeline's settings as we left them
    left: dict[str, int] = {}  # jobs of the version before that this one no longer holds
    folders: list[str] = []
    check_runs: list[CheckRun] = []
    runs: list[Run] = []
    healed: int = 0  # healings of this stage
    deadline: datetime | None = None  # of the execution gate
    delivered_at: datetime | None = None
    rolled_back_at: datetime | None = None
    rollback_note: str = ""

    @property
    def run(self) -> Run | None:
        """The update that is followed now."""
        return self.runs[-1] if self.runs else None


class Finding(msgspec.Struct, omit_defaults=True):
    """One failure that was found, and what became of it."""

    at: datetime
    gate: str
    target: str
    category: str  # data quality, resource, network, configuration
    error_type: str
    root_cause: str
    where: str = ""
    tried: str = ""
    resolved: bool = False
    guidance: list[str] = []


class CancelRequest(msgspec.Struct, frozen=True):
    """Somebody wants it stopped, or taken back after it had succeeded."""

    by: str
    at: datetime
    why: str = ""


class Delivery(msgspec.Struct, omit_defaults=True):
    """The life of one delivery."""

    delivery_id: str
    state: DeliveryState
    plan: DeliveryPlan
    opened_at: datetime
    updated_at: datetime
    by: str
    step: str = "deliver_check"  # the activity that is next
    step_since: datetime | None = None
    version: int = 1
    stage_number: int = 0
    stages: list[Stage] = []
    gates: list[Gate] = []
    intents: dict[str, DeliveryIntent] = {}
    findings: list[Finding] = []
    notes: list[str] = []  # what did not fail it, and is left for a person
    changes: list[str] = []  # what was changed in the specification, and why
    cancel: CancelRequest | None = None
    failure: str = ""  # why it is rolled back
    outcome: str = ""
    next_steps: list[str] = []
    waiting_for: str = ""
    not_before: datetime | None = None  # the platform asked for a pause until then
    resumes: int = 0
    closed_at: datetime | None = None
    audit_count: int = 0
    audit_head: str = ""

    @property
    def stage(self) -> Stage:
        """The stage that is on now."""
        return self.stages[self.stage_number]

    @property
    def gate(self) -> Gate | None:
        """The newest gate."""
        return self.gates[-1] if self.gates else None

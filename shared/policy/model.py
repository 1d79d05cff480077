"""Policy as data: what may be done where, how often, at what cost, and when a person is asked.

Every span of time is in seconds here; in the file it is a number of seconds or a text such as
`90s`, `15m`, `4h`, `7d`. What the file leaves out has the default that stands here. The ranges that
the types carry hold for the file; `shared.policy.loader` checks what no type can say.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from shared.vocabulary import Mode

DAY = 86_400.0
SPAN = {"span": True}  # marks the numbers that may stand as `15m` in the file
_SPAN_SCHEMA = {"pattern": r"^[0-9]+(\.[0-9]+)? ?[smhd]$"}
_CAUTIOUS_SCHEMA = {"enum": ["ask", "observe"]}

# At most 31 days: what is longer is a mistake in the unit.
Span = Annotated[
    float, msgspec.Meta(ge=0.0, le=31 * DAY, extra=SPAN, extra_json_schema=_SPAN_SCHEMA)
]
SomeSpan = Annotated[
    float, msgspec.Meta(gt=0.0, le=31 * DAY, extra=SPAN, extra_json_schema=_SPAN_SCHEMA)
]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
CountFromZero = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
# All acts of the last hour stand in one row of the ledger: see shared.policy.limits.
PerHour = Annotated[int, msgspec.Meta(ge=0, le=2_000)]
PerHourAndTarget = Annotated[int, msgspec.Meta(ge=0, le=500)]
Ceiling = Annotated[int, msgspec.Meta(ge=0, le=50)]  # as AUTO_REMEDIATION_MAX_RETRIES
Repeats = Annotated[int, msgspec.Meta(ge=2, le=10_000)]
Percent = Annotated[float, msgspec.Meta(ge=0.0, le=100.0)]
Usd = Annotated[float, msgspec.Meta(ge=0.0, le=1_000_000.0)]
Moment = Annotated[datetime, msgspec.Meta(tz=True, extra={"words": "date and time with offset"})]
Weekday = Annotated[
    Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    msgspec.Meta(extra={"words": "`mon` to `sun`"}),
]
ClockTime = Annotated[
    str,
    msgspec.Meta(
        extra={"words": "local time as HH:MM"},
        extra_json_schema={"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"},
    ),
]


class Permit(StrEnum):
    """What a mode allows for a risk or an error type."""

    ACT = "act"
    ASK = "ask"
    OBSERVE = "observe"


# Pilot asks at most; the loader refuses more, the schema says so to an editor.
CautiousPermit = Annotated[
    Permit, msgspec.Meta(extra={"words": "`ask`, `observe`"}, extra_json_schema=_CAUTIOUS_SCHEMA)
]


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which work is meant. Patterns are shell-style (`pl_*`), compared without regard to case.

    All fields that are given must match; a list matches if one of its patterns does. `pipelines`,
    `jobs` and `clusters` are for work of that kind: where one of them is given, work of another
    kind matches only if its own is given too. `tags` are those of the target and of the job or
    cluster; a value is a pattern too.
    """

    targets: tuple[str, ...] = ()  # names of factories and workspaces
    environments: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()  # Data Factory pipelines, DLT pipelines, by name or id
    jobs: tuple[str, ...] = ()  # Databricks jobs, by name or id
    clusters: tuple[str, ...] = ()  # by name or id
    tags: dict[str, str] = {}


class Scoping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is looked after: all that `include` matches and `exclude` does not.

    An empty `include` matches everything.
    """

    include: tuple[Selector, ...] = ()
    exclude: tuple[Selector, ...] = ()


class Rerunnable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether running this work twice does no harm. The first entry that matches decides."""

    match: Selector
    rerunnable: bool


class Permits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Act, ask or observe: by risk, then by error type, which is the stronger word."""

    low: Permit = Permit.ACT
    medium: Permit = Permit.ACT
    high: Permit = Permit.ASK
    error_types: dict[str, Permit] = {}
    undeclared: Permit = Permit.ASK  # work that nobody has declared rerunnable or not


class PilotPermits(Permits, frozen=True, forbid_unknown_fields=True):
    """The permits of pilot: what the file leaves out is asked at most, and only for low risks."""

    # All five, so that their order stays.
    low: CautiousPermit = Permit.ASK
    medium: CautiousPermit = Permit.OBSERVE
    high: CautiousPermit = Permit.OBSERVE
    error_types: dict[str, CautiousPermit] = {}
    undeclared: CautiousPermit = Permit.ASK


class ModePermits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The permits of each mode that may act.

    Pilot never does more than ask, for low risks, outside production; observe permits nothing.
    """

    pilot: PilotPermits = PilotPermits()
    production: Permits = Permits()


class Attempts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ceilings below the catalog's; the lower one wins."""

    overall: Ceiling = 5
    error_types: dict[str, Ceiling] = {}


class BlastRadius(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much may be touched within one hour."""

    actions_per_hour: PerHour = 30
    actions_per_hour_per_target: PerHourAndTarget = 6  # one pipeline, job or cluster
    percent_of_targets: Percent = 100.0  # share of the known pipelines and jobs that is acted on
    percent_from: Count = 10  # as many may be acted on whatever their share


class BreakerLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When repeated or ineffective remediation of one error type or target is stopped."""

    failures: Count = 5
    window: SomeSpan = 3600.0
    ineffective: Repeats = 3  # the same repair of the same thing that "worked" each time
    ineffective_window: SomeSpan = 14_400.0
    half_open_after: SomeSpan = 3600.0


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List prices in USD, for estimates. `dbu` and `vm` are per node and hour, by node type."""

    dbu_price: Usd = 0.55  # one DBU
    dbu_per_node_hour: Usd = 0.75  # node types that are not listed; DBUs, not USD
    vm_per_node_hour: Usd = 0.30
    node_dbu: dict[str, Usd] = {}
    node_vm: dict[str, Usd] = {}
    adf_activity_run: Usd = 0.001
    adf_integration_runtime_hour: Usd = 0.25  # one integration unit


class CostLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The daily ceiling of estimated cost (UTC days); none if it is null."""

    usd_per_day: Usd | None = None
    prices: Prices = Prices()
    assumed_run: SomeSpan = 3600.0  # seconds a run takes where no history tells


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A maintenance window: once (`start`, `end`), or each week (`days`, `from`, `to`, `timezone`).

    Alerts inside it are kept and looked at again after it.
    """

    name: str
    match: Selector = Selector()
    start: Moment | None = None
    end: Moment | None = None
    days: tuple[Weekday, ...] = ()  # the day on which it begins
    opens: ClockTime = msgspec.field(default="", name="from")  # HH:MM, local time
    closes: ClockTime = msgspec.field(default="", name="to")  # not after `from`: the next day
    timezone: str = "UTC"  # IANA name


class ApprovalTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a question waits for its answer."""

    expires: SomeSpan = 14_400.0
    look: SomeSpan = 600.0  # an answer whose event was lost is found after this


class StormTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When many failures of one kind are one incident of the platform."""

    failures: Repeats = 20
    within: SomeSpan = 600.0
    probes: tuple[SomeSpan, ...] = (300.0, 600.0, 1200.0, 2400.0)  # between two probes
    release: Count = 5  # members let go at first; doubled each time
    release_every: SomeSpan = 60.0
    gives_up: SomeSpan = 28_800.0


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a team may decide about automation."""

    mode: Mode = Mode.OBSERVE
    scope: Scoping = Scoping()
    permits: ModePermits = ModePermits()
    rerunnable: tuple[Rerunnable, ...] = ()
    attempts: Attempts = Attempts()
    cooldown: Span = 0.0  # after an action on a target, before another incident acts on it
    grace: Span = 0.0  # act only if it is still failing this long after its incident opened
    blast_radius: BlastRadius = BlastRadius()
    breaker: BreakerLimits = BreakerLimits()
    cost: CostLimits = CostLimits()
    windows: tuple[Window, ...] = ()
    approval: ApprovalTerms = ApprovalTerms()
    storm: StormTerms = StormTerms()

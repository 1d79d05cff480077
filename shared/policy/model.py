"""Policy as data: what may be done where, how often, at what cost, and when a person is asked.

Every span of time is in seconds here; in the file it is a number of seconds or a text such as
`90s`, `15m`, `4h`, `7d`. What the file leaves out has the default that stands here.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from shared.vocabulary import Mode


class Permit(StrEnum):
    """What a mode allows for a risk or an error type."""

    ACT = "act"
    ASK = "ask"
    OBSERVE = "observe"


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which work is meant. Patterns are shell-style (`pl_*`), compared without regard to case.

    All fields that are given must match; a list matches if one of its patterns does. `tags` are
    those of the target and of the job or cluster; a value is a pattern too.
    """

    targets: tuple[str, ...] = ()  # names of factories and workspaces
    environments: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()  # Data Factory pipelines, DLT pipelines
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


class ModePermits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The permits of each mode that may act.

    Pilot never does more than ask, for low risks, outside production; observe permits nothing.
    """

    pilot: Permits = Permits(Permit.ASK, Permit.OBSERVE, Permit.OBSERVE)
    production: Permits = Permits()


class Attempts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ceilings below the catalog's; the lower one wins."""

    overall: int = 5
    error_types: dict[str, int] = {}


class BlastRadius(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much may be touched within one hour."""

    actions_per_hour: int = 30
    actions_per_hour_per_target: int = 6  # one pipeline, job or cluster
    percent_of_targets: float = 100.0  # share of the known pipelines and jobs that is acted on


class BreakerLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When repeated or ineffective remediation of one error type or target is stopped."""

    failures: int = 5
    window: float = 3600.0
    ineffective: int = 3  # the same repair of the same thing that "worked" each time
    ineffective_window: float = 14_400.0
    half_open_after: float = 3600.0


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List prices in USD, for estimates. `dbu` and `vm` are per node and hour, by node type."""

    dbu_price: float = 0.55  # one DBU
    dbu_per_node_hour: float = 0.75  # node types that are not listed
    vm_per_node_hour: float = 0.30
    node_dbu: dict[str, float] = {}
    node_vm: dict[str, float] = {}
    adf_activity_run: float = 0.001
    adf_integration_runtime_hour: float = 0.25


class CostLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The daily ceiling of estimated cost (UTC days); none if it is null."""

    usd_per_day: float | None = None
    prices: Prices = Prices()
    assumed_run: float = 3600.0  # seconds a run takes where no history tells


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A maintenance window: once (`start`, `end`), or each week (`days`, `from`, `to`, `timezone`).

    Alerts inside it are kept and looked at again after it.
    """

    name: str
    match: Selector = Selector()
    start: datetime | None = None
    end: datetime | None = None
    days: tuple[str, ...] = ()  # mon tue wed thu fri sat sun: the day on which it begins
    opens: str = msgspec.field(default="", name="from")  # HH:MM, local time
    closes: str = msgspec.field(default="", name="to")  # HH:MM; not after `from`: the next day
    timezone: str = "UTC"  # IANA name


class ApprovalTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a question waits for its answer."""

    expires: float = 14_400.0
    look: float = 600.0  # an answer whose event was lost is found after this


class StormTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When many failures of one kind are one incident of the platform."""

    failures: int = 20
    within: float = 600.0
    probes: tuple[float, ...] = (300.0, 600.0, 1200.0, 2400.0)  # between two probes
    release: int = 5  # members let go at first; doubled each time
    release_every: float = 60.0
    gives_up: float = 28_800.0


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a team may decide about automation."""

    mode: Mode = Mode.OBSERVE
    scope: Scoping = Scoping()
    permits: ModePermits = ModePermits()
    rerunnable: tuple[Rerunnable, ...] = ()
    attempts: Attempts = Attempts()
    cooldown: float = 0.0  # after an action on a target, before another incident acts on it
    grace: float = 0.0  # act only if it is still failing this long after its incident opened
    blast_radius: BlastRadius = BlastRadius()
    breaker: BreakerLimits = BreakerLimits()
    cost: CostLimits = CostLimits()
    windows: tuple[Window, ...] = ()
    approval: ApprovalTerms = ApprovalTerms()
    storm: StormTerms = StormTerms()

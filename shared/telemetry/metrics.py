"""The metrics: one table, which the queries, the alert rules and docs/deploy.md are held to."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from shared.telemetry import signals


class Kind(StrEnum):
    """How values of a metric are put together."""

    COUNT = "count"  # they add up
    SPREAD = "spread"  # number, sum, least, greatest
    LEVEL = "level"  # the newest counts


class Metric(msgspec.Struct, frozen=True):
    """One metric: its name, how its values add up, their unit, its dimensions."""

    name: str
    kind: Kind
    unit: str
    dimensions: tuple[str, ...]
    meaning: str

    def record(self, value: float = 1, **dimensions: str) -> None:
        """Tell one value.

        Raises:
            ValueError: the dimensions are not those of the metric.
        """
        if set(dimensions) != set(self.dimensions):
            raise ValueError(f"{self.name}: expected the dimensions {self.dimensions}")
        signals.record(self, value, dimensions)


ALERTS = Metric(
    "lakemend.alerts",
    Kind.COUNT,
    "{alert}",
    ("dialect", "disposition"),
    "Alerts that came in; `duplicate` is the disposition of one that was stored before.",
)
HEALINGS = Metric(
    "lakemend.healings",
    Kind.COUNT,
    "{healing}",
    ("error_type", "remedy", "outcome"),
    "Incidents that were closed.",
)
RECOVERY = Metric(
    "lakemend.recovery.seconds",
    Kind.SPREAD,
    "s",
    ("error_type",),
    "From the failure to healed.",
)
ATTEMPTS = Metric(
    "lakemend.attempts",
    Kind.COUNT,
    "{attempt}",
    ("error_type", "remedy"),
    "Tries of a remedy that were begun.",
)
COST = Metric(
    "lakemend.cost.usd",
    Kind.COUNT,
    "{USD}",
    ("remedy",),
    "Estimated cost of the tries that were begun.",
)
QUEUE_AGE = Metric(
    "lakemend.queue.age.seconds",
    Kind.LEVEL,
    "s",
    (),
    "Age of the oldest alert that nothing has taken up, 0 if there is none; each minute.",
)
PLATFORM_ERRORS = Metric(
    "lakemend.platform.errors",
    Kind.COUNT,
    "{call}",
    ("platform", "status"),
    "Calls to a platform that ended with an error, each try for itself.",
)
BREAKER = Metric(
    "lakemend.breaker.open",
    Kind.LEVEL,
    "1",
    ("scope",),
    "1 for a thing or an error type whose circuit breaker is open, 0 when it is closed again.",
)
SELFTEST = Metric(
    "lakemend.selftest.seconds",
    Kind.SPREAD,
    "s",
    (),
    "How long a synthetic alert took through the whole path.",
)
HEARTBEATS = Metric(
    "lakemend.heartbeats",
    Kind.COUNT,
    "{beat}",
    (),
    "Hourly alerts of our own rule that came through Azure Monitor and its action group.",
)
SWEEPS = Metric(
    "lakemend.sweeps",
    Kind.COUNT,
    "{turn}",
    ("sweep", "outcome"),
    "Turns of the timers; the outcome is `ended`, or `failed` where it could not do its work.",
)

METRICS = (
    ALERTS,
    HEALINGS,
    RECOVERY,
    ATTEMPTS,
    COST,
    QUEUE_AGE,
    PLATFORM_ERRORS,
    BREAKER,
    SELFTEST,
    HEARTBEATS,
    SWEEPS,
)

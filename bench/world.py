"""The world of the replay: failures with messages that were really seen, and how they pass.

Assumptions, written down so that they can be argued with. Durations are log-normal, as those of
outages and runs are: most are short, some are long.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from bench.classifier import CORPUS
from shared.models import EvidenceLine

SEED = 20260101
Row = dict[str, Any]


class Kind(StrEnum):
    """How a failure passes."""

    TRANSIENT = "transient"  # by itself, after a while; a run before that fails again
    REPAIRABLE = "repairable"  # after the repair that both readers named, never by a rerun alone
    UPSTREAM = "waiting for upstream"  # when what is missing arrives
    PERMANENT = "permanent"  # by a person; both readers said: hands off
    MIXED = "mixed"  # first transient, and then something permanent comes to light
    NOT_RERUNNABLE = "transient, not rerunnable"  # a second run would double its data


MIX = {
    Kind.TRANSIENT: 0.50,
    Kind.REPAIRABLE: 0.12,
    Kind.UPSTREAM: 0.08,
    Kind.PERMANENT: 0.20,
    Kind.MIXED: 0.05,
    Kind.NOT_RERUNNABLE: 0.05,
}
_RETRIES = frozenset({"retry", "retry_with_backoff", "honor_retry_after", "repair_run"})
_REPAIRS = frozenset({"restart_cluster", "scale_up", "change_node_type", "library_fallback"})
_CLUSTER = frozenset({"restart_cluster", "scale_up", "change_node_type", "library_fallback"})
# Medians in seconds, and the spread of the logarithm.
_OUTAGE = (60.0, 1.6)  # a tenth lasts longer than 8 minutes, a hundredth longer than 40
_UPSTREAM = (1800.0, 1.0)
_RUN = (420.0, 0.8)
_FAILS_AFTER = 0.4  # of a run: failures show before its end
_PERSON = (2700.0, 0.9)  # from the call to the repair, nights included
_REPAIR = 240.0  # a cluster's start


class Failure(msgspec.Struct):
    """One scripted failure. Seconds since it failed."""

    kind: Kind
    row: Row
    later: Row  # what comes to light behind a mixed one
    passes_after: float
    run_seconds: float
    person_seconds: float
    repaired: bool = False

    @property
    def rerunnable(self) -> bool:
        """Whether its team has declared that it may run twice."""
        return self.kind is not Kind.NOT_RERUNNABLE

    @property
    def untouchable(self) -> bool:
        """Whether acting on it now would be wrong."""
        revealed = self.kind is Kind.MIXED and self.repaired
        return revealed or self.kind in {Kind.PERMANENT, Kind.NOT_RERUNNABLE}

    def line(self, _: float) -> EvidenceLine:
        """What the platform says now."""
        row = self.later if self.kind is Kind.MIXED and self.repaired else self.row
        return EvidenceLine(row["source_system"], row.get("code") or "", row["message"])

    def allows(self, action: str) -> bool:
        """Whether an action applies to the system that it failed in."""
        if action in _CLUSTER:
            return str(self.row["source_system"]).startswith("databricks")
        return action != "full_refresh" or self.row["source_system"] == "databricks_dlt"

    def upstream(self, at: float, interval: float) -> float:
        """When somebody who looks every `interval` sees that what was missing is there."""
        if self.kind is not Kind.UPSTREAM:
            return at
        looks = max(0, math.ceil((self.passes_after - at) / interval))
        return at + looks * interval

    def attempt(self, at: float, action: str) -> tuple[bool, float]:
        """An action and the run after it: whether it is good, and when the run has ended."""
        if action in _REPAIRS:
            at += _REPAIR
        good = self._good(at, action)
        return good, at + self.run_seconds * (1.0 if good else _FAILS_AFTER)

    def _good(self, at: float, action: str) -> bool:
        if self.kind is Kind.REPAIRABLE:
            wanted = {self.row["recommended_action"], self.row["second_action"]}
            self.repaired = self.repaired or action in wanted
            return self.repaired
        if self.kind is Kind.MIXED:
            self.repaired = self.repaired or at >= self.passes_after
            return False
        return self.kind is not Kind.PERMANENT and at >= self.passes_after


def scripted(count: int) -> Iterator[Failure]:
    """The same `count` failures each time, untouched."""
    random_ = random.Random(SEED)  # noqa: S311 - a repeatable choice, no secret
    rows = _rows()
    kinds = random_.choices(list(MIX), list(MIX.values()), k=count)
    for kind in kinds:
        passes = _UPSTREAM if kind is Kind.UPSTREAM else _OUTAGE
        yield Failure(
            kind=kind,
            row=random_.choice(rows[kind]),
            later=random_.choice(rows[Kind.PERMANENT]),
            passes_after=_drawn(random_, passes),
            run_seconds=_drawn(random_, _RUN),
            person_seconds=_drawn(random_, _PERSON),
        )


def _rows() -> dict[Kind, list[Row]]:
    """The corpus by the kind that both readers' labels make of a message."""
    listed = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    healed = [row for row in listed if row["agreed_heal"]]
    transient = [row for row in healed if row["recommended_action"] in _RETRIES]
    return {
        Kind.TRANSIENT: transient,
        Kind.REPAIRABLE: [row for row in healed if row["recommended_action"] in _REPAIRS],
        Kind.UPSTREAM: [row for row in healed if row["recommended_action"] == "wait_upstream"],
        Kind.PERMANENT: [row for row in listed if row["agreed_hands_off"]],
        Kind.MIXED: transient,
        Kind.NOT_RERUNNABLE: transient,
    }


def _drawn(random_: random.Random, shape: tuple[float, float]) -> float:
    return shape[0] * math.exp(random_.gauss(0.0, shape[1]))

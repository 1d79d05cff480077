"""What a benchmark gives: figures, each with its reference and its target."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from bench.machine import Machine


class Aim(StrEnum):
    """What is held against a target's limit."""

    RATIO_AT_MOST = "ratio ≤"
    RATIO_AT_LEAST = "ratio ≥"
    AT_MOST = "≤"
    AT_LEAST = "≥"


class Target(msgspec.Struct, frozen=True):
    """What a figure is to reach."""

    aim: Aim
    limit: float

    def words(self) -> str:
        """For people."""
        return f"{self.aim.value} {self.limit:,g}"


class Figure(msgspec.Struct, frozen=True):
    """One measured figure.

    Attributes:
        name: what was measured.
        value: in `unit`.
        reference: measured in the same run, in the same unit; None where there is none.
        of: what the reference is.
        target: None for a figure that is only written down.
    """

    name: str
    value: float
    unit: str
    reference: float | None = None
    of: str = ""
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """The figure as a multiple of its reference."""
        return self.value / self.reference if self.reference else None

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.target is None:
            return None
        by_ratio = self.target.aim in {Aim.RATIO_AT_MOST, Aim.RATIO_AT_LEAST}
        measured = self.ratio if by_ratio else self.value
        if measured is None:
            return False
        if self.target.aim in {Aim.RATIO_AT_MOST, Aim.AT_MOST}:
            return measured <= self.target.limit
        return measured >= self.target.limit


class Result(msgspec.Struct, frozen=True):
    """What one run of a benchmark gave."""

    name: str
    form: str
    started_at: str
    seconds: float
    machine: Machine
    figures: list[Figure]
    notes: list[str]


class Measured(msgspec.Struct, frozen=True):
    """A benchmark's own part of its result."""

    figures: list[Figure]
    notes: list[str] = []


class Options(msgspec.Struct, frozen=True):
    """How much is measured.

    Attributes:
        short: a smoke test of a few seconds whose figures say little.
        size: replaces the size that a benchmark uses by itself (incidents, alerts, failures).
        directory: for data and logs of the services that a benchmark starts.
    """

    directory: Path
    short: bool = False
    size: int | None = None

    def pick(self, usual: int, short: int) -> int:
        """The number to use: the asked one, else by the form."""
        return self.size or (short if self.short else usual)


Benchmark = Callable[[Options], Measured]

"""Rollups: closed incidents of a day, added up by error type, remedy, environment and mode. Pure.

All figures are whole numbers, so the order of adding changes nothing: computing a day again from
the same facts gives the same rows, and days are added up to any window.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from shared.reporting.facts import AttemptFact, Fact
from shared.reporting.spread import Spread
from shared.vocabulary import Verdict

Counts = dict[str, int]


class Key(msgspec.Struct, frozen=True, order=True):
    """What one row is about."""

    error_type: str
    remedy: str
    environment: str = ""
    mode: str = ""

    @property
    def row(self) -> str:
        """The row key: readable, different for different keys, with no sign storage refuses."""
        parts = (self.error_type, self.remedy, self.environment, self.mode)
        return "|".join(quote(part, safe="").replace("%", "=") for part in parts)


class Rollup(msgspec.Struct, omit_defaults=True):
    """Figures of one key.

    Incidents count under their own error type and remedy, attempts under theirs: an incident whose
    error changed has attempts in other rows.
    """

    key: Key
    states: Counts = {}
    ends: Counts = {}
    reasons: Counts = {}  # `end:reason` of the last decision
    unaided: int = 0
    healed: Spread = msgspec.field(default_factory=Spread)
    later: dict[str, Spread] = {}  # `end:recovered_by`
    needed: dict[int, int] = {}  # healed incidents by the number of attempts
    questions: Counts = {}
    estimated: int = 0  # incidents whose end is would_heal and whose cost was estimated
    estimate_micros: int = 0
    attempts: Counts = {}  # by verdict
    cost_micros: int = 0

    def take(self, fact: Fact) -> None:
        """Add an incident, without its attempts."""
        _count(self.states, fact.state)
        _count(self.ends, fact.end)
        _count(self.reasons, f"{fact.end}:{fact.reason or 'unknown'}")
        self.unaided += fact.unaided
        if fact.healed_after is not None:
            self.healed.add(fact.healed_after)
            self.needed[len(fact.attempts)] = self.needed.get(len(fact.attempts), 0) + 1
        if fact.recovered_after is not None:
            name = f"{fact.end}:{fact.recovered_by or 'unknown'}"
            self.later.setdefault(name, Spread()).add(fact.recovered_after)
        if fact.question:
            _count(self.questions, fact.question)
        if fact.end == "would_heal" and fact.estimate_micros is not None:
            self.estimated += 1
            self.estimate_micros += fact.estimate_micros

    def take_attempt(self, attempt: AttemptFact) -> None:
        """Add one attempt."""
        _count(self.attempts, attempt.verdict)
        self.cost_micros += attempt.cost_micros

    def merge(self, other: Rollup) -> None:
        """Add all figures of another row."""
        for mine, theirs in (
            (self.states, other.states),
            (self.ends, other.ends),
            (self.reasons, other.reasons),
            (self.questions, other.questions),
            (self.attempts, other.attempts),
        ):
            for name, count in theirs.items():
                _count(mine, name, count)
        for tries, count in other.needed.items():
            self.needed[tries] = self.needed.get(tries, 0) + count
        for name, spread in other.later.items():
            self.later.setdefault(name, Spread()).merge(spread)
        self.healed.merge(other.healed)
        self.unaided += other.unaided
        self.estimated += other.estimated
        self.estimate_micros += other.estimate_micros
        self.cost_micros += other.cost_micros

    @property
    def text(self) -> str:
        """JSON with its names in order: equal figures have equal texts."""
        plain = msgspec.to_builtins(self, str_keys=True)
        return msgspec.json.encode(plain, order="sorted").decode()

    @property
    def incidents(self) -> int:
        """Closed incidents."""
        return sum(self.states.values())

    @property
    def tried(self) -> int:
        """Attempts, whatever became of them."""
        return sum(self.attempts.values())

    @property
    def succeeded(self) -> int:
        """Attempts that healed."""
        return self.attempts.get(Verdict.HEALED.value, 0)

    @property
    def success_rate(self) -> float | None:
        """Share of the attempts that healed, None without attempts."""
        return self.succeeded / self.tried if self.tried else None


def rolled(facts: Iterable[Fact]) -> dict[Key, Rollup]:
    """The rows of some facts; needs memory for the rows only."""
    rows: dict[Key, Rollup] = {}
    for fact in facts:
        own = Key(fact.error_type, fact.remedy, fact.environment, fact.mode)
        _row(rows, own).take(fact)
        for attempt in fact.attempts:
            key = Key(attempt.error_type, attempt.remedy, fact.environment, fact.mode)
            _row(rows, key).take_attempt(attempt)
    return rows


def added(rows: Iterable[Rollup], key: Key) -> Rollup:
    """All rows in one, under `key`."""
    total = Rollup(key)
    for row in rows:
        total.merge(row)
    return total


def grouped(rows: Iterable[Rollup], *fields: str) -> list[Rollup]:
    """Rows added up by some fields of their keys, in the order of these; the others are empty."""
    groups: dict[Key, Rollup] = {}
    for row in rows:
        kept = {name: getattr(row.key, name) for name in fields}
        key = Key(**({"error_type": "", "remedy": ""} | kept))
        _row(groups, key).merge(row)
    return [groups[key] for key in sorted(groups)]


def _row(rows: dict[Key, Rollup], key: Key) -> Rollup:
    if key not in rows:
        rows[key] = Rollup(key)
    return rows[key]


def _count(counts: Counts, name: str, by: int = 1) -> None:
    counts[name] = counts.get(name, 0) + by

"""The metrics of a window, from rollup rows: what operators read, as JSON values or CSV. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from shared.clock import iso
from shared.ledger.rollups import Status
from shared.reporting.rollup import Key, Rollup, added, grouped
from shared.reporting.spread import ERROR, Spread
from shared.reporting.window import Window, dashed
from shared.vocabulary import IncidentState, RecoveredBy, Verdict

Report = dict[str, Any]

TARGET = 0.8  # of the attempts: above this the field calls automated repair a success
_MICROS = 1_000_000
_CLOSED = tuple(state.value for state in IncidentState if state.closed)


def report(rows: Sequence[Rollup], window: Window, status: Status | None) -> Report:
    """All metrics of a window.

    A rate or a duration of nothing is None. `as_of` is the moment until which closed incidents are
    counted, None if nothing was computed yet.
    """
    total = added(rows, Key("", ""))
    return {
        **heading(window, status),
        "totals": {**figures(total), "open": status.open if status else None},
        "by_error_type": [_named(row, "error_type") for row in grouped(rows, "error_type")],
        "by_remedy": [_named(row, "remedy") for row in grouped(rows, "remedy")],
        "time_to_recovery": {
            "healed": durations(total.healed),
            **{by.value: durations(recovered(total, by)) for by in RecoveredBy},
        },
        "attempts_before_success": _needed(total),
    }


def heading(window: Window, status: Status | None) -> Report:
    """What every report begins with."""
    return {
        "window": window.text,
        "from": dashed(window.first),
        "to": dashed(window.last),
        "as_of": iso(status.as_of) if status else None,
        "percentile_error": round(ERROR, 3),
    }


def figures(row: Rollup) -> Report:
    """The counts of one row."""
    rate = row.success_rate
    return {
        "incidents": row.incidents,
        **{state: row.states.get(state, 0) for state in _CLOSED},
        "avoided": row.unaided,
        "attempts": row.tried,
        "succeeded": row.succeeded,
        "failed": row.attempts.get(Verdict.FAILED.value, 0),
        "inconclusive": row.attempts.get(Verdict.INCONCLUSIVE.value, 0),
        "success_rate": None if rate is None else round(rate, 4),
        "meets_target": None if rate is None else rate > TARGET,
        "cost_usd": usd(row.cost_micros),
    }


def durations(spread: Spread) -> Report:
    """Count, mean and percentiles, in seconds."""
    return {
        "count": spread.count,
        "mean_seconds": _rounded(spread.mean),
        "p50_seconds": _rounded(spread.percentile(0.5)),
        "p90_seconds": _rounded(spread.percentile(0.9)),
    }


def recovered(row: Rollup, by: RecoveredBy, end: str = "") -> Spread:
    """How long others needed; of incidents with one end, or of all."""
    total = Spread()
    for name, spread in row.later.items():
        ended, _, who = name.partition(":")
        if who == by.value and end in {"", ended}:
            total.merge(spread)
    return total


def usd(micros: int) -> float:
    """Millionths of a US dollar as dollars."""
    return micros / _MICROS


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _named(row: Rollup, field: str) -> Report:
    return {field: getattr(row.key, field), **figures(row)}


def _needed(row: Rollup) -> Report:
    count = sum(row.needed.values())
    tries = sum(tries * healed for tries, healed in row.needed.items())
    return {
        "healed": count,
        "mean": round(tries / count, 2) if count else None,
        "by_attempts": {str(tries): row.needed[tries] for tries in sorted(row.needed)},
    }


def as_csv(rows: Sequence[Rollup], window: Window, status: Status | None) -> str:
    """One line per error type, remedy, environment and mode, and a last one for all together."""
    detailed = grouped(rows, "error_type", "remedy", "environment", "mode")
    lines = [_line(row, window, status) for row in detailed]
    lines.append(_line(added(rows, Key("all", "all", "all", "all")), window, status))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(lines[0])
    writer.writerows([cell(value) for value in line.values()] for line in lines)
    return text.getvalue()


def _line(row: Rollup, window: Window, status: Status | None) -> Report:
    as_of = iso(status.as_of) if status else ""
    healed = {f"healed_{k}": v for k, v in durations(row.healed).items()}
    hand = durations(recovered(row, RecoveredBy.HAND))
    return {
        "from": dashed(window.first),
        "to": dashed(window.last),
        "as_of": as_of,
        "error_type": row.key.error_type,
        "remedy": row.key.remedy,
        "environment": row.key.environment,
        "mode": row.key.mode,
        **figures(row),
        **healed,
        **{f"by_hand_{name}": value for name, value in hand.items()},
    }


# A spreadsheet takes a cell that begins so for a formula.
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full-width forms count too


def cell(value: object) -> str:
    """A value as a cell of CSV; texts that would be a formula get an apostrophe before them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    risky = isinstance(value, str) and text.lstrip(" ").startswith(_FORMULA)
    return f"'{text}" if risky else text

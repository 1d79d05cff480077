"""The rollout report: what would have been done, and how people fared without it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shared.ledger.rollups import Status
from shared.reporting.facts import WOULD_ASK, End
from shared.reporting.metrics import Report, durations, heading, recovered, usd
from shared.reporting.rollup import Key, Rollup, added, grouped
from shared.reporting.window import Window
from shared.vocabulary import RecoveredBy


def rollout(rows: Sequence[Rollup], window: Window, status: Status | None) -> Report:
    """Figures for the decision to move on from observing, of the incidents closed in a window."""
    total = added(rows, Key("", ""))
    would = total.ends.get(End.WOULD_HEAL, 0)
    return {
        **heading(window, status),
        "incidents": total.incidents,
        "by_mode": {row.key.mode or "unknown": row.incidents for row in grouped(rows, "mode")},
        "would_have_healed": {
            **_would(total),
            "share": round(would / total.incidents, 4) if total.incidents else None,
            "by_remedy": _listed(grouped(rows, "remedy"), "remedy"),
            "by_error_type": _listed(grouped(rows, "error_type"), "error_type"),
        },
        "healed": total.ends.get(End.HEALED, 0),
        "asked": {"incidents": sum(_questions(total).values()), **_questions(total)},
        "escalated": _ended(total, End.ESCALATED),
        "not_in_scope": total.ends.get(End.OUT_OF_SCOPE, 0),
        "nothing_to_do": _ended(total, End.LEFT),
        "stopped_by_somebody": total.ends.get(End.CANCELLED, 0),
    }


def _would(row: Rollup) -> Report:
    count = row.ends.get(End.WOULD_HEAL, 0)
    later = _later(row, End.WOULD_HEAL)
    seen = sum(by["count"] for by in later.values())
    return {
        "incidents": count,
        "after_asking": row.questions.get(WOULD_ASK, 0),
        "recovered_later": {**later, "not_seen": count - seen},
        "estimated_cost_usd": usd(row.estimate_micros) if row.estimated else None,
        "estimated": row.estimated,
    }


def _later(row: Rollup, end: End) -> dict[str, Report]:
    return {by.value: durations(recovered(row, by, end)) for by in RecoveredBy}


def _listed(rows: list[Rollup], field: str) -> list[Report]:
    concerned = [row for row in rows if row.ends.get(End.WOULD_HEAL)]
    return [{field: getattr(row.key, field), **_would(row)} for row in concerned]


def _ended(row: Rollup, end: End) -> Report:
    prefix = f"{end.value}:"
    reasons = {
        name.removeprefix(prefix): count
        for name, count in sorted(row.reasons.items())
        if name.startswith(prefix)
    }
    count = row.ends.get(end, 0)
    later = _later(row, end)
    seen = sum(by["count"] for by in later.values())
    return {
        "incidents": count,
        "reasons": reasons,
        "recovered_later": {**later, "not_seen": count - seen},
    }


def _questions(row: Rollup) -> dict[str, int]:
    names = ("approved", "refused", "unanswered")
    return {name: row.questions.get(name, 0) for name in names}

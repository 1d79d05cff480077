"""Computes the rollups of the days that have changed, from the facts of their closed incidents."""

from __future__ import annotations

import logging

from shared.healing.context import Context
from shared.ledger.rollups import Rollups, Status
from shared.reporting.rollup import rolled

log = logging.getLogger("lakemend.sweeps")

_DAYS = 40  # most days in one run; what is left comes with the next one
_LOCK, _LEASE = "rollup", 900.0  # seconds; a run that takes longer may be overtaken, and repeats


def roll_up(context: Context, rollups: Rollups, holder: str) -> int:
    """Compute the changed days anew; returns their number.

    May be repeated at any point: a day's rows depend on its facts alone, and its mark goes only
    when nothing has changed since it was read. A day is read page by page; what is kept in memory
    are its rows.

    Args:
        context: the parts.
        rollups: where the figures go.
        holder: who runs, different for each run: two at once would write older figures over newer.
    """
    if context.locks.acquire([_LOCK], holder, _LEASE):
        return 0
    try:
        return _roll_up(context, rollups)
    finally:
        context.locks.release([_LOCK], holder)


def _roll_up(context: Context, rollups: Rollups) -> int:
    started = context.clock.now()
    changes = context.incidents.closed.changed(_DAYS + 1)
    for change in changes[:_DAYS]:
        rows = rolled(context.incidents.closed.facts(change.day))
        rollups.write(change.day, rows)
        if not context.incidents.closed.settle(change):
            log.info("day %s has changed meanwhile and is computed again", change.day)
    if len(changes) <= _DAYS:
        count = sum(1 for _ in context.incidents.opened())
        rollups.note_status(Status(started, count))
    return len(changes[:_DAYS])

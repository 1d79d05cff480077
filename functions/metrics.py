"""Figures: what was healed, what it took, what observing shows; the timers that compute them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func

from functions.http import answer, caller, malformed, query_pairs, unavailable
from functions.observed import Turn, sweeping
from shared.composition import current
from shared.errors import InputError, LedgerUnavailable
from shared.vocabulary import Scope

if TYPE_CHECKING:
    from shared.ledger.rollups import Status
    from shared.reporting.rollup import Rollup
    from shared.reporting.window import Window

bp = df.Blueprint()
log = logging.getLogger("lakemend.metrics")

Figures = tuple["Sequence[Rollup]", "Window", "Status | None"]


@bp.route(route="api/metrics", methods=["GET"])
def read_metrics(req: func.HttpRequest) -> func.HttpResponse:
    """Metrics of the incidents closed in a window.

    `window` (`1d` to `92d`, default `7d`), `environment`, `format` (`json`, `csv`). Reads rollups
    only: `as_of` says until when closed incidents are counted.
    """
    known = caller(req, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    return _reported(_metrics, req)


@bp.route(route="api/rollout", methods=["GET"])
def read_rollout(req: func.HttpRequest) -> func.HttpResponse:
    """What would have been healed in a window, and how people fared without it.

    `window` (`1d` to `92d`, default `14d`), `environment`. Reads rollups only, as of `as_of`.
    """
    known = caller(req, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    return _reported(_rollout, req)


def _reported(
    report: Callable[[func.HttpRequest], func.HttpResponse], req: func.HttpRequest
) -> func.HttpResponse:
    try:
        return report(req)
    except InputError as error:
        return malformed(error)
    except LedgerUnavailable as error:
        return unavailable(error)


def _metrics(req: func.HttpRequest) -> func.HttpResponse:
    from shared.reporting.listing import single_values
    from shared.reporting.metrics import as_csv, report

    values = single_values(query_pairs(req), ("window", "environment", "format"))
    form = values.get("format", "json")
    if form not in {"json", "csv"}:
        raise InputError("format", "expected json or csv")
    found = _figures(values, "7d")
    if form == "json":
        return answer(200, report(*found))
    name = f"metrics-{found[1].first}-{found[1].last}.csv"
    return func.HttpResponse(
        as_csv(*found),
        mimetype="text/csv",
        charset="utf-8",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def _rollout(req: func.HttpRequest) -> func.HttpResponse:
    from shared.reporting.listing import single_values
    from shared.reporting.rollout import rollout

    values = single_values(query_pairs(req), ("window", "environment"))
    return answer(200, rollout(*_figures(values, "14d")))


def _figures(values: dict[str, Any], default: str) -> Figures:
    from shared.reporting.window import window_of

    composition = current()
    window = window_of(values.get("window", default), composition.clock.now())
    rows = composition.rollups.between(window.first, window.last)
    wanted = values.get("environment")
    kept = [row for row in rows if wanted is None or row.key.environment == wanted]
    return kept, window, composition.rollups.status()


@bp.timer_trigger(schedule="15 */5 * * * *", arg_name="timer", run_on_startup=False)
async def rollup_sweep(timer: func.TimerRequest) -> None:
    """Every five minutes: compute the figures of the days that have changed."""
    del timer
    with sweeping("rollup_sweep") as turn:
        await _roll_up(turn)


async def _roll_up(turn: Turn) -> None:
    from shared.monitoring.rollup import roll_up

    try:
        composition = current()
        holder = f"rollup-{uuid.uuid4().hex}"
        days = await asyncio.to_thread(
            lambda: roll_up(composition.context, composition.rollups, holder)
        )
    except LedgerUnavailable:
        turn.failed = True
        log.warning("storage does not answer; the rollups are computed in five minutes")
        return
    if days:
        log.info("computed the rollups of %s days", days)


@bp.timer_trigger(schedule="45 */15 * * * *", arg_name="timer", run_on_startup=False)
async def recovery_sweep(timer: func.TimerRequest) -> None:
    """Every 15 minutes: look whether what we did not heal has become good."""
    del timer
    with sweeping("recovery_sweep") as turn:
        await _follow_up(turn)


async def _follow_up(turn: Turn) -> None:
    from shared.monitoring.recovery import follow_up

    try:
        recovered = await asyncio.to_thread(lambda: follow_up(current().context))
    except LedgerUnavailable:
        turn.failed = True
        log.warning("storage does not answer; recoveries are looked for in 15 minutes")
    except Exception:  # nobody waits for it, and the host must not count it as its own trouble
        turn.failed = True
        log.exception("the recovery sweep ended early")
    else:
        log.info("%s incidents have recovered since they were closed", recovered)

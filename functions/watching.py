"""Timers that look for what will fail: by the hour ceilings, by night readiness and use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import azure.durable_functions as df
import azure.functions as func

from functions.observed import sweeping
from shared.composition import current
from shared.errors import LedgerUnavailable, NothingChanged

if TYPE_CHECKING:
    from shared.monitoring.noting import Look
    from shared.targets import Workspace

bp = df.Blueprint()
log = logging.getLogger("lakemend.sweeps")


@bp.timer_trigger(schedule="0 40 * * * *", arg_name="timer", run_on_startup=False)
async def ceilings_sweep(timer: func.TimerRequest) -> None:
    """Every hour: credentials that expire soon, throttling, quota nearly used."""
    del timer
    with sweeping("ceilings_sweep") as turn:
        found = [await _noted("ceilings", _ceilings), await _noted("secrets", _secrets)]
        turn.failed = not all(found)
        await _asked()


@bp.timer_trigger(schedule="0 15 2 * * *", arg_name="timer", run_on_startup=False)
async def nightly_sweep(timer: func.TimerRequest) -> None:
    """Every night: readiness and drift of pipelines, what runs use and cost, how tables grow."""
    del timer
    with sweeping("nightly_sweep") as turn:
        looks = {"readiness": _readiness, "usage": _usage, "tables": _tables}
        turn.failed = not all([await _noted(what, look) for what, look in looks.items()])
        await _asked()


async def _noted(what: str, look: Callable[[], Iterable[Look]]) -> bool:
    """Take what a look finds; nobody waits for it, and the host must not count its trouble.

    Returns:
        Whether it came to its end.
    """
    try:
        new = await asyncio.to_thread(lambda: current().notes.take(look()))
    except LedgerUnavailable:
        log.warning("storage does not answer; %s: the next sweep looks again", what)
    except NothingChanged as error:
        log.warning("%s cannot be told: %s", what, current().redactor.text(str(error)))
    except Exception:
        log.exception("the sweep of %s ended early", what)
    else:
        log.info("%s: %s new findings", what, new)
        return True
    return False


async def _asked() -> None:
    """Work out what findings propose, so that whoever reads them can approve it."""
    try:
        count = await asyncio.to_thread(_ask_all)
    except LedgerUnavailable:
        log.warning("storage does not answer; proposals are worked out in an hour")
    except Exception:
        log.exception("working out what findings propose ended early")
    else:
        log.info("%s proposals can be approved", count)


def _ask_all() -> int:
    return current().proposals.ask_all()


def _ceilings() -> Iterable[Look]:
    from shared.monitoring.ceilings import ceilings

    return ceilings(current().context)


def _secrets() -> Iterable[Look]:
    from shared.monitoring.secrets import Secrets

    return Secrets(current().context).looks()


def _readiness() -> Iterable[Look]:
    return current().pipelines.sweep()


def _usage() -> Iterable[Look]:
    """What the system tables tell, where a warehouse is configured to read them."""
    from shared.monitoring.usage import usage

    found = _warehouse()
    if found is None:
        return []
    api = current().context.platforms.workspace(found[0].name)
    return usage(api, found[1], current().settings.targets)


def _tables() -> Iterable[Look]:
    """The sizes of tables, by the same warehouse."""
    from shared.monitoring.tables import Tables

    found, parts = _warehouse(), current()
    if found is None:
        return []
    name = found[0].name
    api = parts.context.platforms.workspace(name)
    return Tables(parts.documents, parts.clock).look(name, api, found[1])


def _warehouse() -> tuple[Workspace, str] | None:
    from shared.monitoring.usage import warehouse_of

    settings = current().settings
    return warehouse_of(settings.system_tables_warehouse, settings.targets)

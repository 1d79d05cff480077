"""The self-test: a synthetic alert through the whole path, by hand and by the hour."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import azure.durable_functions as df
import azure.functions as func

from functions.http import answer, caller, problem, unavailable
from functions.observed import Turn, sweeping
from shared.composition import current
from shared.errors import ConfigurationError, LedgerUnavailable
from shared.vocabulary import Scope

if TYPE_CHECKING:
    from datetime import datetime

    from shared.monitoring.selftest import SelfTest

bp = df.Blueprint()
log = logging.getLogger("lakemend.selftest")

_HOURLY = 60  # minutes between two self-tests of the timer


@bp.route(route="api/selftest", methods=["POST"])
def send_selftest(req: func.HttpRequest) -> func.HttpResponse:
    """Send a synthetic alert to our own public address; GET tells when it is back."""
    from shared.monitoring.selftest import send

    known = caller(req, Scope.APPROVER)
    if isinstance(known, func.HttpResponse):
        return known
    try:
        context = current().context
        test, beat = send(context), context.selftests.last_beat()
    except ConfigurationError as error:
        return problem(409, str(error))
    except LedgerUnavailable as error:
        return unavailable(error)
    return answer(202, _shown(test, beat))


@bp.route(route="api/selftest", methods=["GET"])
def read_selftest(req: func.HttpRequest) -> func.HttpResponse:
    """The newest self-test: sent, back, how long it took."""
    known = caller(req, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    try:
        selftests = current().context.selftests
        test, beat = selftests.newest(), selftests.last_beat()
    except LedgerUnavailable as error:
        return unavailable(error)
    if not test.identity:
        return problem(404, "there was no self-test yet")
    return answer(200, _shown(test, beat))


@bp.timer_trigger(schedule="20 */5 * * * *", arg_name="timer", run_on_startup=False)
def selftest_sweep(timer: func.TimerRequest) -> None:
    """Every five minutes: look whether the self-test is back; every hour: send another."""
    del timer
    with sweeping("selftest_sweep") as turn:
        _check_and_send(turn)


def _check_and_send(turn: Turn) -> None:
    from shared.monitoring.selftest import check, send

    context = current().context
    try:
        test = check(context)
        sent = test.sent_at
        if sent is None or (context.clock.now() - sent).total_seconds() >= _HOURLY * 60:
            send(context)
    except ConfigurationError as error:
        log.info("no self-test: %s", error)
    except LedgerUnavailable:
        turn.failed = True
        log.warning("storage does not answer; the self-test tries again in five minutes")


def _shown(test: SelfTest, beat: datetime | None) -> dict[str, object]:
    return {
        "selftest_id": test.identity,
        "sent_at": test.sent_at,
        "back_at": test.back_at,
        "seconds": test.seconds,
        "back": test.back_at is not None,
        "problem": test.refused or None,
        "heartbeat_at": beat,
    }

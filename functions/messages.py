"""Messages out: the timer that sends them, the daily digest, and a test of the channels."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import azure.durable_functions as df
import azure.functions as func
import msgspec

from functions.http import answer, caller, unavailable
from functions.observed import Turn, sweeping
from shared.composition import current
from shared.errors import LedgerError, LedgerUnavailable
from shared.telemetry import signals
from shared.vocabulary import Action, Scope

if TYPE_CHECKING:
    from shared.notify.outbox import Delivery

bp = df.Blueprint()
log = logging.getLogger("lakemend.messages")

_DIGEST_DAYS = 8  # incidents that were opened longer ago are not in the digest
_DIGEST_INCIDENTS = 5_000


@bp.timer_trigger(schedule="*/15 * * * * *", arg_name="timer", run_on_startup=False)
def messages_sweep(timer: func.TimerRequest) -> None:
    """Every 15 seconds: send what is due."""
    del timer
    if not current().channels:
        return
    with sweeping("messages_sweep") as turn:
        _deliver(turn)


def _deliver(turn: Turn) -> None:
    try:
        summary = current().deliverer.run(_not_delivered)
    except LedgerUnavailable:
        turn.failed = True
        log.warning("storage does not answer; messages are sent in the next turn")
        return
    if summary.failed or summary.slow:
        log.warning("%s sends failed; slow channels: %s", summary.failed, summary.slow)


@bp.timer_trigger(schedule="0 0,10,20 7 * * *", arg_name="timer", run_on_startup=False)
def digest_sweep(timer: func.TimerRequest) -> None:
    """Every morning at seven, UTC: the last 24 hours in figures.

    Twice more in case storage did not answer: a day has one digest, the first.
    """
    del timer
    if not current().channels:
        return
    with sweeping("digest_sweep") as turn:
        _put_digest(turn)


def _put_digest(turn: Turn) -> None:
    from shared.ledger.search import Wanted
    from shared.notify.digest import figures
    from shared.notify.messages import digest

    context = current().context
    now = context.clock.now()
    try:
        wanted = Wanted(now - timedelta(days=_DIGEST_DAYS), now)
        page = context.incidents.search(wanted, None, _DIGEST_INCIDENTS, _DIGEST_DAYS + 1)
        incidents = page.incidents
        counted = figures(incidents, now - timedelta(hours=24), now)
        by_kind, worst = _findings(now)
        counted = msgspec.structs.replace(counted, findings=by_kind, worst=worst)
        context.outbox.put([digest(counted, _page())])
    except LedgerUnavailable:
        turn.failed = True
        log.warning("storage does not answer; the digest is tried again")


def _findings(now: datetime) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...]]:
    """The findings that are open, neither resolved nor silenced: by kind, and the gravest."""
    from collections import Counter

    standing = [f for f in current().findings.standing() if not f.silenced(now)]
    gravest = sorted(standing, key=lambda f: (-f.severity.rank, f.first_seen))[:_GRAVEST]
    by_kind = Counter(f.kind.value for f in standing).most_common()
    return tuple(by_kind), tuple(f.summary for f in gravest)


_GRAVEST = 5


def _page() -> str:
    base = current().settings.public_url
    return f"{base}/api/incidents?days=1" if base else ""


@bp.route(route="api/messages/test", methods=["POST"])
def send_test_message(req: func.HttpRequest) -> func.HttpResponse:
    """Send a test message to every channel; says which channels cannot work as they are."""
    from uuid import uuid4

    from shared.notify.messages import channel_test

    known = caller(req, Scope.APPROVER)
    if isinstance(known, func.HttpResponse):
        return known
    parts = current()
    message = channel_test(uuid4().hex, known.name, parts.clock.now())
    try:
        parts.outbox.put([message])
    except LedgerUnavailable as error:
        return unavailable(error)
    problems = {channel.name: parts.sender.check(channel) for channel in parts.channels}
    return answer(
        202,
        {
            "message_id": message.message_id,
            "channels": [{"name": n, "problem": p or None} for n, p in problems.items()],
        },
    )


def _not_delivered(delivery: Delivery, reason: str) -> None:
    """Write to the incident's timeline that nobody was told."""
    with signals.about(incident_id=delivery.message.incident_id):
        _note_not_delivered(delivery, reason)


def _note_not_delivered(delivery: Delivery, reason: str) -> None:
    message = delivery.message
    log.error("%s to %s is given up: %s", message.message_id, delivery.channel, reason)
    if not message.incident_id:
        return
    context = current().context
    key = f"undelivered-{message.message_id}-{delivery.channel}"
    words = f"Not delivered to {delivery.channel}: {message.title}"
    entry = context.entry(Action.MESSAGE_NOT_DELIVERED, words, key, result=reason)
    try:
        context.record(message.incident_id, [entry])
    except LedgerError as error:
        log.warning("%s: not in the timeline: %s", message.message_id, error)

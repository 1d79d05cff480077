"""Many messages of one kind about one thing become one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from shared.ledger.tables import digest
from shared.notify.model import MAX_BODY, Message, Severity
from shared.notify.outbox import Delivery, Window

WINDOW = timedelta(minutes=5)
EACH = 5  # messages of one group that are sent one by one within a window
_LISTED = 5


class Plan(StrEnum):
    """What to do with the due messages of one group."""

    EACH = "each"
    SUM = "sum"
    HOLD = "hold"


def groups(due: Sequence[Delivery]) -> list[list[Delivery]]:
    """The due messages by group and kind, the longest waiting group first."""
    found: dict[str, list[Delivery]] = {}
    for delivery in due:
        found.setdefault(group_key(delivery.message), []).append(delivery)
    return list(found.values())


def group_key(message: Message) -> str:
    """What has this key in common may become one message. Without a group each is its own."""
    return f"{message.kind.value}|{message.group or message.message_id}"


def plan(window: Window | None, count: int, now: datetime) -> Plan:
    """One by one while they are few; then one sum a window, and the rest waits for its end."""
    current = window if window and now - window.since < WINDOW else Window(now)
    if current.summed:
        return Plan.HOLD
    return Plan.EACH if current.sent + count <= EACH else Plan.SUM


def after(window: Window | None, now: datetime, *, summed: bool) -> Window:
    """The window once another message, or the sum, was sent."""
    current = window if window and now - window.since < WINDOW else Window(now)
    return msgspec.structs.replace(current, sent=current.sent + 1, summed=current.summed or summed)


def sum_of(many: Sequence[Message]) -> Message:
    """One message that stands for many of one group and kind; lists the oldest ones."""
    messages = sorted(many, key=lambda message: (message.at, message.message_id))
    first = messages[0]
    listed = [f"{n}. {message.title}" for n, message in enumerate(messages[:_LISTED], 1)]
    rest = len(messages) - _LISTED
    body = "\n".join([*listed, *([f"and {rest} more"] if rest > 0 else [])])
    word = first.kind.value.replace("_", " ")
    return Message(
        message_id=f"sum:{digest('|'.join(m.message_id for m in messages))}",
        kind=first.kind,
        severity=max((m.severity for m in messages), key=lambda severity: Severity(severity).rank),
        title=f"{len(messages)} messages ({word}), the first: {first.title}",
        body=body[:MAX_BODY],
        at=first.at,
        group=first.group,
        environment=first.environment,
        owner=first.owner,
        target=first.target,
        links=tuple(
            msgspec.structs.replace(link, label=f"{position}. {link.label}")
            for position, message in enumerate(messages[:_LISTED], 1)
            for link in message.own_links
        ),
    )

"""A message: what is told, to whom it matters, and what may be done with it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

MAX_TITLE = 200
MAX_BODY = 6_000


class MessageKind(StrEnum):
    """What a message tells."""

    STARTED = "started"
    APPROVAL_WANTED = "approval_wanted"
    HEALED = "healed"
    ESCALATED = "escalated"
    OBSERVED = "observed"  # nothing was done: observe mode, or it was no longer needed
    STORM_DECLARED = "storm_declared"
    STORM_OVER = "storm_over"
    DELIVERY = "delivery"
    FINDING = "finding"  # nothing failed yet
    DIGEST = "digest"
    SELFTEST = "selftest"  # the self-test did not come back
    TEST = "test"


class Severity(StrEnum):
    """How urgent it is for people."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for `info` to 2 for `critical`."""
        return list(Severity).index(self)


class Link(msgspec.Struct, frozen=True):
    """Something to open: our own address, so it is sent as it is."""

    label: str
    url: str


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing to tell.

    `message_id` is the idempotency key: two messages with one id are one message. Messages with
    the same `group` and kind may be sent as one. An empty `environment` means that it concerns all.
    """

    message_id: str
    kind: MessageKind
    severity: Severity
    title: str
    body: str
    at: datetime
    group: str = ""
    environment: str = ""
    owner: str = ""
    target: str = ""
    url: str = ""
    links: tuple[Link, ...] = ()
    incident_id: str = ""
    channels: tuple[str, ...] = ()  # only these, of those that take it; empty: all of them

    @property
    def own_links(self) -> tuple[Link, ...]:
        """All that can be opened, the page with the details last."""
        return (*self.links, *((Link("Details", self.url),) if self.url else ()))

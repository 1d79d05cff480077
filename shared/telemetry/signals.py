"""Spans, metrics and the ids that every log line carries, whether or not anybody listens.

Without a listener every call here is a check of one variable. Orchestrators call nothing of this:
they only hand the `traceparent` on, so that a replay tells nothing twice.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from shared.telemetry.metrics import Metric

Attribute = str | int | float | bool

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Span(Protocol):
    """One thing that is being done."""

    def set(self, **attributes: Attribute) -> None:
        """Add what became known of it."""

    def fail(self, why: str) -> None:
        """Mark it as failed; `why` is a kind of error, never a text from outside."""

    @property
    def traceparent(self) -> str:
        """Who continues it, as W3C writes it; empty if nobody listens."""


class Listener(Protocol):
    """Where signals go."""

    def span(
        self, name: str, *, outgoing: bool, parent: str, attributes: Mapping[str, Attribute]
    ) -> AbstractContextManager[Span]:
        """Begin a span; it ends with the context."""

    def past(
        self, name: str, since: datetime, parent: str, attributes: Mapping[str, Attribute]
    ) -> None:
        """A span that began at `since` and ends now."""

    def record(self, metric: Metric, value: float, dimensions: Mapping[str, str]) -> None:
        """One value of a metric."""


class _Silent:
    """The span while nobody listens."""

    traceparent = ""

    def set(self, **attributes: Attribute) -> None:
        """Nothing."""

    def fail(self, why: str) -> None:
        """Nothing."""


_SILENT = _Silent()
_NO_IDS: Mapping[str, str] = {}
_ids: ContextVar[Mapping[str, str]] = ContextVar("lakemend_ids", default=_NO_IDS)
_listeners: list[Listener] = []
_lock = threading.Lock()


def listen(make: Callable[[], Listener]) -> None:
    """Make the listener of this process, once; nothing heard it before."""
    with _lock:
        if not _listeners:
            _listeners.append(make())


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Another listener for a while."""
    before = list(_listeners)
    _listeners[:] = [listener]
    try:
        yield
    finally:
        _listeners[:] = before


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """What follows is about these ids (`incident_id`, `alert_id`, `delivery_id`).

    Every log line and every span within carries them, in threads and tasks that are begun there
    too. An empty one leaves what is.
    """
    token = _ids.set({**_ids.get(), **{name: each for name, each in ids.items() if each}})
    try:
        yield
    finally:
        _ids.reset(token)


def ids() -> Mapping[str, str]:
    """What we are about now."""
    return _ids.get()


@contextmanager
def span(
    name: str, *, outgoing: bool = False, parent: str = "", **attributes: Attribute
) -> Iterator[Span]:
    """Something that is done; an error that leaves it marks it, by its class alone.

    Args:
        name: what is done.
        outgoing: a call to somebody else.
        parent: the traceparent that it continues; one that is not well formed is left aside. By
            default the span around it.
        **attributes: names and figures of our own; never a text from outside.
    """
    if not _listeners:
        yield _SILENT
        return
    known = {**_ids.get(), **attributes}
    with _listeners[0].span(
        name, outgoing=outgoing, parent=checked(parent), attributes=known
    ) as begun:
        try:
            yield begun
        except Exception as error:
            begun.fail(type(error).__name__)
            raise


def past(name: str, since: datetime, parent: str, **attributes: Attribute) -> None:
    """Something that began at `since`, perhaps in another process, and has just ended."""
    if _listeners:
        _listeners[0].past(name, since, checked(parent), {**_ids.get(), **attributes})


def record(metric: Metric, value: float, dimensions: Mapping[str, str]) -> None:
    """One value of a metric; `Metric.record` checks it first."""
    if _listeners:
        _listeners[0].record(metric, value, dimensions)


def checked(traceparent: str) -> str:
    """A traceparent as it came, empty if it is none."""
    return traceparent if _TRACEPARENT.fullmatch(traceparent) else ""

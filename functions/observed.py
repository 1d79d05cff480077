"""What every invocation begins with: a listener, a span, and what all that follows is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shared.composition import current
from shared.telemetry import signals
from shared.telemetry.metrics import SWEEPS

if TYPE_CHECKING:
    import azure.functions as func

_HEADER = "traceparent"


class Turn:
    """One turn of a timer."""

    failed = False


@contextmanager
def working(name: str, parent: str = "", **ids: str) -> Iterator[signals.Span]:
    """One invocation: a span that continues `parent`, and ids for all that is told within."""
    current().listen()
    with signals.about(**ids), signals.span(name, parent=parent) as span:
        yield span


def sent_with(request: func.HttpRequest) -> str:
    """The trace that a caller wants continued, empty if it names none."""
    return signals.checked(request.headers.get(_HEADER, ""))


@contextmanager
def sweeping(name: str) -> Iterator[Turn]:
    """One turn of a timer, counted at its end; say `failed` where it could not do its work."""
    turn = Turn()
    with working(name):
        try:
            yield turn
        except BaseException:
            SWEEPS.record(sweep=name, outcome="failed")
            raise
        SWEEPS.record(sweep=name, outcome="failed" if turn.failed else "ended")

"""Each try of a platform call is a span; each that fails is counted.

What is told of a call are names of our own: the platform, the client's method, the target as it is
listed in our settings. Never an address, a header, an argument or a body.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from shared.errors import PlatformError
from shared.telemetry import signals
from shared.telemetry.metrics import PLATFORM_ERRORS

C = TypeVar("C")

NO_ANSWER = "no answer"


class Call(msgspec.Struct, frozen=True):
    """What is called: the platform, one method of its client, one of our targets."""

    platform: str
    operation: str
    target: str


_UNKNOWN = Call("unknown", "unknown", "")
_call: ContextVar[Call] = ContextVar("lakemend_call", default=_UNKNOWN)


def observed(platform: str, target: str = "") -> Callable[[type[C]], type[C]]:
    """Make the public methods of a client tell their name to the calls that they make.

    Args:
        platform: what the client speaks to.
        target: the attribute of an instance that holds the name in our settings of what it is a
            client of; empty where there is only one.
    """

    def decorate(client: type[C]) -> type[C]:
        for name, method in vars(client).copy().items():
            if inspect.isfunction(method) and not name.startswith("_"):
                setattr(client, name, _naming(method, platform, target))
        return client

    return decorate


def _naming(method: Callable[..., Any], platform: str, target: str) -> Any:  # noqa: ANN401 - a method as it was
    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - a method as it was
        made = Call(platform, method.__name__, attrgetter(target)(self) if target else "")
        with _within(made):
            answer = method(self, *args, **kwargs)
        return _pages(answer, made) if isinstance(answer, Generator) else answer

    return call


def _pages(pages: Iterator[Any], call: Call) -> Iterator[Any]:
    """The items of `pages`; only while one is fetched does the call's name stand."""
    while True:
        with _within(call):
            try:
                item = next(pages)
            except StopIteration:
                return
        yield item


@contextmanager
def _within(call: Call) -> Iterator[None]:
    token = _call.set(call)
    try:
        yield
    finally:
        _call.reset(token)


@contextmanager
def one_try(number: int, *, changing: bool) -> Iterator[None]:
    """One try of the call that is being made; an error of the platform is told by its status."""
    call = _call.get()
    with signals.span(
        f"{call.platform} {call.operation}",
        outgoing=True,
        platform=call.platform,
        operation=call.operation,
        target=call.target,
        attempt=number,
        changing=changing,
    ) as span:
        # What Application Insights shows as the target of a dependency.
        span.set(**{"peer.service": call.target or call.platform})
        try:
            yield
        except PlatformError as error:
            status = str(error.status) if error.status else NO_ANSWER
            span.set(status=status, outcome=type(error).__name__)
            PLATFORM_ERRORS.record(platform=call.platform, status=status)
            raise
        span.set(status="ok")

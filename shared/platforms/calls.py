"""How platform calls are made: reads are repeated a few times, mutations never.

The SDKs' own repeating is switched off (a createRun that was accepted, answered 500 and repeated
is two runs), so these two functions are the only place where a call is made again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Protocol, TypeVar

import tenacity

from shared.clock import Clock
from shared.errors import PlatformError, PlatformThrottled, PlatformUnavailable
from shared.platforms.observed import one_try

T = TypeVar("T")
Row = dict[str, Any]
log = logging.getLogger("lakemend.platforms")

_READ_TRIES = 4
_LONGEST_WAIT = 20.0  # seconds; an activity must not sleep long, the orchestration waits better


class Translate(Protocol):
    """Turns an SDK's exception into ours, None if it is not an error of the platform."""

    def __call__(self, error: Exception, *, changing: bool) -> PlatformError | None:
        """The error of our hierarchy; `changing` tells a mutation from a read."""


def read(call: Callable[[], T], translate: Translate, clock: Clock) -> T:
    """The answer of a call that changes nothing, tried up to four times.

    Throttling and missing answers are waited for, at most 20 s at a time; a Retry-After that is
    longer is not waited for but raised.

    Raises:
        PlatformError: the last answer was an error.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_worth_another_try),
        stop=tenacity.stop_after_attempt(_READ_TRIES),
        wait=_wait,
        sleep=clock.sleep,
        reraise=True,
    )
    numbers = count(1)
    answer: T = retrying(lambda: _translated(call, translate, next(numbers), changing=False))
    return answer


def mutate(call: Callable[[], T], translate: Translate) -> T:
    """The answer of a call that changes something, made once.

    Raises:
        NothingChanged: the platform said no, or was never reached.
        ChangeInDoubt: it may or may not have taken effect.
    """
    return _translated(call, translate, 1, changing=True)


@contextmanager
def as_promised(otherwise: type[PlatformError] = PlatformUnavailable) -> Iterator[None]:
    """What is done with the platforms' answers in this context relies on what their APIs promise.

    Where an answer does not keep to it (a field of another type, gone, out of range), that is no
    answer: nothing follows from it.

    Raises:
        PlatformError: of the type `otherwise`.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        log.warning("an answer of a platform is not what its API promises", exc_info=True)
        words = f"an answer is not what the API promises: {type(error).__name__}"
        raise otherwise(words) from None


def an_object(answer: Any) -> Row:  # noqa: ANN401 - any JSON value
    """An answer that must be a JSON object.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(answer, dict):
        raise ValueError(type(answer).__name__)  # noqa: TRY004 - one type for all broken promises
    return dict(answer)


def objects(answer: Any) -> list[Row]:  # noqa: ANN401 - any JSON value
    """A list of JSON objects, empty where it is missing.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(answer, list | None):
        raise ValueError(type(answer).__name__)  # noqa: TRY004 - one type for all broken promises
    return [an_object(item) for item in answer or []]


def an_id(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """The id of what a mutation has begun.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value):
        raise ValueError(type(value).__name__)
    return str(value)


def _translated(call: Callable[[], T], translate: Translate, number: int, *, changing: bool) -> T:
    with one_try(number, changing=changing):
        try:
            return call()
        except Exception as error:
            known = translate(error, changing=changing)
            if known is None:
                raise
            raise known from None


def _worth_another_try(error: BaseException) -> bool:
    if isinstance(error, PlatformThrottled):
        return (error.retry_after or 0) <= _LONGEST_WAIT
    return isinstance(error, PlatformUnavailable)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, PlatformThrottled) and error.retry_after is not None:
        return error.retry_after
    return float(min(0.5 * 2 ** (state.attempt_number - 1), _LONGEST_WAIT))

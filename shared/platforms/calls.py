"""How platform calls are made: reads are repeated a few times, mutations never.

The SDKs' own repeating is switched off (a createRun that was accepted, answered 500 and repeated
is two runs), so these two functions are the only place where a call is made again.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Protocol, TypeVar

import tenacity

from shared.clock import Clock
from shared.errors import PlatformError, PlatformThrottled, PlatformUnavailable
from shared.platforms.observed import one_try

T = TypeVar("T")

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

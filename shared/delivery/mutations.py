"""Changes of the platform that a delivery makes once, whatever stops in between.

The intent is written down before a change, its outcome after it; who finds an intent without an
outcome looks first whether the change was made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from shared.delivery.leaving import GateFailed, Later
from shared.delivery_models import Delivery, DeliveryIntent
from shared.errors import (
    ChangeInDoubt,
    NothingChanged,
    PlatformThrottled,
    PlatformUnavailable,
)
from shared.models import Json
from shared.vocabulary import Action

if TYPE_CHECKING:
    from shared.delivery.work import Work

_MAX_ACTS = 3  # of one mutation: refusals for now, and doubts resolved to "no"


class Mutation(msgspec.Struct, frozen=True):
    """One change of the platform.

    `name` is unique in the delivery. `look` says what the change has made, None if it is not there;
    without it the change may be made again at any time with the same result. `before` is what has
    to be remembered of the time before it.
    """

    name: str
    words: str
    act: Callable[[], Json]
    look: Callable[[Json], Json | None] | None = None
    before: Callable[[], Json] | None = None


def once(work: Work, mutation: Mutation) -> Json:
    """Make a mutation, as nearly exactly once as the platform allows; what it has made.

    Raises:
        Later: it is not known yet whether it was made, or nothing may be done now.
        NothingChanged: the platform refused it.
        GateFailed: it cannot be told whether it was made.
    """
    intent = work.delivery.intents.get(mutation.name)
    if intent is not None and intent.made:
        return intent.memo
    _hold(work)
    if intent is None or intent.outcome == "refused" or mutation.look is None:
        return _act(work, mutation, intent)
    found = mutation.look(intent.memo)
    if found is not None:
        return _made(work, mutation, {**intent.memo, **found}, "found")
    timings = work.context.timings
    if intent.looks + 1 < timings.doubt_looks:
        _set(work, mutation.name, intent.outcome, looks=intent.looks + 1)
        raise Later(timings.doubt_interval, f"looking whether it was done: {mutation.words}")
    return _act(work, mutation, intent)


def repeatable(work: Work, name: str, words: str, call: Callable[[], object]) -> None:
    """Make a change that may be made again at any time with the same result.

    Raises:
        Later: nothing may be done now.
        NothingChanged: the platform refused it.
    """

    def act() -> Json:
        call()
        return {}

    once(work, Mutation(f"{work.stage.target}-{name}", words, act))


def _hold(work: Work) -> None:
    paused = work.context.paused()
    if paused:
        raise Later(work.context.timings.hold_interval, f"automation is stopped: {paused}")


def _act(work: Work, mutation: Mutation, seen: DeliveryIntent | None) -> Json:
    if seen is not None and seen.tries >= _MAX_ACTS and mutation.look is not None:
        raise GateFailed(f"it cannot be told whether it was done: {mutation.words}")
    memo = dict(seen.memo) if seen else dict(mutation.before() if mutation.before else {})
    if not _intend(work, mutation, seen, memo):
        raise Later(work.context.timings.doubt_interval, mutation.words)
    try:
        made = mutation.act()
    except ChangeInDoubt as error:
        _set(work, mutation.name, "doubt")
        raise Later(work.context.timings.doubt_interval, str(error)) from None
    except NothingChanged as error:
        _refused(work, mutation, error)
        raise
    return _made(work, mutation, {**memo, **made}, "taken")


def _refused(work: Work, mutation: Mutation, error: NothingChanged) -> None:
    """The platform said no: perhaps only for now, perhaps because it is done already."""
    tries = work.delivery.intents[mutation.name].tries
    _set(work, mutation.name, "refused")
    passing = isinstance(error, PlatformThrottled | PlatformUnavailable)
    if passing and tries < _MAX_ACTS:
        wait = error.retry_after if isinstance(error, PlatformThrottled) else None
        pause = wait or work.context.timings.doubt_interval
        raise Later(pause, str(error), asked=wait is not None)
    words = f"The platform refused: {mutation.words}. {error}"
    entry = work.entry(Action.ACTION_REFUSED, words, f"{mutation.name}-refused-{tries}")
    work.change(lambda _: None, entry)


def _intend(work: Work, mutation: Mutation, seen: DeliveryIntent | None, memo: Json) -> bool:
    """Write the intent before the call; False if another copy of the activity was faster."""
    now, won = work.now, False

    def intend(fresh: Delivery) -> None:
        nonlocal won
        won = fresh.intents.get(mutation.name) == seen
        if not won:
            return
        tries = seen.tries + 1 if seen else 1
        intent = DeliveryIntent(now, mutation.words, memo=memo, tries=tries)
        fresh.intents[mutation.name] = intent

    words = f"About to {mutation.words}"
    entry = work.entry(Action.INTENDED, words, f"{mutation.name}-intended", details=memo)
    work.change(intend, *([entry] if seen is None else []))
    return won


def _made(work: Work, mutation: Mutation, memo: Json, outcome: str) -> Json:
    action = Action.ACTION_TAKEN if outcome == "taken" else Action.ACTION_FOUND
    words = f"Done: {mutation.words}" + (" (found already done)" * (outcome == "found"))
    key = f"{mutation.name}-made"
    entry = work.entry(action, words, key, result=outcome, details=memo)

    def note(fresh: Delivery) -> None:
        intent = fresh.intents[mutation.name]
        intent.outcome, intent.memo = outcome, memo

    work.change(note, entry)
    return memo


def _set(work: Work, name: str, outcome: str, looks: int = 0) -> None:
    def note(fresh: Delivery) -> None:
        intent = fresh.intents[name]
        if not intent.made:
            intent.outcome, intent.looks = outcome, looks

    work.change(note)

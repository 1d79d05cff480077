"""How work usually goes, and what is not as usual. Pure.

The measure is the median of the last runs and their median absolute deviation (MAD): one odd run
moves neither, and what always was slow is not slow. For a normal distribution 1.4826 * MAD is the
standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import TypeAlias

import msgspec

# Ended (epoch seconds), seconds it took (0: not known), 1 if it was good.
Sample: TypeAlias = tuple[int, int, int]

KEPT = 24  # newest samples of one pipeline or job, and newest good ones
ENOUGH = 5  # fewer say nothing about what is usual
_SIGMAS = 3.0
_MAD_TO_SIGMA = 1.4826
_SLOWER = 1.5  # times the median, at least
_FLOOR = 60.0  # seconds above the median, at least: starting a cluster varies by as much
_SEVERAL = 3  # long runs among the others are its other way to go: each fourth takes all data
_STUCK = 4.0  # times the limit of slow
_RECENT = 6  # newest runs whose failures are set against the ones before
_MIN_FAILED = 3
_RISE = 0.3  # by so much the share of failed runs has risen
_GAP = 3.0


class Usual(msgspec.Struct, frozen=True):
    """What is usual, in seconds; `limit` is where slow begins, `stuck` where it is hopeless."""

    median: float
    spread: float
    limit: float
    stuck: float
    runs: int


class Track(msgspec.Struct, omit_defaults=True):
    """What is remembered of one pipeline or job."""

    name: str = ""
    samples: list[Sample] = []
    asked: int = 0  # epoch seconds when its history was asked for
    seen: int = 0


def usual(durations: Sequence[float]) -> Usual | None:
    """What is usual after these durations of good runs; None if they are too few."""
    if len(durations) < ENOUGH:
        return None
    middle = median(durations)
    spread = median(abs(value - middle) for value in durations)
    by_spread = middle + _SIGMAS * _MAD_TO_SIGMA * spread
    limit = max(by_spread, _SLOWER * middle, middle + _FLOOR)
    limit = max(limit, _limit_of_long(durations, limit))
    return Usual(middle, spread, limit, _STUCK * limit, len(durations))


def _limit_of_long(durations: Sequence[float], limit: float) -> float:
    """Where slow begins for work that takes long now and then, oldest run first; 0 for other work.

    The newest runs in a row that were long do not count: that is what has become slow.
    """
    listed = list(durations)
    while listed and listed[-1] > limit:
        listed.pop()
    long = [value for value in listed if value > limit]
    if len(long) < _SEVERAL:
        return 0.0
    return max(_SLOWER * median(long), median(long) + _FLOOR)


def usual_before(track: Track, moment: float) -> Usual | None:
    """What was usual before a run began at `moment`: itself and its neighbours do not count."""
    good = [took for ended, took, good in track.samples if good and took and ended <= moment]
    return usual(good[-KEPT:])


def added(track: Track, samples: Sequence[Sample], now: int) -> Track:
    """A track with more samples; one that is there already is not added again.

    A row of failures does not push out what is known of good runs.
    """
    every: set[Sample] = {(e, took, ok) for e, took, ok in (*track.samples, *samples)}
    merged = sorted(every)
    good = [sample for sample in merged if sample[2] and sample[1]]
    kept = sorted({*merged[-KEPT:], *good[-KEPT:]})
    return Track(track.name, kept, track.asked, now if samples else track.seen)


def timed(track: Track) -> int:
    """How many good runs are known with the time that they took."""
    return sum(bool(good and took) for _, took, good in track.samples)


def lately(track: Track) -> list[Sample]:
    """The newest runs, however they ended."""
    return track.samples[-KEPT:]


def error_rate_rose(track: Track) -> tuple[int, int, float] | None:
    """Failed and all of the newest runs and the share before, if clearly more fail than did."""
    newest, before = lately(track)[-_RECENT:], lately(track)[:-_RECENT]
    failed = sum(not good for _, _, good in newest)
    if failed < _MIN_FAILED or len(before) < ENOUGH:
        return None
    share = sum(not good for _, _, good in before) / len(before)
    rose = failed / len(newest) - share >= _RISE
    return (failed, len(newest), share) if rose else None


def overdue(track: Track, now: float) -> tuple[float, float] | None:
    """Seconds since the last run and the limit, if a regular piece of work has stopped coming.

    The limit is three times the usual gap and half as much again as the longest one, so that a
    weekend without runs is not an alarm.
    """
    ends = [ended for ended, _, _ in lately(track)]
    gaps = [later - earlier for earlier, later in pairwise(ends)]
    if len(gaps) < ENOUGH or median(gaps) <= 0:
        return None
    limit = max(_GAP * median(gaps), 1.5 * max(gaps), _SHORTEST_GAP)
    waited = now - ends[-1]
    regular = max(gaps) <= _REGULAR * median(gaps)
    return (waited, limit) if regular and waited > limit else None


_SHORTEST_GAP = 3600.0
_REGULAR = 4.0  # the longest gap of regular work: Friday to Monday is three days


def span(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004 - two hours

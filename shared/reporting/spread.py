"""How durations spread: count, sum and a histogram of fixed buckets, from which days can be added.

Each bucket is 2^(1/4) times as wide as the one before; a percentile is the geometric middle of its
bucket, so it is at most 9.1 % off (2^(1/8)) between 1 second and 30 days. Below and above that the
ends of the range stand. The mean is exact: it comes from the sum.
"""

from __future__ import annotations

import math

import msgspec

PER_DOUBLING = 4
LAST = 86  # the bucket of 2^21.5 s: 34 days
ERROR = 2 ** (1 / (2 * PER_DOUBLING)) - 1


class Spread(msgspec.Struct, omit_defaults=True):
    """Durations, added up in whole milliseconds: the order of adding changes nothing."""

    count: int = 0
    millis: int = 0
    buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Take in one duration; less than nothing is nothing."""
        kept = max(seconds, 0.0)
        place = bucket(kept)
        self.count += 1
        self.millis += round(kept * 1000)
        self.buckets[place] = self.buckets.get(place, 0) + 1

    def merge(self, other: Spread) -> None:
        """Take in all durations of another spread."""
        self.count += other.count
        self.millis += other.millis
        for place, count in other.buckets.items():
            self.buckets[place] = self.buckets.get(place, 0) + count

    @property
    def mean(self) -> float | None:
        """Mean in seconds, None of nothing."""
        return self.millis / self.count / 1000 if self.count else None

    def percentile(self, share: float) -> float | None:
        """The duration in seconds that `share` (0 to 1) of all do not exceed, None of nothing."""
        if not self.count:
            return None
        rank = max(1, math.ceil(share * self.count))
        seen = 0
        for place in sorted(self.buckets):
            seen += self.buckets[place]
            if seen >= rank:
                return middle(place)
        return middle(LAST)


def bucket(seconds: float) -> int:
    """The bucket of a duration: 0 holds up to 1 second."""
    if seconds <= 1:
        return 0
    return min(LAST, math.ceil(PER_DOUBLING * math.log2(seconds)))


def middle(place: int) -> float:
    """The duration that stands for a bucket, in seconds."""
    return float(2 ** ((place - 0.5) / PER_DOUBLING)) if place else 1.0

"""Latencies counted in buckets whose width grows with the value, as in HDR histograms: bounded memory. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

STEPS = 64  # buckets an octave: a value is told at most 1/64 too large


class Histogram:
    """Counts positive values of any size and unit. What is told of a value is its bucket's upper end."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.largest = 0.0  # exact

    def add(self, value: float) -> None:
        """Raises ValueError for what is not above 0 (nan and infinity included)."""
        if not 0 < value < math.inf:
            raise ValueError(f"{value} cannot be counted")
        mantissa, exponent = math.frexp(value)  # the mantissa is in [0.5, 1)
        bucket = exponent * STEPS + int((mantissa - 0.5) * 2 * STEPS)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.largest = max(self.largest, value)

    def merge(self, other: Histogram) -> None:
        """Count what `other` has counted, too."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self.largest = max(self.largest, other.largest)

    def percentile(self, percent: float) -> float:
        """At least `percent` of the values do not exceed this one. Raises ValueError if there are none."""
        if not self.count:
            raise ValueError("no percentile of nothing")
        if not 0 <= percent <= 100:
            raise ValueError(f"{percent} is no percentage")
        rank = max(1, math.ceil(self.count * percent / 100))
        reached = 0
        for upper, count in self.buckets():
            reached += count
            if reached >= rank:
                return min(upper, self.largest)
        return self.largest

    def buckets(self) -> Sequence[tuple[float, int]]:
        """(upper end, count) of those that are not empty, ascending."""
        return [(_upper(bucket), count) for bucket, count in sorted(self._counts.items())]

    def as_json(self) -> list[list[Any]]:
        return [[upper, count] for upper, count in self.buckets()]


def _upper(bucket: int) -> float:
    exponent, step = divmod(bucket, STEPS)
    return math.ldexp(0.5 + (step + 1) / (2 * STEPS), exponent)


def of(values: Iterable[float]) -> Histogram:
    """A histogram of the values."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram

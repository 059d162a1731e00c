"""What a long run's samples say: does something grow, or get slower, that should not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One look at one node: seconds since the beginning, bytes of memory, descriptors, threads."""

    at: float
    resident: int
    descriptors: int
    threads: int


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Growth a second of the line through `points` (time, value) by least squares; 0.0 with fewer than two."""
    count = len(points)
    if count < 2:
        return 0.0
    middle = sum(at for at, _ in points) / count
    mean = sum(value for _, value in points) / count
    spread = sum((at - middle) ** 2 for at, _ in points)
    return sum((at - middle) * (value - mean) for at, value in points) / spread if spread else 0.0


def growth(points: Sequence[tuple[float, float]], warm_up: float = 1 / 3) -> float:
    """What the line through `points` gains over their time, the first `warm_up` of it left out."""
    if len(points) < 2:
        return 0.0
    first, last = points[0][0], points[-1][0]
    counted = [point for point in points if point[0] >= first + (last - first) * warm_up]
    return slope(counted) * (counted[-1][0] - counted[0][0])

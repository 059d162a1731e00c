"""The few statistics a benchmark needs, and when not to believe it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

NOISY_SPREAD = 0.2  # runs of one target that differ by more than this fraction of their median say little


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two. Raises ValueError without values."""
    if not values:
        raise ValueError("no median of nothing")
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of the ascending values that at least `percent` of them do not exceed (nearest rank)."""
    if not ordered:
        raise ValueError("no percentile of nothing")
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent} is no percentage")
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(values: Sequence[float]) -> float:
    """(largest - smallest) / median: 0.0 for equal values or a single one."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def is_noisy(values: Sequence[float]) -> bool:
    """Whether the runs differ too much for their median to mean much."""
    return len(values) > 1 and spread(values) > NOISY_SPREAD

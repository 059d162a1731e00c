"""Pseudo-random numbers that are the same for the same entry on every node."""

from __future__ import annotations

from leto.keyspace.types.value import MASK


class Draws:
    """Pseudo-random numbers in [0, 1), the same for the same entry on every node (splitmix64)."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = 0

    def __call__(self) -> float:
        self.state = state = (self.state + 0x9E3779B97F4A7C15) & MASK
        return (mix(state) >> 11) / (1 << 53)


def mix(number: int) -> int:
    """Spread 64 bits over 64 bits, one to one (splitmix64's finalizer)."""
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & MASK
    return number ^ number >> 31

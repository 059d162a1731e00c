"""What the failover measurement counts."""

from __future__ import annotations

from leto.bench.failover import Probe


class Acknowledged(Probe):
    """Writes that are acknowledged at given moments."""

    def __init__(self, *moments: float) -> None:
        super().__init__([])
        self._moments = iter(moments)

    def until_acknowledged(self, patience: float = 0.0) -> float:
        return next(self._moments)


def test_an_outage_that_begins_with_the_measurement_is_counted_whole() -> None:
    ends = iter((False, True))
    assert Acknowledged(1.5, 1.6).gap(1.0, lambda: next(ends)) == (0.5, 1.6)


def test_the_longest_gap_counts() -> None:
    ends = iter((False, False, False, True))
    gap, last = Acknowledged(1.0625, 1.125, 1.5, 1.5625).gap(1.0, lambda: next(ends))
    assert (gap, last) == (0.375, 1.5625)

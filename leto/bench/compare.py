"""Whether one version is slower or costs more than another. The decision is pure; versions.py finds the versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from leto.bench.measure import Measurement
from leto.bench.statistics import median
from leto.bench.tables import Table

WORSE, SAME, BETTER, UNDECIDED = "worse", "same", "better", "undecided"
LEAST_COVERAGE = 0.9


@dataclass(frozen=True, slots=True)
class Interval:
    """The median of some ratios, and an interval that holds the true median with a probability of 90% and more."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.low:.2f} to {self.high:.2f})"


def interval(ratios: Sequence[float]) -> Interval:
    """By order statistics, so whatever the distribution. Fewer than five give the whole range, which covers less.

    Raises ValueError without ratios.
    """
    ordered = sorted(ratios)
    count = len(ordered)
    # Without the k smallest and the k largest, the range misses the true median with the probability that, of `count`
    # fair coins, at most k show heads, or at most k tails.
    cut, outside, ways, fewer = 0, 0.0, 1, 1
    for k in range(1, (count + 1) // 2):
        ways = ways * (count - k + 1) // k
        fewer += ways
        outside = 2 * fewer / 2**count
        if 1 - outside < LEAST_COVERAGE:
            break
        cut = k
    return Interval(ordered[cut], median(ordered), ordered[count - 1 - cut])


def verdict(ratio: Interval, threshold: float, *, more_is_better: bool) -> str:
    """`threshold` is a fraction. Worse, or better, is only what is so in the whole interval; where the middle is beyond
    the threshold and the interval is not, it is undecided.
    """
    low, middle, high = ratio.low, ratio.middle, ratio.high
    if not more_is_better:
        low, middle, high = 1 / high, 1 / middle, 1 / low
    if high < 1 - threshold:
        return WORSE
    if low > 1 / (1 - threshold):
        return BETTER
    return UNDECIDED if middle < 1 - threshold else SAME


@dataclass(frozen=True, slots=True)
class Comparison:
    """One workload: this version's figures over the base's."""

    workload: str
    throughput: Interval
    cpu: Interval  # of all nodes together, a request

    def verdict(self, threshold: float) -> str:
        """Worse if one of both is; else undecided, else better if one of both is."""
        both = (
            verdict(self.throughput, threshold, more_is_better=True),
            verdict(self.cpu, threshold, more_is_better=False),
        )
        return next(each for each in (WORSE, UNDECIDED, BETTER, SAME) if each in both)

    def as_json(self, threshold: float) -> dict[str, Any]:
        return {"throughput": asdict(self.throughput), "cpu": asdict(self.cpu), "verdict": self.verdict(threshold)}


def compared(measurements: Sequence[Measurement], new: str, base: str) -> list[Comparison]:
    """Of the targets called `new` and `base`: the ratios of runs that were neighbours in time."""
    found = []
    bases = {each.workload.name: each for each in measurements if each.target == base}
    for mine in (each for each in measurements if each.target == new):
        theirs = bases[mine.workload.name]
        found.append(
            Comparison(
                mine.workload.name,
                interval([a.throughput / b.throughput for a, b in zip(mine.runs, theirs.runs, strict=True)]),
                interval([a / b for a, b in zip(costs(mine), costs(theirs), strict=True)]),
            )
        )
    return found


def costs(measurement: Measurement) -> list[float]:
    """CPU seconds a request of all nodes, in each run."""
    pairs = zip(measurement.used, measurement.runs, strict=True)
    return [sum(node.cpu for node in used.values()) / run.operations for used, run in pairs]


def comparison_table(comparisons: Sequence[Comparison], threshold: float, new: str, base: str) -> Table:
    """One row a workload."""
    columns = ("workload", "throughput", "CPU a request", f"beyond {threshold:.0%}")
    table = Table(f"{new} to {base}: ratios, with the interval that noise leaves", columns)
    for each in comparisons:
        found = each.verdict(threshold)
        table.add(each.workload, str(each.throughput), str(each.cpu), found, is_doubtful=found == UNDECIDED)
    return table

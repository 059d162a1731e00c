"""When one version counts as worse than another."""

from __future__ import annotations

import math
import random
import subprocess
from pathlib import Path

import pytest

from leto.bench.compare import (
    BETTER,
    SAME,
    UNDECIDED,
    WORSE,
    Comparison,
    Interval,
    compared,
    comparison_table,
    interval,
    verdict,
)
from leto.bench.load import Outcome
from leto.bench.measure import Measurement
from leto.bench.usage import Usage
from leto.bench.versions import source_of
from leto.bench.workloads import BenchError, Workload

SETS = Workload("SET", 3, 1, 100)


@pytest.mark.parametrize(("count", "cut"), [(1, 0), (5, 0), (7, 0), (8, 1), (10, 1), (11, 2), (20, 5)])
def test_an_interval_leaves_out_as_many_as_its_certainty_allows(count: int, cut: int) -> None:
    found = interval(list(range(1, count + 1)))
    assert (found.low, found.high) == (1 + cut, count - cut)
    outside = 2 * sum(math.comb(count, k) for k in range(cut + 1)) / 2**count
    assert cut == 0 or outside <= 0.1


def test_an_interval_holds_the_true_median_as_often_as_it_says() -> None:
    draw = random.Random(1)
    held = 0
    for _ in range(1000):
        found = interval([draw.lognormvariate(0.0, 0.5) for _ in range(8)])  # the median is 1
        held += found.low <= 1 <= found.high
    assert held >= 900


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (Interval(0.98, 1.0, 1.02), SAME),
        (Interval(0.80, 0.85, 0.89), WORSE),
        (Interval(0.70, 0.85, 0.95), UNDECIDED),
        (Interval(0.70, 0.95, 1.2), SAME),
        (Interval(1.2, 1.3, 1.4), BETTER),
    ],
)
def test_worse_is_only_what_is_so_beyond_the_noise(ratio: Interval, expected: str) -> None:
    assert verdict(ratio, 0.1, more_is_better=True) == expected
    turned = Interval(1 / ratio.high, 1 / ratio.middle, 1 / ratio.low)
    assert verdict(turned, 0.1, more_is_better=False) == expected


def test_a_cost_that_rises_is_worse_though_the_throughput_stays() -> None:
    steady, dearer = Interval(0.99, 1.0, 1.01), Interval(1.2, 1.25, 1.3)
    assert Comparison("w", steady, dearer).verdict(0.1) == WORSE
    assert Comparison("w", steady, steady).verdict(0.1) == SAME
    assert Comparison("w", Interval(1.2, 1.3, 1.4), steady).verdict(0.1) == BETTER
    assert Comparison("w", Interval(1.2, 1.3, 1.4), dearer).verdict(0.1) == WORSE


def measurement(target: str, throughputs: list[float], cpu: float) -> Measurement:
    runs = [Outcome(1000, throughput, 1.0, 2.0, 3.0) for throughput in throughputs]
    return Measurement(SETS, target, "a", runs, [{"a": Usage(cpu), "b": Usage(cpu)} for _ in runs])


def test_runs_are_compared_with_their_neighbours_in_time() -> None:
    # The machine halves its speed in the middle of it, for both alike.
    new = measurement("new", [90.0] * 4 + [45.0] * 4, 2.0)
    base = measurement("base", [100.0] * 4 + [50.0] * 4, 1.0)
    (found,) = compared([new, base], "new", "base")
    assert found.throughput == Interval(0.9, 0.9, 0.9)
    assert found.cpu == Interval(2.0, 2.0, 2.0)
    table = comparison_table([found], 0.1, "new", "base")
    assert table.rows == [("SET", "0.90 (0.90 to 0.90)", "2.00 (2.00 to 2.00)", WORSE)]


def test_a_version_is_a_directory_or_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repository"
    (repository / "leto").mkdir(parents=True)
    (repository / "leto" / "main.py").write_text("old\n")
    git = ["git", "-C", str(repository), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    for argv in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "old"]):
        subprocess.run([*git, *argv], check=True)
    (repository / "leto" / "main.py").write_text("new\n")
    monkeypatch.setattr("leto.bench.versions.SOURCE", repository)
    assert source_of(str(repository), tmp_path) == repository
    assert (source_of("HEAD", tmp_path) / "leto" / "main.py").read_text() == "old\n"
    for wrong in ("no-such-commit", "-x"):
        with pytest.raises(BenchError, match="neither a directory nor a commit"):
            source_of(wrong, tmp_path)
    with pytest.raises(BenchError, match="no leto/main.py"):
        source_of(str(tmp_path), tmp_path)

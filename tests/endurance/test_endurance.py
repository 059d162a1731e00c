"""The verdicts of a long run, on samples made up; the run itself is `python -m tests.endurance`."""

from __future__ import annotations

import pytest

from tests.endurance.__main__ import judge
from tests.endurance.judging import Sample, growth, slope
from tests.endurance.load import Interval
from tests.overload.report import Report


def verdict(memory=lambda at: 60e6, descriptors=lambda at: 70, threads=lambda at: 4, p99=lambda at: 0.01, waiting=0):
    samples = {"id1": [Sample(at, memory(at), descriptors(at), threads(at)) for at in range(0, 600, 5)]}
    intervals = [Interval(at, 1000, 0, 0, 0.001, p99(at), 0.1) for at in range(0, 600, 5)]
    intervals[-1].waiting = waiting
    report = Report("made up")
    judge(report, samples, intervals)
    return report.broken


def test_a_flat_run_passes():
    assert verdict() == []


def test_warming_up_is_no_growth():
    assert verdict(memory=lambda at: 40e6 + min(at, 150) * 1e5) == []


def test_the_up_and_down_of_snapshots_is_no_growth():
    assert verdict(memory=lambda at: 60e6 + (at % 60) * 1e5) == []


@pytest.mark.parametrize(
    ("grows", "told"),
    [
        ({"memory": lambda at: 60e6 + at * 3e4}, "memory grows"),
        ({"descriptors": lambda at: 70 + at // 50}, "descriptors grow"),
        ({"threads": lambda at: 4 + at // 400}, "threads more"),
        ({"p99": lambda at: 0.01 + at * 1e-4}, "p99 grows"),
        ({"waiting": 3}, "never answered"),
    ],
)
def test_growth_is_told(grows, told):
    [sentence] = verdict(**grows)
    assert told in sentence


def test_too_few_samples_do_not_pass():
    report = Report("made up")
    judge(report, {"id1": [Sample(0, 1, 1, 1)]}, [])
    assert not report.passed


def test_slope_and_growth():
    line = [(float(at), 3.0 * at) for at in range(10)]
    assert slope(line) == pytest.approx(3.0)
    assert growth(line, 0.0) == pytest.approx(27.0)
    assert slope([]) == slope([(1.0, 1.0)]) == growth([]) == 0.0

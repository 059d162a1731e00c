"""Latencies in buckets."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.bench.histogram import STEPS, Histogram, of
from leto.bench.statistics import percentile

values = st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=200)


@settings(max_examples=100)
@given(values, st.floats(0, 100))
def test_a_percentile_is_the_exact_one_or_a_little_more(found: list[float], percent: float) -> None:
    exact = percentile(sorted(found), percent)
    told = of(found).percentile(percent)
    assert exact * (1 - 1e-12) <= told <= exact * (1 + 1 / STEPS)


@settings(max_examples=50)
@given(values, values)
def test_merging_counts_both(some: list[float], others: list[float]) -> None:
    merged = of(some)
    merged.merge(of(others))
    together = of(some + others)
    assert (merged.buckets(), merged.count, merged.largest) == (together.buckets(), together.count, together.largest)


def test_the_largest_is_exact_and_buckets_ascend() -> None:
    found = of([5.0, 1.0, 777.7, 1.0])
    assert found.percentile(100) == found.largest == 777.7
    uppers = [upper for upper, _ in found.buckets()]
    assert uppers == sorted(uppers)
    assert [count for _, count in found.buckets()] == [2, 1, 1]
    assert json.loads(json.dumps(found.as_json())) == [list(bucket) for bucket in found.buckets()]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_latency_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="cannot be counted"):
        Histogram().add(value)


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        Histogram().percentile(50)
    with pytest.raises(ValueError, match="no percentage"):
        of([1.0]).percentile(101)

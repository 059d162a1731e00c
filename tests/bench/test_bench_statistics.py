"""Medians, percentiles, spreads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.bench.statistics import is_noisy, median, percentile, spread

values = st.lists(st.floats(1, 1e6), min_size=1, max_size=30)


def test_median_of_odd_and_even_counts() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 50), (99, 99), (99.9, 100), (100, 100)])
def test_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    assert percentile(list(range(1, 101)), percent) == expected


def test_nothing_has_no_statistics() -> None:
    for of_nothing in (lambda: median([]), lambda: percentile([], 50), lambda: percentile([1], 101)):
        with pytest.raises(ValueError):
            of_nothing()


@settings(max_examples=50)
@given(values, st.floats(0, 100))
def test_percentile_is_exceeded_by_no_more_than_the_rest(found: list[float], percent: float) -> None:
    ordered = sorted(found)
    at = percentile(ordered, percent)
    assert sum(value <= at for value in ordered) * 100 >= percent * len(ordered) - 1e-6


def test_one_run_is_not_noisy_and_two_that_differ_are() -> None:
    assert spread([7]) == 0
    assert not is_noisy([7])
    assert not is_noisy([100, 110])
    assert is_noisy([100, 130])

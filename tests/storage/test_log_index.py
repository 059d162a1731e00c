"""Which entries of the log fit a number of bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leto.storage.log_index import LogIndex
from leto.storage.records import HEADER_BYTES


@given(st.lists(st.integers(0, 3000), max_size=40), st.integers(0, 50_000), st.integers(-2, 45))
def test_what_is_kept_behind_an_index_is_as_much_as_fits(sizes: list[int], max_bytes: int, place: int):
    index = LogIndex(100, 1)
    for size in sizes:
        index.append(1, size, 0)
    at = 100 + place
    behind = index.behind(at, max_bytes)
    assert behind <= at

    def taken(low: int) -> int:
        """By the entries after `low`, up to `at`."""
        return sum(sizes[i - 100] + HEADER_BYTES for i in range(max(low + 1, 100), min(at, index.last) + 1))

    assert taken(behind) <= max_bytes
    if at >= 100 and behind >= 100:
        assert taken(behind - 1) > max_bytes, "one more would not fit"
    else:
        assert behind == min(at, 99), "all that is there fits"


def test_many_entries_are_summed_alike():
    index = LogIndex(1, 0)
    for number in range(5000):
        index.append(1, number % 7, 0)
    sizes = [number % 7 + HEADER_BYTES for number in range(5000)]
    for keep in (0, 1, 1023, 1024, 1025, 3000, 5000):
        assert index.behind(5000, sum(sizes[5000 - keep :])) == 5000 - keep

"""LCS: against the table of the textbook, walked back as Redis walks it, and bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leto.keyspace.commands import lcs
from leto.vocabulary.replies import Error
from tests.keyspace.batches import Bench

TEXTS = st.lists(st.sampled_from(b"abc"), max_size=20).map(bytes)


def textbook(a, b):
    """(subsequence, ranges) by the quadratic table; on a tie Redis steps back in b."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            same = a[i - 1] == b[j - 1]
            table[i][j] = table[i - 1][j - 1] + 1 if same else max(table[i - 1][j], table[i][j - 1])
    i, j = len(a), len(b)
    pairs = []
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    ranges = []
    for i, j in pairs:
        if ranges and ranges[-1][0][0] == i + 1 and ranges[-1][1][0] == j + 1:
            ranges[-1][0][0], ranges[-1][1][0] = i, j
        else:
            ranges.append([[i, i], [j, j]])
    return bytes(a[i] for i, _ in reversed(pairs)), ranges


@given(TEXTS, TEXTS)
def test_lcs_is_the_textbooks_with_redis_ties(a, b):
    bench = Bench()
    bench.batch((b"SET", b"a", a), (b"SET", b"b", b))
    common, ranges = textbook(a, b)
    assert bench.read("LCS a b") == common
    assert bench.read("LCS a b LEN") == len(common)
    assert bench.read("LCS a b IDX") == {b"matches": ranges, b"len": len(common)}
    long = [match for match in ranges if match[0][1] - match[0][0] >= 1]
    assert bench.read("LCS a b IDX MINMATCHLEN 2")[b"matches"] == long


def test_work_beyond_the_bound_is_refused_before_it_is_begun():
    bench = Bench()
    bench.batch((b"SET", b"a", b"x" * (lcs.MAX_CELLS // lcs.ROW_COST)), (b"SET", b"b", b"x" * 23_000), "SET c x")
    too_large = Error(b"ERR Insufficient memory, failed allocating transient memory for LCS")
    assert bench.read("LCS a c LEN") == too_large
    assert bench.read("LCS a b") == too_large
    assert bench.read("LCS c a LEN") == 1

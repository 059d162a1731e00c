"""SORT of many members: in steps, each of them short, with the result of one sort."""

from __future__ import annotations

from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.keyspace.commands import sorting
from leto.keyspace.effects import Kind
from tests.keyspace.batches import Bench, entry

NUMBERS = st.integers(-20, 20).map(lambda number: b"%d" % number)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(NUMBERS, max_size=25),
    st.dictionaries(NUMBERS, NUMBERS, max_size=20),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10),
    st.integers(-1, 10),
)
def test_runs_that_are_merged_are_one_sort(members, weights, by, text, descends, offset, count):
    bench = Bench()
    if members:
        bench.write([b"RPUSH", b"l", *members])
    for name, weight in weights.items():
        bench.write([b"SET", b"w" + name, weight])

    def order(member):
        if not by:
            return member if text else (float(member), member)
        weight = weights.get(member)
        return (weight is not None, weight or b"") if text else (float(weight or 0), member)

    expected = sorted(members, key=order, reverse=descends)
    expected = expected[offset:] if count < 0 else expected[offset : offset + count]
    words = [b"l", b"LIMIT", b"%d" % offset, b"%d" % count]
    words += [b"BY", b"w*"] * by + [b"ALPHA"] * text + [b"DESC"] * descends
    with patch.object(sorting, "RUN", 3):
        assert bench.read([b"SORT_RO", *words]) == expected
        assert bench.write([b"SORT", *words, b"STORE", b"d"]) == len(expected)
        pairs = bench.read([b"SORT_RO", *words, b"GET", b"#", b"GET", b"w*"])
    assert bench.read("LRANGE d 0 -1") == expected
    assert pairs == [item for member in expected for item in (member, weights.get(member))]


def test_what_is_stored_may_be_long():
    bench = Bench()
    numbers = [b"%d" % number for number in range(3000)]
    shuffled = Random(1).sample(numbers, 3000)
    bench.write([b"RPUSH", b"l", *shuffled, *[b" " * 40_000 + b"5000"] * 5])
    bench.machine.watch(Kind.CHANGES)
    applied = bench.machine.apply(entry(bench.machine.applied + 1, "SORT l STORE l"))
    assert applied.replies == [3005]
    assert applied.effects.changes == ((b"sortstore", b"l"),)
    assert bench.read("LRANGE l 0 2999") == numbers
    assert len(bench.machine.database.data[b"l"].value.content.parts) == 10
    assert bench.copy().machine.digest() == bench.machine.digest()
    assert bench.write("SORT l LIMIT 0 100 STORE l") == 100
    assert bench.read("OBJECT ENCODING l") == b"listpack"


def test_a_score_that_is_none_is_found_in_any_run_and_changes_nothing():
    bench = Bench()
    bench.write([b"RPUSH", b"l", *[b"1"] * 5000, b"x"])
    refused = bench.write("SORT l STORE l")
    assert refused.text == b"ERR One or more scores can't be converted into double"
    assert bench.read("LLEN l") == 5001


@pytest.mark.parametrize(
    ("request_", "places"),
    [
        ("SORT l", [1]),
        ("SORT l STORE d", [1, 3]),
        ("SORT l STORE", [1]),
        ("SORT l STORE x BY a STORE y", [1, 7]),
        ("SORT l GET STORE STORE x", [1, 5]),
        ("SORT l limit store 1 store x", [1, 6]),
        ("SORT_RO l STORE d", [1]),
    ],
)
def test_its_keys_are_the_value_and_the_last_that_is_stored_under(request_, places):
    words = request_.encode().split()
    assert sorting.KEYSPACE[words[0]].key_places(words) == places

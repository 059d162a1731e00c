"""Hashes, small and large: what their commands make of many fields, and of a draw."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.keyspace.types.hash import LISTPACK_FIELDS
from leto.keyspace.types.value import SMALL_ELEMENTS
from leto.vocabulary.numbers import INT64_MAX, parse_integer
from leto.vocabulary.replies import OK, Pairs
from leto.vocabulary.steps import LONG, STEP
from tests.keyspace.batches import Bench

SIZES = (1, 7, SMALL_ELEMENTS, SMALL_ELEMENTS + 1, LONG, 3000)


def hash_of(size: int) -> tuple[Bench, dict[bytes, bytes]]:
    bench, items = Bench(Random(5).random), {b"f%d" % number: b"%d" % number for number in range(size)}
    assert bench.write(b"HSET", b"h", *[each for pair in items.items() for each in pair]) == size
    return bench, items


@pytest.mark.parametrize("size", SIZES)
def test_all_fields_at_once(size: int) -> None:
    bench, items = hash_of(size)
    assert bench.read(b"HGETALL", b"h") == items
    assert sorted(bench.read(b"HKEYS", b"h")) == sorted(items)
    assert sorted(bench.read(b"HVALS", b"h")) == sorted(items.values())
    assert bench.read(b"HMGET", b"h", b"none", *items) == [None, *items.values()]
    assert bench.read(b"HMGET", b"none", *items) == [None] * size
    assert bench.write(b"HMSET", b"h", *[each for field in items for each in (field, b"x")]) == OK
    assert set(bench.read(b"HVALS", b"h")) == {b"x"}
    assert bench.write(b"HDEL", b"h", b"none", *items, b"none") == size
    assert bench.read(b"EXISTS", b"h") == 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 10, 1000])
def test_a_walk_meets_every_field_once(size: int, count: int) -> None:
    bench, items = hash_of(size)
    found, names, cursor = [], [], b"0"
    while True:
        cursor, page = bench.read(b"HSCAN", b"h", cursor, b"COUNT", b"%d" % count)
        found += zip(page[::2], page[1::2], strict=True)
        names += bench.read(b"HSCAN", b"h", b"0", b"COUNT", b"%d" % count, b"NOVALUES")[1]
        if cursor == b"0":
            break
    assert len(found) == size
    assert dict(found) == items
    assert set(names) <= set(items)
    assert bench.read(b"HSCAN", b"h", b"0", b"COUNT", b"99999", b"MATCH", b"f1?")[1][::2].count(b"f10") == (size > 10)


@pytest.mark.parametrize("size", SIZES)
def test_draws(size: int) -> None:
    bench, items = hash_of(size)
    assert bench.read(b"HRANDFIELD", b"h") in items
    for count in (1, 5, size // 4, size // 2, size - 1, size, size + 1, INT64_MAX):
        drawn = bench.read(b"HRANDFIELD", b"h", b"%d" % count)
        assert len(drawn) == len(set(drawn)) == min(count, size)
        assert items.keys() >= set(drawn)
    drawn = bench.read(b"HRANDFIELD", b"h", b"%d" % -(2 * STEP + 3))
    assert len(drawn) == 2 * STEP + 3
    assert items.keys() >= set(drawn)
    pairs = bench.read(b"HRANDFIELD", b"h", b"-9", b"WITHVALUES")
    assert isinstance(pairs, Pairs)
    assert all(items[field] == value for field, value in zip(pairs.items[::2], pairs.items[1::2], strict=True))


def test_every_field_is_drawn_about_as_often() -> None:
    bench, items = hash_of(200)
    for count in (b"-20000", b"1", b"30", b"150"):
        drawn: Counter[bytes] = Counter()
        while drawn.total() < 20_000:
            drawn.update(bench.read(b"HRANDFIELD", b"h", count))
        assert set(drawn) == set(items)
        assert min(drawn.values()) > 50
        assert max(drawn.values()) < 170


def test_encodings_follow_redis_thresholds() -> None:
    bench, _ = hash_of(LISTPACK_FIELDS)
    assert bench.read(b"OBJECT", b"ENCODING", b"h") == b"listpack"
    bench.write(b"HSET", b"h", b"one more", b"x")
    assert bench.read(b"OBJECT", b"ENCODING", b"h") == b"hashtable"
    for field, value, encoding in (
        (b"f", b"v" * 64, b"listpack"),
        (b"f", b"v" * 65, b"hashtable"),
        (b"f" * 65, b"", b"hashtable"),
    ):
        bench.write(b"DEL", b"i")
        bench.write(b"HSET", b"i", field, value)
        assert bench.read(b"OBJECT", b"ENCODING", b"i") == encoding


_FIELDS = st.sampled_from([b"", b"a", b"b", b"\xff" * 70, *[b"%d" % number for number in range(40)]])
_VALUES = st.one_of(st.sampled_from([b"", b"1", b"-5", b"x" * 5000]), st.integers(-100, 100).map(lambda n: b"%d" % n))
_CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just(b"HSET"), _FIELDS, _VALUES),
        st.tuples(st.just(b"HSETNX"), _FIELDS, _VALUES),
        st.tuples(st.just(b"HDEL"), _FIELDS),
        st.tuples(st.just(b"HINCRBY"), _FIELDS, st.integers(-9, 9).map(lambda n: b"%d" % n)),
    ),
    max_size=60,
)


@settings(max_examples=100)
@given(_CHANGES)
def test_any_changes_are_what_a_dictionary_has(changes: list[tuple[bytes, ...]]) -> None:
    bench, model = Bench(), dict[bytes, bytes]()
    for name, field, *more in changes:
        reply = bench.write(name, b"h", field, *more)
        if name == b"HSET" or (name == b"HSETNX" and field not in model):
            assert reply == int(field not in model)
            model[field] = more[0]
        elif name == b"HDEL":
            assert reply == int(model.pop(field, None) is not None)
        elif name == b"HINCRBY" and (number := parse_integer(model.get(field, b"0"))) is not None:
            assert reply == number + int(more[0])
            model[field] = b"%d" % reply
    assert bench.read(b"HGETALL", b"h") == model
    assert bench.read(b"HLEN", b"h") == len(model)
    assert bench.read(b"EXISTS", b"h") == bool(model)

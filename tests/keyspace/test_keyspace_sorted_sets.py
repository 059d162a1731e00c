"""Sorted sets, small and large: what their commands make of any changes, in any order, across a snapshot."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.keyspace.effects import Kind
from leto.keyspace.types.value import SMALL_ELEMENTS
from leto.vocabulary.replies import Pairs
from leto.vocabulary.steps import LONG, STEP
from tests.keyspace.batches import Bench, entry

SIZES = (1, 7, SMALL_ELEMENTS, SMALL_ELEMENTS + 1, LONG, 5000)
Model = dict[bytes, float]


def in_order(model: Model) -> list[bytes]:
    return sorted(model, key=lambda member: (model[member], member))


def set_of(size: int) -> tuple[Bench, Model]:
    """Members in no order, many of which share a score."""
    bench = Bench(Random(5).random)
    model = {b"m%d" % (number * 7919 % size): float(number * 31 % (size // 3 + 1)) for number in range(size)}
    words = [word for member, score in model.items() for word in (b"%d" % score, member)]
    assert bench.write(b"ZADD", b"z", *words) == len(model)
    return bench, model


def check(bench: Bench, model: Model) -> None:
    """Each way to read tells the same."""
    order = in_order(model)
    assert bench.read(b"ZCARD", b"z") == len(model)
    assert bench.read(b"ZRANGE", b"z", b"0", b"-1") == order
    assert bench.read(b"ZRANGE", b"z", b"0", b"-1", b"REV") == order[::-1]
    for rank in {0, len(order) // 3, len(order) - 1} if order else ():
        assert bench.read(b"ZRANK", b"z", order[rank]) == rank
        assert bench.read(b"ZREVRANK", b"z", order[rank], b"WITHSCORE") == [len(order) - 1 - rank, model[order[rank]]]
        assert bench.read(b"ZSCORE", b"z", order[rank]) == model[order[rank]]


@pytest.mark.parametrize("size", SIZES)
def test_ranges_of_every_kind(size: int) -> None:
    bench, model = set_of(size)
    check(bench, model)
    order = in_order(model)
    for start, stop in ((0, 0), (3, 9), (size // 2, size // 2 + 600), (-5, -2), (size, size + 1)):
        found = bench.read(b"ZRANGE", b"z", b"%d" % start, b"%d" % stop, b"WITHSCORES")
        expected = order[slice(start, stop + 1 or None)]
        if isinstance(found, Pairs):
            assert found.items == [each for member in expected for each in (member, model[member])]
    for least, most in ((0, 1), (2, size // 4), (size // 5, size)):
        expected = [member for member in order if least <= model[member] <= most]
        ends = b"%d" % least, b"%d" % most
        assert bench.read(b"ZRANGEBYSCORE", b"z", *ends) == expected
        assert bench.read(b"ZCOUNT", b"z", *ends) == len(expected)
        assert bench.read(b"ZREVRANGEBYSCORE", b"z", *reversed(ends), b"LIMIT", b"1", b"3") == expected[::-1][1:4]
        open_ends = b"(%d" % least, b"(%d" % most
        inner = [member for member in order if least < model[member] < most]
        assert bench.read(b"ZRANGEBYSCORE", b"z", *open_ends) == inner
    assert bench.write(b"ZREMRANGEBYRANK", b"z", b"1", b"-2") == max(0, len(order) - 2)
    assert bench.read(b"ZRANGE", b"z", b"0", b"-1") == (order if len(order) < 3 else [order[0], order[-1]])


@pytest.mark.parametrize("size", SIZES)
def test_ranges_by_member(size: int) -> None:
    bench = Bench()
    members = sorted(b"%d" % number for number in range(size))
    bench.write(b"ZADD", b"z", *[word for member in members for word in (b"0", member)])
    for least, most in ((b"1", b"2"), (b"", b"5"), (b"33", b"34"), (b"4", b"3"), (b"99999", b"x")):
        both = [member for member in members if least <= member <= most]
        assert bench.read(b"ZRANGEBYLEX", b"z", b"[" + least, b"[" + most) == both
        assert bench.read(b"ZREVRANGEBYLEX", b"z", b"[" + most, b"[" + least) == both[::-1]
        inner = [member for member in members if least < member < most]
        assert bench.read(b"ZRANGE", b"z", b"(" + least, b"(" + most, b"BYLEX") == inner
        assert bench.read(b"ZLEXCOUNT", b"z", b"(" + least, b"(" + most) == len(inner)
    assert bench.read(b"ZLEXCOUNT", b"z", b"-", b"+") == size
    assert bench.write(b"ZREMRANGEBYLEX", b"z", b"-", b"+") == size


@pytest.mark.parametrize("size", SIZES)
def test_popped_drawn_and_walked(size: int) -> None:
    bench, model = set_of(size)
    drawn = bench.read(b"ZRANDMEMBER", b"z", b"%d" % (size // 2 + 1))
    assert len(drawn) == len(set(drawn)) == min(size // 2 + 1, len(model))
    assert model.keys() >= set(drawn)
    assert len(bench.read(b"ZRANDMEMBER", b"z", b"-700", b"WITHSCORES").items) == 1400
    found, cursor = [], b"0"
    while True:
        cursor, page = bench.read(b"ZSCAN", b"z", cursor)
        found += zip(page[::2], map(float, page[1::2]), strict=True)
        if cursor == b"0":
            break
    assert len(found) == len(model)
    assert dict(found) == model
    order = in_order(model)
    popped = bench.write(b"ZPOPMIN", b"z", b"%d" % (size // 3)).items[::2] if size > 2 else []
    popped += bench.write(b"ZPOPMAX", b"z", b"%d" % size).items[::2]
    assert popped == order[: size // 3 if size > 2 else 0] + order[size // 3 if size > 2 else 0 :][::-1]
    assert bench.read(b"EXISTS", b"z") == 0


def test_many_parts_of_ranks_are_counted_in_groups() -> None:
    bench, model = set_of(50_000)
    content = bench.machine.database.find(b"z").value.content
    assert len(content.groups) > 1
    check(bench, model)
    gone = in_order(model)[100:49_000]
    assert bench.write(b"ZREM", b"z", *gone) == len(gone)
    for member in gone:
        del model[member]
    check(bench, model)


_MEMBERS = st.integers(0, 400).map(lambda number: b"m%d" % number)
_SCORES = st.one_of(st.integers(-5, 5).map(float), st.sampled_from([0.5, -0.0, 1e300, float("inf"), float("-inf")]))
_CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _MEMBERS, _SCORES),
        st.tuples(st.just("rem"), _MEMBERS, st.just(0.0)),
        st.tuples(st.just("many"), st.integers(0, 2).map(lambda number: b"%d" % number), _SCORES),
        st.tuples(st.just("few"), st.integers(0, 2).map(lambda number: b"%d" % number), st.just(0.0)),
        st.tuples(st.just("copy"), st.just(b""), st.just(0.0)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(_CHANGES)
def test_any_changes_are_what_a_dictionary_sorts(changes: list[tuple[str, bytes, float]]) -> None:
    """`many` and `few` take the set across the border between small and large, and through splits and joins."""
    bench, model = Bench(), Model()
    for what, word, score in changes:
        text = repr(score).encode()
        if what == "add":
            assert bench.write(b"ZADD", b"z", text, word) == int(word not in model)
            model[word] = score + 0.0
        elif what == "rem":
            assert bench.write(b"ZREM", b"z", word) == int(model.pop(word, None) is not None)
        elif what == "many":
            names = [b"%b %d" % (word, number) for number in range(700)]
            bench.write(b"ZADD", b"z", *[each for name in names for each in (text, name)])
            model.update(dict.fromkeys(names, score + 0.0))
        elif what == "few":
            names = [b"%b %d" % (word, number) for number in range(650)]
            bench.write(b"ZREM", b"z", *names)
            for name in names:
                model.pop(name, None)
        else:
            bench.write(b"COPY", b"z", b"y", b"REPLACE")
            before = in_order(model)
            bench.write(b"ZADD", b"z", b"1", b"since the copy")
            model[b"since the copy"] = 1.0
            assert bench.read(b"ZRANGE", b"y", b"0", b"-1") == before or not before
    check(bench, model)
    restored = bench.copy()
    check(restored, model)
    assert restored.machine.digest() == bench.machine.digest()
    restored.write(b"ZADD", b"z", b"3", b"after it")
    check(restored, {**model, b"after it": 3.0})


def test_each_change_is_told_once() -> None:
    bench = Bench()
    machine = bench.machine
    machine.watch(Kind.CHANGES)
    words = [word for number in range(2 * LONG) for word in (b"%d" % number, b"m%d" % number)]

    def told(*command: bytes) -> list[bytes]:
        applied = machine.apply(entry(machine.applied + 1, command, time_ms=bench.now))
        return [event for event, _ in applied.effects.changes]

    assert told(b"ZADD", b"z", *words) == [b"zadd"]
    assert told(b"ZADD", b"z", b"INCR", b"1", b"m1") == [b"zincr"]
    assert told(b"ZUNIONSTORE", b"d", b"1", b"z") == [b"zunionstore"]
    assert told(b"ZRANGESTORE", b"d", b"z", b"0", b"%d" % (2 * STEP)) == [b"zrangestore"]
    assert told(b"ZDIFFSTORE", b"d", b"2", b"z", b"z") == [b"del"]
    assert told(b"ZPOPMIN", b"z", b"%d" % (STEP + 1)) == [b"zpopmin"]
    assert told(b"ZREMRANGEBYRANK", b"z", b"0", b"-1") == [b"zremrangebyrank", b"del"]


def test_algebra_of_large_ones_is_that_of_dictionaries() -> None:
    bench = Bench()
    one = {b"m%d" % number: float(number % 97) for number in range(3000)}
    other = {b"m%d" % number: float(number % 89) for number in range(1500, 6000)}
    for key, model in ((b"a", one), (b"b", other)):
        bench.write(b"ZADD", key, *[word for member, score in model.items() for word in (b"%d" % score, member)])
    union = {member: one.get(member, 0.0) + 2 * other.get(member, 0.0) for member in one | other}
    inter = {member: max(one[member], other[member]) for member in one.keys() & other.keys()}
    diff = {member: one[member] for member in one.keys() - other.keys()}
    both = (b"2", b"a", b"b")
    assert bench.read(b"ZUNION", *both, b"WEIGHTS", b"1", b"2") == in_order(union)
    assert bench.read(b"ZINTER", *both, b"AGGREGATE", b"MAX") == in_order(inter)
    assert bench.read(b"ZDIFF", *both) == in_order(diff)
    assert bench.read(b"ZINTERCARD", *both) == len(inter)
    assert bench.read(b"ZINTERCARD", *both, b"LIMIT", b"700") == 700
    assert bench.write(b"ZUNIONSTORE", b"z", *both, b"WEIGHTS", b"1", b"2") == len(union)
    check(bench, union)

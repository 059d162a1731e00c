"""Lists against Python's, short and long; how they look to a snapshot, to a copy, and to those who watch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.keyspace.commands import list_elements, lists
from leto.keyspace.effects import Kind
from leto.keyspace.types import list as list_type
from leto.keyspace.types.list import List
from leto.vocabulary.replies import NULL_ARRAY, OUT_OF_RANGE
from tests.keyspace.batches import Bench, entry
from tests.keyspace.tiny import tiny_parts

ELEMENTS = st.sampled_from([b"a", b"b", b"c", b"", b"x" * 100])
INDEXES = st.integers(-12, 12)
ENDS = st.booleans()
STEPS = st.one_of(
    st.tuples(st.just("push"), ENDS, st.lists(ELEMENTS, min_size=1, max_size=9)),
    st.tuples(st.just("push"), ENDS, st.lists(ELEMENTS, min_size=1, max_size=9)),
    st.tuples(st.just("pop"), ENDS),
    st.tuples(st.just("pop many"), ENDS, st.integers(0, 12)),
    st.tuples(st.just("set"), INDEXES, ELEMENTS),
    st.tuples(st.just("insert"), ENDS, ELEMENTS, ELEMENTS),
    st.tuples(st.just("remove"), st.integers(-3, 3), ELEMENTS),
    st.tuples(st.just("trim"), INDEXES, INDEXES),
    st.tuples(st.just("rotate"), ENDS, ENDS),
)


@contextmanager
def tiny_steps() -> Iterator[None]:
    """Few elements need several steps."""
    with (
        tiny_parts(),
        patch.multiple(list_type, PAGE=3, SCANNED=2, CHANGE=1),
        patch.multiple(lists, PAGE=3, FEW=2, LONG=5, STEP=2),
        patch.object(list_elements, "PAGE", 3),
    ):
        yield


def end(left: bool) -> bytes:
    return b"L" if left else b"R"


def within(model, start, last):
    """The bounds of LRANGE's and LTRIM's arguments."""
    start = max(start + len(model), 0) if start < 0 else start
    last = last + len(model) if last < 0 else last
    return slice(start, max(last + 1, 0))


def run(bench, model, step):
    """The same to both; the reply is what the model says."""
    what, *arguments = step
    if what == "push":
        left, elements = arguments
        for element in elements:
            model.insert(0 if left else len(model), element)
        assert bench.write([end(left) + b"PUSH", b"l", *elements]) == len(model)
    elif what == "pop":
        expected = model.pop(0 if arguments[0] else -1) if model else None
        assert bench.write([end(arguments[0]) + b"POP", b"l"]) == expected
    elif what == "pop many":
        left, count = arguments
        gone = model[:count] if left else model[len(model) - min(count, len(model)) :][::-1]
        expected = gone if model else NULL_ARRAY
        del model[slice(0, len(gone)) if left else slice(len(model) - len(gone), None)]
        assert bench.write([end(left) + b"POP", b"l", b"%d" % count]) == expected
    elif what == "insert":
        behind, pivot, element = arguments
        expected = -1 if model else 0
        if pivot in model:
            model.insert(model.index(pivot) + behind, element)
            expected = len(model)
        assert bench.write([b"LINSERT", b"l", b"AFTER" if behind else b"BEFORE", pivot, element]) == expected
    elif what == "remove":
        count, element = arguments
        places = [place for place, item in enumerate(model) if item == element]
        places = places[: count or None] if count >= 0 else places[count:]
        for place in reversed(places):
            del model[place]
        assert bench.write([b"LREM", b"l", b"%d" % count, element]) == len(places)
    elif what == "trim":
        model[:] = model[within(model, *arguments)]
        bench.write([b"LTRIM", b"l", *(b"%d" % index for index in arguments)])
    elif what == "set" and model:
        index, element = arguments
        reply = bench.write([b"LSET", b"l", b"%d" % index, element])
        assert (reply == OUT_OF_RANGE) == (not -len(model) <= index < len(model))
        if reply != OUT_OF_RANGE:
            model[index] = element
    elif what == "rotate":
        source, target = arguments
        expected = None
        if model:
            expected = model.pop(0 if source else -1)
            model.insert(0 if target else len(model), expected)
        sides = (b"LEFT" if side else b"RIGHT" for side in arguments)
        assert bench.write([b"LMOVE", b"l", b"l", *sides]) == expected


def agrees(bench, model):
    assert bench.read("LLEN l") == len(model)
    assert bench.read("LRANGE l 0 -1") == model
    assert bench.read("LRANGE l -4 4") == model[within(model, -4, 4)]
    for index in (-3, -1, 0, 5):
        expected = model[index] if -len(model) <= index < len(model) else None
        assert bench.read(f"LINDEX l {index}") == expected
    places = [place for place, item in enumerate(model) if item == b"a"]
    assert bench.read("LPOS l a") == (places[0] if places else None)
    assert bench.read("LPOS l a RANK 2 COUNT 2") == places[1:3]
    assert bench.read("LPOS l a RANK -1 COUNT 0 MAXLEN 4") == [p for p in reversed(places) if p >= len(model) - 4]
    assert bench.read("LPOS l a COUNT 0 MAXLEN 4") == [place for place in places if place < 4]


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=20))
def test_a_list_is_a_list(steps):
    bench, model = Bench(), []
    with tiny_steps():
        for number, step in enumerate(steps):
            run(bench, model, step)
            if number % 5 == 0:
                agrees(bench, model)
        agrees(bench, model)
        then = list(model)
        bench.write("COPY l copy")
        other = bench.copy()
        assert other.machine.digest() == bench.machine.digest()
        for step in steps[:5]:
            now = list(model)
            run(bench, model, step)
            run(other, now, step)
        agrees(other, model)
        assert other.machine.digest() == bench.machine.digest()
        assert bench.read("LRANGE copy 0 -1") == then


def test_a_list_of_many_elements_goes_in_steps():
    bench = Bench(checked=False)
    elements = [b"%d" % (number % 1000) for number in range(40_000)]
    assert bench.write([b"RPUSH", b"l", *elements]) == 40_000
    assert bench.read("LRANGE l 0 -1") == elements
    assert bench.read("LPOS l 999 COUNT 0") == list(range(999, 40_000, 1000))
    assert bench.read("LPOS l 0 RANK -1") == 39_000
    assert bench.write("LREM l -3 7") == 3
    assert bench.read("LPOS l 7 RANK -1") == 36_007
    assert bench.write("LREM l 0 5") == 40
    lost = (37_007, 38_007, 39_007)
    kept = [element for number, element in enumerate(elements) if element != b"5" and number not in lost]
    assert bench.write("LINSERT l BEFORE 998 x") == 39_958
    place = kept.index(b"998")
    kept.insert(place, b"x")
    assert bench.write("RPOP l 20000") == kept[:-20_001:-1]
    assert bench.write("LPOP l 20000") == kept[:-20_000]
    assert bench.write([b"LPUSH", b"l", *[b"same"] * 30_000]) == 30_000
    keys = [b"%d" % number for number in range(3000)]
    assert bench.write([b"LMPOP", b"3001", *keys, b"l", b"LEFT", b"COUNT", b"9000"]) == [b"l", [b"same"] * 9000]
    assert bench.write([b"LMPOP", b"3000", *keys, b"LEFT"]) == NULL_ARRAY
    assert bench.write("LREM l 0 same") == 21_000
    assert bench.read("EXISTS l") == 0


@pytest.mark.parametrize(
    ("elements", "encoding"),
    [
        ([b"x" * 8185], b"listpack"),
        ([b"x" * 8186], b"quicklist"),
        ([b"x" * 100] * 79, b"listpack"),
        ([b"x" * 100] * 80, b"quicklist"),
        ([b"1"] * 4092, b"listpack"),
        ([b"1"] * 4094, b"quicklist"),
        ([b"1234567890123456789"] * 817, b"listpack"),
        ([b"1234567890123456789"] * 818, b"quicklist"),
        ([b"-4096", b"4095", b"32767", b"-8388608", b"2147483647"] * 389, b"listpack"),
        ([b"-4096", b"4095", b"32767", b"-8388608", b"2147483647"] * 390, b"quicklist"),
    ],
)
def test_its_encoding_is_redis_own_for_one_that_grew(elements, encoding):
    bench = Bench(checked=False)
    for element in elements:
        bench.write([b"RPUSH", b"l", element])
    assert bench.read("OBJECT ENCODING l") == encoding


def test_its_changes_are_told_as_redis_names_them():
    bench = Bench()
    bench.machine.watch(Kind.CHANGES)

    def told(command):
        applied = bench.machine.apply(entry(bench.machine.applied + 1, command))
        return list(applied.effects.changes)

    expected = {
        "RPUSH l a b c a": [(b"rpush", b"l")],
        "LPUSH l x": [(b"lpush", b"l")],
        "LPUSHX none x": [],
        "LMOVE l m LEFT RIGHT": [(b"rpush", b"m"), (b"lpop", b"l")],
        "RPOPLPUSH m l": [(b"lpush", b"l"), (b"rpop", b"m"), (b"del", b"m")],
        "LMOVE l l LEFT RIGHT": [(b"rpush", b"l"), (b"lpop", b"l")],
        "LREM l 1 a": [(b"lrem", b"l")],
        "LREM l 1 z": [],
        "LSET l 0 y": [(b"lset", b"l")],
        "LINSERT l BEFORE y w": [(b"linsert", b"l")],
        "LINSERT l BEFORE none w": [],
        "LTRIM l 0 1": [(b"ltrim", b"l")],
        "RPOP l": [(b"rpop", b"l")],
        "LPOP l 5": [(b"lpop", b"l"), (b"del", b"l")],
    }
    for command, changes in expected.items():
        assert told(command) == changes, command
    many = " ".join(["x"] * 3000)
    assert told(f"LPUSH l {many}") == [(b"lpush", b"l")]


def test_a_long_list_is_taken_by_a_snapshot_while_it_changes():
    """Each change in several steps, with slices of the snapshot between them."""
    bench = Bench(checked=False)
    bench.write([b"RPUSH", b"l", *(b"%d" % (number % 50) for number in range(20_000))])
    for command in (b"LREM l 0 7", b"LPUSH l " + b" ".join([b"y"] * 3000), b"RPOP l 15000", b"LTRIM l 5 9"):
        before, digest = bench.read("LRANGE l 0 -1"), bench.machine.digest()
        writer = bench.machine.snapshot()
        chunks = [writer.next_slice(1000)]
        machine = bench.machine
        applied = machine.begin(entry(machine.applied + 1, command))
        while applied is None:
            chunks.append(writer.next_slice(1000))
            applied = machine.go_on()
        while chunk := writer.next_slice(1000):
            chunks.append(chunk)
        writer.close()
        other = Bench(checked=False)
        other.machine.restore(chunks, digest[0])
        assert other.machine.digest() == digest
        assert other.read("LRANGE l 0 -1") == before


def test_a_small_list_that_a_long_push_makes_large_is_in_a_snapshot_as_it_was():
    bench = Bench(checked=False)
    bench.write("RPUSH l a b")
    digest = bench.machine.digest()
    writer = bench.machine.snapshot()
    chunks = []
    applied = bench.machine.begin(entry(bench.machine.applied + 1, (b"RPUSH", b"l", *[b"x"] * 3000)))
    while applied is None:
        chunks.append(writer.next_slice(10))
        applied = bench.machine.go_on()
    while chunk := writer.next_slice(1000):
        chunks.append(chunk)
    writer.close()
    other = Bench(checked=False)
    other.machine.restore(chunks, digest[0])
    assert other.machine.digest() == digest
    assert other.machine.database.read(b"l", List) is not None
    assert other.read("LRANGE l 0 -1") == [b"a", b"b"]

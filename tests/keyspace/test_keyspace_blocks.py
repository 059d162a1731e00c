"""The sequence in blocks is a list: held against Python's, with copies, shared blocks and snapshots of it."""

from __future__ import annotations

from random import Random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.keyspace.invariants import check
from leto.keyspace.types import blocks
from leto.keyspace.types.parts import Parts
from leto.keyspace.types.value import SMALL_BYTES, SMALL_ELEMENTS
from tests.keyspace.batches import Bench
from tests.keyspace.row import Row
from tests.keyspace.tiny import tiny_parts

VALUES = st.sampled_from([b"", b"a", b"b", b"v" * 40, b"w" * (blocks.PART_BYTES // 2)])
PLACES = st.integers(0, 1 << 20)
STEPS = st.one_of(
    st.tuples(st.just("push"), VALUES, st.booleans()),
    st.tuples(st.just("push"), VALUES, st.booleans()),
    st.tuples(st.just("pop"), st.booleans()),
    st.tuples(st.just("put"), PLACES, VALUES),
    st.tuples(st.just("insert"), PLACES, VALUES),
    st.tuples(st.just("insert"), st.just(2), VALUES),
    st.tuples(st.just("remove"), PLACES),
    st.tuples(st.just("trim"), PLACES, PLACES),
    st.tuples(st.just("share")),
)


def run(value, model, step):
    """The same to both."""
    what, *arguments = step
    if what == "push":
        content, left = arguments
        value.push(content, left=left)
        model.insert(0 if left else len(model), content)
    elif what == "share" or not model:
        return
    elif what == "pop":
        assert value.pop(left=arguments[0]) == model.pop(0 if arguments[0] else -1)
    elif what == "trim":
        start, stop = (place % (len(model) + 1) for place in arguments)
        value.trim(start, stop)
        model[:] = model[start:stop]
    else:
        place = arguments[0] % len(model)
        if what == "put":
            value.put(place, arguments[1])
            model[place] = arguments[1]
        elif what == "insert":
            value.insert(place, arguments[1])
            model.insert(place, arguments[1])
        else:
            assert value.remove(place) == model.pop(place)


def agrees(value, model):
    assert not any(value.complaints())
    assert (len(value), list(value)) == (len(model), model)
    assert [value.get(index) for index in range(len(model))] == model
    for start in range(0, len(model) + 1, 3):
        for stop in range(0, len(model) + 1, 2):
            assert value.range(start, stop) == model[start:stop]


@settings(max_examples=250, deadline=None)
@given(st.lists(st.lists(STEPS, max_size=12), max_size=12))
def test_it_is_a_list_and_what_is_shared_stays_as_it_was(edits):
    bench = Bench()
    database = bench.machine.database
    model, shared = [], []
    with tiny_parts():
        for steps in edits:
            database.index += 1
            bench.machine.applied = database.index
            value = database.read(b"k", Row)
            if value is not None and ("share",) in steps:
                shared.append((value.copy(database.index), list(model)))
            with database.edit(b"k", Row, b"changed") as value:
                for step in steps:
                    run(value, model, step)
                    assert len(value) == len(model)
            value = database.read(b"k", Row)
            assert (value is None) == (not model)
            check(database)
            if value is not None:
                agrees(value, model)
        for kept, then in shared:
            agrees(kept, then)
        other = bench.copy()
        assert other.machine.digest() == bench.machine.digest()
        if model:
            agrees(other.machine.database.read(b"k", Row), model)
            database.index += 1
            other.machine.database.index += 1
            for each in (database, other.machine.database):
                with each.edit(b"k", Row, b"changed") as value:
                    value.insert(len(model) // 2, b"x")
                    value.push(b"y", left=True)
            assert other.machine.database.check_sum == database.check_sum


def edited(change, database=None):
    database = database or Bench().machine.database
    database.index += 1
    with database.edit(b"k", Row, b"changed") as value:
        change(value)
    return database


def filled(value, count):
    for number in range(count):
        value.push(b"%d" % number, left=False)


def test_order_shows_in_the_digest():
    sums = set()
    rows = ([b"a", b"b"], [b"b", b"a"], [b"a"], [b"ab"], [b"a", b"b", b""], [b"", b"a", b"b"], [b"a", b"a", b"b"])
    for row in rows:
        sums.add(edited(lambda value, row=row: [value.push(each, left=False) for each in row]).check_sum)
    assert len(sums) == len(rows)


def test_what_stays_keeps_its_checksum_when_others_come_at_the_ends():
    """Else a push would compute all of them anew."""
    database = edited(lambda value: filled(value, 5000))
    content = database.read(b"k", Row).content
    before = [(part.low, part.sum) for part in content.parts]
    edited(lambda value: [value.push(b"x", left=left) for left in (True, False) * 2], database)
    assert [(part.low, part.sum) for part in content.parts[1:-1]] == before[:-1]
    small = edited(lambda value: value.push(b"a", left=False))
    edited(lambda value: value.push(b"b", left=True), small)
    edited(lambda value: value.pop(left=True), small)
    assert small.check_sum == edited(lambda value: value.push(b"a", left=False)).check_sum


def test_a_queue_goes_on_for_ever_in_blocks_that_are_full():
    database = edited(lambda value: filled(value, 3000))
    value = database.read(b"k", Row)
    for turn in range(20):
        edited(lambda value: [value.push(value.pop(left=True), left=False) for _ in range(1000)], database)
        assert len(value.content.parts) <= 3000 // blocks.PART_ELEMENTS + 2, turn
    assert value.range(0, 2) == [b"2000", b"2001"]
    check(database)


def test_a_list_becomes_large_by_elements_or_bytes():
    assert not edited(lambda value: filled(value, SMALL_ELEMENTS)).read(b"k", Row).is_large
    assert edited(lambda value: filled(value, SMALL_ELEMENTS + 1)).read(b"k", Row).is_large
    assert edited(lambda value: value.push(b"x" * (SMALL_BYTES + 1), left=True)).read(b"k", Row).is_large
    database = edited(lambda value: value.push(b"x" * SMALL_BYTES, left=True))
    assert not database.read(b"k", Row).is_large
    edited(lambda value: value.insert(0, b"y"), database)
    assert list(database.read(b"k", Row)) == [b"y", b"x" * SMALL_BYTES]


def test_inserts_at_one_place_find_room_between_the_blocks(monkeypatch):
    """Blocks are numbered anew, a few of them, once there is none."""
    monkeypatch.setattr(blocks, "GAP", 64)
    monkeypatch.setattr(blocks, "ROOMY", 8)
    with tiny_parts():
        database = edited(lambda value: filled(value, 100))
        model = list(database.read(b"k", Row))
        for turn in range(300):
            edited(lambda value, turn=turn: value.insert(50, b"x%d" % turn), database)
            model.insert(50, b"x%d" % turn)
            check(database)
        agrees(database.read(b"k", Row), model)


def test_what_is_trimmed_off_is_freed_in_pieces():
    bench = Bench()
    database = bench.machine.database
    edited(lambda value: filled(value, 20_000), database)
    content = database.read(b"k", Row).content
    first = content.parts[0]
    edited(lambda value: value.trim(19_000, 19_500), database)
    assert (len(database.read(b"k", Row)), bench.machine.has_waste, len(first.items)) == (500, True, 512)
    pieces = 0
    while bench.machine.free_waste(200):
        pieces += 1
    assert pieces > 30
    check(database)


@pytest.mark.parametrize("left", [True, False])
def test_a_change_touches_few_blocks(left):
    database = edited(lambda value: filled(value, 5000))
    content = database.read(b"k", Row).content
    assert isinstance(content, Parts)
    before = content.share(database.index)
    edited(lambda value: value.put(2000, b"new"), database)
    assert sum(part is not old for part, old in zip(content.parts, before, strict=True)) == 1
    edited(lambda value: value.pop(left=left), database)
    assert sum(part is not old for part, old in zip(content.parts, before, strict=True)) == 2


@pytest.mark.soak
def test_no_change_of_a_million_elements_takes_five_milliseconds():
    database = Bench().machine.database
    for _ in range(2000):
        edited(lambda value: filled(value, 500), database)
    random = Random(3)
    longest = {}
    changes = {
        "push": lambda value: value.push(b"x", left=True),
        "pop": lambda value: value.pop(left=False),
        "insert": lambda value: value.insert(random.randrange(len(value)), b"x"),
        "insert here": lambda value: value.insert(500_000, b"x"),
        "remove": lambda value: value.remove(random.randrange(len(value))),
        "get": lambda value: value.get(random.randrange(len(value))),
        "trim": lambda value: value.trim(1, len(value) - 1),
        "trim half": lambda value: value.trim(len(value) // 4, 3 * len(value) // 4),
    }
    for name, change in changes.items():
        for _ in range(5 if name == "trim half" else 2000):
            began = process_time()
            edited(change, database)
            longest[name] = max(longest.get(name, 0.0), process_time() - began)
    assert {name: seconds for name, seconds in longest.items() if seconds > 0.005} == {}, longest

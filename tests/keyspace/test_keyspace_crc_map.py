"""The map in parts is a map: held against a dictionary, with copies and snapshots that keep what they had."""

from __future__ import annotations

from collections import Counter
from random import Random
from zlib import crc32

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leto.keyspace.types import crc_map
from leto.keyspace.types.parts import Parts
from leto.keyspace.types.value import SMALL_BYTES, SMALL_ELEMENTS, element_sum
from tests.keyspace.batches import Bench
from tests.keyspace.tally import COMMANDS, Tally
from tests.keyspace.tiny import tiny_parts

TWINS = [b"plumless", b"buckeroo"]  # of one CRC-32
FIELDS = st.sampled_from([*TWINS, b"", *(b"%d" % number for number in range(20))])
VALUES = st.sampled_from([b"", b"1", b"v" * 40, b"w" * crc_map.PART_BYTES])
PUTS = st.tuples(st.just("put"), FIELDS, VALUES)
STEPS = st.one_of(
    PUTS, PUTS, st.tuples(st.just("pop"), FIELDS), st.tuples(st.just("copy")), st.tuples(st.just("share"))
)


def in_the_maps_order(model):
    return sorted(model.items(), key=lambda item: (crc32(item[0]), item[0]))


def agrees(value, model):
    assert not any(value.complaints())
    assert len(value) == len(model)
    items = list(value.items())
    assert items == in_the_maps_order(model) if value.is_large else dict(items) == model
    assert all(value.get(field) == content for field, content in model.items())
    assert not any(field in value for field in (b"x", b"y") if field not in model)
    assert value.digest() == sum(element_sum(crc32(field), content) for field, content in model.items())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(STEPS, max_size=12), max_size=12))
@example([[("put", field, b"") for field in TWINS * 2 + [b"1", b"2", b"3"]], [("pop", TWINS[0])], [("pop", TWINS[1])]])
def test_it_is_a_map_and_what_is_shared_stays_as_it_was(edits):
    database = Bench().machine.database
    model = {}
    shared = []
    with tiny_parts():
        for steps in edits:
            database.index += 1
            value = database.read(b"k", Tally)
            if value is not None:
                kept = value.copy(database.index) if any(step == ("copy",) for step in steps) else None
                parts = value.content.share(database.index) if value.is_large and ("share",) in steps else None
                shared.append((kept, parts, dict(model)))
            with database.edit(b"k", Tally, b"changed") as value:
                for step in steps:
                    if step[0] == "put":
                        assert value.put(*step[1:]) == model.get(step[1])
                        model[step[1]] = step[2]
                    elif step[0] == "pop":
                        assert value.pop(step[1]) == model.pop(step[1], None)
                    assert len(value) == len(model)
            value = database.read(b"k", Tally)
            assert (value is None) == (not model)
            if value is not None:
                agrees(value, model)
        for kept, parts, then in shared:
            if kept is not None:
                agrees(kept, then)
            if parts is not None:
                assert {field: content for part in parts for field, content in part.items.items()} == then


def edited(steps, database=None):
    database = database or Bench().machine.database
    database.index += 1
    with database.edit(b"k", Tally, b"changed") as value:
        steps(value)
    return database


def filled(value, count):
    for number in range(count):
        value.put(b"%d" % number, b"v")


def test_small_ones_keep_the_order_of_insertion_and_large_ones_have_the_crcs():
    database = edited(lambda value: filled(value, SMALL_ELEMENTS))
    value = database.read(b"k", Tally)
    assert [field for field, _ in value.items()] == [b"%d" % number for number in range(SMALL_ELEMENTS)]
    assert not value.is_large
    edited(lambda value: value.put(b"one more", b""), database)
    assert value.is_large
    fields = [field for field, _ in value.items()]
    assert fields == sorted(fields, key=crc32)
    edited(lambda value: [value.pop(field) for field in fields[1:]], database)
    assert (value.is_large, len(value), len(value.content.parts)) == (True, 1, 1)


def test_a_few_long_elements_make_a_large_one_too():
    database = edited(lambda value: value.put(b"a", b"x" * SMALL_BYTES))
    assert database.read(b"k", Tally).is_large
    database = edited(lambda value: value.put(b"a", b"x" * (SMALL_BYTES - 1)))
    assert not database.read(b"k", Tally).is_large


def test_parts_stay_within_their_bounds():
    random = Random(1)
    database = edited(lambda value: filled(value, 20_000))
    parts = database.read(b"k", Tally).content.parts
    sizes = [len(part.items) for part in parts]
    assert max(sizes) <= crc_map.PART_ELEMENTS
    assert len(sizes) < 4 * 20_000 / crc_map.PART_ELEMENTS
    fields = [b"%d" % number for number in range(20_000)]
    random.shuffle(fields)
    for start in range(0, 19_000, 500):
        edited(lambda value, some=fields[start : start + 500]: [value.pop(field) for field in some], database)
        sizes = [len(part.items) for part in parts]
        pairs = zip(sizes, sizes[1:], strict=False)
        assert all(one + other > crc_map.FEW_ELEMENTS for one, other in pairs), "what is next to each other is joined"
    assert len(parts) <= 2 * 1000 / crc_map.FEW_ELEMENTS + 1


def test_fields_of_one_crc_are_split_all_the_same(monkeypatch):
    """Anybody can make as many as he likes."""
    monkeypatch.setattr(crc_map, "crc32", lambda data: 7)
    database = edited(lambda value: filled(value, 3000))
    value = database.read(b"k", Tally)
    assert max(len(part.items) for part in value.content.parts) <= crc_map.PART_ELEMENTS
    assert [field for field, _ in value.items()] == sorted(b"%d" % number for number in range(3000))
    assert value.get(b"2999") == b"v"
    assert not any(value.complaints())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_walk_meets_what_stays_once_whatever_comes_and_goes(data):
    with tiny_parts():
        bench = Bench(commands=COMMANDS)
        database = bench.machine.database
        stays = data.draw(st.sets(FIELDS, min_size=1))
        edited(lambda value: [value.put(field, b"") for field in stays], database)
        met, cursor = Counter(), 0
        while True:
            cursor, found = database.read(b"k", Tally).scan(cursor, data.draw(st.integers(1, 5)))
            met.update(field for field, _ in found)
            if not cursor:
                break
            others = data.draw(st.lists(FIELDS.filter(lambda field: field not in stays), max_size=6))
            act = data.draw(st.booleans())
            edited(lambda value: [value.put(each, b"") if act else value.pop(each) for each in others], database)  # noqa: B023
        assert all(met[field] == 1 for field in stays)


def test_a_walk_of_a_large_one_goes_on_in_pieces():
    database = edited(lambda value: filled(value, 5000))
    value = database.read(b"k", Tally)
    cursors, met, cursor = 0, [], 0
    while True:
        cursor, found = value.scan(cursor, 100)
        cursors += 1
        met += found
        assert len(found) == 100 or not cursor
        if not cursor:
            break
    assert (cursors, met) == (50, list(value.items()))


@pytest.mark.parametrize("count", [3, 1200])
def test_each_field_is_chosen_as_often(count):
    random = Random(7)
    database = edited(lambda value: filled(value, count))
    value = database.read(b"k", Tally)
    draws = 100 * count if count < 100 else 30 * count
    chosen = Counter(value.choose(random.random) for _ in range(draws))
    mean = draws / count
    assert len(chosen) == count
    assert max(chosen.values()) < 2.2 * mean
    assert min(chosen.values()) > mean / 4


def test_what_is_chosen_is_the_same_after_a_restart():
    bench = Bench(commands=COMMANDS)
    bench.write(["TALLYSET", "k", *(word for number in range(1500) for word in (number, "v"))])
    copy = bench.copy()
    for seed in range(20):
        one, other = Random(seed), Random(seed)
        value, again = (each.machine.database.read(b"k", Tally) for each in (bench, copy))
        assert value.choose(one.random) == again.choose(other.random)


def test_a_change_touches_one_part_alone():
    database = edited(lambda value: filled(value, 5000))
    content = database.read(b"k", Tally).content
    assert isinstance(content, Parts)
    before = content.share(database.index)
    edited(lambda value: value.put(b"17", b"w"), database)
    assert sum(part is not old for part, old in zip(content.parts, before, strict=True)) == 1
    edited(lambda value: value.put(b"17", b"x"), database)
    assert [part.version for part in content.parts if part.version == database.index] == [database.index]

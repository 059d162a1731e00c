"""SCAN's guarantee and RANDOMKEY: walks over keys that come and go."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.keyspace.records import BUCKETS
from leto.vocabulary.replies import Error
from tests.keyspace.batches import Bench

CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 400)),
        st.tuples(st.just("remove"), st.integers(0, 400)),
        st.tuples(st.just("move"), st.just(0)),
    ),
    max_size=60,
)


def scan(bench, cursor, count):
    reply = bench.read(f"SCAN {cursor} COUNT {count}")
    return int(reply[0]), reply[1]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 400), max_size=200), CHANGES, st.integers(1, 50))
def test_a_key_that_stays_is_met_and_one_that_never_was_is_not(numbers, changes, count):
    bench = Bench()
    for number in numbers:
        bench.write(f"SET {number} v")
    stays = {b"%d" % number for number in numbers}
    ever = set(stays)
    met, cursor, pages = [], 0, 0
    waiting = iter(changes)
    while True:
        cursor, keys = scan(bench, cursor, count)
        met += keys
        pages += 1
        if cursor == 0:
            break
        for _ in range(5):
            change, number = next(waiting, ("none", 0))
            key = b"%d" % number
            if change == "add":
                bench.write([b"SET", key, b"w"])
                ever.add(key)
            elif change == "remove":
                bench.write([b"DEL", key])
                stays.discard(key)
            elif change == "move":  # the walk goes on at another node, or after a restart
                bench = bench.copy()
    assert stays <= set(met)
    assert set(met) <= ever
    assert len(met) == len(set(met))  # Redis may repeat a key; here a bucket is never met twice
    assert pages <= len(ever) + 1


def test_a_walk_ends_although_every_page_adds_keys():
    bench = Bench(checked=False)
    bench.batch(*[f"SET {n} v" for n in range(1000)])
    cursor, pages, new = 0, 0, 1000
    while True:
        cursor, keys = scan(bench, cursor, 10)
        pages += 1
        if not cursor:
            break
        bench.batch(*[f"SET {new + n} v" for n in range(20)])
        new += 20
    assert pages < 400


@pytest.mark.parametrize("cursor", [BUCKETS, BUCKETS - 1, 2**64 - 1, -1])
def test_a_cursor_beyond_the_end_ends_the_walk(cursor):
    bench = Bench()
    bench.write("SET a 1")
    assert scan(bench, cursor, 10) == (0, [])


def test_filters_are_applied_after_the_page_is_taken():
    bench = Bench()
    bench.batch(*[f"SET {n} v" for n in range(100)])
    bench.batch("SET gone v PX 1")
    bench.wait(2)
    found, cursor = [], None
    while cursor != 0:
        reply = bench.read([b"SCAN", b"%d" % (cursor or 0), b"MATCH", b"*7", b"TYPE", b"string"])
        cursor = int(reply[0])
        found += reply[1]
    assert sorted(found) == sorted(b"%d" % n for n in range(100) if n % 10 == 7)


def test_randomkey_never_answers_an_expired_key():
    random = Random(3)
    bench = Bench(random=random.random)
    bench.batch(*[f"SET dying:{n} v PX 10" for n in range(3000)])
    bench.batch("SET alive 1")
    bench.wait(11)
    assert {bench.read("RANDOMKEY") for _ in range(5)} == {b"alive"}
    bench.write("DEL alive")
    assert bench.read("RANDOMKEY") is None


def test_randomkey_in_the_log_draws_the_same_on_every_node():
    one, other = Bench(random=Random(1).random), Bench(random=Random(2).random)
    for bench in (one, other):
        bench.batch(*[f"SET {n} v" for n in range(3000)])
    other = other.copy()
    assert one.batch(*["RANDOMKEY"] * 20) == other.batch(*["RANDOMKEY"] * 20)
    assert len(set(one.batch(*["RANDOMKEY"] * 20))) > 5


def test_a_pattern_that_takes_too_long_to_take_apart_is_refused():
    bench = Bench()
    bench.write("SET a 1")
    long = Error(b"ERR a pattern of 20001 bytes is too long")
    assert bench.read("KEYS", b"?" + b"a" * 20000) == long
    assert bench.read("SCAN", 0, "MATCH", b"?" + b"a" * 20000) == long

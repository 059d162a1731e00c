"""Sets, small and large: what their commands make of many members, of several sets, and of a draw."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.keyspace.effects import Kind
from leto.keyspace.types.set import INTSET_MEMBERS, LISTPACK_MEMBERS
from leto.keyspace.types.value import SMALL_ELEMENTS
from leto.vocabulary.replies import Set
from leto.vocabulary.steps import LONG, STEP
from tests.keyspace.batches import Bench, entry

SIZES = (1, 7, SMALL_ELEMENTS, SMALL_ELEMENTS + 1, LONG, 3000)


def members_of(bench: Bench, *command: bytes) -> list[bytes]:
    """A reply that is a set: its members, each once."""
    reply = bench.read(*command)
    assert isinstance(reply, Set)
    assert len(reply.items) == len(set(reply.items))
    return reply.items


def set_of(size: int) -> tuple[Bench, list[bytes]]:
    bench, members = Bench(Random(5).random), [b"m%d" % number for number in range(size)]
    assert bench.write(b"SADD", b"s", *members, members[0]) == size
    return bench, members


@pytest.mark.parametrize("size", SIZES)
def test_all_members_at_once(size: int) -> None:
    bench, members = set_of(size)
    assert sorted(members_of(bench, b"SMEMBERS", b"s")) == sorted(members)
    assert bench.read(b"SMISMEMBER", b"s", b"none", *members) == [0] + [1] * size
    assert bench.read(b"SMISMEMBER", b"none", *members) == [0] * size
    found, cursor = [], b"0"
    while True:
        cursor, page = bench.read(b"SSCAN", b"s", cursor)
        found += page
        if cursor == b"0":
            break
    assert sorted(found) == sorted(members)
    assert bench.write(b"SREM", b"s", b"none", *members) == size
    assert bench.read(b"EXISTS", b"s") == 0


@pytest.mark.parametrize("size", SIZES)
def test_what_is_popped_is_gone(size: int) -> None:
    bench, members = set_of(size)
    gone = {bench.write(b"SPOP", b"s")}
    for count in (0, 1, size // 3, size):
        popped = bench.write(b"SPOP", b"s", b"%d" % count).items
        assert len(popped) == min(count, size - len(gone))
        assert gone.isdisjoint(popped)
        gone.update(popped)
        assert bench.read(b"SCARD", b"s") == size - len(gone)
    assert gone == set(members)
    assert bench.read(b"EXISTS", b"s") == 0


@pytest.mark.parametrize("size", SIZES)
def test_draws(size: int) -> None:
    bench, members = set_of(size)
    for count in (1, 5, size // 2, size, size + 1):
        drawn = bench.read(b"SRANDMEMBER", b"s", b"%d" % count)
        assert len(drawn) == len(set(drawn)) == min(count, size)
        assert set(drawn) <= set(members)
    assert len(bench.read(b"SRANDMEMBER", b"s", b"%d" % -(STEP + 9))) == STEP + 9


def test_encodings_follow_redis_thresholds() -> None:
    bench = Bench()
    bench.write(b"SADD", b"i", *[b"%d" % number for number in range(INTSET_MEMBERS)])
    assert bench.read(b"OBJECT", b"ENCODING", b"i") == b"intset"
    bench.write(b"SADD", b"i", b"-7")
    assert bench.read(b"OBJECT", b"ENCODING", b"i") == b"hashtable"
    bench.write(b"SADD", b"l", *[b"m%d" % number for number in range(LISTPACK_MEMBERS - 1)], b"x" * 64)
    assert bench.read(b"OBJECT", b"ENCODING", b"l") == b"listpack"
    bench.write(b"SADD", b"l", b"one more")
    assert bench.read(b"OBJECT", b"ENCODING", b"l") == b"hashtable"
    bench.write(b"SADD", b"m", b"x" * 65)
    assert bench.read(b"OBJECT", b"ENCODING", b"m") == b"hashtable"


_MEMBERS = st.sets(st.integers(0, 60).map(lambda number: b"%d" % number), max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.lists(_MEMBERS, min_size=1, max_size=4), st.sampled_from([0, 400, 2000]))
def test_algebra_is_that_of_sets(operands: list[set[bytes]], more: int) -> None:
    """`more` members that all of them have, or that the first one has, make them large."""
    common = {b"common %d" % number for number in range(more)}
    operands = [members | common for members in operands]
    operands[0] |= {b"own %d" % number for number in range(more)}
    bench = Bench()
    keys = [b"k%d" % number for number in range(len(operands))]
    for key, members in zip(keys, operands, strict=True):
        if members:
            bench.write(b"SADD", key, *sorted(members))
    first, *rest = operands
    for name, expected in (
        (b"SINTER", first.intersection(*rest)),
        (b"SUNION", first.union(*rest)),
        (b"SDIFF", first.difference(*rest)),
    ):
        assert set(members_of(bench, name, *keys)) == expected
        for destination in (b"d", keys[-1]):
            before = bench.read(b"SMEMBERS", keys[-1]).items
            assert bench.write(name + b"STORE", destination, *keys) == len(expected)
            assert set(members_of(bench, b"SMEMBERS", destination)) == expected
            bench.write(b"DEL", keys[-1])
            if before:
                bench.write(b"SADD", keys[-1], *before)
    count = len(first.intersection(*rest))
    for limit in (0, 1, 5, 10_000):
        command = (b"SINTERCARD", b"%d" % len(keys), *keys, b"LIMIT", b"%d" % limit)
        assert bench.read(*command) == min(count, limit or count)


def test_each_change_is_told_once() -> None:
    bench = Bench()
    machine = bench.machine
    members = [b"%d" % number for number in range(2 * LONG)]
    machine.watch(Kind.CHANGES)
    told: list[tuple[bytes, bytes]] = []

    def write(*command: bytes) -> None:
        applied = machine.apply(entry(machine.applied + 1, command, time_ms=bench.now))
        told[:] = applied.effects.changes

    write(b"SADD", b"s", *members)
    assert told == [(b"sadd", b"s")]
    write(b"SUNIONSTORE", b"t", b"s")
    assert told == [(b"sunionstore", b"t")]
    write(b"SUNIONSTORE", b"t", b"s")
    assert told == [(b"sunionstore", b"t")]
    write(b"SDIFFSTORE", b"t", b"s", b"s")
    assert told == [(b"del", b"t")]
    write(b"SMOVE", b"s", b"u", b"1")
    assert told == [(b"srem", b"s"), (b"sadd", b"u")]
    write(b"SREM", b"s", *members)
    assert told == [(b"srem", b"s"), (b"del", b"s")]
    write(b"SPOP", b"u", b"3")
    assert told == [(b"spop", b"u"), (b"del", b"u")]
    assert bench.read(b"DBSIZE") == 0

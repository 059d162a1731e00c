"""Long strings are changed in parts: the same strings, for the price of a part."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.checksums import adler32
from leto.keyspace.types import long_string
from leto.keyspace.types.long_string import LONG_STRING, PART, LongString, plain
from leto.keyspace.types.value import Record, content_sum
from leto.vocabulary.replies import NOT_A_FLOAT, NOT_AN_INTEGER
from tests.keyspace.batches import Bench

ROUND_PARTS = [0, 1, PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART, 3 * PART + 5]
PLACES = st.one_of(st.sampled_from(ROUND_PARTS), st.integers(0, 4 * PART))
TEXTS = st.builds(lambda seed, size: (seed + b"-") * (size // (len(seed) + 1) + 1), st.binary(max_size=5), PLACES)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("append"), TEXTS),
        st.tuples(st.just("patch"), PLACES, TEXTS),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(TEXTS, CHANGES, st.lists(st.tuples(PLACES, PLACES), max_size=4))
def test_it_is_the_bytes_that_it_stands_for(text, changes, ranges):
    value, expected = LongString.of(text), text
    kept = [(value, expected)]
    for change in changes:
        if change[0] == "append":
            value = value.appended(change[1])
            expected += change[1]
        else:
            _, offset, patch = change
            value = value.patched(offset, patch)
            if patch or offset > len(expected):
                expected = expected[:offset].ljust(offset, b"\0") + patch + expected[offset + len(patch) :]
        kept.append((value, expected))
    for one, stands_for in kept:  # none was changed by those that came after
        assert bytes(one) == stands_for
        assert len(one) == len(stands_for)
        assert one.adler == adler32(stands_for)
        parts = list(one.parts())
        assert all(len(part) == PART for part in parts[:-1])
        assert content_sum(one, 0) == content_sum(stands_for, 0) or len(stands_for) < 32
    for start, stop in ranges:
        start, stop = min(start, len(expected)), min(stop, len(expected))
        assert value.range(start, stop) == expected[start:stop]


def big(size):
    return bytes(range(256)) * (size // 256)


COMMANDS = [
    ("SETRANGE", "k", 3, "abc"),
    ("SETRANGE", "k", 8 * PART - 1, "abc"),
    ("SETRANGE", "k", 20 * PART + 7, "end"),
    ("APPEND", "k", "more"),
    ("APPEND", "k", b"m" * 3 * PART),
    ("APPEND", "k", ""),
    ("STRLEN", "k"),
    ("GETRANGE", "k", PART - 2, PART + 1),
    ("GETRANGE", "k", -5, -1),
    ("GETRANGE", "k", 0, -1),
    ("GETRANGE", "k", 5, 2),
    ("GETRANGE", "k", 10**9, 10**10),
    ("SUBSTR", "k", 0, 10**12),
    ("GET", "k"),
    ("MGET", "k", "none", "k"),
    ("TYPE", "k"),
    ("OBJECT", "ENCODING", "k"),
    ("INCR", "k"),
    ("INCRBYFLOAT", "k", 1),
    ("SETNX", "k", 1),
    ("EXPIRE", "k", 100),
    ("GETEX", "k", "PERSIST"),
    ("COPY", "k", "copy"),
    ("APPEND", "k", "!"),
    ("GET", "copy"),
    ("RENAME", "k", "r"),
    ("SET", "r", "x", "GET", "KEEPTTL"),
    ("GETSET", "copy", "y"),
    ("SETRANGE", "far", 5 * PART, "z"),
    ("GETDEL", "far"),
    ("LCS", "copy", "none"),
]


def test_every_command_takes_it_as_the_string_it_is(monkeypatch):
    """Beside a machine that never makes any."""
    one, other = Bench(), Bench()
    for bench in (one, other):
        bench.write("SET", "k", big(10 * PART))
    for command in COMMANDS:
        monkeypatch.setattr("leto.keyspace.commands.strings.LONG_STRING", LONG_STRING)
        reply = one.write(*command)
        monkeypatch.setattr("leto.keyspace.commands.strings.LONG_STRING", 1 << 62)
        assert plain(reply) == plain(other.write(*command)), command
        assert one.machine.digest() == other.machine.digest(), command
        values = [one.read("STRLEN", key) for key in ("k", "copy", "r")]
        assert values == [other.read("STRLEN", key) for key in ("k", "copy", "r")]


def parts_of(bench, key="k"):
    value = bench.machine.database.find(key.encode()).value
    assert type(value) is LongString
    return list(value.parts())


@pytest.mark.parametrize(
    ("command", "most"),
    [
        (("SETRANGE", "k", 5 * PART + 9, "x"), 1),
        (("SETRANGE", "k", 5 * PART - 2, "xyz!"), 2),
        (("SETRANGE", "k", 0, b"x" * 3 * PART), 3),
        (("APPEND", "k", "x"), 1),
    ],
)
def test_a_change_makes_no_more_than_the_parts_it_touches(monkeypatch, command, most):
    bench = Bench()
    bench.batch(("SET", "k", big(50 * PART)), ("SETRANGE", "k", 0, "-"), ("APPEND", "k", "-"))
    before = parts_of(bench)
    summed = []

    def counting(data, start=1):
        summed.append(len(data))
        return adler32(data, start)

    monkeypatch.setattr(long_string, "adler32", counting)
    bench.write(*command)
    after = parts_of(bench)
    assert sum(old is not new for old, new in zip(before, after, strict=False)) <= most
    assert len(after) == len(before)
    assert sum(summed) <= 2 * len(str(command[-1]))  # what is patched, never the whole of it


def test_zeros_far_behind_the_end_take_no_room():
    bench = Bench()
    bench.write("SETRANGE", "k", 400 << 20, "x")
    assert len({id(part) for part in parts_of(bench)}) <= 4
    assert bench.read("STRLEN k") == (400 << 20) + 1
    assert bench.read("GETRANGE", "k", (400 << 20) - 2, -1) == b"\0\0x"


def test_a_snapshot_keeps_the_string_as_it_was_in_pieces():
    bench = Bench()
    value = big(40 * PART)
    bench.batch(("SET", "k", value), ("SETRANGE", "k", 0, "old"), ("SET", "other", value), ("SET", "small", "s"))
    writer = bench.machine.snapshot()
    slices = [writer.next_slice(1)]
    digest = bench.machine.digest()
    for number in range(50):
        bench.batch(("SETRANGE", "k", number * 1000, "new"), ("APPEND", "other", "new"))
        slices.append(writer.next_slice(PART))
    while data := writer.next_slice(PART):
        slices.append(data)
    assert max(map(len, slices)) <= 3 * PART
    other = Bench()
    other.machine.restore(slices, 1)
    assert other.machine.digest() == digest
    assert other.read("GETRANGE k 0 5") == b"old" + value[3:6]
    assert other.read("STRLEN other") == len(value)
    # It is a long string again as soon as it is changed, with the same sum.
    bench.write("SETRANGE k 0 x")
    restored = bench.copy()
    assert type(restored.machine.database.find(b"k").value) is bytes
    assert restored.machine.digest() == bench.machine.digest()
    for one in (bench, restored):
        one.write("APPEND k y")
    assert restored.machine.digest() == bench.machine.digest()


def test_short_strings_stay_plain_bytes():
    bench = Bench()
    bench.batch(("SET", "k", "a"), ("APPEND", "k", b"x" * 1000), ("SETRANGE", "k", LONG_STRING - 2, "z"))
    assert type(bench.machine.database.find(b"k").value) is bytes
    bench.write("APPEND k !")
    assert type(bench.machine.database.find(b"k").value) is LongString
    bench.write("SET k a")
    assert bench.machine.database.find(b"k") == Record(b"a", bench.machine.applied)


def test_a_reply_does_not_change_with_the_string():
    bench = Bench()
    bench.batch(("SET", "k", big(4 * PART)), ("SETRANGE", "k", 0, "old"))
    [[reply, *_]] = bench.batch([b"", ("GET", "k"), ("SETRANGE", "k", 0, "new")])
    earlier = bench.read("GET k")
    bench.write("SETRANGE k 0 xxx")
    assert bytes(reply)[:3] == b"old"
    assert bytes(earlier)[:3] == b"new"


def test_no_number_is_that_long():
    bench = Bench()
    bench.batch(("SET", "k", b"1" * LONG_STRING), "APPEND k 1")
    assert bench.write("INCR k") == NOT_AN_INTEGER
    assert bench.write("INCRBYFLOAT k 1") == NOT_A_FLOAT

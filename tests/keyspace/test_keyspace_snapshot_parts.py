"""Large values in a snapshot: the bytes as documented, in any order, and some of them twice."""

from __future__ import annotations

import struct
from random import Random
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.errors import CorruptStorage
from leto.keyspace.machine import Machine
from leto.keyspace.types.value import KEY_OFFSET
from tests.keyspace.batches import NOW, Bench
from tests.keyspace.tally import COMMANDS
from tests.keyspace.tiny import tiny_parts

END, HEAD, PART = 4, 5, 6


@pytest.fixture(scope="module", autouse=True)
def large_values():
    with tiny_parts():
        yield


def payload_of(machine):
    writer = machine.snapshot()
    payload = b"".join(iter(lambda: writer.next_slice(1 << 20), b""))
    writer.close()
    return payload


def frames_of(payload):
    frames, at = [], 0
    while at < len(payload):
        (length,) = struct.unpack_from(">I", payload, at)
        frames.append(payload[at : at + 4 + length])
        at += 4 + length
    return frames


def kind(frame):
    return frame[4]


def frame(kind, body):
    body = msgspec.msgpack.encode(body)
    return struct.pack(">IB", len(body) + 1, kind) + body


def filled():
    bench = Bench(commands=COMMANDS)
    bench.batch("SET s 1", "TALLYSET k a 1 b 2 c 3 d 4 e 5 f 6", "EXPIRE k 100", "TALLY j a b c d e", "TALLY small a")
    return bench


def test_the_payload_is_as_documented():
    bench = Bench(commands=COMMANDS)
    bench.batch("TALLYSET k a 1 b 2 c 3 d 4 e 5", "PEXPIRE k 100")
    fields = sorted((crc32(name), name, b"%d" % n) for n, name in enumerate([b"a", b"b", b"c", b"d", b"e"], 1))
    elements = sum((crc + KEY_OFFSET) * (crc + crc32(count) + 1) for crc, _, count in fields)
    content = crc32(b"%d" % (NOW + 100), 255) + elements
    check_sum = (crc32(b"k") + KEY_OFFSET) * (content + 1) % 2**64
    first, second = fields[:2], fields[2:]
    assert frames_of(payload_of(bench.machine)) == [
        frame(1, [3, 1, NOW, 0, 1, check_sum]),
        frame(HEAD, [0, b"k", 1, NOW + 100, 255, 2, None]),
        frame(PART, [0, b"k", 255, [0, b""], msgspec.msgpack.encode([w for _, *pair in first for w in pair])]),
        frame(PART, [0, b"k", 255, list(second[0][:2]), msgspec.msgpack.encode([w for _, *p in second for w in p])]),
        frame(END, [1, 2]),
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_the_frames_may_come_in_any_order_and_twice(seed, twice):
    bench = filled()
    header, *frames, _ = frames_of(payload_of(bench.machine))
    random = Random(seed)
    frames += random.sample(frames, 3) if twice else []
    random.shuffle(frames)
    records = sum(len(msgspec.msgpack.decode(each[5:])[1]) for each in frames if kind(each) == 3)
    end = [records + sum(kind(each) == HEAD for each in frames), sum(kind(each) == PART for each in frames)]
    other = Bench(commands=COMMANDS)
    other.machine.restore([header, *frames, frame(END, end)], 1)
    assert other.machine.digest() == bench.machine.digest()
    assert payload_of(other.machine) == payload_of(bench.machine), "the parts are the same"
    assert other.read("TALLYALL k") == bench.read("TALLYALL k")
    assert other.read("PTTL k") == 100_000
    assert other.batch("TALLY k z", "TALLYDEL j a") == bench.batch("TALLY k z", "TALLYDEL j a")
    assert other.machine.digest() == bench.machine.digest()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_refused(data):
    payload = payload_of(filled().machine)
    place = data.draw(st.integers(0, len(payload) - 1))
    change = data.draw(st.integers(1, 255))
    damaged = payload[:place] + bytes([payload[place] ^ change]) + payload[place + 1 :]
    machine = Machine(random=lambda: 0.5, commands=COMMANDS)
    try:
        machine.restore([damaged], 1)
    except CorruptStorage as error:
        assert "keyspace snapshot is damaged" in str(error)
        assert machine.applied == 0
    else:  # what no checksum of the keyspace covers: versions, floor, time, where parts begin
        whole = Machine(random=lambda: 0.5, commands=COMMANDS)
        whole.restore([payload], 1)
        for key in (b"k", b"j", b"small"):
            clock = machine.database.now = whole.database.now = NOW
            found, expected = (each.query([b"TALLYALL", key], clock) for each in (machine, whole))
            assert found == expected or machine.time_ms != whole.time_ms


def test_a_cluster_below_the_level_has_no_such_values():
    """A member may run a version that would refuse the snapshot."""
    bench = filled()
    bench.machine.level = 1
    writer = bench.machine.snapshot()
    with pytest.raises(TypeError, match="level is too low"):
        list(iter(lambda: writer.next_slice(1 << 20), b""))

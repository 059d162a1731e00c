"""Snapshots: one instant while the database changes, whole or not at all, and the bytes as documented."""

from __future__ import annotations

import struct
from zlib import adler32, crc32

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leto.errors import CorruptStorage
from leto.keyspace import loading, snapshot
from leto.keyspace.machine import Machine
from leto.keyspace.types.value import checksum, is_string
from tests.keyspace.batches import NOW, Bench
from tests.keyspace.tally import COMMANDS
from tests.keyspace.tiny import tiny_parts

KEYS = st.sampled_from([b"%d" % n for n in range(12)])
NAMES = st.sampled_from([b"%d" % n for n in range(9)])
VALUES = st.sampled_from([b"", b"1", b"v" * 40, b"w" * 300])
WRITES = st.one_of(
    st.tuples(st.just(b"SET"), KEYS, VALUES),
    st.tuples(st.just(b"SET"), KEYS, VALUES, st.just(b"PX"), st.sampled_from([b"5", b"1000"])),
    st.tuples(st.just(b"DEL"), KEYS),
    st.tuples(st.just(b"RENAME"), KEYS, KEYS),
    st.tuples(st.just(b"APPEND"), KEYS, VALUES),
    st.tuples(st.just(b"PERSIST"), KEYS),
    st.tuples(st.just(b"TALLY"), KEYS, NAMES, NAMES, NAMES),  # changes a value in place
    st.tuples(st.just(b"TALLYDEL"), KEYS, NAMES),
    st.tuples(st.just(b"COPY"), KEYS, KEYS, st.just(b"REPLACE")),
    st.tuples(st.just(b"FLUSHALL")),
    st.tuples(st.just(b"wait")),
    st.tuples(st.just(b"slice"), st.sampled_from([1, 50, 400])),
)


@pytest.fixture(scope="module", autouse=True)
def large_values():
    """In the examples they are soon large."""
    with tiny_parts():
        yield


def content(value):
    """All that is in a value, and how it is laid out."""
    if is_string(value):
        return 0, bytes(value)
    if not value.is_large:
        return value.type_code, value.encode()
    return value.type_code, [(part.low, sorted(part.items.items()), part.sum) for part in value.content.parts]


def state(machine):
    """Everything that later results depend on, taken apart."""
    db = machine.database
    records = {key: (content(record.value), record.version, record.expire_at) for key, record in db.data.items()}
    assert db.check_sum == sum(checksum(key, record.value, record.expire_at) for key, record in db.data.items())
    walk, cursor = [], 0
    while True:
        cursor, keys = db.data.page(cursor, 5)
        walk += keys
        if not cursor:
            break
    return (
        records,
        list(db.tombstones.items()),
        db.floor,
        machine.applied,
        machine.time_ms,
        machine.digest(),
        db.volatile,
        db.check_sum,
        walk,
    )


def tallying(**settings):
    """A bench with a type that is no string."""
    return Bench(commands=COMMANDS, **settings)


def run(bench, write):
    if write[0] == b"wait":
        bench.wait(3)
    else:
        bench.batch(write)


@settings(max_examples=150, deadline=None)
@given(st.lists(WRITES, max_size=25), st.lists(WRITES, max_size=40))
@example([(b"SET", b"1", b"a")], [(b"DEL", b"1"), (b"SET", b"1", b"b"), (b"slice", 50), (b"DEL", b"1")])
@example([(b"TALLY", b"1", b"n")], [(b"slice", 1), (b"TALLY", b"1", b"n"), (b"TALLY", b"1", b"n")])
@example([(b"SET", b"1", b"a")], [(b"slice", 1), (b"FLUSHALL",), (b"SET", b"1", b"b")])
def test_a_snapshot_is_one_instant_while_writes_go_on(before, meanwhile):
    bench = tallying()
    for write in before:
        if write[0] != b"slice":
            run(bench, write)
    expected = state(bench.machine)
    writer = bench.machine.snapshot()
    chunks = []
    for write in meanwhile:
        if write[0] == b"slice":
            chunks.append(writer.next_slice(write[1]))
        else:
            run(bench, write)
    while chunk := writer.next_slice(100):
        chunks.append(chunk)
    assert writer.next_slice(100) == b""
    writer.close()
    assert bench.machine.database.observer is None

    restored = Machine(random=lambda: 0.5)
    restored.restore(chunks, expected[3])
    assert state(restored) == expected
    payload = b"".join(chunks)
    again = Machine(random=lambda: 0.5)
    again.restore([payload[i : i + 7] for i in range(0, len(payload), 7)], expected[3])
    assert state(again) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(WRITES, max_size=25), st.lists(WRITES, max_size=25))
def test_a_restored_database_lives_on_like_the_original(before, after):
    bench = tallying()
    for write in before:
        if write[0] != b"slice":
            run(bench, write)
    other = bench.copy()
    for write in after:
        if write[0] != b"slice":
            run(bench, write)
            run(other, write)
            assert state(other.machine) == state(bench.machine)
    for key in [b"%d" % n for n in range(12)]:
        assert other.read([b"PTTL", key]) == bench.read([b"PTTL", key])


def payload_of(bench):
    writer = bench.machine.snapshot()
    payload = b""
    while chunk := writer.next_slice(1 << 20):
        payload += chunk
    writer.close()
    return payload


def filled(level=None):
    bench = Bench(level=level)
    bench.batch("SET a 1", "SET b 2 PX 1000", "SET gone x", "DEL gone")
    return bench


def frame(kind, body):
    body = msgspec.msgpack.encode(body)
    return struct.pack(">IB", len(body) + 1, kind) + body


def test_the_payload_is_as_documented():
    bench = filled()
    db = bench.machine.database
    records = [[b"b", 1, NOW + 1000, 0, b"2"], [b"a", 1, 0, 0, b"1"]]
    records.sort(key=lambda record: db.data.page(0, 9)[1].index(record[0]))
    header = [1, NOW, 0, 2, db.check_sum % 2**64]
    assert payload_of(bench) == (
        frame(1, [3, *header]) + frame(2, [0, [b"gone", 1]]) + frame(3, [0, records]) + frame(4, [2, 0])
    )
    bench.machine.level = 1  # a member may be of the version that knows format 2 alone
    assert payload_of(bench) == (frame(1, [2, *header]) + frame(2, [b"gone", 1]) + frame(3, records) + frame(4, [2]))


def test_the_payload_of_a_known_state_is_these_bytes():
    assert payload_of(filled()).hex() == GOLDEN
    assert payload_of(filled(level=1)).hex() == GOLDEN_STRINGS


GOLDEN = (
    "0000001801"  # header
    "960301cf0000018bcfe568000002cfe95290bed03ac222"
    "0000000b02"  # tombstones
    "920092c404676f6e6501"
    "0000002003"  # records: b, a
    "92009295c4016201cf0000018bcfe56be800c40132" + "95c40161010000c40131"
    "0000000404"  # end
    "920200"
)
GOLDEN_STRINGS = (
    "0000001801"  # header
    "960201cf0000018bcfe568000002cfe95290bed03ac222"
    "0000000902"  # tombstones
    "92c404676f6e6501"
    "0000001e03"  # records: b, a
    "9295c4016201cf0000018bcfe56be800c40132" + "95c40161010000c40131"
    "0000000304"  # end
    "9102"
)


def test_equal_states_give_equal_bytes_whatever_their_history():
    one, other = Bench(), Bench()
    one.batch(*[f"SET {n} v" for n in range(500)])
    other.batch(*[f"SET {n} v" for n in reversed(range(500))])
    assert payload_of(one) == payload_of(other)


def test_only_one_snapshot_at_a_time():
    machine = filled().machine
    writer = machine.snapshot()
    with pytest.raises(RuntimeError, match="already"):
        machine.snapshot()
    writer.close()
    writer.close()
    machine.snapshot().close()


def test_a_snapshot_outlives_the_database_it_was_taken_of():
    bench = filled()
    payload = payload_of(bench)
    expected = state(bench.machine)
    writer = bench.machine.snapshot()
    first = writer.next_slice(1)
    bench.batch("SET c 3", "DEL a")
    bench.machine.restore([payload], 1)
    bench.write("FLUSHALL")
    rest = writer.next_slice(1 << 20)
    bench.machine.snapshot().close()
    writer.close()
    again = Machine(random=lambda: 0.5)
    again.restore([first, rest], 1)
    assert state(again) == expected


def test_a_snapshot_of_another_entry_is_refused():
    payload = payload_of(filled())
    machine = Machine(random=lambda: 0.5)
    with pytest.raises(CorruptStorage, match="state at entry 1, not 2"):
        machine.restore([payload], 2)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_refused_and_nothing_is_replaced(data):
    payload = payload_of(filled())
    kind = data.draw(st.sampled_from(["cut", "flip", "drop", "repeat", "append"]))
    place = data.draw(st.integers(0, len(payload) - 1))
    length = data.draw(st.integers(1, 8))
    damaged = {
        "cut": payload[:place],
        "flip": payload[:place] + bytes([payload[place] ^ data.draw(st.integers(1, 255))]) + payload[place + 1 :],
        "drop": payload[:place] + payload[place + length :],
        "repeat": payload[: place + length] + payload[place:],
        "append": payload + bytes(length),
    }[kind]
    bench = Bench()
    bench.write("SET kept 1")
    before = state(bench.machine)
    try:
        bench.machine.restore([damaged], 1)
    except CorruptStorage as error:
        assert "keyspace snapshot is damaged" in str(error)
        assert "\n" not in str(error)
        assert state(bench.machine) == before
    else:  # only what no checksum of the keyspace covers may differ: versions, floor, time, tombstones
        survived = state(bench.machine)
        whole = Machine(random=lambda: 0.5)
        whole.restore([payload], 1)
        expected = state(whole)
        values = {key: (record[0], record[2]) for key, record in survived[0].items()}
        assert values == {key: (record[0], record[2]) for key, record in expected[0].items()}


HEADER = (1, [3, 1, 0, 0, 0, 0])
PART = msgspec.msgpack.encode([b"n", b"1"])
LARGE = (5, [0, b"a", 1, 0, 255, 2, None])


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([(3, [])], "does not begin with a header"),
        ([(1, [0, 1, 0, 0, 0, 0])], "its format is 0"),
        ([(1, [4, 1, 0, 0, 0, 0])], "its format is 4"),
        ([(1, [2, 1, 0, 0, 0, 0])], "its end is missing"),
        ([(1, [2, 1, 0, 0, 0, 0]), (9, [])], "unknown kind 9"),
        ([(1, [2, 1, 0, 0, 0, 0]), (5, [0, b"a", 1, 0, 255, 1, None])], "unknown kind 5"),
        ([(1, [2, 1, 0, 0, 0, 0]), (4, [0]), (4, [0])], "goes on after its end"),
        ([(1, [2, 1, 0, 0, 0, 0]), (4, [1])], "0 records where its end says 1"),
        ([(1, [2, 1, 0, 0, 1, 0]), (4, [0])], "its digest does not match"),
        ([(1, [2, 1, 0, 0, 0, 0]), (2, [b"a"]), (4, [0])], "argument"),
        ([(1, [2, 1, 0, 0, 0, 0]), (2, [1, b"a"]), (4, [0])], "no pair"),
        ([(1, [2, 1, 0, 0, 1, 0]), (3, [[b"a", 1, 0, 77, b""]]), (4, [1])], "data type 77 is unknown"),
        ([HEADER, (3, [1, []])], "has a database 1"),
        ([HEADER, (2, [1, []])], "has a database 1"),
        ([HEADER, (5, [1, b"a", 1, 0, 255, 1, None])], "has a database 1"),
        ([HEADER, (6, [1, b"a", 255, [0, b""], PART])], "has a database 1"),
        ([HEADER, (9, [])], "unknown kind 9"),
        ([HEADER, (4, [1, 0])], "0 records where its end says 1"),
        ([HEADER, (4, [0, 1])], "0 parts where its end says 1"),
        ([HEADER, (3, [0, [[b"a", 1, 0, 255, b"\xc1"]]])], "malformed|Malformed|MessagePack"),
        ([HEADER, (3, [0, [[b"a", 1, 0, 255, b"\x80"]]])], "not as it is written"),
        ([HEADER, (3, [0, [[b"a", 1, 0, 255, b"\x82\xc4\x01a\xc4\0\xc4\x01a\xc4\0"]]])], "not as it is written"),
        ([HEADER, (5, [0, b"a", 1, 0, 77, 1, None])], "data type 77 is unknown"),
        ([HEADER, (5, [0, b"a", 1, 0, 255, 1, None]), (4, [1, 0])], "before a large value is complete"),
        ([HEADER, (6, [0, b"a", 255, [0, b""], PART]), (4, [0, 1])], "before a large value is complete"),
        ([HEADER, (5, [0, b"a", 1, 0, 255, 0, 7])], "a head that it cannot have"),
        ([HEADER, (6, [0, b"a", 255, 7, PART])], "begins nowhere"),
        ([HEADER, (6, [0, b"a", 255, [b"", 0], PART])], "begins nowhere"),
        ([HEADER, (6, [0, b"a", 255, [0, b""], b"\x90"])], "is empty, or"),
        ([HEADER, (6, [0, b"a", 255, [0, b""], b"\x91\xc4\x01a"])], "argument"),
        ([HEADER, (6, [0, b"a", 255, [0, b""], PART]), (6, [0, b"a", 254, [0, b""], PART])], "of two types"),
        ([HEADER, (6, [0, b"a", 255, [0, b""], PART]), (6, [0, b"a", 255, [1, b""], PART]), LARGE], "another's"),
    ],
)
def test_what_a_reader_refuses(frames, complaint):
    with pytest.raises(CorruptStorage, match=complaint):
        list(loading.read([frame(*each) for each in frames], 1, lambda: 0.5))


STORED = st.dictionaries(
    st.binary(max_size=4),
    st.tuples(st.integers(1, 9), st.just(0) | st.integers(1, 2**62), st.binary(max_size=40)),
    max_size=12,
)


@given(STORED, st.integers(1, 5), st.booleans())
def test_a_record_may_be_written_more_than_once(stored, size, plain):
    """In one frame or another, and among records of either kind."""
    items = [[key, version, 0 if plain else expiry, 0, value] for key, (version, expiry, value) in stored.items()]
    check_sum = sum(checksum(key, value, expiry) for key, _, expiry, _, value in items) % 2**64
    twice = [*items, *items[::2]]
    twice.sort(key=lambda item: item[0][-1:])
    groups = [twice[start : start + size] for start in range(0, len(twice), size)]
    frames = [frame(3, group) for group in [*groups, items]]
    header, end = frame(1, [2, 9, NOW, 0, len(items), check_sum]), frame(4, [len(twice) + len(items)])
    machine = Machine(random=lambda: 0.5)
    machine.restore([header, *frames, end], 9)
    db = machine.database
    found = [[key, record.version, record.expire_at, 0, record.value] for key, record in db.data.items()]
    assert sorted(found) == sorted(items)
    assert sorted(state(machine)[-1]) == sorted(stored)  # the index has each once
    assert db.volatile == len(db.deadlines) == sum(item[2] > 0 for item in items)


def former_checksum(key, expire_at, code, value):
    """What format 1 has the sum of. It has strings alone."""
    content = crc32(value) if len(value) < 32 else adler32(value)
    if expire_at:
        content = crc32(b"%d" % expire_at, content)
    return crc32(key, content ^ 0x5BD1E995)


FORMER = [
    [b"", 1, 0, 0, b""],
    [b"short", 2, 0, 0, b"1"],
    [b"long", 2, 0, 0, b"v" * 32],
    [b"volatile", 3, NOW + 1000, 0, b"2"],
    *([b"key:%d" % number, 3, 0, 0, b"v"] for number in range(5000)),  # more than one step adds up
]


def former_payload(change=0):
    check_sum = sum(former_checksum(key, *rest) for key, _, *rest in FORMER) + change
    frames = [frame(3, FORMER[start : start + 700]) for start in range(0, len(FORMER), 700)]
    header, end = frame(1, [1, 3, NOW, 0, len(FORMER), check_sum]), frame(4, [len(FORMER)])
    return [header, frame(2, [b"gone", 1]), *frames, end]


def test_the_former_format_is_read_and_written_anew_in_this_one():
    bench = Bench()
    bench.machine.restore(former_payload(), 3)
    records = state(bench.machine)[0]
    assert records == {key: ((code, value), version, expiry) for key, version, expiry, code, value in FORMER}
    assert (bench.read("GET short"), bench.read("PTTL volatile"), bench.read("DBSIZE")) == (b"1", 1000, len(FORMER))
    payload = payload_of(bench)
    assert payload[5:7] == bytes([0x96, 3])
    again = Bench()
    again.machine.restore([payload], 3)
    assert state(again.machine) == state(bench.machine)


def test_the_former_formats_own_sum_is_held_against_it():
    machine = Machine(random=lambda: 0.5)
    with pytest.raises(CorruptStorage, match="its digest does not match"):
        machine.restore(former_payload(change=1), 3)
    changed = former_payload()
    changed[2] = changed[2].replace(b"short", b"shirt")
    with pytest.raises(CorruptStorage, match="its digest does not match"):
        machine.restore(changed, 3)


def test_slices_are_about_as_long_as_asked():
    bench = Bench()
    for start in range(0, 3000, 100):
        bench.batch(*[f"SET {n} {'v' * 100}" for n in range(start, start + 100)])
    writer = bench.machine.snapshot()
    sizes = []
    while chunk := writer.next_slice(20_000):
        sizes.append(len(chunk))
    assert sum(sizes) > 300_000
    assert max(sizes) < 21_000
    assert all(size >= 20_000 for size in sizes[:-1])


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, 3 << 20])
def test_a_large_value_is_written_as_small_ones_are(monkeypatch, size):
    """It is spliced into its frame, so as not to be copied again and again; the bytes are the same."""
    payloads = []
    for limit in (snapshot.LARGE_VALUE, 1 << 40):
        monkeypatch.setattr(snapshot, "LARGE_VALUE", limit)
        bench = Bench()
        for key in range(50):
            bench.write("SET", f"small{key}", "x" * key)
        bench.write("SET", "large", b"y" * size)
        bench.write("SET", "other", b"z" * (size + 7))
        writer = bench.machine.snapshot()
        bench.write("SET", "large", "gone")  # the writer keeps what it was
        payloads.append(b"".join(iter(lambda writer=writer: writer.next_slice(1 << 16), b"")))
    assert payloads[0] == payloads[1]

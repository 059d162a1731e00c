"""The table of records: whatever its segments are like inside, a mapping whose keys have an order of their own."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from random import Random
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.keyspace import records as records_module
from leto.keyspace.database import Database
from leto.keyspace.effects import Effects, Kind
from leto.keyspace.invariants import check
from leto.keyspace.packing import LONGEST_KEY, PACKED, Crowded, Unpacked, hold, key_of, record_of
from leto.keyspace.records import BUCKETS, FULL, FULL_SIZE, LOPSIDED, NAMES, SPARSE, Records, bucket_of, distinct
from leto.keyspace.snapshot import Writer
from leto.keyspace.types.value import Record, checksum
from leto.keyspace.waste import Waste
from tests.keyspace.batches import Bench, entry
from tests.keyspace.tally import COMMANDS
from tests.keyspace.tiny import tiny_segments

KEYS = st.one_of(st.binary(max_size=1), st.integers(0, 60).map(lambda number: b"key:%d" % number))
VALUES = st.sampled_from([b"", b"v", b"w" * 31, b"x" * 32, b"y" * (PACKED - 1), b"z" * PACKED])
STEPS = st.lists(
    st.tuples(st.sampled_from(["put"] * 6 + ["pop"] * 3 + ["expiring"]), KEYS, VALUES), min_size=1, max_size=150
)


def add(records: Records, key: bytes, value: bytes = b"v", version: int = 1, expire_at: int = 0) -> None:
    records.add(key, crc32(key), hold(key, value, version, expire_at))


def pop(records: Records, key: bytes) -> None:
    assert key_of(records.pop(key, crc32(key))) == key


def in_order(keys) -> list[bytes]:
    return sorted(keys, key=lambda key: (bucket_of(key), key))


def forged(count: int, crc: int | None = None, low: int = 0, bits: int = 32) -> list[bytes]:
    """Keys whose CRC-32s have these lowest bits, or are that one: four bytes at the end see to it."""
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0xEDB88320 if number & 1 else 0)
        table.append(number)
    by_high = {each >> 24: number for number, each in enumerate(table)}
    random, keys = Random(1), []
    for number in range(count):
        wanted = crc if crc is not None else random.getrandbits(32 - bits) << bits | low
        prefix = b"%06d" % number
        register, left, steps = crc32(prefix) ^ 0xFFFFFFFF, wanted ^ 0xFFFFFFFF, []
        for _ in range(4):
            steps.append(by_high[left >> 24])
            left = ((left ^ table[steps[-1]]) << 8) & 0xFFFFFFFF
        tail = bytearray()
        for step in reversed(steps):
            tail.append((register ^ step) & 0xFF)
            register = (register >> 8) ^ table[step]
        keys.append(prefix + bytes(tail))
        assert crc32(keys[-1]) == wanted
    return keys


# packing ----------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.binary(max_size=500), st.integers(0, 2**64 - 1), st.sampled_from([0, 0, 5]))
def test_what_is_held_gives_back_key_and_record(key, value, version, expire_at):
    held = hold(key, value, version, expire_at)
    is_packed = len(key) <= LONGEST_KEY and len(value) < PACKED and not expire_at
    assert type(held) is (bytes if is_packed else Unpacked)
    record = record_of(held)
    assert (key_of(held), record.value, record.version, record.expire_at) == (key, value, version, expire_at)


def test_names_are_short_and_no_two_alike():
    assert len(set(NAMES)) == len(NAMES) == 1 << 12
    assert all(len(name) == 2 and name.isascii() for name in NAMES)


# a mapping --------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    layout=st.sampled_from([(1, 3), (4, 3), (4, 1), (1 << 12, 5)]),
    steps=STEPS,
    count=st.integers(1, 20),
    at=st.integers(0, BUCKETS),
)
def test_it_is_a_mapping_in_order(layout, steps, count, at):
    with tiny_segments(*layout):
        database, model = Database(lambda: 0.5), {}
        records = database.data
        database.index = len(steps)
        for number, (step, key, value) in enumerate(steps, 1):
            if step == "pop":
                found = records.pop(key, crc32(key))
                assert (found is None) == (key not in model)
                assert found is None or record_of(found) == model.pop(key)
            else:
                held = hold(key, value, number, 99 if step == "expiring" else 0)
                (records.replace if key in model else records.add)(key, crc32(key), held)
                model[key] = record_of(held)
            assert records.get(key) == model.get(key)
            assert (key in records, len(records)) == (key in model, len(model))
        assert sorted(records.items()) == sorted(model.items())
        assert all(records[key] == record for key, record in model.items())
        database.check_sum = sum(checksum(key, each.value, each.expire_at) for key, each in model.items())
        database.volatile = sum(each.expire_at > 0 for each in model.values())
        database.deadlines.load([(each.expire_at, key) for key, each in model.items() if each.expire_at])
        check(database)  # every key in its segment under its name, all counts true
        ordered = in_order(model)
        walked, cursor = [], 0
        while True:
            cursor, page = records.page(cursor, count)
            walked += page
            buckets = [bucket_of(key) for key in page]
            assert len(page) < count or buckets.index(buckets[-1]) < count  # whole buckets, no one more
            if not cursor:
                break
        assert walked == ordered
        end, found = records.stretch(at)
        assert [key for _, key, _ in found] == [key for key in ordered if at <= bucket_of(key) < end]
        assert (found != []) == any(bucket_of(key) >= at for key in ordered)
        for rank, key in enumerate(ordered):
            assert records.choose(lambda rank=rank: (rank + 0.5) / len(ordered)) == key


def requests_at_random(random: Random, keys: list[bytes]) -> list[tuple[bytes, ...]]:
    """Half of them are SETs of key and value, some of these entries of nothing else."""
    if random.random() < 0.3:
        return [(b"SET", random.choice(keys), b"%d" % number) for number in range(8)]
    value = random.choice([b"1", b"v" * 40, b"x" * 500])
    return [
        random.choice(
            [
                (b"SET", key, value),
                (b"SET", key, value),
                (b"SET", key, value, b"PX", b"%d" % random.randrange(1, 50)),
                (b"DEL", key),
                (b"RENAME", key, random.choice(keys)),
                (b"APPEND", key, value),
                (b"INCR", key),
                (b"GETDEL", key),
                (b"PERSIST", key),
                (b"TALLY", key, value, key),
                (b"RANDOMKEY",),
                (b"FLUSHALL",) if random.random() < 0.1 else (b"SETNX", key, value),
            ]
        )
        for key in random.choices(keys, k=5)
    ]


def applied(bench: Bench, *requests) -> tuple[list, Effects]:
    machine = bench.machine
    if machine.database.noting is None:
        machine.watch(Kind.CHANGES)
    made = machine.apply(entry(machine.applied + 1, *requests, time_ms=bench.now))
    bench.now += 5
    return made.replies, made.effects


def payload_of(writer: Writer, size: int) -> Iterator[bytes]:
    while data := writer.next_slice(size):
        yield data
    writer.close()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), layout=st.sampled_from([(1, 1), (4, 3), (64, 20), (8, 2)]))
def test_a_keyspace_of_tiny_segments_is_the_same(seed, layout):
    """Replies, effects, digests, walks and snapshots are alike however records are laid out, and snapshots hold their
    instant whatever is split, joined or flushed while they are taken."""
    random = Random(seed)
    keys = [b"%d" % number for number in range(40)]
    with tiny_segments(*layout):
        small = Bench(commands=COMMANDS)
    large = Bench(commands=COMMANDS)
    taking: Iterator[bytes] | None = None
    for _ in range(20):
        requests = requests_at_random(random, keys)
        expected = applied(large, *requests)
        reads = [large.read([b"GET", key]) for key in keys]
        page, digest = large.read("SCAN 0 COUNT 7"), large.machine.digest()
        payload = list(payload_of(large.machine.snapshot(), 1000))
        with tiny_segments(*layout):
            assert applied(small, *requests) == expected
            assert [small.read([b"GET", key]) for key in keys] == reads
            assert small.read("SCAN 0 COUNT 7") == page
            assert small.machine.digest() == digest
            if taking is None:
                assert list(payload_of(small.machine.snapshot(), 1000)) == payload
                if random.random() < 0.3:
                    small = small.copy()
                taking, taken, instant = payload_of(small.machine.snapshot(), 100), [], digest
            elif (data := next(taking, None)) is not None:
                taken.append(data)
            else:
                taking, other = None, Bench(commands=COMMANDS)
                other.machine.restore(taken, instant[0])
                assert other.machine.digest() == instant


# growth -----------------------------------------------------------------------------------------------


def test_segments_are_split_and_share_the_keys():
    records = Records()
    for number in range(20_000):
        add(records, b"key:%d" % number)
    segments = list(distinct(records.segments))
    assert all(len(segment) <= FULL for segment in segments)
    assert 20_000 / FULL < len(segments) < 20_000 / FULL * 5
    assert len(records.segments) <= 2 * len(segments)
    assert sum(1 for segment in segments for held in segment.values() if type(held) is Crowded) < 400


def test_it_takes_the_memory_of_the_values_and_little_more():
    records = Records()
    for number in range(100_000):
        add(records, b"key:%012d" % number, b"v" * 64)
    table = sum(segment.__sizeof__() + 16 for segment in distinct(records.segments)) + records.segments.__sizeof__()
    assert table / len(records) < 45


def test_no_step_of_growth_is_long():
    records, longest = Records(), 0.0
    for number in range(30_000):
        key = b"key:%d" % number
        crc, held = crc32(key), hold(key, b"v", 1, 0)
        started = time.thread_time()
        records.add(key, crc, held)
        longest = max(longest, time.thread_time() - started)
    assert longest < 0.02  # usually a tenth of a millisecond


def test_what_goes_gives_its_memory_back():
    records = Records()
    keys = [b"%d" % number for number in range(3_000)]
    for key in keys:
        add(records, key)
    random = Random(1)
    for number in range(20_000):  # keys that come and go
        at = random.randrange(len(keys))
        pop(records, keys[at])
        keys[at] = b"new:%d" % number
        add(records, keys[at])
    for key in keys[2_900:]:
        pop(records, key)
    assert all(segment.__sizeof__() <= 2 * FULL_SIZE for segment in records.segments)
    for key in keys[:2_900]:
        pop(records, key)
    assert (len(records), records.counts) == (0, [0] * len(records.counts))
    assert all(segment.__sizeof__() == {}.__sizeof__() for segment in records.segments)


def test_a_crowd_that_is_gone_leaves_nothing():
    records = Records()
    keys = forged(5, low=7, bits=30)
    for key in keys:
        add(records, key)
    assert len({id(segment) for segment in records.segments}) == 1
    assert Counter(map(type, records.segments[0].values())) == {bytes: 5, Crowded: 1}
    for key in keys:
        pop(records, key)
    assert records.segments == [{}]


def test_the_garbage_collector_does_not_know_it():
    """Else each collection looks at every segment: milliseconds at once."""
    records = Records()
    gc.collect()
    before = len(gc.get_objects())
    keys = [b"%d" % number for number in range(20_000)]
    for number, key in enumerate(keys):
        add(records, key, b"v" * (PACKED if number % 3 == 0 else 9))
    assert not any(gc.is_tracked(segment) for segment in records.segments)
    assert len(gc.get_objects()) < before + 100


# keys that somebody chose -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [forged(LOPSIDED + 900, crc=0x12345678), forged(LOPSIDED + 900, low=7, bits=12)],
    ids=["of one CRC-32", "of one name"],
)
def test_chosen_keys_are_held_like_others(keys):
    records = Records()
    for key in keys:
        add(records, key)
    # The directory stays in proportion to the keys
    assert len(records.segments) <= records_module.WAYS * len(keys) / SPARSE
    assert all(key in records for key in keys)
    walked, cursor = [], 0
    while True:
        cursor, page = records.page(cursor, 512)
        walked += page
        if not cursor:
            break
    assert walked == in_order(keys)
    for key in keys:
        pop(records, key)
    assert len(records) == 0
    assert not any(records.segments)


def test_one_lopsided_segment_does_not_keep_the_others_large():
    records = Records()
    for key in forged(2 * LOPSIDED, crc=5):
        add(records, key)
    for number in range(20_000):
        add(records, b"key:%d" % number)
    sizes = sorted((len(segment) for segment in distinct(records.segments)), reverse=True)
    assert sizes[0] > 2 * LOPSIDED >= LOPSIDED > FULL >= sizes[1]


# walks ------------------------------------------------------------------------------------------------


def test_a_walk_passes_over_what_is_empty_in_one_step(monkeypatch):
    """Many keys came and went, and left a wide directory."""
    records = Records()
    keys = [b"%d" % number for number in range(30_000)]
    for key in keys:
        add(records, key)
    for key in keys[1:]:
        pop(records, key)
    looks = []
    covering = Records._covering
    monkeypatch.setattr(Records, "_covering", lambda self, start: looks.append(start) or covering(self, start))
    assert records.page(0, 10) == (0, [b"0"])
    assert records.choose(lambda: 0.9) == b"0"
    assert len(looks) <= 3 * BUCKETS / len(records.counts)


@pytest.mark.parametrize("size", [1, 10, 511, 512, 2000])
def test_every_key_is_about_as_likely(size):
    records = Records()
    for number in range(size):
        add(records, b"%d" % number)
    random = Random(size)
    counts = Counter(records.choose(random.random) for _ in range(20 * size))
    assert len(counts) == size
    assert max(counts.values()) < 60


def test_many_segments_of_one_bucket_are_one_stretch():
    keys = list(islice((key for key in (b"%d" % n for n in range(1 << 30)) if bucket_of(key) == 7), 20))
    with tiny_segments(4, 3, 1 << 12):
        records = Records()
        for key in keys:
            add(records, key)
        assert records.shift < 16
        end, found = records.stretch(0)
        assert ([key for _, key, _ in found], end) == (sorted(keys), 8)
        assert records.page(0, 1) == (0, sorted(keys))
        assert records.page(8, 1) == (0, [])
        for rank, key in enumerate(sorted(keys)):
            assert records.choose(lambda rank=rank: rank / 20) == key


# what is discarded ------------------------------------------------------------------------------------


def test_what_nobody_needs_is_freed_in_pieces():
    records, waste = Records(), Waste()
    for number in range(1_000):
        add(records, b"%d" % number)
    records.discard_all(waste)
    assert len(list(records)) == 1_000
    waste.free(100)
    assert 900 <= len(list(records)) < 950
    waste.free(3_000)
    assert (records.segments, bool(waste)) == ([], False)


def test_a_large_segment_is_freed_in_pieces_too():
    records, waste = Records(), Waste()
    for key in forged(5_000, crc=0xFFFFFFFF):
        add(records, key)
    records.discard_all(waste)
    waste.free(100)
    assert 4_890 < len(list(records)) < 4_910


def test_a_record_is_not_what_changes_later():
    records = Records()
    add(records, b"k", b"1")
    record = records[b"k"]
    records.replace(b"k", crc32(b"k"), hold(b"k", b"2", 2, 0))
    assert (record, records[b"k"]) == (Record(b"1", 1), Record(b"2", 2))
    with pytest.raises(KeyError):
        records[b"other"]

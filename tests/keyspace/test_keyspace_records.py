"""The table of records: one mapping to those who ask, many dictionaries underneath."""

from __future__ import annotations

from random import Random
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from leto.keyspace.records import LAST, Records
from leto.keyspace.types.value import Record
from leto.keyspace.waste import Waste

KEYS = st.binary(max_size=2)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "put", "pop", "get"]), KEYS), max_size=60)


@given(STEPS)
def test_it_is_a_mapping(steps):
    records, model = Records(), {}
    for number, (step, key) in enumerate(steps):
        if step == "put":
            records[key] = model[key] = Record(b"v", number)
        elif step == "pop":
            assert records.pop(key) is model.pop(key, None)
        assert records.get(key) is model.get(key)
        assert (key in records) == (key in model)
        assert len(records) == len(model)
    assert sorted(records) == sorted(model)
    assert dict(records.items()) == model
    assert all(records[key] is record for key, record in model.items())


def test_the_dictionaries_share_the_keys_evenly_by_their_crc():
    records, random = Records(), Random(1)
    for number in range(16_000):
        records[b"key:%d" % number] = records[random.randbytes(16)] = Record(b"v", 1)
    sizes = [len(shard) for shard in records.shards]
    assert 0.85 * 32_000 / len(sizes) < min(sizes) <= max(sizes) < 1.15 * 32_000 / len(sizes)
    assert all(crc32(key) & LAST == number for number, shard in enumerate(records.shards) for key in shard)


def test_what_nobody_needs_is_freed_in_pieces():
    records, waste = Records(), Waste()
    for number in range(1_000):
        records[b"%d" % number] = Record(b"v", 1)
    records.discard_all(waste)
    assert len(records) == 1_000
    waste.free(100)
    assert len(records) == 900
    waste.free(1_000)
    assert (len(records), bool(waste)) == (0, False)

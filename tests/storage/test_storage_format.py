"""The bytes on disk, pinned: docs/disk-format.md describes exactly these. A change here is a new format number."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leto.errors import CorruptStorage
from leto.interfaces.store import Identity
from leto.raft.messages import Entry, HardState, SnapshotMeta
from leto.storage import identity, records
from leto.twins.disk import SimulatedDisk
from tests.storage.directories import (
    CONFIGURATION,
    HARD_STATE,
    IDENTITY_FILE,
    WATERMARK,
    commands,
    new_store,
    open_store,
    segment,
    snapshot,
    take,
)

CLUSTER = "00112233445566778899aabbccddeeff"
SERVER = "f3436f50b2f7f161"  # the beginning of SHA-256("id1")


def joined(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


@pytest.fixture(scope="module")
def files():
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(2, "id1"), [Entry(1, 1, 2, b"conf"), Entry(2, 2, 1, b"batch")], True)
    store.write(None, [Entry(3, 2, 0, b"")], True)
    take(store, 2, b"state", term=2)
    sink = store.receive_snapshot(SnapshotMeta(9, 2, CONFIGURATION, 1), 4, 0x77)
    sink.write(b"leto")
    sink.commit()
    store.write(HardState(2, "id1", 2), [], False)
    store.close()
    return disk.files()


def test_the_identity_of_a_node_that_joined():
    encoded = identity.encode(Identity(CLUSTER, "id2", "4f0a"))
    assert encoded.split(b"\n")[:4] == [
        b"leto identity 1",
        b"cluster " + CLUSTER.encode(),
        b"server id2",
        b"incarnation 4f0a",
    ]
    assert identity.decode(encoded, "path") == Identity(CLUSTER, "id2", "4f0a")
    for damaged in (encoded.replace(b"4f0a", b"4f0b"), encoded.replace(b"incarnation", b"incarnatiom")):
        with pytest.raises(CorruptStorage):
            identity.decode(damaged, "path")


def test_identity(files):
    assert files[IDENTITY_FILE] == b"leto identity 1\ncluster %s\nserver id1\ncrc 07433ace\n" % CLUSTER.encode()


def test_hard_state(files):
    copy = joined(
        b"LETOVOTE".hex(), "0100", "0300", "00000000", CLUSTER, SERVER,
        "0200000000000000",  # version
        "0200000000000000",  # term
        "0000000000000000",  # commit
        b"id1".hex(), "00" * 441, "0e74df71",
    )  # fmt: skip
    assert len(copy) == 512
    assert files[HARD_STATE] == copy + bytes(3584) + copy + bytes(3584)


def test_watermark(files):
    first = joined(
        b"LETOMARK".hex(), "0100", "000000000000", CLUSTER, SERVER,
        "0300000000000000",  # version
        "0300000000000000",  # durable records
        "0300000000000000",  # index of the last one
        "0200000000000000",  # commit
        "00" * 20, "000d2081",
    )  # fmt: skip
    second = joined(
        b"LETOMARK".hex(), "0100", "000000000000", CLUSTER, SERVER,
        "0200000000000000", "00" * 24, "00" * 20, "6f381ff1",
    )  # fmt: skip
    assert files[WATERMARK] == first + bytes(4000) + second + bytes(4000)


SEGMENT_HEADER = joined(
    b"LETO-LOG".hex(), "0100", "0000",
    "01000000",  # salt
    CLUSTER, SERVER,
    "0100000000000000",  # sequence
    "0100000000000000",  # first index
    "0000000000000000",  # term before it
    "0000000000000000",  # records before it
    "00000000",  # chain
    "00" * 16, "cb2c6f4a",
)  # fmt: skip
RECORDS = joined(
    "8b57e282", "c5f3a628", "cb2c6f4a", "04000000", "7ee1", "02", "00",
    "0100000000000000", "0100000000000000", "0000000000000000", b"conf".hex(),
    "4902c256", "9b182b79", "c5f3a628", "05000000", "7ee1", "01", "00",
    "0200000000000000", "0200000000000000", "0000000000000000", b"batch".hex(),
    "ff64611f", "ff64611f", "9b182b79", "00000000", "7ee1", "00", "00",
    "0200000000000000", "0300000000000000", "0200000000000000",
)  # fmt: skip


def test_segment(files):
    data = files[segment(1)]
    assert data[:96] == SEGMENT_HEADER
    assert data[96:] == RECORDS + bytes(4096 - 96 - len(RECORDS))


def test_a_following_segment_continues_the_chain(files):
    disk = SimulatedDisk.of(files)
    store = open_store(disk)
    store.write(None, commands(4, 5, term=2, size=5000), True)
    assert disk.files()[segment(2)][:76] == joined(
        b"LETO-LOG".hex(), "0100", "0000",
        "01000000",  # salt
        CLUSTER, SERVER,
        "0200000000000000",  # sequence
        "0400000000000000",  # first index
        "0200000000000000",  # term before it
        "0300000000000000",  # records before it
        "ff64611f",  # chain: the last record's `body`
    )  # fmt: skip


def test_a_segment_after_an_installed_snapshot_is_a_reset(files):
    disk = SimulatedDisk.of(files)
    store = open_store(disk)
    store.install_snapshot(SnapshotMeta(9, 2, CONFIGURATION, 1))
    header = disk.files()[segment(2)]
    assert segment(1) not in disk.files()
    assert header[8:12] == joined("0100", "0100")
    assert header[48:64] == joined("0a00000000000000", "0200000000000000")


META = "940202939196a3696431a6686f73743a31c3c2a0a0900101"


def test_snapshot(files):
    assert files[snapshot(2, 2)] == joined(
        b"LETOSNAP".hex(), "0100",
        "00", "00",  # this node's own
        "00000100",  # frames of 65536 bytes
        CLUSTER,
        "0000000000000000",
        "0300000002000000",  # token
        "18000000", META, "b1e0b492",
        "05000000", "e424d972", b"state".hex(),
        "ffffffff", "0500000000000000", "4c061f1c",
    )  # fmt: skip


def test_received_snapshot(files):
    assert files[snapshot(9, 2, suffix=".received")] == joined(
        b"LETOSNAP".hex(), "0100",
        "01", "00",  # received
        "00000100", CLUSTER,
        "0400000000000000",  # announced
        "7700000000000000",  # the leader's token
        "18000000", META.replace("940202", "940902"), "e8a661ce",
        "04000000", "adf516cb", b"leto".hex(),
        "ffffffff", "0400000000000000", "8c43c462",
    )  # fmt: skip


def test_these_bytes_are_read_back(files):
    store = open_store(SimulatedDisk.of(files))
    assert store.entries(1, 4, 1000) == [Entry(1, 1, 2, b"conf"), Entry(2, 2, 1, b"batch"), Entry(3, 2, 0, b"")]
    assert store.hard_state == HardState(2, "id1", 2)
    assert store.open_snapshot().read(0, 10) == b"state"
    assert store.recovered == []


U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)


@given(U32, U32, st.integers(0, 255), U64, U64, U64, st.binary(max_size=200), st.binary(max_size=20))
def test_a_record_comes_back_as_it_was_encoded(salt, previous, kind, term, index, durable, payload, before):
    header, body = records.encode(salt, previous, kind, term, index, durable, payload)
    data = before + header + payload + before
    found = records.decode(memoryview(data), len(before), salt, previous)
    assert found == records.Record(kind, term, index, durable, previous, body, len(payload))
    assert found in list(records.headers_after(bytes(1) + data, len(before), salt))


@given(st.binary(max_size=300), st.integers(0, 300), U32)
def test_random_bytes_are_damage_and_nothing_else(data, at, salt):
    with pytest.raises(records.Damage):
        records.decode(memoryview(data), at, salt)
    assert list(records.headers_after(data, 0, salt)) == []


@pytest.mark.parametrize("size", [0, 1, 5120, 5121, 10240, 65535, 65536, 65537, 200_000])
def test_a_checksum_in_pieces_is_the_checksum(size):
    payload = bytes(i * 31 % 256 for i in range(size))
    assert records.checksum(payload, 12345) == zlib.crc32(payload, 12345)

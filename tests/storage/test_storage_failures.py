"""Writes and syncs that fail: the system's words, a poisoned store, nothing acknowledged, a good restart."""

from __future__ import annotations

import errno
import os

import pytest

from leto.errors import NoRoom, StorageError
from leto.raft.messages import HardState
from leto.twins.disk import SimulatedDisk
from tests.storage.directories import commands, log_of, meta, new_store, open_store, take


class Failing:
    """Fails the next operation of that name on a path that holds `part`."""

    def __init__(self, disk: SimulatedDisk, operation: str, part: str, number: int = errno.EIO) -> None:
        self._wanted = operation
        self._part = part
        self._number = number
        self.hits = 0
        disk.before = self

    def __call__(self, operation: str, path: str) -> None:
        if operation == self._wanted and self._part in path and not self.hits:
            self.hits += 1
            raise OSError(self._number, os.strerror(self._number), path)


@pytest.fixture
def disk():
    return SimulatedDisk()


@pytest.fixture
def store(disk):
    store = new_store(disk)
    store.write(HardState(1, "id1"), commands(1, 6), True)
    return store


MUTATORS = [
    lambda store: store.write(None, commands(6, 7), True),
    lambda store: store.write(HardState(9), [], True),
    lambda store: store.write(None, [], False),
    lambda store: store.create_snapshot(meta(3)),
    lambda store: store.receive_snapshot(meta(30), 10),
    lambda store: store.install_snapshot(meta(30)),
    lambda store: store.compact(0),
    lambda store: store.identify(store.identity),
]


@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_failed_append_is_said_in_the_systems_words_and_poisons(disk, store, operation, number):
    failing = Failing(disk, operation, ".segment", number)
    with pytest.raises(StorageError) as failed:
        store.write(None, commands(6, 8), True)
    assert failing.hits == 1
    assert os.strerror(number) in str(failed.value)
    assert ".segment" in str(failed.value)
    assert store.last_index == 5, "readers see nothing of it"
    assert store.failure is not None
    operations = disk.operations
    for mutate in MUTATORS:
        with pytest.raises(StorageError, match="earlier failure"):
            mutate(store)
    assert disk.operations == operations, "nothing was tried again"
    assert log_of(store) == commands(1, 6), "what was durable can still be read"
    store.close()
    disk.before = None
    again = open_store(disk)
    assert log_of(again)[:5] == commands(1, 6)
    assert again.hard_state == HardState(1, "id1")


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_failed_vote_does_not_count(disk, store, operation):
    Failing(disk, operation, "leto.hard-state")
    with pytest.raises(StorageError, match=r"leto\.hard-state"):
        store.write(HardState(2, "id2"), [], True)
    assert store.hard_state == HardState(1, "id1")
    with pytest.raises(StorageError, match="earlier failure"):
        store.write(HardState(2, "id3"), [], True)


@pytest.mark.parametrize(
    ("operation", "part"),
    [("create", ".tmp"), ("write", ".tmp"), ("sync", ".tmp"), ("rename", ".segment"), ("sync-directory", "leto-log")],
)
def test_a_rotation_that_fails_poisons_and_restarts_well(disk, store, operation, part):
    failing = Failing(disk, operation, part)
    with pytest.raises(StorageError):
        store.write(None, commands(6, 40, size=500), True)
    assert failing.hits == 1
    assert store.failure is not None
    store.close()
    disk.before = None
    assert log_of(open_store(disk))[:5] == commands(1, 6)


def test_a_watermark_that_cannot_be_written_poisons(disk, store):
    store.write(None, commands(6, 7), True)
    failing = Failing(disk, "write", "leto.watermark")
    store.mark()
    assert failing.hits == 1
    with pytest.raises(StorageError, match=r"leto\.watermark: Input/output error.*earlier failure"):
        store.write(None, commands(7, 8), True)
    store.mark()
    store.close()
    store.mark()
    assert failing.hits == 1, "not tried again"


def test_a_full_disk_refuses_writes_and_starts_again_when_there_is_space(disk, store):
    disk.capacity = sum(len(data) for data in disk.files().values()) + 3000
    with pytest.raises(StorageError, match="No space left on device.*make space"):
        for index in range(6, 1000):
            store.write(None, commands(index, index + 1, size=500), True)
    durable = log_of(store)
    store.close()
    disk.capacity = None
    again = open_store(disk)
    assert log_of(again)[: len(durable)] == durable
    again.write(None, commands(again.last_index + 1, again.last_index + 5), True)


def test_a_full_disk_has_room_for_term_and_vote(disk, store):
    disk.capacity = 0
    store.write(HardState(2, "id2"), [], True)
    store.write(HardState(3, "id3"), [], True)
    disk.capacity = None
    assert open_after_kill(disk).hard_state == HardState(3, "id3", 0)


def open_after_kill(disk):
    disk.locks.clear()
    return open_store(disk)


def test_a_full_disk_ends_a_snapshot_but_not_the_node(disk, store):
    sink = store.create_snapshot(meta(3))
    disk.capacity = sum(len(data) for data in disk.files().values()) + 100_000
    with pytest.raises(NoRoom, match="No space left"):
        for _ in range(10):
            sink.write(bytes(65536))
    sink.abort()
    assert store.failure is None
    assert not [path for path in disk.files() if path.endswith(".tmp")]
    store.write(None, commands(6, 8), True)
    take(store, 7)
    assert store.snapshot == meta(7)


@pytest.mark.parametrize("operation", ["look", "unlink"])
def test_a_snapshot_that_found_no_space_and_cannot_be_removed_poisons(disk, store, operation):
    """The second error is the disk's, and must not pass for the first."""
    sink = store.create_snapshot(meta(3))
    disk.capacity = sum(len(data) for data in disk.files().values())
    Failing(disk, operation, "leto-snapshots")
    with pytest.raises(StorageError, match="remove the snapshot that found no space"):
        for _ in range(10):
            sink.write(bytes(65536))
    assert isinstance(store.failure, StorageError)
    with pytest.raises(StorageError, match="earlier failure"):
        store.write(None, commands(6, 7), True)


@pytest.mark.parametrize("operation", ["write", "sync", "rename", "sync-directory", "read"])
def test_a_snapshot_that_fails_otherwise_poisons(disk, store, operation):
    sink = store.create_snapshot(meta(3))
    sink.write(bytes(100_000))
    Failing(disk, operation, "leto-snapshots")
    with pytest.raises(StorageError):
        sink.commit()
    assert store.snapshot is None
    with pytest.raises(StorageError, match="earlier failure"):
        store.write(None, commands(6, 7), True)


def test_a_snapshot_that_does_not_read_back_never_counts(disk, store):
    sink = store.create_snapshot(meta(3))
    sink.write(bytes(100_000))

    def rot(operation: str, path: str) -> None:
        if operation == "sync" and path.endswith(".tmp"):
            disk.before = None
            disk._inode(path).content[70_000] ^= 1

    disk.before = rot
    with pytest.raises(StorageError, match="does not read back"):
        sink.commit()
    assert store.snapshot is None
    assert store.failure is not None


def test_an_entry_that_rotted_is_never_handed_out(disk, store):
    inode = disk._inode("/data/leto-log/00000000000000000001.segment")
    inode.content[160] ^= 1
    with pytest.raises(StorageError, match=r"entry \d at offset \d+.*changed it"):
        log_of(store)


def test_an_unsynced_log_is_synced_before_a_snapshot_stands_on_it(disk):
    store = new_store(disk, fsync="no")
    store.write(HardState(1), commands(1, 6), True)
    Failing(disk, "sync", ".segment")
    sink = store.create_snapshot(meta(3))
    with pytest.raises(StorageError):
        sink.commit()
    assert store.snapshot is None

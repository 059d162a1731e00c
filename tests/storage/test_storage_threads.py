"""Threads: readers while the writer works, everysec's syncs, snapshots beside the log."""

from __future__ import annotations

import errno
import os
import threading
import time

import pytest

from leto.errors import Compacted, StorageError
from leto.interfaces.store import Identity
from leto.raft.messages import HardState
from leto.storage import FileStore
from leto.storage.everysec import EverySecond
from leto.twins.disk import SimulatedDisk
from tests.storage.directories import commands, meta, new_store, open_store, take


def test_readers_see_whole_entries_while_the_writer_appends_replaces_and_drops(ram_path):
    """The reactor's thread reads what is durable while another writes: right entries, or Compacted; nothing else."""
    store = FileStore.open(str(ram_path / "data"), segment_bytes=16384)
    store.identify(Identity("0" * 32, "id1"))
    store.write(HardState(1), [], True)
    durable = 0  # entries up to here are durable and never replaced
    problems: list[BaseException] = []
    done = threading.Event()

    def work():
        nonlocal durable
        try:
            for batch in range(150):
                first = durable + 1
                store.write(None, commands(first, first + 12, size=50 + batch % 300), True)
                # the last four are replaced, as a new leader does
                store.write(None, commands(first + 8, first + 20, size=60), True)
                durable = first + 15
                store.write(None, commands(durable + 1, durable + 2, size=5), True)
                if batch % 20 == 19:
                    take(store, durable - 50)
                    store.compact(durable - 60)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            problems.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=work)
    writer.start()
    reads = compacted = 0
    low = 1
    while not done.is_set() or low <= durable:
        high = min(durable, low + 30) + 1
        if low >= high:
            continue
        try:
            found = store.entries(low, high, 1 << 20)
            assert [e.index for e in found] == list(range(low, high))
            assert all(e.payload.startswith(b"%d/1 " % e.index) for e in found)
            assert store.term(high - 1) == 1
            reads += 1
            low = high
        except Compacted:
            compacted += 1
            low = store.first_index
    writer.join()
    assert problems == []
    assert reads > 10
    store.close()


def test_a_descriptor_is_kept_for_a_reader_of_a_dropped_segment(ram_path):
    store = FileStore.open(str(ram_path / "data"), segment_bytes=4096)
    store.identify(Identity("0" * 32, "id1"))
    store.write(HardState(1), commands(1, 60, size=300), True)
    segment = store._log._segments[1]
    take(store, 50)
    store.compact(50)
    assert 1 not in store._log._segments
    assert segment.file.read_at(0, 8) == b"LETO-LOG"
    store.close()


def test_what_was_compacted_is_freed_when_asked_for(ram_path):
    """So that the thread that flushes the log need not wait for it."""
    store = FileStore.open(str(ram_path / "data"), segment_bytes=4096)
    store.identify(Identity("0" * 32, "id1"))
    store.write(HardState(1), commands(1, 60, size=300), True)
    take(store, 50)
    before = deleted_files_held(ram_path)
    store.compact(50)
    assert len(deleted_files_held(ram_path)) > len(before) + 2
    store.free_compacted()
    assert deleted_files_held(ram_path) == before
    store.close()


def deleted_files_held(directory):
    """Those of this process, of this directory, that have no name any more."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # the directory's own
        if target.startswith(os.path.realpath(directory)) and target.endswith(" (deleted)"):
            found.append(target)
    return sorted(found)


def test_a_snapshot_is_written_beside_the_log(ram_path):
    store = FileStore.open(str(ram_path / "data"), segment_bytes=4096)
    store.identify(Identity("0" * 32, "id1"))
    store.write(HardState(1), commands(1, 20), True)
    problems: list[BaseException] = []

    def snapshots():
        try:
            for index in range(1, 15):
                take(store, index, bytes(index) * 10_000)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            problems.append(error)

    other = threading.Thread(target=snapshots)
    other.start()
    for index in range(20, 200):
        store.write(None, commands(index, index + 1, size=200), True)
    other.join()
    assert problems == []
    store.close()
    store = FileStore.open(str(ram_path / "data"), segment_bytes=4096)
    assert store.snapshot == meta(14)
    assert store.last_index == 199
    store.close()


class CountedDisk(SimulatedDisk):
    """Counts the log's syncs."""

    def __init__(self):
        super().__init__()
        self.syncs = 0
        self.before = self._count

    def _count(self, operation, path):
        self.syncs += operation == "sync" and path.endswith(".segment")


@pytest.mark.parametrize(("fsync", "expected"), [("always", 5), ("everysec", 0), ("no", 0)])
def test_the_policy_says_when_the_log_is_synced(fsync, expected):
    disk = CountedDisk()
    store = new_store(disk, fsync=fsync)
    store.write(HardState(1), [], True)
    before = disk.syncs
    for index in range(1, 6):
        store.write(None, commands(index, index + 1), True)
    assert disk.syncs - before == expected
    store.close()
    assert open_store(disk).last_index == 5


def test_a_write_that_need_not_be_synced_is_not():
    disk = CountedDisk()
    store = new_store(disk)
    store.write(HardState(1), [], True)
    before = disk.syncs
    store.write(None, commands(1, 3), False)
    assert disk.syncs == before
    store.write(None, [], True)
    assert disk.syncs == before + 1
    store.write(None, [], True)
    assert disk.syncs == before + 1


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_term_and_vote_are_synced_whatever_the_policy(fsync):
    disk = SimulatedDisk()
    store = new_store(disk, fsync=fsync)
    synced = []
    disk.before = lambda operation, path: synced.append(path) if operation == "sync" else None
    store.write(HardState(1, "id1"), [], False)
    assert synced == ["/data/leto.hard-state"] * 2
    store.write(HardState(1, "id1", 7), [], False)
    assert len(synced) == 2, "commit alone is a hint"


def test_without_a_thread_everysec_syncs_when_a_second_has_passed():
    now = [0.0]
    syncs = []
    every = EverySecond(lambda: syncs.append(now[0]), lambda: now[0], background=False)
    for now[0] in (0.0, 0.5, 0.9, 1.0, 1.5, 1.9, 2.1):
        every.written()
    assert syncs == [1.0, 2.1]
    every.stop()


def test_the_last_write_before_a_silence_is_synced_within_about_a_second(ram_path):
    store = FileStore.open(str(ram_path / "data"), fsync="everysec")
    store.identify(Identity("0" * 32, "id1"))
    store.write(HardState(1), commands(1, 3), True)
    log = store._log
    assert log.durable < log.written
    deadline = time.monotonic() + 5
    pause = threading.Event()
    while log.durable < log.written:
        assert time.monotonic() < deadline
        pause.wait(0.02)
    store.close()


def test_a_sync_that_fails_in_everysecs_thread_poisons_the_store():
    disk = SimulatedDisk()
    store = new_store(disk, fsync="everysec")
    store.write(HardState(1), commands(1, 3), False)

    def fail(operation, path):
        if operation == "sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    disk.before = fail
    store._sync_late()
    assert store.failure is not None
    with pytest.raises(StorageError, match="earlier failure"):
        store.write(None, commands(3, 4), True)
    store.close()

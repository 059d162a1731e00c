"""Syncs that fail as Linux lets them fail: the pages are clean after it, and each open file is told once."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from leto.errors import CorruptStorage, StorageError
from leto.raft.messages import HardState
from leto.storage import recovery
from leto.storage.log import Log
from leto.storage.store import FileStore
from leto.twins.disk import PowerLost, SimulatedDisk
from tests.storage.directories import IDENTITY, commands, log_of, meta, new_store, open_store, segment, take
from tests.storage.test_storage_killed_then_power import durable

EIO = os.strerror(errno.EIO)


def a_life(disk: SimulatedDisk) -> None:
    """All kinds of writes, and all kinds of syncs."""
    store = open_store(disk)
    store.identify(IDENTITY)
    store.write(HardState(1, "id1"), [], True)
    store.write(None, commands(1, 40, size=200), True)
    store.write(None, commands(40, 60, size=200), True)
    take(store, 50)
    store.compact(50)
    sink = store.receive_snapshot(meta(90), 200_000, 7)
    sink.write(bytes(150_000))
    sink.abort(keep_partial=True)
    store.write(HardState(2, "", 45), commands(55, 65, term=2, size=200), True)
    store.mark()
    store.close()


def killed(disk: SimulatedDisk) -> None:
    """The process ends; the page cache stays."""
    disk.before = None
    disk.life += 1
    disk.locks.clear()


def syncs_of_a_life() -> int:
    disk, count = SimulatedDisk(), 0

    def before(operation: str, path: str) -> None:
        nonlocal count
        count += operation == "sync"

    disk.before = before
    a_life(disk)
    return count


def fail_sync(disk: SimulatedDisk, number: int, *, told: bool) -> None:
    """A life that ends at that sync, the first being 1: by its error, or (not `told`) killed before it hears of it."""
    left = number

    def before(operation: str, path: str) -> None:
        nonlocal left
        left -= operation == "sync"
        if operation == "sync" and not left:
            if told:
                raise OSError(errno.EIO, EIO, path)
            disk.fail_to_write_back(path)
            raise PowerLost

    disk.before = before
    with pytest.raises((StorageError, PowerLost)):
        a_life(disk)
    killed(disk)


def check_what_it_shows_is_durable(store: FileStore, disk: SimulatedDisk) -> None:
    """All that a start shows, and what is written then, is there after a loss of power."""
    entries, snapshot = log_of(store), store.snapshot
    more = commands(store.last_index + 1, store.last_index + 3, term=3)
    store.write(HardState(3, "id2"), more, True)
    after = open_store(durable(disk))
    assert (after.hard_state.term, after.hard_state.vote) == (3, "id2")
    assert log_of(after)[-len(entries + more) :] == (entries + more)[-len(log_of(after)) :]
    assert after.last_index == more[-1].index
    assert after.snapshot == snapshot


SYNCS = range(1, syncs_of_a_life() + 1)


@pytest.mark.parametrize("cache", ["kept", "dropped"])
@pytest.mark.parametrize("number", SYNCS)
def test_what_a_start_shows_after_a_failed_sync_is_durable(number: int, cache: str):
    disk = SimulatedDisk()
    fail_sync(disk, number, told=True)
    if cache == "dropped":
        disk.drop_caches()
    store = open_store(disk)
    if store.identity is not None:
        check_what_it_shows_is_durable(store, disk)


@pytest.mark.parametrize("number", SYNCS)
def test_an_error_that_nobody_was_told_of_is_told_to_the_next_start(number: int):
    disk = SimulatedDisk()
    fail_sync(disk, number, told=False)
    try:
        store = open_store(disk)
    except StorageError as error:
        assert EIO in str(error)
        killed(disk)
        store = open_store(disk)  # an operator was told; now all is written again
    if store.identity is not None:
        check_what_it_shows_is_durable(store, disk)


def test_a_resumed_snapshot_is_written_again():
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(1, "id1"), commands(1, 3), True)
    payload = os.urandom(200_000)
    sink = store.receive_snapshot(meta(90), len(payload), 7)
    sink.write(payload[:150_000])
    disk.fail_to_write_back(next(path for path in disk.files() if path.endswith(".partial")))
    with pytest.raises(StorageError, match=EIO):
        sink.abort(keep_partial=True)
    killed(disk)
    store = open_store(disk)
    sink = store.receive_snapshot(meta(90), len(payload), 7)
    assert sink.offset == 131_072, "two frames came whole"
    sink.write(payload[sink.offset :])
    sink.commit()
    store.install_snapshot(meta(90))
    source = open_store(durable(disk)).open_snapshot()
    assert source is not None and source.read(0, 1 << 20) == payload


# Two threads ---------------------------------------------------------------------------------------------------


def sync_unguarded(self: Log) -> None:
    """Log.sync() as it must not be: each thread for itself."""
    written = self.written
    self.active.file.sync()
    self.durable = max(self.durable, written)


def race() -> dict[str, str]:
    """The writer and the thread of snapshots sync the log at once, and the kernel cannot write: who is told what."""
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(1, "id1"), commands(1, 3), True)
    sink = store.create_snapshot(meta(2))
    sink.write(b"state")
    told: dict[str, str] = {}

    def run(name: str, job) -> None:
        try:
            job()
            told[name] = ""
        except StorageError as error:
            told[name] = str(error)

    other = threading.Thread(target=run, args=("snapshots", sink.commit))
    is_armed = True

    def before(operation: str, path: str) -> None:
        nonlocal is_armed
        if operation == "sync" and path == segment(1) and is_armed:
            is_armed = False
            disk.fail_to_write_back(path)
            other.start()
            other.join(0.1)  # it takes the error if it may sync beside the writer; else it waits for the writer

    disk.before = before
    run("writer", lambda: store.write(None, commands(3, 5), True))
    other.join(10)
    assert not other.is_alive()
    assert store.failure is not None
    return told


def test_no_sync_reports_success_once_another_threads_has_failed():
    told = race()
    assert EIO in told["writer"], "else the entry is acknowledged, and no disk has it"
    assert EIO in told["snapshots"]


def test_the_race_of_two_syncs_bites(monkeypatch):
    monkeypatch.setattr(Log, "sync", sync_unguarded)
    told = race()
    assert told["writer"] == "" and EIO in told["snapshots"]


def test_whoever_listens_hears_of_a_failure_that_no_caller_gets():
    disk = SimulatedDisk()
    store = FileStore.open("/data", disk=disk, fsync="everysec", random32=lambda: 7, clock=lambda: 0.0)
    store.identify(IDENTITY)
    heard: list[StorageError] = []
    is_told = threading.Event()

    def hear(failure: StorageError) -> None:
        heard.append(failure)
        is_told.set()

    store.on_failure = hear

    def before(operation: str, path: str) -> None:
        if operation == "sync" and path == segment(1):
            raise OSError(errno.EIO, EIO, path)

    disk.before = before
    store.write(HardState(1, "id1"), commands(1, 3), True)
    assert is_told.wait(10), "a second later, in a thread of its own"
    assert heard == [store.failure]
    store.close()


def test_no_room_for_the_log_is_the_logs_failure_also_where_a_snapshot_asked_for_the_sync():
    disk = SimulatedDisk()
    store = new_store(disk, fsync="no")
    store.write(HardState(1, "id1"), commands(1, 3), True)
    sink = store.create_snapshot(meta(2))
    sink.write(b"state")

    def before(operation: str, path: str) -> None:
        if operation == "sync" and path == segment(1):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    disk.before = before
    with pytest.raises(StorageError, match="sync the log"):
        sink.commit()
    assert store.failure is not None and store.snapshot is None


# The commit index that is saved with term and vote -----------------------------------------------------------------


def voted_with_a_hint(fsync: str = "always", commit: int = 5) -> SimulatedDisk:
    """The disk of a node that wrote entries 1 to 5 and then voted, with power lost so that the watermark knows of
    nothing."""
    disk = SimulatedDisk()
    store = new_store(disk, mark_seconds=1e9, fsync=fsync)
    store.write(HardState(1, "id1"), [], True)
    for entry in commands(1, 6):
        store.write(None, [entry], True)
    store.write(HardState(2, "id2", commit), [], True)
    return durable(disk)


def rot_last_record(disk: SimulatedDisk) -> None:
    data = disk.files()[segment(1)].rstrip(b"\0")
    disk.flip(segment(1), len(data) - 3, 0)


def cut_last_record(disk: SimulatedDisk) -> None:
    data = disk.files()[segment(1)].rstrip(b"\0")
    for offset in range(len(data) - 60, len(data)):
        inode = disk._inode(segment(1))
        inode.content[offset] = 0
        inode.durable = bytes(inode.content)


@pytest.mark.parametrize("damage", [rot_last_record, cut_last_record])
def test_damage_to_what_the_hard_state_knows_to_be_committed_is_no_torn_write(damage):
    disk = voted_with_a_hint()
    damage(disk)
    with pytest.raises(CorruptStorage, match="the hard state tells that all entries up to 5 were committed"):
        open_store(disk)
    assert not [path for path in disk.files() if ".torn-" in path]


def test_damage_beyond_it_is():
    disk = voted_with_a_hint(commit=4)
    rot_last_record(disk)
    store = open_store(disk)
    assert store.last_index == 4
    assert "cut" in store.recovered[0]


@pytest.mark.parametrize("fsync", ["everysec", "no"])
def test_a_hint_claims_no_more_than_was_synced(fsync):
    store = open_store(voted_with_a_hint(fsync))
    assert (store.last_index, store.hard_state) == (0, HardState(2, "id2", 0))


def test_a_hint_claims_nothing_of_entries_that_replaced_durable_ones():
    disk = SimulatedDisk()
    store = new_store(disk, mark_seconds=1e9)
    store.write(HardState(1, "id1"), commands(1, 6), True)
    store.write(None, commands(3, 6, term=1, size=30), False)
    store.write(HardState(2, "id2", 5), [], False)
    assert open_store(durable(disk)).hard_state == HardState(2, "id2", 2)


def test_the_hint_as_evidence_bites(monkeypatch):
    """Without it the damaged record passes for a torn write, and a committed entry is gone."""
    original = recovery.recover
    monkeypatch.setattr("leto.storage.store.recover", lambda *arguments: original(*arguments[:-1]))
    disk = voted_with_a_hint()
    rot_last_record(disk)
    assert open_store(disk).last_index == 4

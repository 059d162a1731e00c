"""What is kept free of the disk for the log, and what snapshots may take."""

from __future__ import annotations

import pytest

from leto.errors import NoRoom
from leto.interfaces.store import DiskSpace
from leto.raft.messages import HardState
from leto.storage.store import FileStore
from leto.twins.disk import SimulatedDisk
from tests.storage.directories import commands, meta, new_store, take

KEPT = 100_000


def limited(free: int, **options) -> tuple[SimulatedDisk, FileStore]:
    """A store with a few entries, on a disk of 10 MB of which so much is left."""
    disk = SimulatedDisk()
    store = new_store(disk, min_free_bytes=KEPT, **options)
    store.write(HardState(1, "id1"), commands(1, 6), True)
    disk.capacity = 10_000_000
    disk.make_directory("/other")
    ballast = disk.create("/other/ballast")
    ballast.write_at(0, [bytes(disk.space("/data").free - free)])
    ballast.sync()
    return disk, store


def test_the_space_is_the_disks():
    _, store = limited(300_000)
    assert store.space() == DiskSpace(300_000, 10_000_000, KEPT)


def test_of_a_small_disk_less_is_kept():
    disk = SimulatedDisk()
    store = new_store(disk, min_free_bytes=KEPT)
    disk.capacity = 80_000
    assert store.space().min_free == 10_000


def test_a_snapshot_takes_nothing_of_what_is_kept_for_the_log():
    disk, store = limited(300_000)
    sink = store.create_snapshot(meta(3))
    with pytest.raises(NoRoom, match=r"\.tmp: \d+ bytes are left on the disk, 100000 of which are kept for the log"):
        for _ in range(10):
            sink.write(bytes(65536))
            assert disk.space("/data").free >= KEPT - 70_000
    assert store.space().free == 300_000, "it is removed"
    assert store.failure is None
    sink.abort()
    take(store, 3)


def test_where_less_is_left_it_may_take_some_for_it_may_be_what_gives_the_room_back():
    _, store = limited(95_000)
    sink = store.create_snapshot(meta(3))
    sink.write(bytes(65_536))
    with pytest.raises(NoRoom, match="25000 of which are kept"):
        sink.write(bytes(10_000))
    take(store, 4, bytes(50_000))
    assert store.snapshot == meta(4)


def test_a_snapshot_from_the_leader_that_has_no_room_is_refused_before_it_comes():
    disk, store = limited(300_000)
    with pytest.raises(NoRoom, match=r"\.partial: 300000 bytes are left"):
        store.receive_snapshot(meta(90), 250_000, 7)
    assert store.failure is None and store.space().free == 300_000
    sink = store.receive_snapshot(meta(90), 150_000, 7)
    sink.write(bytes(100_000))
    sink.abort(keep_partial=True)
    assert store.receive_snapshot(meta(90), 150_000, 7).offset == 65536, "what came of it needs no more room"


def test_what_ends_short_of_room_in_the_middle_is_removed():
    disk, store = limited(300_000)
    sink = store.receive_snapshot(meta(90), 150_000, 7)
    sink.write(bytes(65_536))
    ballast = disk.open("/other/ballast")
    ballast.write_at(ballast.size(), [bytes(120_000)])  # others write too
    with pytest.raises(NoRoom):
        sink.write(bytes(65_536))
    sink.abort(keep_partial=True)
    assert not [path for path in disk.files() if ".partial" in path]
    assert store.failure is None


def test_a_large_segment_that_nobody_needs_is_given_back():
    disk = SimulatedDisk()
    store = new_store(disk, segment_bytes=1 << 24)
    store.write(HardState(1, "id1"), commands(1, 41, size=100_000), True)
    take(store, 40)
    store.compact(39)
    assert store.log_bytes() > 4_000_000, "the last entry stands in it"
    store.compact(40)
    assert store.log_bytes() < 1000
    store.write(None, commands(41, 43), True)
    store.close()


def test_no_segment_is_begun_for_that_where_no_room_is_left_for_one():
    disk = SimulatedDisk()
    store = new_store(disk, segment_bytes=1 << 24)
    store.write(HardState(1, "id1"), commands(1, 41, size=100_000), True)
    take(store, 40)
    disk.capacity = sum(map(len, disk.files().values())) + 300_000
    store.compact(40)
    assert store.log_bytes() > 4_000_000
    assert store.failure is None


def test_the_snapshot_before_goes_where_a_new_one_might_not_fit_beside_it():
    disk, store = limited(400_000)
    take(store, 2, bytes(80_000))
    take(store, 3, bytes(80_000))
    store.free_compacted()
    assert len(snapshots(disk)) == 2, "there is room, and the log leads on from it"
    ballast = disk.open("/other/ballast")
    ballast.write_at(ballast.size(), [bytes(disk.space("/data").free - KEPT - 70_000)])
    take(store, 4, bytes(80_000))
    assert store.snapshot == meta(4)
    assert [path for path in snapshots(disk) if "00000002-" in path] == []


def snapshots(disk: SimulatedDisk) -> list[str]:
    return [path for path in disk.files() if path.endswith(".snapshot")]

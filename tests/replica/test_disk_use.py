"""How much of the disk a node takes, whatever is written: docs/operations.md has the formula."""

from __future__ import annotations

import pytest

from tests.replica.cluster import Outcome
from tests.replica.disks import DiskCluster, written

KB = 1 << 10
OPTIONS = {"snapshot_bytes": 256 * KB, "trailing_bytes": 128 * KB, "segment_bytes": 64 * KB}


def at_most(keyspace: int, request: int) -> int:
    """Bytes, where the keyspace is never larger than that, nor a request: as docs/operations.md has it."""
    log = max(OPTIONS["snapshot_bytes"], keyspace) + OPTIONS["trailing_bytes"]
    return 3 * keyspace + log + 2 * max(OPTIONS["segment_bytes"], request) + 64 * KB  # the last: the other files


@pytest.mark.parametrize("keys", [1, 30, 200])
def test_the_disk_that_a_node_takes_is_bounded_by_its_keyspace_and_its_options(keys: int):
    """400 values of 10 kB: 4 MB for the log, of which the entries' number alone would keep all."""
    size = 10_000
    node = DiskCluster(1, **OPTIONS).nodes["id1"]
    most = written(node, [("SET", f"key:{number % keys}", chr(97 + number % 26) * size) for number in range(400)])
    keyspace = keys * (size + 100)
    assert most <= at_most(keyspace, size)
    assert not node.fatal


def test_what_is_deleted_gives_its_room_back_with_the_next_snapshot():
    size = 10_000
    node = DiskCluster(1, **OPTIONS).nodes["id1"]
    written(node, [("SET", f"key:{number}", "v" * size) for number in range(200)])
    assert node.used > 200 * size
    written(node, [("FLUSHALL",)])
    snapshot = Outcome(node.replica.snapshot())
    node.cluster.until(lambda: snapshot.done)
    assert snapshot.error is None
    assert node.used <= at_most(0, size) - OPTIONS["snapshot_bytes"]
    assert len([path for path in node.disk.files() if path.endswith(".snapshot")]) == 1, "the older one serves nobody"


def test_what_is_deleted_right_after_a_snapshot_gives_its_room_back_as_well():
    """The log still leads on from the older one."""
    node = DiskCluster(1, **OPTIONS).nodes["id1"]
    written(node, [("SET", f"key:{number}", "v" * 10_000) for number in range(100)])
    for words in (("SET", "a", "b"), ("FLUSHALL",)):
        written(node, [words])
        snapshot = Outcome(node.replica.snapshot())
        node.cluster.until(lambda snapshot=snapshot: snapshot.done)
        assert snapshot.error is None
    assert sum(len(data) for path, data in node.disk.files().items() if path.endswith(".snapshot")) < 1000


def test_the_log_that_is_held_for_a_follower_is_bounded_too():
    """It is brought a snapshot, and does not get on; the writes do."""
    size = 10_000
    cluster = DiskCluster(1, **OPTIONS)
    node = cluster.nodes["id1"]
    written(node, [("SET", "key", "v" * size)] * 40)
    held = node.replica.node.commit
    node.replica.upkeep.streams._held["id2"] = held, float("inf")
    written(node, [("SET", "key", "v" * size)] * 20)
    assert node.store.first_index <= held + 1
    most = written(node, [("SET", "key", "v" * size)] * 200)
    assert most <= at_most(size, size) + 2 * OPTIONS["snapshot_bytes"]

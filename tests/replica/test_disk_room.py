"""Disks that run full: told of before, refused in time, given back; a snapshot without room ends nobody."""

from __future__ import annotations

import pytest
from twisted.logger import globalLogPublisher

from leto.errors import DiskFull, NoRoom, Overloaded
from leto.keyspace.admission import may_grow
from leto.replica.room import ASK_SECONDS, LOOK_SECONDS
from leto.vocabulary.registry import KEYSPACE
from tests.replica.cluster import Outcome, packed
from tests.replica.disks import DiskCluster, DiskNode, written

KB = 1 << 10
MIN_FREE = 200 * KB
OPTIONS = {
    "snapshot_bytes": 256 * KB,
    "trailing_bytes": 128 * KB,
    "segment_bytes": 64 * KB,
    "min_free_bytes": MIN_FREE,
}
SIZE = 10_000


def leave(node: DiskNode, free: int) -> None:
    """So much is left on its disk, of 20 MB, from now on; others write too."""
    node.disk.capacity = None
    if not node.disk.exists("/other"):
        node.disk.make_directory("/other")
        node.disk.create("/other/ballast").sync()
    node.disk.capacity = 20 << 20
    ballast = node.disk.open("/other/ballast")
    ballast.truncate(0)
    ballast.truncate(node.disk.space("/").free - free)
    ballast.sync()


def look(cluster: DiskCluster) -> None:
    """Let the nodes look at their disks, and the leader ask the others."""
    for _ in range(30):
        cluster.clock.advance((LOOK_SECONDS + ASK_SECONDS) / 30)


def carried_out(node: DiskNode, *words: str) -> Outcome:
    outcome = Outcome(node.replica.write(packed(*words), 1))
    node.cluster.until(lambda: outcome.done)
    return outcome


@pytest.fixture
def said():
    lines: list[str] = []

    def observe(event) -> None:
        lines.append(event["log_format"].format(**event) if event.get("log_format") else "")

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def about_disks(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("the disk")]


def test_below_the_mark_what_adds_data_is_refused_and_the_rest_goes_on(said):
    node = DiskCluster(1, **OPTIONS).nodes["id1"]
    written(node, [("SET", f"key:{number}", "v" * SIZE) for number in range(50)])
    leave(node, 3 * MIN_FREE)
    look(node.cluster)
    assert not about_disks(said) and carried_out(node, "SET", "a", "b").error is None
    leave(node, 2 * MIN_FREE - 1)
    look(node.cluster)
    assert carried_out(node, "SET", "a", "b").error is None
    assert about_disks(said) == [
        "the disk has 399 KB of 20 MB left: with less than 200 KB (min-free-bytes) this node, if it leads, refuses "
        "writes that add data"
    ]
    assert node.replica.status().disk_state == "warning"
    leave(node, MIN_FREE // 2)
    look(node.cluster)
    error = carried_out(node, "SET", "a", "b").error
    assert isinstance(error, DiskFull)
    assert "KB left, less than min-free-bytes (200 KB): writes that add data are refused; reads, DEL" in str(error)
    assert node.replica.status().disk_state == "low"
    for words in (("DEL", "key:1"), ("UNLINK", "key:2"), ("EXPIRE", "key:3", "100"), ("FLUSHALL",)):
        assert carried_out(node, *words).error is None
    leave(node, 3 * MIN_FREE)
    look(node.cluster)
    assert carried_out(node, "SET", "a", "b").error is None
    assert "enough again" in about_disks(said)[-1]
    assert not node.fatal


def test_expired_keys_are_deleted_while_the_disk_is_low():
    node = DiskCluster(1, **OPTIONS).nodes["id1"]
    written(node, [("SET", "key", "v" * SIZE, "PX", "20000")])
    leave(node, MIN_FREE // 2)
    look(node.cluster)
    assert node.replica.growth_refusal
    assert node.replica.machine.key_count == 1
    node.cluster.clock.advance(20.0)
    node.cluster.until(lambda: node.replica.machine.key_count == 0)


def test_a_low_disk_gets_its_room_back_by_deletion_alone():
    """Nobody asks for a snapshot, and no other writes."""
    node = DiskCluster(1, **OPTIONS).nodes["id1"]
    written(node, [("SET", f"key:{number}", "v" * SIZE) for number in range(80)])
    asked = Outcome(node.replica.snapshot())
    node.cluster.until(lambda: asked.done)
    leave(node, MIN_FREE // 2)
    look(node.cluster)
    used = node.used
    assert node.replica.status().disk_state == "low"
    assert isinstance(carried_out(node, "SET", "a", "b").error, DiskFull)
    assert carried_out(node, "FLUSHALL").error is None
    node.cluster.until(lambda: node.replica.status().disk_state != "low", seconds=2.5)
    assert carried_out(node, "SET", "a", "b").error is None
    assert node.used < used - 700_000
    assert not node.fatal


def test_writes_at_full_speed_never_reach_the_end_of_the_disk():
    """The keyspace grows until it is refused; the node lives on, whatever its snapshots need, and can delete."""
    node = DiskCluster(1, **OPTIONS).nodes["id1"]
    node.disk.capacity = 3 << 20
    refused = 0
    for number in range(400):
        outcome = carried_out(node, "SET", f"key:{number}", "v" * SIZE)
        refused += isinstance(outcome.error, DiskFull)
        node.cluster.clock.advance(0.05)
        assert node.disk.space("/").free > 0
        assert not node.fatal
    assert 100 < refused < 350
    assert carried_out(node, "FLUSHALL").error is None
    node.cluster.until(lambda: not node.replica.growth_refusal, seconds=60.0)
    assert carried_out(node, "SET", "a", "b").error is None


def test_a_snapshot_without_room_ends_nobody_and_is_tried_again(said):
    node = DiskCluster(1, **OPTIONS).nodes["id1"]
    written(node, [("SET", f"key:{number}", "v" * SIZE) for number in range(60)])
    before = node.replica.status().snapshot_index
    leave(node, MIN_FREE + 300 * KB)  # the keyspace has 600
    first = node.store.first_index
    asked = Outcome(node.replica.snapshot())
    node.cluster.until(lambda: asked.done)
    assert isinstance(asked.error, NoRoom)
    assert node.replica.status().snapshot_found_no_room
    assert node.store.first_index == first, "the log stays"
    assert not [path for path in node.disk.files() if path.endswith(".tmp")]
    assert [line for line in said if "there is no room for a snapshot" in line and "the log stays as it is" in line]
    assert carried_out(node, "SET", "a", "b").error is None
    leave(node, 10 << 20)
    node.cluster.clock.advance(60.0)
    written(node, [("SET", "key:1", "v" * SIZE)] * 80)
    node.cluster.until(lambda: node.replica.status().snapshot_index > before)
    assert not node.replica.status().snapshot_found_no_room
    assert not node.fatal


def test_a_follower_without_room_for_the_leaders_snapshot_goes_on_and_gets_it_later(said):
    cluster = DiskCluster(3, **OPTIONS | {"trailing_entries": 0})
    leader, follower = cluster.nodes["id1"], cluster.nodes["id3"]
    cluster.network.partition(("id1", "id2"), ("id3",))
    written(leader, [("SET", f"key:{number}", "v" * SIZE) for number in range(60)])
    asked = Outcome(leader.replica.snapshot())
    cluster.until(lambda: asked.done)
    leave(follower, MIN_FREE + 100 * KB)
    cluster.network.heal_all()
    cluster.until(lambda: any("refused the snapshot" in line for line in said), seconds=60.0)
    cluster.advance(1.0)
    refused = sum("refused the snapshot" in line for line in said)
    assert refused == 1, "it is not offered again at once"
    assert not follower.fatal and follower.replica.machine.key_count == 0
    leave(follower, 10 << 20)
    cluster.until(lambda: follower.replica.machine.key_count == 60, seconds=60.0)
    assert not follower.fatal


def test_one_voter_that_is_low_stops_nobody_and_a_majority_does(said):
    cluster = DiskCluster(3, **OPTIONS)
    leader = cluster.nodes["id1"]
    leave(cluster.nodes["id2"], MIN_FREE // 2)
    look(cluster)
    assert cluster.nodes["id2"].replica.status().disk_state == "low"
    assert "the disk of id2 is low" in said
    assert carried_out(leader, "SET", "a", "b").error is None
    leave(cluster.nodes["id3"], MIN_FREE // 2)
    look(cluster)
    error = carried_out(leader, "SET", "a", "b").error
    assert isinstance(error, DiskFull) and "too many voters' disks are low (id2, id3)" in str(error)
    assert carried_out(leader, "DEL", "a").error is None
    leave(cluster.nodes["id3"], 10 << 20)
    look(cluster)
    assert carried_out(leader, "SET", "a", "b").error is None


def test_a_follower_that_forwards_says_what_the_leader_says():
    cluster = DiskCluster(3, **OPTIONS | {"on_follower": "proxy"})
    leave(cluster.nodes["id1"], MIN_FREE // 2)
    look(cluster)
    follower = cluster.nodes["id2"]
    assert follower.replica.growth_refusal == ""
    assert isinstance(carried_out(follower, "SET", "a", "b").error, DiskFull)
    assert carried_out(follower, "DEL", "a").error is None


def test_changes_of_members_go_on_while_the_disk_is_low():
    cluster = DiskCluster(3, **OPTIONS)
    leave(cluster.nodes["id1"], MIN_FREE // 2)
    look(cluster)
    removed = Outcome(cluster.nodes["id1"].replica.remove_member("id3"))
    cluster.until(lambda: removed.done)
    assert removed.error is None


@pytest.mark.parametrize(
    ("requests", "grows"),
    [
        ([("SET", "a", "b")], True),
        ([("set", "a", "b")], True),
        ([("APPEND", "a", "b")], True),
        ([("INCR", "a")], True),
        ([("DEL", "a")], False),
        ([("EXPIRE", "a", "1")], False),
        ([("EXPIRED", "a")], False),
        ([("GETDEL", "a")], False),
        ([("DEL", "a"), ("SET", "a", "b")], True),
        ([("MULTI",), ("DEL", "a"), ("EXEC",)], False),
        ([("MULTI", "3", "SET"), ("GET", "SET"), ("DEL", "SET"), ("EXEC",)], False),
        ([("MULTI",), ("DEL", "a"), ("MSET", "a", "b"), ("EXEC",)], True),
    ],
)
def test_what_may_grow_is_what_redis_denies_without_memory(requests: list[tuple[str, ...]], grows: bool):
    assert may_grow(b"".join(packed(*words) for words in requests), KEYSPACE) is grows


def test_no_more_writes_are_on_their_way_than_the_disks_have_room_for():
    """What was taken is written, also if it then turns out that the room is gone."""
    min_free = 1 << 20  # segments are rounded up
    cluster = DiskCluster(3, **OPTIONS | {"min_free_bytes": min_free})
    leader = cluster.nodes["id1"]

    def taken() -> int:
        """Of 500 writes of 10 kB at once."""
        outcomes = [Outcome(leader.replica.write(packed("SET", "key", "v" * SIZE), 1)) for _ in range(500)]
        assert {type(outcome.error) for outcome in outcomes} <= {type(None), Overloaded}
        refused = sum(outcome.error is not None for outcome in outcomes)
        cluster.until(lambda: all(outcome.done for outcome in outcomes))
        return 500 - refused

    assert taken() == 500
    leave(cluster.nodes["id3"], min_free + (2 << 20))
    look(cluster)
    assert 190 < taken() < 300
    leave(cluster.nodes["id3"], 10 << 20)
    leave(leader, min_free + (1 << 20))
    look(cluster)
    assert 90 < taken() < 190
    leave(leader, min_free + 200 * KB)
    look(cluster)
    assert 5 < taken() < 60, "some always"
    assert [node.fatal for node in cluster.nodes.values()] == [[], [], []]

"""Time to live on whole nodes, while wall clocks are wrong."""

from __future__ import annotations

import pytest

from leto.vocabulary.replies import OK
from tests.replica.cluster import Cluster, Outcome

HOUR = 3600.0


def lock_is_free_within(cluster, seconds):
    """A lock of 2 s is taken, and must be free again after so long. Judged by reads, and by who takes it next."""
    began = cluster.clock.seconds()
    assert cluster.do("SET", "lock", "token", "NX", "PX", "2000") == OK
    assert cluster.get(b"lock") == b"token"
    cluster.until(lambda: cluster.get(b"lock") is None, seconds)
    assert cluster.clock.seconds() - began > 1.9
    assert cluster.do("SET", "lock", "other", "NX", "PX", "50") == OK
    cluster.advance(0.3)


def now_ms(cluster):
    """A right wall clock."""
    return round((1_700_000_000 + cluster.clock.seconds()) * 1000)


def jump(cluster, node, offset=HOUR):
    """Its wall clock is so far off for a second, while things are written."""
    node.wall_offset += offset
    for _ in range(5):
        cluster.do("SET", "a", "b")
        cluster.advance(0.2)
    node.wall_offset -= offset


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_lock_ends_after_the_leaders_clock_was_an_hour_ahead_for_a_second(size):
    cluster = Cluster(size)
    jump(cluster, cluster.leader)
    lock_is_free_within(cluster, 2.5)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_lock_ends_however_far_ahead_the_log_is_also_after_a_restart_of_all(size):
    cluster = Cluster(size)
    for node in cluster.running:
        node.wall_offset = HOUR
    jump(cluster, cluster.leader, 0.0)
    for node in cluster.running:
        node.wall_offset = 0.0
    lock_is_free_within(cluster, 2.5)
    for node in cluster.running:
        node.crash()
    for node in cluster.nodes.values():
        node.start()
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    lock_is_free_within(cluster, 2.5)


def test_a_lock_ends_after_leadership_moves_to_a_node_whose_clock_is_behind():
    cluster = Cluster(3)
    behind = cluster.followers[0]
    behind.wall_offset = -HOUR
    cluster.do("SET", "a", "b")
    moved = Outcome(cluster.leader.replica.transfer(behind.name))
    cluster.until(lambda: moved.done)
    cluster.until(lambda: behind.replica.is_leader)
    lock_is_free_within(cluster, 2.5)


def test_expired_keys_are_deleted_while_the_leaders_clock_is_behind():
    cluster = Cluster(3)
    cluster.do("SET", "a", "b", "PX", "500")
    cluster.leader.wall_offset = -HOUR
    cluster.advance(1.5)
    for node in cluster.running:
        assert node.replica.machine.query([b"DBSIZE"], 0) == 0


def test_times_of_the_day_are_the_leaders_to_the_millisecond():
    cluster = Cluster(3)
    cluster.advance(1.0)
    began = now_ms(cluster)
    cluster.do("SET", "a", "b", "PX", "1000")
    expires = cluster.do("PEXPIRETIME", "a")
    assert began + 1000 <= expires <= now_ms(cluster) + 1000
    expires = now_ms(cluster) + 500
    cluster.do("SET", "c", "d", "PXAT", str(expires))
    cluster.until(lambda: cluster.get(b"c") is None)
    assert 0 <= now_ms(cluster) - expires <= 20


def test_a_local_read_of_a_follower_with_a_wrong_clock_shows_what_is_there():
    cluster = Cluster(3)
    follower = cluster.followers[0]
    follower.wall_offset = HOUR
    cluster.do("SET", "a", "b", "PX", "1000")
    cluster.settle()
    replica = follower.replica
    assert replica.machine.query([b"GET", b"a"], replica.read_local()) == b"b"
    cluster.advance(1.2)
    assert replica.machine.query([b"GET", b"a"], replica.read_local()) is None


@pytest.mark.parametrize("moved", [False, True])
def test_what_a_read_found_gone_is_gone_for_the_writes_that_follow(moved):
    """Also where the leader's wall clock says that it still lives: entries are stamped by the cluster's clock."""
    cluster = Cluster(3)
    if moved:
        for node in cluster.followers:
            node.wall_offset = -HOUR
    cluster.do("SET", "lock", "token", "NX", "PX", "1000")
    cluster.until(lambda: cluster.get(b"lock") is None)
    if moved:
        cluster.leader.crash()
        cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    else:
        cluster.leader.wall_offset = -HOUR
    assert cluster.do("SET", "lock", "other", "NX", "PX", "1000") == OK

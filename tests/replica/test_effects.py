"""What an entry did reaches the edges of every node: after it is applied, before its own replies."""

from __future__ import annotations

from leto.keyspace.effects import EVERYTHING, Effects, Kind
from leto.vocabulary.replies import OK
from tests.replica.cluster import Cluster


def watch(node) -> list[tuple[int, Effects]]:
    """What it tells from now on."""
    told: list[tuple[int, Effects]] = []
    node.replica.machine.watch(Kind.CHANGES)
    node.replica.on_effects = lambda index, effects: told.append((index, effects))
    return told


def test_every_node_that_watches_is_told_alike():
    cluster = Cluster(3)
    leader, (follower, other) = cluster.leader, cluster.followers
    told, told_too = watch(leader), watch(follower)
    assert cluster.do("SET", "a", "b") == OK
    assert cluster.get(b"a", follower) == b"b"
    assert cluster.get(b"a", other) == b"b"
    assert [effects for _, effects in told] == [Effects(changes=((b"set", b"a"),))]
    assert told == told_too


def test_who_is_told_can_read_what_it_hears_of_and_hears_it_before_the_writer_is_answered():
    cluster = Cluster(3)
    leader = cluster.leader
    heard = []
    outcome = None

    def told(index, effects):
        heard.append((leader.replica.machine.query((b"GET", b"a"), 0), outcome is not None and outcome.done))

    leader.replica.machine.watch(b"a")
    leader.replica.on_effects = told
    outcome = cluster.write("SET", "a", "b")
    cluster.until(lambda: outcome.done)
    assert heard == [(b"b", False)]


def test_a_snapshot_in_the_place_of_the_state_may_have_changed_anything():
    cluster = Cluster(3, snapshot_entries=20, trailing_entries=5)
    behind = cluster.followers[0]
    told = watch(behind)
    cluster.network.partition([behind.name], [node.name for node in cluster.nodes.values() if node is not behind])
    for number in range(60):
        assert cluster.do("SET", f"k{number}", "v") == OK
    assert cluster.leader.store.first_index > behind.store.last_index + 1
    cluster.network.heal_all()
    cluster.until(lambda: cluster.leader.replica.machine.applied == behind.replica.machine.applied)
    assert EVERYTHING in [effects for _, effects in told]

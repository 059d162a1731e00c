"""Snapshots whose thread is slow: what it has done, and the reactor's thread does not know yet, harms nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leto.errors import NoRoom, Stopping
from leto.raft.messages import InstallSnapshot
from leto.twins.store import MemoryFlusher
from tests.replica.cluster import Cluster, Node, Outcome


def cut_off(cluster: Cluster, node: Node) -> None:
    cluster.network.partition([node.name], [name for name in cluster.nodes if name != node.name])


def fill(cluster: Cluster, prefix: str) -> None:
    for number in range(20):
        cluster.do("SET", f"{prefix}{number}", "v" * 200)


def snapshot(cluster: Cluster, node: Node) -> int:
    taken = Outcome(node.replica.snapshot())
    cluster.until(lambda: taken.done)
    assert taken.error is None, taken.error
    return taken.value.index


def pump(cluster: Cluster, condition: Callable[[], object], *threads: MemoryFlusher) -> None:
    """Let time pass, and these threads work, until then."""

    def so() -> object:
        for thread in threads:
            if not condition() and thread.pending:
                thread.run_one()
        return condition()

    cluster.until(so)


def test_a_follower_that_was_streamed_a_newer_snapshot_than_was_offered_is_not_forgotten():
    """The leader's newest snapshot is durable, its core has not been told, and the stream of it fails."""
    cluster = Cluster(3, trailing_entries=0)
    leader, (follower, _) = cluster.leader, cluster.followers
    fill(cluster, "a")
    cluster.settle()
    cut_off(cluster, follower)
    fill(cluster, "b")
    offered = snapshot(cluster, leader)
    fill(cluster, "c")
    thread = leader.snapshot_flusher = leader.replica.compaction._snapshot_flusher = MemoryFlusher()
    second = Outcome(leader.replica.snapshot())
    untold = []
    cluster.until(lambda: thread.pending)
    while leader.store.snapshot.index == offered:  # its parts, and the last step
        for done in untold:
            done.callback(None)
        cluster.until(lambda: thread.pending)
        untold = [thread.run_untold()]
    receiver = follower.replica.upkeep.streams._receiver
    receiver._is_installing = lambda: True  # it refuses what it is brought
    cluster.network.heal_all()
    assert leader.replica.node.snapshot.index == offered < leader.store.snapshot.index
    cluster.until(lambda: leader.replica.upkeep.streams.sent > 1)  # it is offered again
    receiver._is_installing = lambda: follower.replica.node.is_installing
    untold[0].callback(None)
    pump(cluster, lambda: second.done, thread)
    cluster.until(lambda: follower.replica.machine.applied == leader.replica.machine.applied)
    cluster.assert_equal_state()


@pytest.mark.parametrize("told", ["before the keyspace is replaced", "while it is being replaced", "after it was"])
def test_a_nodes_own_snapshot_whose_last_step_crosses_the_leaders_is_given_up(told: str):
    """Both are durable in turn; the log begins behind the leader's when the own one would shorten it."""
    cluster = Cluster(3, trailing_entries=0)
    fill(cluster, "a")
    cluster.settle()
    node = cluster.followers[0]
    node.crash()
    node.start(slow_disk=True, slow_snapshots=True)
    log, snapshots = node.flusher, node.snapshot_flusher
    pump(cluster, lambda: node.replica.machine.applied == cluster.leader.replica.machine.applied, log, snapshots)
    own = Outcome(node.replica.snapshot())
    pump(cluster, lambda: node.replica.compaction._writer is not None and snapshots.pending, log)
    snapshots.run_one()  # its file is made
    pump(cluster, lambda: snapshots.pending, log)
    written = snapshots.run_untold()
    cut_off(cluster, node)
    fill(cluster, "b")
    newer = snapshot(cluster, cluster.leader)
    cluster.network.heal_all()
    receiver = node.replica.upkeep.streams._receiver

    def is_there() -> bool:
        transfer = receiver._transfer
        return transfer is not None and transfer.offset == transfer.size and snapshots.pending

    pump(cluster, is_there, log, snapshots)
    written.callback(None)
    assert snapshots.pending == 2  # the leader's last step, then its own
    restoring = node.replica.machine.restoring

    def slow(chunks, index):
        for step in restoring(chunks, index):
            cluster.clock.rightNow += 0.01
            yield step

    node.replica.machine.restoring = slow
    snapshots.run_one()
    pump(cluster, lambda: node.replica.node.is_installing and log.pending)
    if told == "before the keyspace is replaced":
        installed = log.run_untold()
        snapshots.run()
        cluster.clock.advance(0)
        log.run()
        installed.callback(None)
    else:
        log.run_one()
        if told == "after it was":
            cluster.until(lambda: not node.replica.driver.is_flushing)
        assert node.replica.node.is_installing == (told == "while it is being replaced")
        snapshots.run()
    pump(cluster, lambda: node.replica.machine.applied == cluster.leader.replica.machine.applied, log, snapshots)
    pump(cluster, lambda: own.done, log, snapshots)
    assert not node.fatal
    assert own.error is None or type(own.error) is Stopping
    assert node.store.snapshot.index == newer and node.replica.compaction._snapshot_index == newer
    assert not node.replica.compaction.in_progress
    cluster.assert_equal_state()


def refused_for_want_of_room(cluster: Cluster) -> tuple[Node, Node]:
    """(leader, follower): the follower has no room for the snapshot that it needs, and the leader's core waits a while
    before it hears so."""
    leader, (follower, _) = cluster.leader, cluster.followers
    cut_off(cluster, follower)
    fill(cluster, "a")
    snapshot(cluster, leader)

    def full(meta: object, size: int, token: int) -> None:
        raise NoRoom("there is no room for a snapshot")

    follower.replica.upkeep.streams._receiver._open_sink = full
    cluster.network.heal_all()
    cluster.until(lambda: leader.replica.upkeep.streams._untold)
    return leader, follower


def test_a_leader_that_stops_tells_its_core_nothing_more_of_a_refused_stream():
    cluster = Cluster(3, trailing_entries=0)
    leader, follower = refused_for_want_of_room(cluster)
    call = leader.replica.upkeep.streams._untold[follower.name]
    assert call.active()
    leader.replica.upkeep.streams.stop()
    assert not call.active() and not leader.replica.upkeep.streams._untold


def test_another_stream_to_a_follower_takes_the_place_of_the_refused_one():
    """Its leader was elected again meanwhile, say. One that is wanted beside it ends at once, and opens nothing."""
    cluster = Cluster(3, trailing_entries=0)
    leader, follower = refused_for_want_of_room(cluster)
    streams, store = leader.replica.upkeep.streams, leader.store
    call = streams._untold[follower.name]
    opened = []
    original = store.open_snapshot
    store.open_snapshot = lambda: opened.append(original()) or opened[-1]
    offer = InstallSnapshot(leader.name, follower.name, leader.replica.node.term, store.snapshot)
    streams.send(offer)
    assert not call.active() and not streams._untold and len(opened) == 1
    streams.send(offer)
    assert len(opened) == 1 and list(streams._streams) == [follower.name]


def test_no_snapshot_is_begun_of_a_keyspace_that_the_leaders_replaces():
    """The core's log is the one behind the leader's snapshot already, whose install waits for the disk."""
    cluster = Cluster(3, trailing_entries=0)
    leader, (follower, _) = cluster.leader, cluster.followers
    fill(cluster, "a")
    cluster.settle()
    cut_off(cluster, follower)
    fill(cluster, "b")
    index = snapshot(cluster, leader)
    disk = follower.replica.driver._flusher = MemoryFlusher()
    cluster.network.heal_all()
    pump(cluster, lambda: follower.replica.node.is_installing, disk)
    refused = Outcome(follower.replica.snapshot())
    assert isinstance(refused.error, Stopping) and not follower.fatal
    pump(cluster, lambda: follower.replica.machine.applied >= index and not disk.pending, disk)
    assert not follower.fatal

"""Flow control in the core: losses, overtaking, snapshots to followers, bounds."""

from __future__ import annotations

import pytest

from leto.errors import Overloaded
from leto.raft import node as node_module
from leto.raft.messages import Entry, EntryKind, HardState, InstallSnapshot
from leto.raft.replication import APPENDS_AT_ONCE
from tests.raft.small_cluster import Cluster


def test_a_follower_that_missed_what_is_compacted_gets_a_snapshot():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    cluster.cut = {"c"}
    for n in range(5):
        leader.propose(b"%d" % n, cluster.now)
        cluster.run()
    meta = leader.snapshot_meta(leader.applied_index)
    cluster.disks["a"].snapshot = meta
    leader.snapshot_taken(meta)
    cluster.disks["a"].compact(meta.index)
    leader.compacted(meta.index + 1)
    cluster.cut = set()
    cluster.advance(1)
    lagging = cluster.nodes["c"]
    assert lagging.applied_index == leader.commit and lagging.first_index == meta.index + 1
    leader.propose(b"after", cluster.now)
    cluster.run()
    assert cluster.payloads("c") == [b"after"] and lagging.configuration == leader.configuration


def test_an_installed_snapshot_is_offered_on():
    """A node that got its log's head by a snapshot may lead and meet a follower that needs the same."""
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    cluster.cut = {"c"}
    leader.propose(b"x", cluster.now)
    cluster.run()
    meta = leader.snapshot_meta(leader.applied_index)
    cluster.nodes["c"].step(InstallSnapshot("a", "c", leader.term, meta), cluster.now)
    cluster.run()
    assert cluster.nodes["c"].snapshot == meta


def test_a_follower_that_is_dead_is_offered_no_snapshot_before_it_answers():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    cluster.cut = {"c"}
    leader.propose(b"x", cluster.now)
    cluster.run()
    meta = leader.snapshot_meta(leader.applied_index)
    cluster.disks["a"].snapshot = meta
    leader.snapshot_taken(meta)
    cluster.disks["a"].compact(meta.index)
    leader.compacted(meta.index + 1)
    cluster.advance(1)
    leader.snapshot_sent("c", meta.index, False, cluster.now)
    for _ in range(10):
        cluster.now += 0.1
        leader.tick(cluster.now)
        cluster.nodes["b"].tick(cluster.now)
        ready = leader.ready(0)
        assert not ready.snapshots_to_send and {m.to for m in ready.messages} == {"b", "c"}
        cluster.disks["a"].write(ready)
        leader.persisted(ready.number)
        for message in ready.messages:
            cluster.deliver(message)
        cluster.run()
    cluster.cut = set()
    cluster.advance(0.5)
    assert leader.progress["c"].state == "replicate" and leader.progress["c"].match == leader.last_index


def test_an_append_that_was_lost_is_found_missing_by_the_next_heartbeat():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    leader.propose(b"x", cluster.now)
    cluster.cut = {"c"}
    cluster.run()
    cluster.cut = set()
    assert leader.progress["c"].match < leader.last_index
    cluster.advance(0.15)
    assert leader.progress["c"].match == leader.last_index


def test_a_full_window_is_sent_by_several_readys():
    cluster = Cluster(["a", "b", "c"], max_append_bytes=100)
    leader = cluster.elect("a")
    for _ in range(2 * APPENDS_AT_ONCE + 1):
        leader.propose(bytes(100), cluster.now)
    counts = []
    while (ready := leader.ready(0)) is not None:
        counts.append(sum(m.to == "c" and bool(m.entries) for m in ready.messages))
    assert counts == [APPENDS_AT_ONCE, APPENDS_AT_ONCE, 1]
    cluster.advance(0.5)
    assert leader.progress["c"].match == leader.last_index


def test_a_small_append_that_overtakes_a_big_one_does_not_have_the_big_one_sent_again():
    """Large messages travel in fragments: until the big one can have arrived, the gap it leaves is no loss."""
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    big, small = bytes(4 << 20), b"small"
    leader.propose(big, cluster.now)
    sent = {m.to: m for m in leader.ready(0).messages}
    leader.propose(small, cluster.now)
    overtaking = {m.to: m for m in leader.ready(0).messages}
    assert sent["c"].entries[-1].payload == big and overtaking["c"].entries[-1].payload == small
    follower = cluster.nodes["c"]

    def refusal(message):
        follower.step(message, cluster.now)
        ready = follower.ready(0)
        (reply,) = [*ready.messages, *ready.messages_after_persist]
        assert not reply.success
        return reply

    leader.step(refusal(overtaking["c"]), cluster.now)
    assert leader.progress["c"].state == "replicate" and leader.ready(0) is None
    cluster.now += 1  # by now it is late enough to call it lost
    leader.step(refusal(overtaking["c"]), cluster.now)
    assert leader.progress["c"].state == "probe" and leader.progress["c"].next == sent["c"].entries[0].index


def test_a_leader_takes_no_more_than_its_bound_without_a_quorum():
    cluster = Cluster(["a", "b", "c"], max_uncommitted_bytes=100)
    leader = cluster.elect("a")
    cluster.cut = {"a"}
    leader.propose(bytes(60), cluster.now)
    with pytest.raises(Overloaded):
        leader.propose(bytes(60), cluster.now)
    cluster.cut = set()
    cluster.advance(0.5)
    assert leader.uncommitted_bytes == 0
    leader.propose(bytes(1000), cluster.now)  # one entry may exceed it
    cluster.run()
    assert leader.uncommitted_bytes == 0


def test_committed_entries_are_handed_out_by_the_slice_and_the_next_when_the_last_is_applied(monkeypatch):
    """A long log that is applied anew must not be in memory all at once."""
    monkeypatch.setattr(node_module, "COMMITTED_BYTES", 1000)
    cluster = Cluster(["a"])
    cluster.advance(1)
    alone = cluster.leader()
    cluster.disks["a"].stored += [
        Entry(cluster.disks["a"].last_index + 1 + n, alone.term, EntryKind.COMMAND, b"x" * 100) for n in range(35)
    ]
    cluster.disks["a"].hard_state = HardState(alone.term, "", cluster.disks["a"].last_index)
    cluster.boot("a", cluster.disks["a"])
    again = cluster.nodes["a"]
    handed = []
    while ready := again.ready(0):
        again.persisted(ready.number)
        assert again.ready(0) is None, "more was handed out before the first was applied"
        handed.append(len(ready.committed))
        again.applied(ready.committed[-1].index)
    assert sum(handed) == cluster.disks["a"].last_index and max(handed) <= 12 and len(handed) >= 3

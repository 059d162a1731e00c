"""The core end to end, on a small cluster in memory: elections, replication, transfer, restart."""

from __future__ import annotations

import pytest

from leto.errors import (
    NotLeader,
    TransferFailed,
)
from leto.raft.messages import (
    HardState,
)
from leto.raft.state import Role
from tests.raft.small_cluster import Cluster


def test_a_cluster_elects_a_leader_by_itself_and_stays_with_it():
    cluster = Cluster(["a", "b", "c"])
    cluster.advance(2)
    leader = cluster.leader()
    term = leader.term
    cluster.advance(10)
    assert cluster.leader() is leader and leader.term == term


def test_a_single_voter_leads_at_its_first_tick_once_its_vote_is_durable():
    cluster = Cluster(["a"])
    node = cluster.nodes["a"]
    node.tick(cluster.now)
    ready = node.ready(0)
    assert node.role is Role.CANDIDATE and ready.hard_state == HardState(2, "a", 1) and ready.must_sync
    node.persisted(ready.number)
    assert node.role is Role.LEADER


def test_proposals_are_applied_everywhere_in_one_order():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    for n in range(10):
        assert leader.propose(b"%d" % n, cluster.now) == leader.last_index
        if n % 3 == 0:
            cluster.run()
    cluster.run()
    expected = [b"%d" % n for n in range(10)]
    assert all(cluster.payloads(id) == expected for id in "abc")
    with pytest.raises(NotLeader) as refused:
        cluster.nodes["b"].propose(b"x", cluster.now)
    assert refused.value.leader_id == "a"


def test_a_majority_goes_on_without_the_old_leader_whose_tail_is_replaced():
    cluster = Cluster(["a", "b", "c"])
    old = cluster.elect("a")
    cluster.cut = {"a"}
    old.propose(b"lost", cluster.now)
    cluster.run()
    cluster.advance(3)
    new = cluster.leader()
    assert new.id != "a" and old.role is not Role.LEADER  # check quorum
    new.propose(b"kept", cluster.now)
    cluster.run()
    cluster.cut = set()
    cluster.advance(1)
    assert all(cluster.payloads(id) == [b"kept"] for id in "abc")


def test_leadership_is_transferred_and_lasting_silence_aborts_a_transfer():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    with pytest.raises(TransferFailed):
        leader.transfer("a", cluster.now)
    leader.transfer("b", cluster.now)
    cluster.run()
    assert cluster.leader().id == "b"
    cluster.cut = {"c"}
    cluster.nodes["b"].transfer("c", cluster.now)
    with pytest.raises(NotLeader):
        cluster.nodes["b"].propose(b"x", cluster.now)
    cluster.advance(1)
    assert cluster.leader().id == "b" and not cluster.nodes["b"].transferring_to
    cluster.nodes["b"].propose(b"x", cluster.now)


def test_nodes_restart_from_their_disks():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    leader.propose(b"x", cluster.now)
    cluster.run()
    for id in "abc":
        cluster.boot(id, cluster.disks[id])
    cluster.advance(3)
    assert cluster.leader().term > 2
    assert all(cluster.payloads(id) == [b"x"] for id in "abc")


def test_a_lost_leader_is_replaced_after_a_short_delay_not_a_timeout():
    cluster = Cluster(["a", "b", "c"])
    cluster.elect("a")
    cluster.advance(0.2)
    cluster.cut = {"a"}
    for id in "bc":
        cluster.nodes[id].leader_lost(cluster.now)
    cluster.advance(0.1, step=0.01)
    assert cluster.leader().id in "bc"

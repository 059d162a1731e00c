"""Membership in the core: joiners, joint changes, removals, lost disks."""

from __future__ import annotations

import pytest

from leto.errors import (
    ConfigurationRefused,
)
from leto.raft import configuration as configurations
from leto.raft.configuration import Configuration, Member
from leto.raft.messages import (
    AppendEntriesReply,
    Entry,
    EntryKind,
    HardState,
)
from leto.raft.state import Role
from tests.raft.small_cluster import Cluster, Disk


def test_a_joiner_is_promoted_once_it_has_caught_up_and_a_voter_is_removed():
    cluster = Cluster(["a", "b"], voters=["a"])
    leader = cluster.elect("a")
    leader.propose_configuration(
        configurations.with_member(leader.configuration, Member("b", "b:1", False, joining=True)), cluster.now
    )
    cluster.advance(1)
    assert leader.configuration.voter_ids() == ("a", "b")
    assert cluster.nodes["b"].configuration.voter_ids() == ("a", "b")
    leader.propose_configuration(configurations.without_member(leader.configuration, "b"), cluster.now)
    cluster.run()
    assert leader.configuration.voter_ids() == ("a",) and not leader.progress
    assert cluster.nodes["b"].removed and not leader.removed


def test_several_voters_are_replaced_through_joint_consensus():
    cluster = Cluster(["a", "b", "c", "d", "e"], voters=["a", "b", "c"])
    leader = cluster.elect("a")
    target = Configuration(tuple(Member(i, f"{i}:1", True) for i in "ade"))
    with pytest.raises(ConfigurationRefused, match="nothing of the log yet"):
        leader.propose_configuration(target, cluster.now)
    for id in "de":
        learner = configurations.with_member(leader.configuration, Member(id, f"{id}:1", False))
        leader.propose_configuration(learner, cluster.now)
        cluster.advance(0.2)
    leader.propose_configuration(target, cluster.now)
    assert leader.configuration.is_joint
    cluster.advance(1)
    assert leader.configuration == target and leader.commit == leader.last_index
    assert all(cluster.nodes[i].configuration == target for i in "de")


def test_a_leader_that_removes_itself_hands_over():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    leader.propose_configuration(configurations.without_member(leader.configuration, "a"), cluster.now)
    cluster.run()
    assert leader.role is Role.FOLLOWER and leader.removed
    assert cluster.leader().id in "bc"


def test_a_voter_left_out_by_an_uncommitted_change_still_campaigns_without_counting_itself():
    """Dissertation 4.2.2: its log may be the only one that is long enough, and the others still ask for its vote."""
    cluster = Cluster(["a", "b"])
    leader = cluster.elect("a")
    cluster.cut = {"b"}
    leader.propose_configuration(configurations.without_member(leader.configuration, "a"), cluster.now)
    cluster.advance(3)
    assert leader.role is not Role.LEADER and leader.configuration.voter_ids() == ("b",)
    cluster.cut = set()
    cluster.advance(5)
    assert cluster.leader().id == "b" and leader.removed
    assert cluster.nodes["b"].configuration.voter_ids() == ("b",)


def test_a_lost_disks_acknowledgement_does_not_count_for_the_one_in_its_place():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    leader.propose(b"x", cluster.now)
    cluster.run()
    late = AppendEntriesReply("c", "a", leader.term, True, leader.last_index, leader.last_index)
    fresh = Member("c", "c:1", False, joining=True, incarnation="second")
    del cluster.nodes["c"]
    leader.propose_configuration(configurations.with_member(leader.configuration, fresh), cluster.now)
    cluster.run()
    leader.step(late, cluster.now)
    assert leader.progress["c"].match == 0
    cluster.boot("c", Disk())
    cluster.advance(1)
    assert leader.progress["c"].match == leader.last_index and "c" in leader.configuration.voter_ids()


def test_a_new_leader_leaves_a_joint_configuration_that_was_committed_before_its_time():
    cluster = Cluster(["a", "b", "c"])
    target = Configuration(tuple(Member(i, f"{i}:1", i != "c") for i in "abc"))
    both = configurations.joint(cluster.nodes["a"].configuration, target)
    for id in "abc":
        disk = Disk([*cluster.disks[id].stored, Entry(2, 1, EntryKind.CONFIGURATION, configurations.encode(both))])
        disk.hard_state = HardState(1, "", 2)
        cluster.boot(id, disk)
    cluster.run()
    assert cluster.nodes["a"].applied_index == 2 and cluster.nodes["a"].configuration.is_joint
    leader = cluster.elect("a")
    assert leader.configuration == target and leader.commit == leader.last_index


def test_the_configuration_of_an_earlier_instant_is_known_until_the_next_snapshot():
    cluster = Cluster(["a"])
    cluster.advance(0.1)
    leader = cluster.leader()
    before = leader.applied_index
    changed = configurations.with_member(leader.configuration, Member("z", "z:1", False))
    leader.propose_configuration(changed, cluster.now)
    cluster.run()
    assert leader.applied_index > before
    assert leader.snapshot_meta(before).configuration.ids() == ("a",)
    assert leader.snapshot_meta(leader.applied_index).configuration == changed
    leader.snapshot_taken(leader.snapshot_meta(leader.applied_index))
    with pytest.raises(ValueError, match="forgotten"):
        leader.snapshot_meta(before)

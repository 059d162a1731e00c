"""Reads in the core: rounds, forwarded reads, leases."""

from __future__ import annotations

import math

from leto.raft import configuration as configurations
from leto.raft.configuration import without_member
from leto.raft.messages import AppendEntries, AppendEntriesReply, Entry, RequestVote
from leto.raft.state import Role
from tests.raft.small_cluster import Cluster, lone


def test_reads_are_confirmed_on_leader_and_follower_but_not_without_a_quorum():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    leader.propose(b"x", cluster.now)
    cluster.run()
    leader.read(1, cluster.now)
    cluster.nodes["b"].read(2, cluster.now)
    cluster.run()
    assert [(r.context, r.index) for r in cluster.reads["a"]] == [(1, leader.commit)]
    assert [(r.context, r.index) for r in cluster.reads["b"]] == [(2, leader.commit)]
    cluster.cut = {"a"}
    leader.read(3, cluster.now)
    cluster.run()
    assert len(cluster.reads["a"]) == 1
    cluster.advance(2)
    assert [(r.context, r.index) for r in cluster.reads["a"][1:]] == [(3, 0)]


def test_a_forwarded_read_is_never_answered_by_what_its_number_asked_before_a_restart():
    cluster = Cluster(["a", "b", "c"])
    cluster.elect("a")
    follower = cluster.nodes["b"]
    follower.read(1, cluster.now)
    old = follower.ready(0).messages[0]
    cluster.boot("b", cluster.disks["b"])
    cluster.advance(0.2)
    cluster.nodes["b"].read(1, cluster.now)
    new = cluster.nodes["b"].ready(0).messages[0]
    assert old.context != new.context


def test_under_a_lease_reads_need_no_round_until_leadership_is_offered():
    cluster = Cluster(["a", "b", "c"], lease=True)
    leader = cluster.elect("a")
    cluster.advance(0.3)
    leader.read(1, cluster.now)
    ready = leader.ready(int(cluster.now * 1000))
    assert [(r.context, r.index) for r in ready.reads] == [(1, leader.commit)] and not ready.messages
    cluster.nodes["b"].leader_lost(cluster.now)
    cluster.nodes["b"].campaign(cluster.now)
    cluster.advance(0.3)
    assert cluster.leader() is leader
    leader.transfer("b", cluster.now)
    leader.read(2, cluster.now)
    assert not leader.ready(int(cluster.now * 1000)).reads


def test_a_read_whose_round_the_removed_voter_never_echoed_is_confirmed_by_those_who_remain():
    cluster = Cluster(["a", "b"])
    leader = cluster.elect("a")
    cluster.cut = {"b"}
    leader.read(1, cluster.now)
    cluster.run()
    assert not cluster.reads["a"]
    leader.propose_configuration(configurations.without_member(leader.configuration, "b"), cluster.now)
    cluster.advance(0.2)
    assert [r.context for r in cluster.reads["a"]] == [1] and cluster.reads["a"][0].index


def test_a_forwarded_read_that_got_lost_is_asked_again_and_answered_once():
    cluster = Cluster(["a", "b", "c"])
    cluster.elect("a")
    cluster.advance(0.2)
    cluster.cut = {"b"}
    cluster.nodes["b"].read(5, cluster.now)
    cluster.run()
    due = cluster.nodes["b"].heartbeat_deadline
    assert cluster.now < due < math.inf
    cluster.cut = set()
    cluster.advance(0.5)
    assert [r.context for r in cluster.reads["b"]] == [5] and cluster.reads["b"][0].index
    assert cluster.nodes["b"].heartbeat_deadline == math.inf


def test_a_round_is_told_to_no_more_than_a_quorum_that_answers_and_to_the_rest_by_the_next_heartbeat():
    cluster = Cluster(["a", "b", "c", "d", "e"])
    leader = cluster.elect("a")
    cluster.advance(0.5)
    leader.read(1, cluster.now)
    asked = [message.to for message in leader.ready(0).messages]
    assert asked == ["b", "c"]  # with a itself a majority of five; all answer equally fast here
    cluster.cut = {"b", "c"}  # what was sent to them is lost
    cluster.run()
    assert not cluster.reads["a"]
    cluster.advance(0.2)
    assert [(r.context, r.index) for r in cluster.reads["a"]] == [(1, leader.commit)]


def test_a_leader_asks_all_until_it_knows_who_answers():
    cluster = Cluster(["a", "b", "c", "d", "e"])
    leader = cluster.elect("a")
    leader.read(1, cluster.now)
    assert [message.to for message in leader.ready(0).messages] == ["b", "c", "d", "e"]


def test_the_news_of_a_commit_is_answered_only_where_the_logs_part():
    node, _ = lone([Entry(2, 3, 1, b"x")], term=3)
    node.step(AppendEntries("b", "a", 3, 2, 3, 2, quiet=True), 0.1)
    ready = node.ready(0)
    assert (node.commit, ready.messages, ready.messages_after_persist) == (2, [], [])
    node.step(AppendEntries("b", "a", 3, 7, 3, 7, quiet=True), 0.2)
    (refusal,) = node.ready(0).messages
    assert isinstance(refusal, AppendEntriesReply) and not refusal.success


def test_a_commit_is_told_by_the_next_append_or_a_little_later():
    cluster = Cluster(["a", "b", "c"], commit_notice=0.01)
    leader = cluster.elect("a")
    followers = [cluster.nodes["b"], cluster.nodes["c"]]
    for payload in (b"one", b"two"):
        leader.propose(payload, cluster.now)
        cluster.run()
        assert leader.commit == leader.last_index
        assert [each.commit for each in followers] == [leader.commit - 1] * 2
    assert leader.heartbeat_deadline <= cluster.now + 0.01
    cluster.advance(0.01, step=0.01)
    assert [each.commit for each in followers] == [leader.commit] * 2


def test_a_follower_whose_read_waits_is_told_of_the_commit_at_once():
    cluster = Cluster(["a", "b", "c"], commit_notice=0.01, lease=True)  # under a lease no round tells it
    leader = cluster.elect("a")
    cluster.advance(0.1)
    leader.propose(b"one", cluster.now)
    cluster.run()
    reader = cluster.nodes["b"]
    assert reader.commit < leader.commit
    reader.read(7, cluster.now)
    cluster.run()
    assert cluster.reads["b"][-1].index == reader.commit == leader.commit > cluster.nodes["c"].commit


def test_after_a_restart_no_vote_is_given_while_a_lease_may_be_promised():
    node, _ = lone([Entry(2, 3, 1, b"x")], term=3, lease=True)
    node.step(RequestVote("b", "a", 4, 9, 3), 0.5)
    assert node.term == 3 and not node.ready(0).messages_after_persist
    node.step(RequestVote("b", "a", 4, 9, 3, transfer=True), 0.6)  # the leader's own wish
    assert node.term == 4 and node.vote == "b"
    node, _ = lone([Entry(2, 3, 1, b"x")], term=3, lease=True)
    node.step(RequestVote("b", "a", 4, 9, 3), 0.8)
    assert node.vote == "b"


def test_a_jump_of_the_wall_clock_costs_the_lease_until_it_is_earned_anew():
    cluster = Cluster(["a", "b", "c"], lease=True)
    leader = cluster.elect("a")
    cluster.advance(0.3)
    leader.read(1, cluster.now)
    ready = leader.ready(int((cluster.now + 3600) * 1000))
    assert not ready.reads and ready.messages  # a round instead
    for message in ready.messages:
        cluster.deliver(message)
    cluster.run()
    assert [r.context for r in cluster.reads["a"]] == [1]


# leases of different lengths ------------------------------------------------------------------------------------------


def promise_of(node, lease_ms, *, at, term=3, round=1):
    """What a follower answers to a leader that would have such a lease, milliseconds."""
    node.step(AppendEntries("b", "a", term, 2, 3, 2, round=round, lease=True, lease_ms=lease_ms), at)
    (reply,) = node.ready(0).messages
    return reply.promised_ms


def test_a_lease_is_what_followers_promised_however_long_the_leader_waits_itself():
    cluster = Cluster(["a", "b", "c"], lease=True, own={"a": {"election_timeout": 2.0}}, election_timeout=0.3)
    leader = cluster.elect("a")
    cluster.advance(0.5)
    assert leader.lease_holds
    cluster.cut.add("a")
    cluster.advance(0.29)  # by now the first of them may campaign
    assert leader.role is Role.LEADER and not leader.lease_holds
    leader.read(1, cluster.now)
    cluster.run()
    assert not cluster.reads["a"]


def test_a_promise_is_as_long_as_the_lease_that_was_asked_for():
    cluster = Cluster(["a", "b", "c"], lease=True, own={"a": {"election_timeout": 0.3}}, election_timeout=5.0)
    leader = cluster.elect("a")
    cluster.advance(0.5)
    assert leader.lease_holds
    cluster.cut.add("a")
    cluster.nodes["b"].campaign(cluster.now + 0.19)
    cluster.run()
    assert cluster.nodes["b"].role is Role.FOLLOWER
    cluster.nodes["b"].leader_lost(cluster.now + 0.2)
    cluster.nodes["c"].leader_lost(cluster.now + 0.2)
    cluster.advance(0.5)
    assert cluster.nodes["b"].role is Role.LEADER or cluster.nodes["c"].role is Role.LEADER


def test_a_promise_is_no_longer_than_what_a_restart_keeps():
    node, _ = lone([Entry(2, 3, 1, b"x")], term=3, lease=True, election_timeout=0.8)
    assert promise_of(node, 5000, at=1.0) == 800
    assert promise_of(node, 300, at=1.1, round=2) == 300
    node.step(RequestVote("c", "a", 4, 9, 3), 1.79)  # the longer promise still holds
    assert node.vote == ""
    node, _ = lone([Entry(2, 3, 1, b"x")], term=3, election_timeout=0.8)  # it would not wait after a restart
    assert promise_of(node, 500, at=1.0) == 0


def test_what_an_earlier_leader_was_promised_holds_under_the_next():
    node, _ = lone([Entry(2, 3, 1, b"x")], term=3, lease=True, election_timeout=0.8)
    assert promise_of(node, 700, at=1.0) == 700
    node.step(AppendEntries("c", "a", 4, 2, 3, 2, round=1, lease=True, lease_ms=100), 1.0)
    node.step(RequestVote("b", "a", 5, 9, 4), 1.69)
    assert node.term == 4
    node.leader_lost(1.69)
    node.step(RequestVote("b", "a", 5, 9, 4), 1.71)
    assert node.term == 4  # the leader of term 4 is still heard


def test_an_echo_without_a_promise_confirms_rounds_but_no_lease():
    """A follower of an earlier version, or one that does not run with leases."""
    cluster = Cluster(["a", "b", "c"], lease=True, own={"b": {"lease": False}, "c": {"lease": False}})
    leader = cluster.elect("a")
    cluster.advance(0.5)
    assert not leader.lease_holds
    leader.read(1, cluster.now)
    cluster.run()
    assert [r.context for r in cluster.reads["a"]] == [1]


def test_a_lease_of_other_members_counts_no_more_once_they_change():
    cluster = Cluster(["a", "b", "c"], lease=True)
    leader = cluster.elect("a")
    cluster.advance(0.3)
    assert leader.lease_holds
    leader.propose_configuration(without_member(leader.configuration, "c"), cluster.now)
    assert not leader.lease_holds
    cluster.advance(0.3)
    assert leader.lease_holds

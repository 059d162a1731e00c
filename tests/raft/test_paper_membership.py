"""Chapter 4 of Ongaro's dissertation, membership changes, with the correction of 2015, clause by clause."""

from __future__ import annotations

import pytest

from leto.errors import ConfigurationRefused, NotLeader
from leto.raft.configuration import Configuration, decode, encode, promoted, with_member, without_member
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from leto.raft.state import Role
from tests.raft.network import Cluster, configuration_of, member
from tests.raft.subject import Subject, append, of_kind, the


def test_a_configuration_is_in_force_as_soon_as_it_is_in_the_log():
    """4.1: "each server uses the latest configuration in its log, regardless of whether it is committed"."""
    leader = Subject(learners="d").leads()
    leader.does(leader.node.propose_configuration, promoted(leader.configuration, "d"), leader.now)
    assert set(leader.node.configuration.voter_ids()) == set("abcd")
    assert leader.node.commit < leader.node.configuration_index
    leader.receives(leader.acknowledgement("b"))
    assert leader.node.commit < leader.node.configuration_index, "two of four are no majority"
    leader.receives(leader.acknowledgement("c"))
    assert leader.node.commit == leader.node.configuration_index


def configuration_entry(index: int, term: int, configuration: Configuration) -> Entry:
    return Entry(index, term, EntryKind.CONFIGURATION, encode(configuration))


def test_a_configuration_that_is_overwritten_is_undone():
    """4.1: "a server must be prepared to fall back to the previous configuration in its log"."""
    subject = Subject()
    entry = configuration_entry(2, 2, configuration_of("abcd"))
    subject.receives(AppendEntries("b", "a", 2, 1, 1, 0, (entry,)))
    assert set(subject.node.configuration.voter_ids()) == set("abcd")
    subject.receives(append(3, (1, 1), [(2, 3)], sender="c"))
    assert set(subject.node.configuration.voter_ids()) == set("abc")
    assert subject.node.configuration_index <= 1


def test_no_change_before_an_entry_of_the_own_term_is_committed():
    """The 2015 correction to 4.1: "a leader may not append a new configuration entry until it has committed an entry
    from its current term"."""
    subject = Subject().leads(committed=False)
    with pytest.raises(ConfigurationRefused):
        subject.node.propose_configuration(without_member(subject.configuration, "c"), subject.now)
    subject.receives(subject.acknowledgement("b"))
    subject.node.propose_configuration(without_member(subject.configuration, "c"), subject.now)


def test_one_change_at_a_time():
    """4.1: "Raft only allows one change at a time": the next waits until the previous one is committed."""
    subject = Subject().leads()
    larger = with_member(subject.configuration, member("d", voter=False))
    larger_still = with_member(larger, member("e", voter=False))
    subject.does(subject.node.propose_configuration, larger, subject.now)
    with pytest.raises(ConfigurationRefused):
        subject.node.propose_configuration(larger_still, subject.now)
    for follower in "bc":
        subject.receives(subject.acknowledgement(follower))
    subject.node.propose_configuration(larger_still, subject.now)


def test_only_a_leader_changes_the_configuration():
    """4.1: "the leader appends a C_new entry to its log"."""
    with pytest.raises(NotLeader):
        Subject().node.propose_configuration(configuration_of("ab"), 100.0)


def test_the_last_voter_stays():
    """A configuration without voters could never change again."""
    subject = Subject(voters="a", learners=("b",)).leads(committed=False)
    with pytest.raises(ConfigurationRefused):
        subject.node.propose_configuration(without_member(subject.node.configuration, "a"), subject.now)


def test_several_voters_change_by_joint_consensus():
    """4.3: "the cluster first switches to a transitional configuration we call joint consensus; once the
    joint consensus has been committed, the system then transitions to the new configuration"."""
    subject = Subject(voters="abc", learners="de").leads()
    subject.does(subject.node.propose_configuration, configuration_of("ade"), subject.now)
    joint = subject.node.configuration
    assert joint.is_joint and set(joint.voter_ids()) == set("ade") and set(joint.outgoing_ids()) == set("abc")
    subject.receives(subject.acknowledgement("b"))
    subject.receives(subject.acknowledgement("c"))
    assert subject.node.configuration == joint, "of the incoming voters only a has it"
    subject.receives(subject.acknowledgement("d"))
    assert not subject.node.configuration.is_joint and set(subject.node.configuration.voter_ids()) == set("ade")


def test_joint_elections_need_both_majorities():
    """4.3: "Agreement (for elections and entry commitment) requires majorities from both the old and new
    configurations"."""
    joint = Configuration(configuration_of("ade").members, configuration_of("abc").members)
    subject = Subject(voters="abc")
    subject.receives(AppendEntries("b", "a", 2, 1, 1, 0, (configuration_entry(2, 2, joint),)))
    subject.now += 5
    subject.does(subject.node.campaign, subject.now)
    for voter in "bcde":
        if subject.node.role == Role.PRE_CANDIDATE:
            subject.receives(RequestVoteReply(voter, "a", 3, True, pre=True))
    subject.receives(RequestVoteReply("b", "a", 3, True))
    subject.receives(RequestVoteReply("c", "a", 3, True))
    assert subject.node.role == Role.CANDIDATE
    subject.receives(RequestVoteReply("e", "a", 3, True))
    assert subject.node.role == Role.LEADER


def test_a_leader_outside_the_configuration_does_not_count_itself():
    """4.2.2: "a leader that is removed from the configuration ... replicates log entries but does not count itself in
    majorities"."""
    subject = Subject().leads()
    subject.does(subject.node.propose_configuration, without_member(subject.configuration, "a"), subject.now)
    index = subject.node.last_index
    subject.receives(subject.acknowledgement("b"))
    assert subject.node.commit < index
    sent = subject.receives(subject.acknowledgement("c"))
    assert subject.node.commit == index
    assert the(sent, TimeoutNow).to in "bc"
    assert subject.node.role == Role.FOLLOWER


def test_a_learner_catches_up_before_it_votes():
    """4.2.1: "a new server joins the cluster as a non-voting member", "the leader replicates log entries to
    it, but it is not yet counted towards majorities"; it becomes a voter when it has caught up."""
    subject = Subject(voters="a").leads(committed=False)
    joiner = member("d", voter=False, joining=True)
    subject.does(subject.node.propose_configuration, with_member(subject.node.configuration, joiner), subject.now)
    assert subject.node.commit == subject.node.last_index, "the learner is in no quorum"
    subject.proposes(b"x")
    for _ in range(4):
        subject.receives(subject.acknowledgement("d"))
        subject.waits(0.1)
    configurations = [decode(e.payload) for e in subject.disk.written.entries if e.kind == EntryKind.CONFIGURATION]
    assert set(configurations[-1].voter_ids()) == {"a", "d"}
    assert not configurations[-1].member("d").joining


def test_a_learner_that_does_not_catch_up_stays_one():
    """4.2.1: the leader waits with the new configuration until the server has caught up."""
    subject = Subject(voters="a").leads(committed=False)
    joiner = member("d", voter=False, joining=True)
    subject.does(subject.node.propose_configuration, with_member(subject.node.configuration, joiner), subject.now)
    subject.waits(5)
    assert set(subject.node.configuration.voter_ids()) == {"a"}


def test_a_plain_learner_is_not_promoted_by_itself():
    """4.2.1: only who asked to join as a voter is promoted by the leader; an operator promotes the others."""
    subject = Subject(voters="a", learners=("d",)).leads(committed=False)
    for _ in range(4):
        subject.receives(subject.acknowledgement("d"))
        subject.waits(0.1)
    assert set(subject.node.configuration.voter_ids()) == {"a"}
    subject.does(subject.node.propose_configuration, promoted(subject.node.configuration, "d"), subject.now)
    assert set(subject.node.configuration.voter_ids()) == {"a", "d"}


def test_a_server_outside_every_configuration_never_campaigns():
    """4.2.1: a server with an empty log waits for a leader."""
    subject = Subject(id="d", voters="abc", terms=(), commit=0)
    assert subject.waits(60) == [] and subject.node.term == 0
    reply = the(subject.receives(append(2, (0, 0), sender="b", to="d")), AppendEntriesReply)
    assert reply.success


def test_a_removed_follower_is_told():
    """4.2.3: a removed server that knows it need not campaign; the leader tells it of the commit before it lets go."""
    cluster = Cluster("abcd")
    cluster.elect("a")
    assert cluster["d"].node.role == Role.FOLLOWER and not cluster["d"].node.removed
    cluster["a"].change(without_member(cluster["a"].node.configuration, "d"))
    cluster.settle()
    assert cluster["d"].node.removed
    cluster.run(20)
    assert cluster["d"].node.role == Role.FOLLOWER and cluster["d"].node.term == 2
    assert cluster.leader() is cluster["a"] and "d" not in cluster["a"].node.progress


def test_a_removed_server_moves_nobody_by_a_wish_from_before_its_removal():
    """4.2.3: a vote that the leader wished for disregards that it is alive; not if the candidate was removed since."""
    subject = Subject(voters="abc").leads()
    request = RequestVote("c", "a", 3, 9, 2, transfer=True)
    subject.does(subject.node.propose_configuration, without_member(subject.configuration, "c"), subject.now)
    subject.receives(request)
    assert (subject.node.role, subject.node.term) == (Role.LEADER, 2)
    member_still = Subject(voters="abc").leads()
    member_still.receives(request)
    assert member_still.node.term == 3


def test_messages_of_an_unknown_sender_with_a_current_term_do_not_count():
    """4.2.2: servers process requests of servers outside their configuration, but no quorum counts their answers."""
    subject = Subject().leads()
    subject.proposes(b"x")
    for stranger in "xyz":
        subject.receives(AppendEntriesReply(stranger, "a", 2, True, match_index=3))
    assert subject.node.commit == 2
    sent = of_kind(subject.receives(AppendEntriesReply("b", "a", 2, True, match_index=3)), AppendEntries)
    assert subject.node.commit == 3 and {m.to for m in sent} <= {"b", "c"}

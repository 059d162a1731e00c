"""Ongaro's dissertation beyond the paper, clause by clause: pre-vote, check quorum, transfer, reads, membership."""

from __future__ import annotations

import pytest

from leto.errors import ConfigurationRefused, NotLeader, TransferFailed
from leto.raft.configuration import Configuration, decode, encode, promoted, with_member, without_member
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from leto.raft.state import Role
from tests.raft.network import Cluster, configuration_of, member
from tests.raft.subject import Subject, append, of_kind, the, vote_request

# 9.6: preventing disruptions when a server rejoins the cluster (pre-vote) ---------------------------------------------


def test_pre_vote_changes_no_term():
    """9.6: "a candidate only increments its term if it first learns from a majority of the cluster that they would be
    willing to grant the candidate their votes"."""
    subject = Subject(voters="abcde")
    requests = of_kind(subject.waits_for_election(), RequestVote)
    assert {(r.term, r.pre) for r in requests} == {(2, True)}
    assert (subject.node.term, subject.node.vote, subject.node.role) == (1, "", Role.PRE_CANDIDATE)
    subject.receives(RequestVoteReply("b", "a", 2, True, pre=True))
    assert subject.node.term == 1
    subject.receives(RequestVoteReply("c", "a", 2, True, pre=True))
    assert (subject.node.term, subject.node.vote, subject.node.role) == (2, "a", Role.CANDIDATE)


def test_pre_vote_granted_changes_nothing_at_the_voter():
    """9.6: a pre-vote is a question: the voter's term, vote and timeout stay, and it may say yes to several."""
    subject = Subject()
    deadline = subject.node.election_deadline
    subject.now += 0.1
    for sender in "bc":
        reply = the(subject.receives(vote_request(2, (1, 1), sender=sender, pre=True)), RequestVoteReply)
        assert reply.granted and reply.pre and reply.term == 2
    assert (subject.node.term, subject.node.vote) == (1, "")
    assert subject.node.election_deadline == deadline


def test_pre_vote_is_not_granted_while_a_leader_is_heard():
    """9.6: "if it has received a heartbeat from a valid leader for at least a baseline election timeout" it does not
    grant."""
    subject = Subject(election_timeout=1.0)
    subject.receives(append(2, (1, 1), sender="c"))
    subject.now += 0.9
    assert not [r for r in of_kind(subject.receives(vote_request(3, (9, 2), pre=True)), RequestVoteReply) if r.granted]
    subject.now += 0.2
    assert the(subject.receives(vote_request(3, (9, 2), pre=True)), RequestVoteReply).granted


def test_pre_vote_is_granted_once_the_connection_to_the_leader_closed():
    """9.6 relaxed: who saw its connection to the leader close no longer hears it, and need not wait for silence."""
    subject = Subject()
    subject.receives(append(2, (1, 1), sender="c"))
    assert not [r for r in of_kind(subject.receives(vote_request(3, (1, 1), pre=True)), RequestVoteReply) if r.granted]
    subject.does(subject.node.leader_lost, subject.now)
    assert the(subject.receives(vote_request(3, (1, 1), pre=True)), RequestVoteReply).granted


def test_a_lost_connection_leads_to_a_pre_vote_after_a_short_random_delay():
    """A leader's death is noticed by its closed connection; pre-vote keeps that harmless if it lives."""
    subject = Subject(fast_election_delay=0.05, random=0.5)
    subject.receives(append(2, (1, 1), sender="c"))
    subject.does(subject.node.leader_lost, subject.now)
    requests = of_kind(subject.waits(0.06), RequestVote)
    assert {(r.to, r.term, r.pre) for r in requests} == {("b", 3, True), ("c", 3, True)}
    subject.receives(append(2, (1, 1), sender="c"))
    assert (subject.node.role, subject.node.term, subject.node.leader_id) == (Role.FOLLOWER, 2, "c")


def test_a_promise_under_a_lease_outlives_the_connection():
    """6.4.1: a follower of a leader with a lease elects nobody within the election timeout, closed connection
    or not."""
    subject = Subject(election_timeout=1.0)
    subject.receives(append(2, (1, 1), sender="c", lease=True))
    subject.does(subject.node.leader_lost, subject.now)
    assert of_kind(subject.waits(0.9), RequestVote) == []
    assert not [r for r in of_kind(subject.receives(vote_request(3, (1, 1), pre=True)), RequestVoteReply) if r.granted]
    assert not [r for r in of_kind(subject.receives(vote_request(3, (1, 1))), RequestVoteReply) if r.granted]


# 6.2 and 4.2.3: check quorum, disruptive servers --------------------------------------------------


def test_a_leader_steps_down_without_a_quorum_of_answers():
    """6.2: "a leader steps down if an election timeout elapses without a successful round of heartbeats to a
    majority of its cluster"."""
    subject = Subject(voters="abcde", election_timeout=1.0).leads()
    for _ in range(30):  # b and c answer: with the leader a majority
        subject.waits(0.1)
        for follower in "bc":
            subject.receives(subject.acknowledgement(follower))
    assert subject.node.role == Role.LEADER and subject.node.has_quorum(subject.now)
    for _ in range(20):  # b alone is not enough
        subject.waits(0.1)
        subject.receives(subject.acknowledgement("b"))
    assert subject.node.role != Role.LEADER and not subject.node.has_quorum(subject.now)


def test_learners_answers_make_no_quorum():
    """6.2 with 4.2.1: a learner is no part of the majority."""
    subject = Subject(voters="abc", learners=("d", "e"), election_timeout=1.0).leads()
    for _ in range(20):
        subject.waits(0.1)
        for learner in "de":
            subject.receives(subject.acknowledgement(learner))
    assert subject.node.role != Role.LEADER


def test_vote_requests_are_ignored_while_a_leader_is_heard():
    """4.2.3: "if a server receives a RequestVote request within the minimum election timeout of hearing from a current
    leader, it does not update its term or grant its vote"."""
    subject = Subject(election_timeout=1.0)
    subject.receives(append(2, (1, 1), sender="c"))
    subject.now += 0.99
    replies = of_kind(subject.receives(vote_request(9, (9, 8))), RequestVoteReply)
    assert not any(reply.granted for reply in replies)
    assert (subject.node.term, subject.node.leader_id) == (2, "c")
    subject.now += 0.02
    assert the(subject.receives(vote_request(9, (9, 8))), RequestVoteReply).granted


def test_a_leader_ignores_vote_requests_while_it_has_its_quorum():
    """4.2.3, of the leader itself."""
    subject = Subject().leads()
    subject.receives(vote_request(9, (9, 8)))
    assert (subject.node.role, subject.node.term) == (Role.LEADER, 2)


def test_a_transfers_vote_request_is_heard_all_the_same():
    """4.2.3 and 3.10: "a flag in the RequestVote ... that it has permission to disrupt the leader"."""
    subject = Subject()
    subject.receives(append(2, (1, 1), sender="c", lease=True))
    reply = the(subject.receives(vote_request(3, (1, 1), transfer=True)), RequestVoteReply)
    assert reply.granted and subject.node.term == 3


# 3.10: leadership transfer ------------------------------------------------------------------------


def test_transfer_stops_accepting_and_brings_the_target_up_to_date():
    """3.10: "the prior leader stops accepting new client requests", "fully updates the target server's log to match its
    own", then "sends a TimeoutNow request to the target server"."""
    subject = Subject().leads()
    subject.proposes(b"x")
    sent = subject.does(subject.node.transfer, "b", subject.now)
    assert of_kind(sent, TimeoutNow) == [] and subject.node.transferring_to == "b"
    with pytest.raises(NotLeader):
        subject.node.propose(b"y", subject.now)
    sent = subject.receives(subject.acknowledgement("b"))
    assert the(sent, TimeoutNow) == TimeoutNow("a", "b", 2)


def test_transfer_to_one_that_is_up_to_date_takes_one_message():
    """3.10: a target whose log is complete is told at once."""
    subject = Subject().leads()
    assert the(subject.does(subject.node.transfer, "c", subject.now), TimeoutNow).to == "c"


def test_timeout_now_starts_an_election_at_once():
    """3.10: TimeoutNow "has the same effect as the target server's election timer firing": it "starts a new election
    (incrementing its term and becoming a candidate)", without asking for pre-votes."""
    subject = Subject()
    subject.receives(append(2, (1, 1), sender="c"))
    requests = of_kind(subject.receives(TimeoutNow("c", "a", 2)), RequestVote)
    assert {(r.to, r.term, r.pre, r.transfer) for r in requests} == {("b", 3, False, True), ("c", 3, False, True)}


def test_timeout_now_of_an_old_term_is_ignored():
    """3.10 with 5.1: a late TimeoutNow changes nothing."""
    subject = Subject(term=5)
    subject.receives(append(5, (1, 1), sender="c"))
    subject.receives(TimeoutNow("b", "a", 4))
    assert (subject.node.role, subject.node.term) == (Role.FOLLOWER, 5)


def test_timeout_now_moves_no_learner():
    """3.10 with 4.2.1: a learner cannot lead."""
    subject = Subject(id="d", voters="abc", learners=("d",))
    subject.receives(append(2, (1, 1), sender="c", to="d"))
    assert of_kind(subject.receives(TimeoutNow("c", "d", 2)), RequestVote) == []
    assert subject.node.role == Role.FOLLOWER


def test_transfer_is_given_up_after_an_election_timeout():
    """3.10: "If leadership transfer does not complete after about an election timeout, the prior leader aborts the
    transfer and resumes accepting client requests"."""
    subject = Subject(election_timeout=1.0).leads()
    subject.proposes(b"x")
    subject.does(subject.node.transfer, "b", subject.now)
    for _ in range(12):
        subject.waits(0.1)
        subject.receives(subject.acknowledgement("c"))
    assert (subject.node.role, subject.node.transferring_to) == (Role.LEADER, "")
    assert subject.node.propose(b"y", subject.now) == subject.node.last_index


@pytest.mark.parametrize("target", ["a", "d", "z"], ids=["itself", "a learner", "a stranger"])
def test_transfer_goes_to_another_voter(target):
    """3.10: the target is another voting member of the cluster."""
    subject = Subject(learners=("d",)).leads()
    with pytest.raises(TransferFailed):
        subject.node.transfer(target, subject.now)
    assert subject.node.transferring_to == ""


# 6.4: processing read-only queries more efficiently (ReadIndex) -----------------------------------


def test_reads_wait_for_an_entry_of_the_own_term():
    """6.4 step 1: "If the leader has not yet marked an entry from its current term committed, it waits until
    it has done so"."""
    subject = Subject(terms=(1, 1, 1), commit=1).leads(committed=False)
    sent = of_kind(subject.does(subject.node.read, 7, subject.now), AppendEntries)
    newest = max((m.round for m in sent), default=0)
    for follower in "bc":
        subject.receives(subject.acknowledgement(follower, 3, round_=newest))
    assert subject.reads == []
    sent = of_kind(subject.receives(subject.acknowledgement("b", 4, round_=newest)), AppendEntries)
    newest = max(m.round for m in sent)
    subject.receives(subject.acknowledgement("b", 4, round_=newest))
    assert [(state.context, state.index) for state in subject.reads] == [(7, 4)]


def test_reads_take_the_commit_index_of_their_arrival_and_a_round_of_messages():
    """6.4 steps 2 and 3: "The leader saves its current commit index in a local variable readIndex", "issues a new round
    of heartbeats and waits for their acknowledgments from a majority of the cluster"."""
    subject = Subject().leads()
    sent = of_kind(subject.does(subject.node.read, 7, subject.now), AppendEntries)
    assert sorted(m.to for m in sent) == ["b", "c"] and subject.reads == []
    subject.receives(subject.acknowledgement("b", round_=sent[0].round))
    assert [(state.context, state.index) for state in subject.reads] == [(7, 2)]


def test_reads_are_not_confirmed_by_earlier_rounds():
    """6.4: the round is begun after the read: answers to what was sent before prove nothing."""
    subject = Subject().leads()
    before = max(m.round for m in of_kind(subject.waits(0.1), AppendEntries))
    sent = of_kind(subject.does(subject.node.read, 7, subject.now), AppendEntries)
    assert sent[0].round > before
    for follower in "bc":
        subject.receives(subject.acknowledgement(follower, round_=before))
    assert subject.reads == []


def test_reads_that_arrive_during_a_round_share_the_next():
    """6.4: "a single round of heartbeats" serves "any number of read-only queries that it has accumulated"."""
    subject = Subject().leads()
    first = of_kind(subject.does(subject.node.read, 1, subject.now), AppendEntries)[0].round
    assert of_kind(subject.does(subject.node.read, 2, subject.now), AppendEntries) == []
    assert of_kind(subject.does(subject.node.read, 3, subject.now), AppendEntries) == []
    sent = of_kind(subject.receives(subject.acknowledgement("b", round_=first)), AppendEntries)
    assert [s.context for s in subject.reads] == [1]
    second = {m.round for m in sent}
    assert second == {first + 1}
    subject.receives(subject.acknowledgement("c", round_=first + 1))
    assert [s.context for s in subject.reads] == [1, 2, 3]


def test_reads_need_majorities_of_both_sets_while_joint():
    """6.4 with 4.3: while joint, a round needs a quorum of the outgoing voters too."""
    subject = Subject(voters="abc", learners="de").leads()
    subject.does(subject.node.propose_configuration, configuration_of("ade"), subject.now)
    assert subject.node.configuration.is_joint
    newest = max(m.round for m in of_kind(subject.does(subject.node.read, 7, subject.now), AppendEntries))
    for follower in "bc":  # with a all of the outgoing voters, one of the three incoming
        subject.receives(subject.acknowledgement(follower, 2, round_=newest))
    assert subject.reads == []
    subject.receives(subject.acknowledgement("d", 2, round_=newest))
    assert [s.context for s in subject.reads] == [7]


def test_reads_are_handed_back_when_leadership_is_lost():
    """6.4: a read whose leader was replaced is not confirmed: it must be asked again."""
    subject = Subject().leads()
    subject.does(subject.node.read, 7, subject.now)
    subject.receives(append(9, (1, 1)))
    assert [(s.context, s.index) for s in subject.reads] == [(7, 0)]


def test_reads_of_a_single_voter_need_no_round():
    """6.4: a majority of one is the leader itself."""
    subject = Subject(voters="a", learners=("b",)).leads(committed=False)
    subject.does(subject.node.read, 7, subject.now)
    assert [(s.context, s.index) for s in subject.reads] == [(7, subject.node.commit)]


def test_followers_ask_the_leader_for_a_read_index():
    """6.4: "followers can help offload the processing of read-only queries": "the follower could issue a request to the
    leader that just asked for a current readIndex"."""
    subject = Subject()
    subject.receives(append(2, (1, 1), sender="c"))
    asked = the(subject.does(subject.node.read, 7, subject.now), ReadIndex)
    assert (asked.to, asked.term) == ("c", 2)
    subject.receives(ReadIndexReply("c", "a", 2, asked.context, 5, 123))
    assert [(s.context, s.index, s.clock_ms) for s in subject.reads] == [(7, 5, 123)]
    subject.receives(ReadIndexReply("c", "a", 2, asked.context, 6, 124))
    assert len(subject.reads) == 1


def test_followers_reads_are_handed_back_when_the_leader_changes():
    """6.4: an answer of the old leader would prove nothing any more."""
    subject = Subject()
    subject.receives(append(2, (1, 1), sender="c"))
    asked = the(subject.does(subject.node.read, 7, subject.now), ReadIndex)
    subject.receives(append(3, (1, 1), sender="b"))
    assert [(s.context, s.index) for s in subject.reads] == [(7, 0)]
    subject.receives(ReadIndexReply("c", "a", 2, asked.context, 5, 123))
    assert len(subject.reads) == 1


def test_leaders_answer_followers_with_a_confirmed_index():
    """6.4: the leader executes steps 1-3 for the follower's read, and refuses when it does not lead."""
    subject = Subject().leads()
    sent = of_kind(subject.receives(ReadIndex("b", "a", 2, 41)), AppendEntries)
    reply = the(subject.receives(subject.acknowledgement("c", round_=sent[0].round)), ReadIndexReply)
    assert (reply.to, reply.context, reply.index) == ("b", 41, 2)
    follower = Subject()
    follower.receives(append(2, (1, 1), sender="c"))
    assert the(follower.receives(ReadIndex("b", "a", 2, 41)), ReadIndexReply).index == 0


# 6.4.1: leases --------------------------------------------------------------------------------------------------------


def test_a_lease_confirms_reads_without_a_round_while_it_holds():
    """6.4.1: "once the leader's heartbeats were acknowledged by a majority of the cluster, the leader would extend its
    lease to start + election timeout / clock drift bound": start is when the heartbeat was sent, not answered."""
    subject = Subject(lease=True, election_timeout=1.0, clock_drift=0.1).leads()
    sent = of_kind(subject.waits(0.1), AppendEntries)
    assert all(m.lease for m in sent)
    subject.now += 0.05
    for follower in "bc":
        subject.receives(subject.acknowledgement(follower, round_=sent[0].round))
    subject.now += 0.5
    assert of_kind(subject.does(subject.node.read, 7, subject.now), AppendEntries) == []
    assert [s.context for s in subject.reads] == [7]


def test_a_lease_ends():
    """6.4.1: no read is confirmed by a lease that has run out, also when no timer ran meanwhile (a paused process)."""
    subject = Subject(lease=True, election_timeout=1.0, clock_drift=0.1).leads()
    sent = of_kind(subject.waits(0.1), AppendEntries)
    for follower in "bc":
        subject.receives(subject.acknowledgement(follower, round_=sent[0].round))
    subject.now += 0.95
    subject.does(subject.node.read, 7, subject.now)
    assert [s for s in subject.reads if s.index] == []


def test_a_lease_counts_from_the_sending():
    """6.4.1, "start": an answer that comes late does not lengthen the lease."""
    subject = Subject(lease=True, election_timeout=1.0, clock_drift=0.1).leads()
    sent = of_kind(subject.waits(0.1), AppendEntries)
    subject.now += 0.8
    for follower in "bc":
        subject.receives(subject.acknowledgement(follower, round_=sent[0].round))
    subject.now += 0.15
    subject.does(subject.node.read, 7, subject.now)
    assert [s for s in subject.reads if s.index] == []


# 4: cluster membership changes --------------------------------------------------------------------


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


def test_messages_of_an_unknown_sender_with_a_current_term_do_not_count():
    """4.2.2: servers process requests of servers outside their configuration, but no quorum counts their answers."""
    subject = Subject().leads()
    subject.proposes(b"x")
    for stranger in "xyz":
        subject.receives(AppendEntriesReply(stranger, "a", 2, True, match_index=3))
    assert subject.node.commit == 2
    sent = of_kind(subject.receives(AppendEntriesReply("b", "a", 2, True, match_index=3)), AppendEntries)
    assert subject.node.commit == 3 and {m.to for m in sent} <= {"b", "c"}

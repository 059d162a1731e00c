"""Ongaro's dissertation beyond the paper, clause by clause: pre-vote, check quorum, transfer, reads, leases."""

from __future__ import annotations

import pytest

from leto.errors import NotLeader, TransferFailed
from leto.raft.messages import (
    AppendEntries,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from leto.raft.state import Role
from tests.raft.network import configuration_of
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


def test_votes_split_after_a_lost_connection_are_asked_for_again_soon():
    """Both followers notice the leader's end at once and vote for themselves; the third vote is the dead leader's, so
    neither ever loses. They need not wait for a whole timeout, but for no more than three attempts."""
    subject = Subject(election_timeout=1.0, fast_election_delay=0.05, random=0.5)
    subject.receives(append(2, (1, 1), sender="c"))
    subject.does(subject.node.leader_lost, subject.now)
    asked = of_kind(subject.waits(0.06), RequestVote)
    for term in (3, 4, 5):
        assert {(r.term, r.pre) for r in asked} == {(term, True)}
        subject.receives(RequestVoteReply("b", "a", term, True, pre=True))
        assert (subject.node.role, subject.node.term) == (Role.CANDIDATE, term)
        subject.receives(RequestVoteReply("b", "a", term, False))
        asked = of_kind(subject.waits(0.2), RequestVote)
    assert not asked
    assert of_kind(subject.waits(1.5), RequestVote)


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
    assert all(m.lease and m.lease_ms == 1000 for m in sent)
    subject.now += 0.05
    for follower in "bc":
        subject.receives(subject.acknowledgement(follower, round_=sent[0].round, promised_ms=1000))
    subject.now += 0.5
    assert of_kind(subject.does(subject.node.read, 7, subject.now), AppendEntries) == []
    assert [s.context for s in subject.reads] == [7]


def test_a_lease_ends():
    """6.4.1: no read is confirmed by a lease that has run out, also when no timer ran meanwhile (a paused process)."""
    subject = Subject(lease=True, election_timeout=1.0, clock_drift=0.1).leads()
    sent = of_kind(subject.waits(0.1), AppendEntries)
    for follower in "bc":
        subject.receives(subject.acknowledgement(follower, round_=sent[0].round, promised_ms=1000))
    subject.now += 0.95
    subject.does(subject.node.read, 7, subject.now)
    assert [s for s in subject.reads if s.index] == []


def test_a_lease_counts_from_the_sending():
    """6.4.1, "start": an answer that comes late does not lengthen the lease."""
    subject = Subject(lease=True, election_timeout=1.0, clock_drift=0.1).leads()
    sent = of_kind(subject.waits(0.1), AppendEntries)
    subject.now += 0.8
    for follower in "bc":
        subject.receives(subject.acknowledgement(follower, round_=sent[0].round, promised_ms=1000))
    subject.now += 0.15
    subject.does(subject.node.read, 7, subject.now)
    assert [s for s in subject.reads if s.index] == []

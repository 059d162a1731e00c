"""Figure 2 of the extended Raft paper, clause by clause: each test's docstring quotes what it holds."""

from __future__ import annotations

import pytest

from leto.errors import ProtocolError
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    EntryKind,
    HardState,
    InstallSnapshot,
    RequestVote,
    RequestVoteReply,
    SnapshotMeta,
)
from leto.raft.state import Role
from tests.raft.subject import Subject, append, of_kind, the, vote_request

# State -----------------------------------------------------------------------------------------------------------


def test_current_term_is_updated_on_stable_storage_before_responding():
    """State: "currentTerm: latest term server has seen" is "updated on stable storage before responding to RPCs"."""
    subject = Subject()
    subject.syncing = False
    assert subject.receives(append(5, (1, 1))) == []
    assert subject.disk.hard_state.term == 1
    assert the(subject.sync(), AppendEntriesReply).term == 5
    assert subject.disk.hard_state.term == 5


def test_voted_for_is_updated_on_stable_storage_before_responding():
    """State: "votedFor: candidateId that received vote in current term" is stable before the response."""
    subject = Subject()
    subject.syncing = False
    assert subject.receives(vote_request(2, (1, 1))) == []
    assert subject.disk.hard_state.vote == ""
    assert the(subject.sync(), RequestVoteReply).granted
    assert (subject.disk.hard_state.term, subject.disk.hard_state.vote) == (2, "b")


def test_a_candidates_own_vote_is_stable_before_it_asks():
    """State, of a candidate: its vote for itself is "updated on stable storage" before any RequestVote leaves."""
    subject = Subject()
    subject.syncing = False
    subject.does(subject.node.campaign, subject.now)
    for voter in "bc":
        subject.receives(RequestVoteReply(voter, "a", 2, True, pre=True))
    assert not [m for m in of_kind(subject.sent, RequestVote) if not m.pre]
    asked = of_kind(subject.sync(), RequestVote)
    assert sorted(m.to for m in asked) == ["b", "c"] and not any(m.pre for m in asked)
    assert (subject.disk.hard_state.term, subject.disk.hard_state.vote) == (2, "a")


def test_log_is_updated_on_stable_storage_before_responding():
    """State: "log[]" is stable before AppendEntries is acknowledged."""
    subject = Subject(term=2)
    subject.syncing = False
    assert subject.receives(append(2, (1, 1), [(2, 2), (3, 2)])) == []
    assert the(subject.sync(), AppendEntriesReply).match_index == 3
    assert subject.disk.durable.last == 3


def test_state_is_what_it_was_after_a_restart():
    """State: "Persistent state on all servers": term, vote and log survive."""
    subject = Subject()
    subject.receives(vote_request(4, (1, 1)))
    subject.receives(append(4, (1, 1), [(2, 4)]))
    subject.start()
    assert (subject.node.term, subject.node.vote, subject.node.last_index) == (4, "b", 2)
    assert subject.node.role == Role.FOLLOWER


def test_commit_index_increases_monotonically():
    """State: "commitIndex: index of highest log entry known to be committed (..., increases monotonically)"."""
    subject = Subject(terms=(1, 1, 1), commit=1)
    subject.receives(append(1, (3, 1), commit=3))
    subject.receives(append(1, (3, 1), commit=2))
    assert subject.node.commit == 3


def test_leader_state_is_reinitialized_after_election():
    """State: "nextIndex[] initialized to leader last log index + 1", "matchIndex[] initialized to 0", "reinitialized
    after election"."""
    subject = Subject(terms=(1, 1, 1)).leads()
    subject.proposes()
    subject.receives(subject.acknowledgement("b"))
    assert subject.node.progress["b"].match == 5
    subject.receives(append(9, (1, 1)))
    assert subject.node.role == Role.FOLLOWER
    subject.now += 10
    subject.leads(committed=False)
    # the probe that announces the new term carries its first entry, so next may have moved past that one
    assert all(p.match == 0 and p.next in (6, 7) for p in subject.node.progress.values())


def test_match_index_increases_monotonically():
    """State: "matchIndex[]: ... (initialized to 0, increases monotonically)", whatever order answers arrive in."""
    subject = Subject(terms=(1, 1, 1)).leads()
    subject.receives(subject.acknowledgement("b", 2))
    stale = AppendEntriesReply("b", "a", subject.node.term, False, prev_index=3, conflict_index=2, conflict_term=0)
    subject.receives(stale)
    progress = subject.node.progress["b"]
    assert progress.match == 4 and progress.next == 5


# AppendEntries RPC, receiver implementation ------------------------------------------------------------------------


def test_append_entries_1_replies_false_if_the_term_is_old():
    """AppendEntries 1: "Reply false if term < currentTerm"."""
    subject = Subject(terms=(1, 1), term=5)
    reply = the(subject.receives(append(4, (2, 1), [(3, 4)], commit=2)), AppendEntriesReply)
    assert (reply.success, reply.term) == (False, 5)
    assert subject.log == [(1, 1), (2, 1)] and subject.node.commit == 1 and subject.node.leader_id == ""


@pytest.mark.parametrize("prev", [(4, 1), (3, 2), (9, 1)])
def test_append_entries_2_replies_false_if_the_previous_entry_does_not_match(prev):
    """AppendEntries 2: "Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm"."""
    subject = Subject(terms=(1, 1, 1), term=3)
    reply = the(subject.receives(append(3, prev, [(prev[0] + 1, 3)])), AppendEntriesReply)
    assert not reply.success and reply.prev_index == prev[0]
    assert subject.log == [(1, 1), (2, 1), (3, 1)]


def test_append_entries_3_deletes_a_conflicting_entry_and_all_that_follow_it():
    """AppendEntries 3: "If an existing entry conflicts with a new one (same index but different terms), delete the
    existing entry and all that follow it"."""
    subject = Subject(terms=(1, 1, 2, 2, 2), term=3)
    reply = the(subject.receives(append(3, (2, 1), [(3, 3)])), AppendEntriesReply)
    assert reply.success and reply.match_index == 3
    assert subject.log == [(1, 1), (2, 1), (3, 3)]


def test_append_entries_3_keeps_what_does_not_conflict():
    """AppendEntries 3 and 4: a late, shorter append that matches cuts nothing off."""
    subject = Subject(terms=(1, 1, 2, 2, 2), term=2)
    reply = the(subject.receives(append(2, (1, 1), [(2, 1), (3, 2)])), AppendEntriesReply)
    assert reply.success and reply.match_index == 3
    assert subject.log[-1] == (5, 2)


def test_append_entries_4_appends_only_what_is_not_in_the_log():
    """AppendEntries 4: "Append any new entries not already in the log"."""
    subject = Subject(terms=(1, 1, 2), term=2)
    before = subject.disk.durable.entries[2]
    subject.receives(append(2, (1, 1), [(2, 1), (3, 2), (4, 2)]))
    assert subject.log == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert subject.disk.durable.entries[2] is before


def test_append_entries_5_follows_the_leaders_commit_index():
    """AppendEntries 5: "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new
    entry)"."""
    subject = Subject(terms=(1, 1, 2), term=3)
    subject.receives(append(3, (2, 1), [], commit=3))  # entry 3 is not known to match the leader's
    assert subject.node.commit == 2
    subject.receives(append(3, (2, 1), [(3, 3)], commit=9))
    assert subject.node.commit == 3


def test_append_entries_never_contradicts_what_is_committed():
    """Leader completeness makes it impossible, so it is refused, never obeyed: an entry against a committed one."""
    subject = Subject(terms=(1, 1, 2), term=3, commit=3)
    with pytest.raises(ProtocolError):
        subject.node.step(append(3, (2, 1), [(3, 3)]), subject.now)
    assert subject.node.last_index == 3 and subject.node.term == 3


# RequestVote RPC, receiver implementation ---------------------------------------------------------------------------


def test_request_vote_1_replies_false_if_the_term_is_old():
    """RequestVote 1: "Reply false if term < currentTerm"."""
    subject = Subject(term=5)
    reply = the(subject.receives(vote_request(4, (9, 4))), RequestVoteReply)
    assert (reply.granted, reply.term) == (False, 5)
    assert subject.node.vote == ""


def test_request_vote_2_grants_one_vote_a_term():
    """RequestVote 2: "If votedFor is null or candidateId ... grant vote": once, to the first, again if asked again."""
    subject = Subject()
    assert the(subject.receives(vote_request(2, (1, 1), sender="b")), RequestVoteReply).granted
    assert not the(subject.receives(vote_request(2, (9, 1), sender="c")), RequestVoteReply).granted
    assert the(subject.receives(vote_request(2, (1, 1), sender="b")), RequestVoteReply).granted
    subject.start()
    assert not the(subject.receives(vote_request(2, (9, 1), sender="c")), RequestVoteReply).granted


@pytest.mark.parametrize(
    ("last", "granted"),
    [((3, 2), True), ((4, 2), True), ((1, 3), True), ((2, 2), False), ((9, 1), False)],
)
@pytest.mark.parametrize("pre", [False, True])
def test_request_vote_2_grants_only_to_an_up_to_date_log(last, granted, pre):
    """RequestVote 2: "... and candidate's log is at least as up-to-date as receiver's log": by last term, then length
    (5.4.1)."""
    subject = Subject(terms=(1, 2, 2), term=3)
    replies = of_kind(subject.receives(vote_request(4, last, pre=pre)), RequestVoteReply)
    assert [reply.granted for reply in replies] == [granted]


# Rules for servers ----------------------------------------------------------------------------------------------------


def test_all_servers_apply_what_is_committed_in_order():
    """All servers: "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied] to state machine"."""
    subject = Subject(terms=(1, 1, 1, 1), commit=1)
    subject.receives(append(1, (4, 1), commit=3))
    subject.receives(append(1, (4, 1), commit=4))
    assert [entry.index for entry in subject.applied] == [1, 2, 3, 4]
    assert subject.node.applied_index == 4


@pytest.mark.parametrize(
    "message",
    [
        append(7, (1, 1)),
        append(7, (9, 6)),
        AppendEntriesReply("b", "a", 7, False),
        RequestVoteReply("b", "a", 7, False),
    ],
    ids=["append", "refused append", "append reply", "vote reply"],
)
@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.CANDIDATE, Role.LEADER])
def test_all_servers_take_over_a_higher_term_and_follow(role, message):
    """All servers: "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
    follower"."""
    subject = Subject()
    if role == Role.CANDIDATE:
        subject.campaigns()
    elif role == Role.LEADER:
        subject.leads()
    assert subject.node.role == role
    subject.receives(message)
    assert (subject.node.term, subject.node.role) == (7, Role.FOLLOWER)
    assert subject.disk.hard_state == HardState(7, "", subject.node.commit)


def test_all_servers_take_over_a_higher_term_from_a_vote_request():
    """All servers, the same for RequestVote, where no live leader is known; the vote depends on the log alone."""
    subject = Subject(terms=(1, 1))
    reply = the(subject.receives(vote_request(7, (1, 1))), RequestVoteReply)
    assert not reply.granted and (subject.node.term, subject.node.vote) == (7, "")


@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.CANDIDATE, Role.LEADER])
def test_messages_of_a_stale_term_change_nothing(role):
    """Paper 5.1: "If a server receives a request with a stale term number, it rejects the request"; so with replies."""
    subject = Subject(terms=(1, 1, 1), term=6)
    if role == Role.CANDIDATE:
        subject.campaigns()
    elif role == Role.LEADER:
        subject.leads()
    node = subject.node
    before = (node.term, node.vote, node.role, node.commit, node.leader_id, subject.log)
    for message in (
        append(3, (3, 1), [(4, 3)], commit=4),
        vote_request(5, (9, 5)),
        RequestVoteReply("b", "a", 5, True),
        RequestVoteReply("c", "a", 5, True),
        AppendEntriesReply("b", "a", 5, True, match_index=3),
        AppendEntriesReply("b", "a", 5, False, prev_index=3, conflict_index=1),
        InstallSnapshot("b", "a", 5, SnapshotMeta(9, 5, subject.configuration)),
    ):
        subject.receives(message)
    assert (node.term, node.vote, node.role, node.commit, node.leader_id, subject.log) == before
    assert subject.restored == []


# followers


def test_followers_respond_to_candidates_and_leaders():
    """Followers: "Respond to RPCs from candidates and leaders"."""
    subject = Subject()
    assert the(subject.receives(vote_request(2, (1, 1))), RequestVoteReply).to == "b"
    assert the(subject.receives(append(2, (1, 1))), AppendEntriesReply).to == "b"


def test_followers_become_candidates_after_an_election_timeout():
    """Followers: "If election timeout elapses without receiving AppendEntries RPC from current leader or granting vote
    to candidate: convert to candidate" (by way of a pre-vote)."""
    subject = Subject(election_timeout=1.0)
    subject.waits(0.99)
    assert subject.node.role == Role.FOLLOWER
    requests = of_kind(subject.waits(0.02), RequestVote)
    assert sorted(r.to for r in requests) == ["b", "c"] and all(r.pre for r in requests)


@pytest.mark.parametrize("message", [append(2, (1, 1)), vote_request(2, (1, 1))], ids=["append", "vote granted"])
def test_followers_wait_again_after_an_append_or_a_vote(message):
    """Followers, the same clause: AppendEntries of the current leader, or a vote granted, starts the timeout anew."""
    subject = Subject(election_timeout=1.0)
    subject.waits(0.9)
    subject.receives(message)
    subject.waits(0.9)
    assert subject.node.role == Role.FOLLOWER
    subject.waits(0.7)
    assert subject.node.role == Role.PRE_CANDIDATE


def test_followers_do_not_wait_longer_for_a_vote_they_refuse():
    """Followers, the same clause: a vote that is refused does not put off the own candidacy."""
    subject = Subject(terms=(1, 1), election_timeout=1.0)
    subject.waits(0.9)
    subject.receives(vote_request(1, (1, 1)))
    subject.waits(0.2)
    assert subject.node.role == Role.PRE_CANDIDATE


def test_election_timeouts_are_random():
    """Paper 5.2: "election timeouts are chosen randomly from a fixed interval": [1, 1.5) times the setting."""
    deadlines = [
        Subject(election_timeout=1.0, random=draw).node.election_deadline - 100.0 for draw in (0.0, 0.5, 0.999)
    ]
    assert deadlines == pytest.approx([1.0, 1.25, 1.4995])


# candidates


def test_candidates_start_an_election():
    """Candidates: "On conversion to candidate, start election: increment currentTerm, vote for self, reset election
    timer, send RequestVote RPCs to all other servers"."""
    subject = Subject(terms=(1, 2), term=4, learners=("d",))
    requests = of_kind(subject.campaigns(), RequestVote)
    assert (subject.node.term, subject.node.vote, subject.node.role) == (5, "a", Role.CANDIDATE)
    assert {(r.to, r.term, r.last_index, r.last_term, r.pre) for r in requests} == {
        ("b", 5, 2, 2, False),
        ("c", 5, 2, 2, False),
    }
    assert subject.node.election_deadline == pytest.approx(subject.now + 0.8)


def test_candidates_with_votes_from_a_majority_become_leader():
    """Candidates: "If votes received from majority of servers: become leader"; a voter's second yes counts once."""
    subject = Subject(voters="abcde")
    subject.campaigns()
    subject.receives(RequestVoteReply("b", "a", 2, True))
    subject.receives(RequestVoteReply("b", "a", 2, True))
    subject.receives(RequestVoteReply("d", "a", 2, False))
    assert subject.node.role == Role.CANDIDATE
    subject.receives(RequestVoteReply("c", "a", 2, True))
    assert subject.node.role == Role.LEADER


def test_votes_of_no_voters_do_not_count():
    """Candidates, the same clause: learners and strangers are no servers of the majority."""
    subject = Subject(learners=("d",))
    subject.campaigns()
    for stranger in "dez":
        subject.receives(RequestVoteReply(stranger, "a", 2, True))
    assert subject.node.role == Role.CANDIDATE


def test_pre_votes_are_no_votes():
    """Candidates, the same clause: a late pre-vote is not counted as a vote of the term it was asked for."""
    subject = Subject(voters="abcde")
    subject.campaigns()
    for voter in "bcde":
        subject.receives(RequestVoteReply(voter, "a", 2, True, pre=True))
    assert subject.node.role == Role.CANDIDATE


def test_candidates_follow_a_new_leader_of_their_term():
    """Candidates: "If AppendEntries RPC received from new leader: convert to follower"."""
    subject = Subject()
    subject.campaigns()
    subject.receives(append(2, (1, 1), sender="c"))
    assert (subject.node.role, subject.node.leader_id, subject.node.vote) == (Role.FOLLOWER, "c", "a")


def test_candidates_start_a_new_election_after_a_timeout():
    """Candidates: "If election timeout elapses: start new election" (a pre-vote comes before the next term)."""
    subject = Subject()
    subject.campaigns()
    requests = of_kind(subject.waits_for_election(), RequestVote)
    assert {(r.to, r.term, r.pre) for r in requests} == {("b", 3, True), ("c", 3, True)}
    assert subject.node.term == 2


# leaders


def test_leaders_announce_themselves_and_repeat_it():
    """Leaders: "Upon election: send initial empty AppendEntries RPCs (heartbeat) to each server; repeat during idle
    periods to prevent election timeouts". The first one carries the leader's first entry (paper 8)."""
    subject = Subject(learners=("d",))
    subject.campaigns()
    first = of_kind(subject.receives(RequestVoteReply("b", "a", 2, True)), AppendEntries)
    assert sorted(m.to for m in first) == ["b", "c", "d"]
    assert all(m.term == 2 and [e.kind for e in m.entries] == [EntryKind.NOOP] for m in first)
    beats = of_kind(subject.waits(0.1), AppendEntries)
    assert sorted(m.to for m in beats) == ["b", "c", "d"]


def test_leaders_append_a_command_and_answer_when_it_is_applied():
    """Leaders: "If command received from client: append entry to local log, respond after entry applied to state
    machine"."""
    subject = Subject().leads()
    subject.proposes(b"x")
    index = subject.node.last_index
    assert subject.log[-1] == (index, 2) and subject.applied[-1].index == index - 1
    subject.receives(subject.acknowledgement("c"))
    assert (subject.applied[-1].index, subject.applied[-1].payload) == (index, b"x")


def test_leaders_send_entries_from_next_index_on():
    """Leaders: "If last log index >= nextIndex for a follower: send AppendEntries RPC with log entries starting at
    nextIndex"."""
    subject = Subject().leads()
    sent = of_kind(subject.proposes(b"x"), AppendEntries)
    assert {m.to: [(e.index, e.payload) for e in m.entries] for m in sent} == {"b": [(3, b"x")], "c": [(3, b"x")]}
    assert {(m.prev_index, m.prev_term) for m in sent} == {(2, 2)}


def test_leaders_update_match_and_next_when_an_append_succeeds():
    """Leaders: "If successful: update nextIndex and matchIndex for follower"."""
    subject = Subject().leads()
    subject.proposes(b"x")
    subject.receives(subject.acknowledgement("b", 3))
    assert (subject.node.progress["b"].match, subject.node.progress["b"].next) == (3, 4)
    assert subject.node.progress["c"].match == 2


def test_leaders_go_back_when_an_append_fails_for_inconsistency():
    """Leaders: "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry", a whole term at a
    time by the follower's hint (5.3)."""
    subject = Subject(terms=(1, 1, 4, 4, 4)).leads(committed=False)
    reply = AppendEntriesReply("b", "a", 5, False, prev_index=5, conflict_index=3, conflict_term=2)
    retry = the(subject.receives(reply), AppendEntries)
    assert (retry.to, retry.prev_index, retry.prev_term) == ("b", 2, 1)
    shorter = AppendEntriesReply("c", "a", 5, False, prev_index=5, conflict_index=2, conflict_term=0)
    retry = the(subject.receives(shorter), AppendEntries)
    assert (retry.to, retry.prev_index) == ("c", 1)


def test_leaders_commit_what_a_majority_has_in_their_own_term():
    """Leaders: "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and log[N].term ==
    currentTerm: set commitIndex = N" (5.3, 5.4)."""
    subject = Subject(voters="abcde").leads()
    for payload in (b"x", b"y"):
        subject.proposes(payload)
    subject.receives(subject.acknowledgement("b", 4))
    assert subject.node.commit == 2
    subject.receives(subject.acknowledgement("c", 3))
    assert subject.node.commit == 3
    subject.receives(subject.acknowledgement("d", 4))
    assert subject.node.commit == 4


def test_leaders_do_not_commit_an_earlier_term_by_counting():
    """Leaders, the same clause (figure 8): entries of earlier terms are committed only along with one of the own."""
    subject = Subject(terms=(1, 2, 2), voters="abc").leads(committed=False)
    subject.receives(subject.acknowledgement("b", 3))
    subject.receives(subject.acknowledgement("c", 3))
    assert subject.node.commit == 1
    subject.receives(subject.acknowledgement("b", 4))
    assert subject.node.commit == 4


def test_leaders_count_themselves_only_when_their_disk_has_it():
    """Dissertation 10.2.1: "the leader may write to disk in parallel" and counts itself when that is done."""
    subject = Subject().leads()
    subject.syncing = False
    assert of_kind(subject.proposes(b"x"), AppendEntries)
    subject.receives(subject.acknowledgement("b"))
    assert subject.node.commit == 2
    subject.sync()
    assert subject.node.commit == 3


def test_leaders_commit_without_their_own_disk_if_the_followers_are_a_majority():
    """The same: any majority will do. But nothing is applied that the own disk does not have."""
    subject = Subject().leads()
    subject.syncing = False
    subject.proposes(b"x")
    for follower in "bc":
        subject.receives(subject.acknowledgement(follower))
    assert subject.node.commit == 3 and subject.applied[-1].index == 2
    subject.sync()
    assert subject.applied[-1].index == 3

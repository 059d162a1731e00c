"""Faults that the simulation found in the core, each reduced to the few messages that show it."""

from __future__ import annotations

import pytest

from leto.errors import ConfigurationRefused
from leto.raft.configuration import Configuration, decode, encode, promoted, with_member
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    HardState,
    InstallSnapshot,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    SnapshotMeta,
)
from leto.raft.state import Role
from tests.raft.network import configuration_of, member
from tests.raft.subject import Subject, append, of_kind, the


def configuration_entry(index: int, term: int, configuration: Configuration) -> Entry:
    return Entry(index, term, EntryKind.CONFIGURATION, encode(configuration))


def test_a_crash_between_a_snapshot_and_the_hard_state_leaves_a_node_that_starts():
    """The snapshot of term 5 is the node's, the hard state of term 5 never was: it begins in term 5, its vote free."""
    subject = Subject(terms=(1, 1), term=3, vote="b")
    meta = SnapshotMeta(9, 5, configuration_of("abc"), 1)
    subject.disk.receive_blob(meta, ())
    subject.disk.durable.install(meta)
    subject.disk.snapshot = meta
    subject.start()
    assert (subject.node.term, subject.node.vote, subject.node.last_index) == (5, "", 9)
    subject.receives(append(5, (9, 5)))
    subject.start()
    assert subject.disk.hard_state == HardState(5, "", subject.disk.hard_state.commit)


def test_a_read_is_not_answered_by_the_answer_to_one_from_before_a_restart():
    """A restarted process counts its reads from the same number again; the leader's late answer was for another."""
    subject = Subject()
    subject.random = 0.25
    subject.start()
    subject.receives(append(2, (1, 1), sender="c"))
    before = the(subject.does(subject.node.read, 1, subject.now), ReadIndex)
    subject.random = 0.75
    subject.start()
    subject.receives(append(2, (1, 1), sender="c"))
    after = the(subject.does(subject.node.read, 1, subject.now), ReadIndex)
    subject.receives(ReadIndexReply("c", "a", 2, before.context, 10, 0))
    assert subject.reads == []
    subject.receives(ReadIndexReply("c", "a", 2, after.context, 11, 0))
    assert [(state.context, state.index) for state in subject.reads] == [(1, 11)]


def test_a_server_that_has_nothing_of_the_log_is_made_no_voter():
    """It gives no vote until it has a configuration, so that a cluster that needs its vote first would never lead."""
    subject = Subject(voters="a").leads(committed=False)
    with pytest.raises(ConfigurationRefused):
        subject.node.propose_configuration(with_member(subject.node.configuration, member("d")), subject.now)
    learner = with_member(subject.node.configuration, member("d", voter=False))
    subject.does(subject.node.propose_configuration, learner, subject.now)
    with pytest.raises(ConfigurationRefused):
        subject.node.propose_configuration(promoted(learner, "d"), subject.now)
    subject.receives(subject.acknowledgement("d"))
    subject.does(subject.node.propose_configuration, promoted(learner, "d"), subject.now)
    assert set(subject.node.configuration.voter_ids()) == {"a", "d"}


def test_a_refusal_of_a_stale_term_echoes_no_round():
    """The refused leader may lead the new term by now, and would take it for an answer to a round of that term."""
    subject = Subject(terms=(1, 1), term=5)
    reply = the(subject.receives(append(4, (2, 1), round=7)), AppendEntriesReply)
    assert (reply.term, reply.success, reply.round, reply.prev_index) == (5, False, 0, 0)


def test_a_voter_left_out_by_an_uncommitted_change_campaigns():
    """Dissertation 4.2.2: "a server that is not part of its own latest configuration should still start new elections,
    as it might still be needed until the C_new entry is committed"; it counts no vote of its own."""
    subject = Subject(voters="ab")
    subject.receives(AppendEntries("b", "a", 2, 1, 1, 1, (configuration_entry(2, 2, configuration_of("b")),)))
    requests = of_kind(subject.waits(3), RequestVote)
    assert {request.to for request in requests} == {"b"}
    assert subject.node.role == Role.PRE_CANDIDATE
    subject.receives(append(2, (2, 2), commit=2))
    assert of_kind(subject.waits(10), RequestVote) == []


def test_an_installed_snapshot_is_the_one_that_is_offered():
    """A node that was restored from its leader's snapshot cannot offer an older one of its own when it leads."""
    older = SnapshotMeta(2, 1, configuration_of("abc"), 1)
    subject = Subject(terms=(1, 1, 1), commit=3, snapshot=older, term=2)
    newer = SnapshotMeta(8, 2, configuration_of("abc"), 1)
    subject.receives(InstallSnapshot("b", "a", 2, newer))
    assert subject.node.snapshot == newer
    subject.now += 5
    subject.leads(committed=False)
    refusal = AppendEntriesReply("c", "a", 3, False, prev_index=8, conflict_index=1, conflict_term=0)
    subject.receives(refusal)
    assert [(offer.to, offer.meta) for offer in subject.offers] == [("c", newer)]


def test_a_new_leader_finishes_a_joint_change_that_was_committed_before_it():
    """The old leader committed C(old,new) and died before C(new): the new one goes on once it committed in its term."""
    joint = Configuration(configuration_of("ad").members, configuration_of("abc").members)
    subject = Subject(voters="abc")
    subject.receives(AppendEntries("b", "a", 2, 1, 1, 2, (configuration_entry(2, 2, joint),)))
    assert subject.node.commit == subject.node.applied_index == 2
    subject.now += 5
    subject.leads(committed=False)
    for follower in "bcd":
        subject.receives(subject.acknowledgement(follower, 3))
    configurations = [decode(e.payload) for e in subject.disk.written.entries if e.kind == EntryKind.CONFIGURATION]
    assert configurations[-1] == configuration_of("ad")

"""Figure 13 of the extended Raft paper, InstallSnapshot, clause by clause: each docstring quotes what it holds."""

from __future__ import annotations

from leto.raft.messages import AppendEntries, AppendEntriesReply, InstallSnapshot, SnapshotMeta
from tests.raft.network import configuration_of
from tests.raft.subject import Subject, append, of_kind, the


def snapshot_of(index: int, term: int, voters: str = "abc") -> SnapshotMeta:
    return SnapshotMeta(index, term, configuration_of(voters), 1)


def test_install_snapshot_1_replies_if_the_term_is_old():
    """InstallSnapshot 1: "Reply immediately if term < currentTerm"."""
    subject = Subject(term=5)
    reply = the(subject.receives(InstallSnapshot("b", "a", 4, snapshot_of(9, 4))), AppendEntriesReply)
    assert (reply.term, reply.success) == (5, False)
    assert subject.restored == [] and subject.log == [(1, 1)]


def test_install_snapshot_5_ignores_one_that_is_older_than_the_state():
    """InstallSnapshot 5: "discard any existing or partial snapshot with a smaller index": a late one changes
    nothing."""
    subject = Subject(terms=(1, 1, 1, 1), commit=4, term=2)
    reply = the(subject.receives(InstallSnapshot("b", "a", 2, snapshot_of(3, 1))), AppendEntriesReply)
    assert (reply.success, reply.match_index) == (True, 4)
    assert subject.restored == [] and len(subject.log) == 4


def test_install_snapshot_6_retains_what_follows_a_matching_entry():
    """InstallSnapshot 6: "If existing log entry has same index and term as snapshot's last included entry, retain log
    entries following it and reply"."""
    subject = Subject(terms=(1, 1, 1, 2, 2), term=2)
    reply = the(subject.receives(InstallSnapshot("b", "a", 2, snapshot_of(3, 1))), AppendEntriesReply)
    assert reply.success and reply.match_index == 3
    assert subject.node.last_index == 5 and subject.log[-2:] == [(4, 2), (5, 2)]
    assert subject.node.commit == 3


def test_install_snapshot_7_discards_the_entire_log():
    """InstallSnapshot 7: "Discard the entire log", also where it is longer than the snapshot."""
    subject = Subject(terms=(1, 2, 2, 2, 2, 2), term=4)
    reply = the(subject.receives(InstallSnapshot("b", "a", 4, snapshot_of(4, 3))), AppendEntriesReply)
    assert reply.success and reply.match_index == 4
    assert subject.log == [] and subject.node.last_index == 4 and subject.node.first_index == 5
    reply = the(subject.receives(append(4, (4, 3), [(5, 4)])), AppendEntriesReply)
    assert reply.success and subject.log == [(5, 4)]


def test_install_snapshot_8_resets_the_state_machine_and_the_configuration():
    """InstallSnapshot 8: "Reset state machine using snapshot contents (and load snapshot's cluster configuration)"."""
    subject = Subject(terms=(1, 1), term=2)
    meta = snapshot_of(7, 2, "abde")
    subject.receives(InstallSnapshot("b", "a", 2, meta))
    assert subject.restored == [meta]
    assert (subject.node.commit, subject.node.configuration) == (7, meta.configuration)
    assert subject.applied == [] or subject.applied[-1].index < 7
    subject.start()
    assert (subject.node.commit, subject.node.configuration) == (7, meta.configuration)


def test_install_snapshot_is_acknowledged_when_it_is_durable():
    """Figure 13 with the rule of figure 2's state: "updated on stable storage before responding"."""
    subject = Subject(term=2)
    subject.syncing = False
    assert not of_kind(subject.receives(InstallSnapshot("b", "a", 2, snapshot_of(7, 2))), AppendEntriesReply)
    assert the(subject.sync(), AppendEntriesReply).match_index == 7


def test_leaders_send_a_snapshot_when_the_log_does_not_reach_back():
    """Paper 7: "the leader must occasionally send snapshots to followers that lag behind ... when the leader
    has already discarded the next log entry that it needs to send". It is offered once, until the stream's
    end is known."""
    meta = snapshot_of(5, 1)
    subject = Subject(terms=(1, 1, 1, 1, 1, 1), snapshot=meta).leads(committed=False)
    subject.receives(subject.acknowledgement("c"))
    subject.disk.compact(5)
    subject.does(subject.node.compacted, 6)
    refusal = AppendEntriesReply("b", "a", 2, False, prev_index=6, conflict_index=3, conflict_term=0)
    subject.receives(refusal)
    assert [(offer.to, offer.meta) for offer in subject.offers] == [("b", meta)]
    assert subject.node.progress["b"].state == "snapshot"
    subject.receives(refusal)
    subject.waits(0.5)
    assert len(subject.offers) == 1
    subject.does(subject.node.snapshot_sent, "b", 5, True, subject.now)
    subject.receives(subject.acknowledgement("b", 5))
    sent = of_kind(subject.waits(0.2), AppendEntries)
    assert any(m.to == "b" and m.prev_index == 5 for m in sent) or subject.node.progress["b"].next == 8

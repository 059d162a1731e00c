"""The core over an asynchronous disk, and against peers that are late or wrong."""

from __future__ import annotations

import pytest

from leto.errors import (
    ProtocolError,
)
from leto.raft.configuration import Configuration, Member
from leto.raft.invariants import check
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    HardState,
    InstallSnapshot,
    RequestVote,
    RequestVoteReply,
    SnapshotMeta,
    TimeoutNow,
)
from leto.raft.node import Node
from leto.raft.settings import Settings
from leto.raft.validation import TERM_JUMP
from tests.raft.small_cluster import Disk, append, lone


def test_a_crash_between_a_snapshot_and_its_hard_state_does_not_stop_the_node():
    members = Configuration((Member("a", "a:1", True), Member("b", "b:1", True)))
    disk = Disk(snapshot=SnapshotMeta(7, 5, members, 1))
    node = Node(
        Settings(id="a"),
        disk,
        hard_state=HardState(3, "b", 2),
        snapshot=disk.snapshot,
        applied=7,
        random=lambda: 0.5,
        now=0.0,
    )
    assert (node.term, node.vote) == (5, "")
    ready = node.ready(0)
    assert ready.must_sync and ready.hard_state.term == 5


def test_a_stale_persisted_never_acknowledges_an_entry_that_was_cut_and_came_back():
    """Entry (2, term 3) is written, cut, and written again: the first write's news must not count."""
    node, _ = lone(term=3)
    node.step(append("b", 3, 1, 1, Entry(2, 3, 1, b"x")), 1.0)
    first = node.ready(0)
    node.step(append("c", 4, 1, 1, Entry(2, 4, 1, b"y")), 1.1)
    second = node.ready(0)
    node.step(append("b", 5, 1, 1, Entry(2, 5, 1, b"z")), 1.2)
    third = node.ready(0)
    assert [r.entries[0].term for r in (first, second, third)] == [3, 4, 5]
    node.persisted(first.number)
    assert node.persisted_index == 1 and node.term == 5
    node.persisted(second.number)
    assert node.persisted_index == 1
    node.persisted(third.number)
    assert node.persisted_index == 2


def test_an_acknowledgement_not_yet_handed_out_dies_with_its_term():
    node, _ = lone(term=3)
    node.step(append("b", 3, 1, 1, Entry(2, 3, 1, b"x")), 1.0)
    node.step(append("c", 4, 1, 1, Entry(2, 4, 1, b"y")), 1.1)
    ready = node.ready(0)
    replies = [m for m in ready.messages_after_persist if isinstance(m, AppendEntriesReply)]
    assert [(m.to, m.term, m.match_index) for m in replies] == [("c", 4, 2)]
    assert [e.payload for e in ready.entries] == [b"y"]


def test_a_heartbeat_is_answered_at_once_but_acknowledges_only_what_is_durable():
    node, _ = lone(term=3)
    node.step(append("b", 3, 1, 1, Entry(2, 3, 1, b"x")), 1.0)
    written = node.ready(0)
    node.step(append("b", 3, 2, 3, round=7), 1.1)
    ready = node.ready(0)
    assert [(m.match_index, m.round, m.success) for m in ready.messages] == [(1, 7, True)]
    node.persisted(written.number)
    node.step(append("b", 3, 2, 3, round=8), 1.2)
    assert [m.match_index for m in node.ready(0).messages] == [2]


def test_a_term_that_is_not_durable_is_answered_after_the_disk():
    node, _ = lone(term=3)
    node.step(append("b", 4, 1, 1), 1.0)
    ready = node.ready(0)
    assert ready.messages == [] and len(ready.messages_after_persist) == 1 and ready.hard_state.term == 4


def test_what_follows_a_matching_entry_is_never_cut_by_a_late_append():
    node, _ = lone(term=3)
    first, second = Entry(2, 3, 1, b"x"), Entry(3, 3, 1, b"y")
    node.step(append("b", 3, 1, 1, first, second), 1.0)
    node.step(append("b", 3, 1, 1, first), 1.1)
    node.step(append("b", 3, 1, 1), 1.2)
    assert node.last_index == 3


def test_what_no_correct_peer_sends_is_refused_and_changes_nothing():
    node, _ = lone([Entry(2, 2, 1, b"x")], term=3)
    node.step(append("b", 3, 2, 2, commit=2), 1.0)
    node.ready(0)
    before = repr(node)
    hostile = [
        append("b", 1 << 62, 2, 2),
        append("b", -1, 2, 2),
        append("b", 4, 2, 2, Entry(4, 4, 1, b"gap")),
        append("b", 4, 2, 2, Entry(3, 5, 1, b"term above the message's")),
        append("b", 4, 1, 1, Entry(2, 3, 1, b"contradicts the commit")),
        append("b", 4, 2, 1),
        append("b", 4, 2, 2, Entry(3, 4, 9, b"kind")),
        append("b", 4, 2, 2, Entry(3, 4, EntryKind.CONFIGURATION, b"rubbish")),
        append("c", 3, 2, 2),
        AppendEntries("b", "z", 4, 2, 2, 2),
        AppendEntries("a", "a", 4, 2, 2, 2),
        RequestVote("b", "a", 4, 1 << 63, 2),
        *(RequestVote("b", "a", term, 9, 3, pre) for term in (1 << 61, 4 + TERM_JUMP) for pre in (False, True)),
        append("b", 4 + TERM_JUMP, 2, 2),
        RequestVoteReply("b", "a", 4 + TERM_JUMP, False),
        TimeoutNow("b", "a", 4 + TERM_JUMP),
        InstallSnapshot("b", "a", 4 + TERM_JUMP, SnapshotMeta(9, 3, node.configuration, 1)),
        InstallSnapshot("b", "a", 4, SnapshotMeta(9, 5, node.configuration, 1)),
        InstallSnapshot("b", "a", 4, SnapshotMeta(9, 4, Configuration(), 1)),
        InstallSnapshot("b", "a", 4, SnapshotMeta(2, 1, node.configuration, 1)),
    ]
    for message in hostile:
        with pytest.raises(ProtocolError):
            node.step(message, 2.0)
        assert repr(node) == before and node.ready(0) is None, message


def test_the_term_of_a_node_that_was_away_for_long_is_adopted():
    node, _ = lone(term=3)
    node.step(append("b", 3 + TERM_JUMP, 1, 1), 1.0)
    assert node.term == 3 + TERM_JUMP


def test_a_diverged_log_below_a_snapshot_goes_whole_and_its_late_writes_count_for_nothing():
    node, _ = lone(term=3)
    node.step(append("b", 3, 1, 1, *(Entry(i, 3, 1, b"x") for i in range(2, 6))), 1.0)
    written = node.ready(0)
    meta = SnapshotMeta(4, 4, node.configuration, 1)
    node.step(InstallSnapshot("c", "a", 4, meta), 1.1)
    ready = node.ready(0)
    assert ready.snapshot == meta and ready.entries == [] and node.last_index == 4
    node.persisted(written.number)
    check(node)
    assert node.persisted_index == 1
    node.persisted(ready.number)
    check(node)
    assert node.persisted_index == 4 and node.applied_index == 4


def test_a_matching_suffix_survives_a_snapshot():
    node, _ = lone(term=3)
    node.step(append("b", 3, 1, 1, *(Entry(i, 3, 1, b"x") for i in range(2, 6))), 1.0)
    written = node.ready(0)
    node.step(InstallSnapshot("b", "a", 3, SnapshotMeta(4, 3, node.configuration, 1)), 1.1)
    ready = node.ready(0)
    assert ready.snapshot and node.last_index == 5
    node.persisted(written.number)
    node.persisted(ready.number)
    check(node)
    assert node.persisted_index == 5


def test_a_snapshot_overtaking_entries_not_yet_written_makes_their_writing_needless():
    node, _ = lone(term=3)
    node.step(append("b", 3, 1, 1, *(Entry(i, 3, 1, b"x") for i in range(2, 6))), 1.0)
    node.step(InstallSnapshot("b", "a", 3, SnapshotMeta(4, 3, node.configuration, 1)), 1.1)
    ready = node.ready(0)
    assert [e.index for e in ready.entries] == [5]
    node.persisted(ready.number)
    check(node)
    assert node.persisted_index == 5 and node.applied_index == 4


def test_the_refusal_of_a_stale_append_echoes_nothing_that_a_newer_term_could_take_for_its_own():
    """Its sender may lead the newer term by then: an echoed round would confirm reads that it knows nothing of."""
    node, _ = lone(term=5)
    node.step(append("b", 3, 1, 1, Entry(2, 3, 1, b"x"), round=9), 1.0)
    assert node.ready(0).messages == [AppendEntriesReply("a", "b", 5, False)]

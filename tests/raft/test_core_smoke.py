"""The core end to end, on a small cluster in memory: elections, replication, reads, snapshots, membership."""

from __future__ import annotations

import math

import pytest

from leto.errors import Compacted, ConfigurationRefused, NotLeader, ProtocolError, TransferFailed, Unavailable
from leto.raft import configuration as configurations
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
    SnapshotMeta,
)
from leto.raft.node import Node
from leto.raft.settings import Settings
from leto.raft.state import Role


class Disk:
    """LogReader over a list; only what was written to it."""

    def __init__(self, entries=(), snapshot=None):
        self.stored = list(entries)
        self.snapshot = snapshot
        self.hard_state = HardState()
        self.first_index = snapshot.index + 1 if snapshot else 1

    @property
    def last_index(self):
        return self.first_index + len(self.stored) - 1

    def term(self, index):
        if index == 0:
            return 0
        if self.snapshot and index == self.snapshot.index:
            return self.snapshot.term
        if index < self.first_index:
            raise Compacted(str(index))
        if index > self.last_index:
            raise Unavailable(str(index))
        return self.stored[index - self.first_index].term

    def entries(self, low, high, max_bytes):
        if low < self.first_index:
            raise Compacted(str(low))
        result, size = [], 0
        for entry in self.stored[low - self.first_index : high - self.first_index]:
            size += len(entry.payload)
            if result and size > max_bytes:
                break
            result.append(entry)
        return result

    def configurations(self):
        return [e for e in self.stored if e.kind == EntryKind.CONFIGURATION]

    def write(self, ready):
        if ready.snapshot:
            meta = ready.snapshot
            keep = self.first_index <= meta.index <= self.last_index and self.term(meta.index) == meta.term
            self.stored = self.stored[meta.index + 1 - self.first_index :] if keep else []
            self.snapshot, self.first_index = meta, meta.index + 1
        if ready.entries:
            start = ready.entries[0].index
            assert start <= self.last_index + 1
            del self.stored[start - self.first_index :]
            self.stored.extend(ready.entries)
        if ready.hard_state:
            self.hard_state = ready.hard_state

    def compact(self, index):
        del self.stored[: index + 1 - self.first_index]
        self.first_index = index + 1


class Cluster:
    """Nodes whose disks are instant and whose messages all arrive, except to and from those in `cut`."""

    def __init__(self, ids, *, voters=None, **settings):
        self.now = 100.0
        self.settings = settings
        self.nodes, self.disks, self.applied, self.reads, self.cut = {}, {}, {}, {}, set()
        members = tuple(Member(i, f"{i}:1", i in (voters or ids)) for i in sorted(voters or ids))
        first = Entry(1, 1, EntryKind.CONFIGURATION, configurations.encode(Configuration(members)))
        for id in ids:
            disk = Disk([first] if id in (voters or ids) else [])
            disk.hard_state = HardState(1, "", 1) if disk.stored else HardState()
            self.boot(id, disk)

    def boot(self, id, disk):
        seed = len(self.disks) * 0.37 + 0.1
        self.disks[id] = disk
        self.applied[id] = []
        self.reads.setdefault(id, [])
        snapshot = disk.snapshot
        self.nodes[id] = Node(
            Settings(id=id, **self.settings),
            disk,
            hard_state=disk.hard_state,
            snapshot=snapshot,
            applied=snapshot.index if snapshot else 0,
            random=lambda: math.fmod(seed * 7.13, 1.0),
            now=self.now,
        )

    def run(self):
        """Until nobody has anything to do."""
        busy = True
        while busy:
            busy = False
            for id, node in list(self.nodes.items()):
                while ready := node.ready(int(self.now * 1000)):
                    busy = True
                    check(node)
                    self.disks[id].write(ready)
                    node.persisted(ready.number)
                    check(node)
                    for snapshot in ready.snapshots_to_send:
                        self.deliver(snapshot)
                        if snapshot.to not in self.cut and id not in self.cut:
                            node.snapshot_sent(snapshot.to, snapshot.meta.index, True, self.now)
                    for message in [*ready.messages, *ready.messages_after_persist]:
                        self.deliver(message)
                    self.applied[id].extend(ready.committed)
                    if ready.committed:
                        node.applied(ready.committed[-1].index)
                    self.reads[id].extend(ready.reads)

    def deliver(self, message):
        if message.sender in self.cut or message.to in self.cut or message.to not in self.nodes:
            return
        self.nodes[message.to].step(message, self.now)
        check(self.nodes[message.to])

    def advance(self, seconds, step=0.05):
        for _ in range(round(seconds / step)):
            self.now += step
            for node in self.nodes.values():
                node.tick(self.now)
                check(node)
            self.run()

    def leader(self):
        leaders = [n for n in self.nodes.values() if n.role is Role.LEADER and n.id not in self.cut]
        assert len(leaders) == 1, leaders
        return leaders[0]

    def elect(self, id):
        self.nodes[id].campaign(self.now)
        self.run()
        assert self.nodes[id].role is Role.LEADER
        return self.nodes[id]

    def payloads(self, id):
        return [e.payload for e in self.applied[id] if e.kind == EntryKind.COMMAND]


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


def test_a_follower_that_missed_what_is_compacted_gets_a_snapshot():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    cluster.cut = {"c"}
    for n in range(5):
        leader.propose(b"%d" % n, cluster.now)
        cluster.run()
    meta = leader.snapshot_meta(leader.applied_index)
    cluster.disks["a"].snapshot = meta
    leader.snapshot_taken(meta)
    cluster.disks["a"].compact(meta.index)
    leader.compacted(meta.index + 1)
    cluster.cut = set()
    cluster.advance(1)
    lagging = cluster.nodes["c"]
    assert lagging.applied_index == leader.commit and lagging.first_index == meta.index + 1
    leader.propose(b"after", cluster.now)
    cluster.run()
    assert cluster.payloads("c") == [b"after"] and lagging.configuration == leader.configuration


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
    with pytest.raises(ConfigurationRefused, match="learner first"):
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


def lone(stored=(), term=1, **settings):
    """Node "a" of a, b, c with an asynchronous disk (the test calls persisted); entries after the bootstrap one."""
    members = tuple(Member(i, f"{i}:1", True) for i in "abc")
    first = Entry(1, 1, EntryKind.CONFIGURATION, configurations.encode(Configuration(members)))
    disk = Disk([first, *stored])
    return Node(
        Settings(id="a", **settings),
        disk,
        hard_state=HardState(term, "", 1),
        snapshot=None,
        applied=0,
        random=lambda: 0.5,
        now=0.0,
    ), disk


def append(sender, term, prev_index, prev_term, *entries, commit=0, round=0):
    return AppendEntries(sender, "a", term, prev_index, prev_term, commit, tuple(entries), round)


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
        InstallSnapshot("b", "a", 4, SnapshotMeta(9, 5, node.configuration, 1)),
        InstallSnapshot("b", "a", 4, SnapshotMeta(9, 4, Configuration(), 1)),
        InstallSnapshot("b", "a", 4, SnapshotMeta(2, 1, node.configuration, 1)),
    ]
    for message in hostile:
        with pytest.raises(ProtocolError):
            node.step(message, 2.0)
        assert repr(node) == before and node.ready(0) is None, message


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


def test_a_lost_leader_is_replaced_after_a_short_delay_not_a_timeout():
    cluster = Cluster(["a", "b", "c"])
    cluster.elect("a")
    cluster.advance(0.2)
    cluster.cut = {"a"}
    for id in "bc":
        cluster.nodes[id].leader_lost(cluster.now)
    cluster.advance(0.1, step=0.01)
    assert cluster.leader().id in "bc"


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


def test_the_refusal_of_a_stale_append_echoes_nothing_that_a_newer_term_could_take_for_its_own():
    """Its sender may lead the newer term by then: an echoed round would confirm reads that it knows nothing of."""
    node, _ = lone(term=5)
    node.step(append("b", 3, 1, 1, Entry(2, 3, 1, b"x"), round=9), 1.0)
    assert node.ready(0).messages == [AppendEntriesReply("a", "b", 5, False)]


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


def test_an_installed_snapshot_is_offered_on():
    """A node that got its log's head by a snapshot may lead and meet a follower that needs the same."""
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    cluster.cut = {"c"}
    leader.propose(b"x", cluster.now)
    cluster.run()
    meta = leader.snapshot_meta(leader.applied_index)
    cluster.nodes["c"].step(InstallSnapshot("a", "c", leader.term, meta), cluster.now)
    cluster.run()
    assert cluster.nodes["c"].snapshot == meta


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


def test_a_follower_that_is_dead_is_offered_no_snapshot_before_it_answers():
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.elect("a")
    cluster.cut = {"c"}
    leader.propose(b"x", cluster.now)
    cluster.run()
    meta = leader.snapshot_meta(leader.applied_index)
    cluster.disks["a"].snapshot = meta
    leader.snapshot_taken(meta)
    cluster.disks["a"].compact(meta.index)
    leader.compacted(meta.index + 1)
    cluster.advance(1)
    leader.snapshot_sent("c", meta.index, False, cluster.now)
    for _ in range(10):
        cluster.now += 0.1
        leader.tick(cluster.now)
        cluster.nodes["b"].tick(cluster.now)
        ready = leader.ready(0)
        assert not ready.snapshots_to_send and {m.to for m in ready.messages} == {"b", "c"}
        cluster.disks["a"].write(ready)
        leader.persisted(ready.number)
        for message in ready.messages:
            cluster.deliver(message)
        cluster.run()
    cluster.cut = set()
    cluster.advance(0.5)
    assert leader.progress["c"].state == "replicate" and leader.progress["c"].match == leader.last_index


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

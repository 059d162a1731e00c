"""Replicas together: what clients are promised, seen at the seam they use."""

import dataclasses
from itertools import pairwise

import pytest
from twisted.internet.defer import Deferred

from leto.config import Address
from leto.errors import (
    ConfigurationRefused,
    NoQuorum,
    NothingToSnapshot,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    RequestTooLarge,
    Stopping,
    TransferFailed,
)
from leto.keyspace import batch
from leto.raft import node as node_module
from leto.raft.messages import EntryKind, SnapshotMeta
from leto.replica.driver import APPLY_SECONDS
from leto.vocabulary.replies import OK
from tests.replica.cluster import Cluster, Outcome, packed


def test_a_cluster_of_one_writes_and_reads():
    cluster = Cluster(1)
    assert cluster.do("SET", "a", "b") == OK
    assert cluster.get(b"a") == b"b"


def test_three_nodes_agree_and_every_one_answers_reads():
    cluster = Cluster(3)
    for i in range(20):
        assert cluster.do("SET", f"k{i}", str(i)) == OK
        for node in cluster.nodes.values():
            assert cluster.get(b"k%d" % i, node) == b"%d" % i
    cluster.assert_equal_state()


def test_writes_of_one_turn_share_one_entry():
    cluster = Cluster(3)
    before = cluster.leader.replica.node.last_index
    outcomes = [cluster.write("INCR", "n") for _ in range(50)]
    cluster.until(lambda: all(outcome.done for outcome in outcomes))
    assert [outcome.value for outcome in outcomes] == [[i] for i in range(1, 51)]
    assert cluster.leader.replica.node.last_index == before + 1


@pytest.mark.parametrize(("last", "form"), [("SET", batch.PAIRS), ("set", batch.REQUESTS), ("GETSET", batch.REQUESTS)])
def test_an_entry_of_nothing_but_sets_holds_their_keys_and_values_only(last, form):
    cluster = Cluster(3)
    outcomes = [cluster.write("SET", f"k{i}", "v") for i in range(20)]
    outcomes.append(cluster.write(last, "k3", "w"))
    cluster.until(lambda: all(outcome.done for outcome in outcomes))
    assert [outcome.value for outcome in outcomes] == [[OK]] * 20 + [[b"v" if last == "GETSET" else OK]]
    for node in cluster.nodes.values():
        assert cluster.get(b"k3", node) == b"w"
        assert cluster.get(b"k19", node) == b"v"
    store = cluster.leader.store
    *_, entry = [e for e in store.entries(1, store.last_index + 1, 1 << 20) if e.kind == EntryKind.COMMAND]
    assert batch.decode_header(entry.payload)[::2] == (form, 21)
    cluster.assert_equal_state()


def test_a_follower_refuses_a_write_and_names_the_leader():
    cluster = Cluster(3)
    outcome = cluster.write("SET", "a", "b", node=cluster.followers[0])
    assert isinstance(outcome.error, NotLeader)
    assert outcome.error.leader_id == cluster.leader.name
    assert outcome.error.leader_address == str(cluster.leader.config.listen)
    cluster.advance(1)
    assert cluster.get(b"a") is None


def test_a_crashed_leader_is_replaced_and_nothing_acknowledged_is_lost():
    cluster = Cluster(3)
    for i in range(30):
        cluster.do("SET", f"k{i}", str(i))
    old = cluster.leader
    old.crash()
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running), seconds=2)
    for i in range(30):
        assert cluster.get(b"k%d" % i) == b"%d" % i
    cluster.do("SET", "after", "1")
    old.start()
    cluster.settle()
    assert cluster.get(b"after", old) == b"1"
    cluster.assert_equal_state()


def test_a_closed_connection_tells_of_the_leaders_death_at_once():
    cluster = Cluster(3)
    cluster.leader.crash()
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running), seconds=0.3)


def test_all_nodes_crash_at_once_and_come_back_with_everything():
    cluster = Cluster(3)
    for i in range(30):
        cluster.do("SET", f"k{i}", str(i))
    for node in cluster.nodes.values():
        node.crash()
    for node in cluster.nodes.values():
        node.start()
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    for node in cluster.nodes.values():
        assert cluster.get(b"k29", node) == b"29"
    cluster.assert_equal_state()


def test_a_leader_cut_off_answers_neither_writes_nor_reads():
    cluster = Cluster(3, write_timeout=3.0)
    old = cluster.leader
    cluster.do("SET", "a", "1")
    cluster.network.partition([old.name], [node.name for node in cluster.followers])
    write, read = cluster.write("SET", "a", "2", node=old), cluster.read(b"a", old)
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running if node is not old))
    new = next(node for node in cluster.running if node is not old and node.replica.is_leader)
    cluster.do("SET", "a", "3", node=new)
    cluster.until(lambda: write.done and read.done)
    assert isinstance(write.error, OutcomeUnknown)
    assert isinstance(read.error, NoQuorum)
    assert isinstance(cluster.write("SET", "a", "4", node=old).error, NotLeader)
    cluster.network.heal_all()
    cluster.settle()
    assert cluster.get(b"a", old) == b"3"
    cluster.assert_equal_state()


def test_a_write_whose_leader_changes_before_it_commits_learns_its_true_fate():
    """The old leader is silenced after its append reached the others: the entry commits under the next leader."""
    cluster = Cluster(3)
    old = cluster.leader
    outcome = cluster.write("SET", "a", "1", node=old)
    cluster.clock.advance(0)  # the turn: appended, sent
    for node in cluster.followers:
        cluster.network.cut(node.name, old.name)
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running if node is not old))
    cluster.network.heal_all()
    cluster.until(lambda: outcome.done)
    assert outcome.error is None and outcome.value == [OK]
    cluster.settle()
    assert cluster.get(b"a") == b"1"


def test_nothing_is_acknowledged_before_it_is_on_disk():
    cluster = Cluster(1)
    node = cluster.leader
    node.crash()
    node.start(slow_disk=True)
    while not node.replica.is_leader:
        cluster.clock.advance(0.1)
        while node.flusher.pending:
            node.flusher.run()
    outcome = cluster.write("SET", "a", "1")
    cluster.advance(1)
    assert not outcome.done
    while node.flusher.pending:
        node.flusher.run()
        cluster.clock.advance(0)
    assert outcome.value == [OK]


def test_a_leader_whose_disk_hangs_steps_down():
    cluster = Cluster(3)
    old = cluster.leader
    old.crash()
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    old.start(slow_disk=True)

    def work() -> bool:
        while old.flusher.pending:
            old.flusher.run()
        return True

    cluster.until(lambda: work() and old.replica.machine.applied == cluster.leader.replica.machine.applied)
    transfer = Outcome(cluster.leader.replica.transfer(old.name))
    cluster.until(lambda: work() and transfer.done)
    assert transfer.error is None and old.replica.is_leader
    cluster.until(lambda: work() and cluster.get(b"x", old) is None)
    hanging = cluster.write("SET", "a", "1", node=old)
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running if node is not old), seconds=5)
    assert not old.replica.is_leader
    cluster.do("SET", "b", "2")
    cluster.until(lambda: work() and hanging.done)


def test_a_removed_voter_that_lost_its_disk_comes_back_as_a_learner_first():
    cluster = Cluster(3)
    for i in range(10):
        cluster.do("SET", f"k{i}", str(i))
    victim = cluster.followers[0]
    victim.crash()
    victim.store = type(victim.store)()
    victim.incarnation = "second"
    done = Outcome(
        cluster.leader.replica.add_member(victim.name, str(victim.config.raftbind), voter=True, incarnation="second")
    )
    cluster.until(lambda: done.done)
    assert done.error is None
    member = cluster.leader.replica.node.configuration.member(victim.name)
    assert not member.voter and member.joining
    victim.start()
    cluster.until(lambda: victim.name in cluster.leader.replica.node.configuration.voter_ids())
    cluster.settle()
    assert cluster.get(b"k9", victim) == b"9"
    cluster.assert_equal_state()


def test_the_acknowledgements_of_a_replaced_process_count_for_nobody():
    """The old process, cut off for a while, still runs when the same id joins with another directory: it is heard no
    more, and the new one becomes a voter only by what its own disk has."""
    cluster = Cluster(3)
    old, other = cluster.followers
    cluster.network.cut(old.name, cluster.leader.name)
    cluster.advance(1.0)
    done = Outcome(
        cluster.leader.replica.add_member(
            old.name, "10.0.0.1:19999", voter=True, client_address="10.0.0.1:9999", incarnation="second"
        )
    )
    cluster.until(lambda: done.done)
    assert done.error is None
    cluster.network.heal_all()
    for _ in range(20):
        cluster.do("SET", "a", "b")
        cluster.advance(0.2)
        assert not cluster.leader.replica.node.configuration.member(old.name).voter
        assert cluster.leader.replica.node.progress[old.name].match == 0
    assert old.name not in cluster.leader.transport.incoming()
    new = cluster.add("new")
    new.name, new.incarnation = old.name, "second"
    new.config = dataclasses.replace(new.config, id=old.name, raftbind=Address("10.0.0.1", 19999))
    new.start()
    cluster.until(lambda: old.name in cluster.leader.replica.node.configuration.voter_ids())
    assert new.replica.node.persisted_index >= cluster.leader.replica.node.commit - 1
    other.crash()
    cluster.do("SET", "a", "c")
    assert new.replica.node.last_index == cluster.leader.replica.node.last_index


def test_a_member_that_answers_is_not_replaced_by_another_of_its_id():
    """Two nodes were given one id, or the question of an earlier, diskless life of it comes late."""
    cluster = Cluster(3)
    member = cluster.followers[0]
    before = cluster.leader.replica.node.configuration
    other = Outcome(cluster.leader.replica.add_member(member.name, "10.0.0.1:19999", voter=True, incarnation="another"))
    cluster.until(lambda: other.done)
    assert isinstance(other.error, ConfigurationRefused)
    assert str(other.error).startswith(f"another node {member.name} is a member and answers: ids must be unique")
    assert cluster.leader.replica.node.configuration == before
    cluster.do("SET", "a", "b")
    cluster.settle()
    assert cluster.get(b"a", member) == b"b"


def test_a_new_members_place_is_not_taken_before_it_could_speak():
    cluster = Cluster(3)
    node = cluster.add("id4")
    first = Outcome(
        cluster.leader.replica.add_member(node.name, str(node.config.raftbind), voter=True, incarnation="new")
    )
    late = Outcome(
        cluster.leader.replica.add_member(node.name, str(node.config.raftbind), voter=True, incarnation="old")
    )
    cluster.until(lambda: first.done)
    assert first.error is None
    node.incarnation = "new"
    node.start()
    cluster.until(lambda: late.done and node.name in cluster.leader.replica.node.configuration.voter_ids())
    assert isinstance(late.error, ConfigurationRefused)


def test_a_node_without_a_log_whose_id_was_given_away_is_told_so():
    cluster = Cluster(3)
    node = cluster.add("id4")
    for incarnation in ("mine", "another's"):
        given = Outcome(
            cluster.leader.replica.add_member(node.name, str(node.config.raftbind), voter=True, incarnation=incarnation)
        )
        cluster.until(lambda given=given: given.done)
        assert given.error is None
    node.incarnation = "mine"
    node.start()
    cluster.until(lambda: node.shut_out)
    assert not node.removed and node.replica.node.last_index == 0
    again = Outcome(
        cluster.leader.replica.add_member(node.name, str(node.config.raftbind), voter=True, incarnation="mine")
    )
    cluster.until(lambda: again.done and node.name in cluster.leader.replica.node.configuration.voter_ids())
    assert again.error is None


def test_joining_twice_changes_nothing():
    cluster = Cluster(3)
    node = cluster.followers[0]
    before = cluster.leader.replica.node.last_index
    for incarnation in ("", f"{node.name}x1"):
        again = Outcome(
            cluster.leader.replica.add_member(node.name, str(node.config.raftbind), voter=True, incarnation=incarnation)
        )
        cluster.until(lambda again=again: again.done)
        assert again.error is None
    assert cluster.leader.replica.node.last_index == before


def test_a_known_id_with_a_new_address_moves():
    cluster = Cluster(3)
    node = cluster.followers[0]
    done = Outcome(cluster.leader.replica.add_member(node.name, "10.9.9.9:1", voter=True))
    cluster.until(lambda: done.done)
    assert done.error is None
    assert cluster.leader.replica.node.configuration.member(node.name).address == "10.9.9.9:1"


def test_a_removed_follower_says_so():
    cluster = Cluster(3)
    victim = cluster.followers[0]
    done = Outcome(cluster.leader.replica.remove_member(victim.name))
    cluster.until(lambda: done.done and victim.removed)
    assert done.error is None
    assert victim.replica.status().role == "removed"
    term = cluster.leader.replica.node.term
    cluster.advance(10)
    assert cluster.leader.replica.node.term == term


def test_a_leader_that_removes_itself_leaves_a_leader_behind():
    cluster = Cluster(3)
    old = cluster.leader
    done = Outcome(old.replica.remove_member(old.name))
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running if node is not old), seconds=3)
    assert done.done and done.error is None
    cluster.until(lambda: old.removed)
    cluster.do("SET", "a", "b")


def test_a_voter_stays_while_the_others_are_no_majority_without_it():
    """Else the two that hold everything could neither go on nor take back the third, which lost its disk."""
    cluster = Cluster(3)
    cluster.do("SET", "a", "b")
    lost, kept = cluster.followers
    lost.crash()
    lost.store = type(lost.store)()
    lost.incarnation = "second"
    cluster.advance(1.0)
    done = Outcome(cluster.leader.replica.remove_member(kept.name))
    cluster.until(lambda: done.done)
    assert isinstance(done.error, ConfigurationRefused)
    assert str(done.error).startswith(f"{lost.name} cannot be heard of")
    cluster.do("SET", "a", "c")
    back = Outcome(
        cluster.leader.replica.add_member(lost.name, str(lost.config.raftbind), voter=True, incarnation="second")
    )
    cluster.until(lambda: back.done)
    assert back.error is None
    lost.start()
    cluster.until(lambda: lost.name in cluster.leader.replica.node.configuration.voter_ids())
    again = Outcome(cluster.leader.replica.remove_member(kept.name))
    cluster.until(lambda: again.done)
    assert again.error is None
    assert cluster.get(b"a", lost) == b"c"


def test_a_voter_that_is_gone_can_be_removed():
    cluster = Cluster(3)
    gone = cluster.followers[0]
    gone.crash()
    cluster.advance(1.0)
    done = Outcome(cluster.leader.replica.remove_member(gone.name))
    cluster.until(lambda: done.done)
    assert done.error is None
    cluster.do("SET", "a", "b")


def test_the_last_voter_cannot_be_removed():
    cluster = Cluster(1)
    done = Outcome(cluster.leader.replica.remove_member("id1"))
    cluster.until(lambda: done.done)
    assert isinstance(done.error, ConfigurationRefused)


@pytest.mark.parametrize("ask", ["promote", "demote"])
def test_changing_a_stranger_is_refused(ask):
    cluster = Cluster(1)
    done = Outcome(getattr(cluster.leader.replica, ask)("nobody"))
    cluster.until(lambda: done.done)
    assert isinstance(done.error, ConfigurationRefused)


def test_several_joins_at_once_are_taken_one_after_another():
    cluster = Cluster(1)
    joiners = [cluster.add(f"id{number}") for number in (2, 3, 4, 5)]
    outcomes = [
        Outcome(cluster.leader.replica.add_member(node.name, str(node.config.raftbind), voter=True)) for node in joiners
    ]
    for node in joiners:
        node.start()
    cluster.until(lambda: all(outcome.done for outcome in outcomes))
    assert [outcome.error for outcome in outcomes] == [None] * 4
    cluster.until(lambda: len(cluster.leader.replica.node.configuration.voter_ids()) == 5)
    cluster.assert_equal_state()


def test_a_member_that_others_cannot_dial_is_refused():
    cluster = Cluster(1)
    done = Outcome(cluster.leader.replica.add_member("id2", ":15380", voter=True))
    cluster.until(lambda: done.done)
    assert isinstance(done.error, ConfigurationRefused) and "id2" in str(done.error)


def test_transfer_hands_over_and_loses_nothing():
    cluster = Cluster(3)
    old, target = cluster.leader, cluster.followers[0]
    outcomes = [cluster.write("INCR", "n") for _ in range(10)]
    transfer = Outcome(old.replica.transfer(target.name))
    cluster.until(lambda: transfer.done)
    assert transfer.value == target.name and cluster.leader is target
    cluster.until(lambda: all(outcome.done for outcome in outcomes))
    acknowledged = sum(outcome.error is None for outcome in outcomes)
    assert int(cluster.get(b"n") or 0) == acknowledged


@pytest.mark.parametrize("target", ["nobody", "id1"])
def test_an_impossible_transfer_is_refused(target):
    cluster = Cluster(3)
    assert cluster.leader.name == "id1"
    transfer = Outcome(cluster.leader.replica.transfer(target))
    cluster.until(lambda: transfer.done)
    assert isinstance(transfer.error, TransferFailed)
    cluster.do("SET", "a", "b")


def test_a_follower_far_behind_gets_a_snapshot():
    cluster = Cluster(3, trailing_entries=5)
    late = cluster.followers[0]
    late.crash()
    for i in range(100):
        cluster.do("SET", f"k{i}", str(i))
    for node in cluster.running:
        taken = Outcome(node.replica.snapshot())
        cluster.until(lambda taken=taken: taken.done)
        assert taken.error is None and taken.value.index == node.replica.machine.applied
    late.start()
    cluster.settle()
    assert late.store.snapshot is not None and late.store.snapshot.index > 50
    assert cluster.get(b"k99", late) == b"99"
    cluster.assert_equal_state()


def test_snapshots_happen_by_themselves_and_restore_at_the_next_start():
    cluster = Cluster(3, snapshot_entries=20, trailing_entries=5)
    for i in range(100):
        cluster.do("SET", f"k{i}", str(i))
    cluster.until(lambda: all(node.store.snapshot is not None for node in cluster.running))
    assert all(node.store.first_index > 20 for node in cluster.running)
    for node in cluster.nodes.values():
        node.crash()
        node.start()
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    assert cluster.get(b"k0") == b"0"
    cluster.assert_equal_state()


def test_members_take_their_snapshots_one_after_another():
    cluster = Cluster(3, snapshot_entries=60)
    taken = set()
    for i in range(200):
        cluster.do("SET", "k", str(i))
        taken |= {node.store.snapshot.index for node in cluster.running if node.store.snapshot is not None}
    apart = [later - earlier for earlier, later in pairwise(sorted(taken))]
    assert len(taken) >= 8 and min(apart) >= 15, taken


def test_a_second_snapshot_without_news_is_refused():
    cluster = Cluster(1)
    cluster.do("SET", "a", "b")
    first = Outcome(cluster.leader.replica.snapshot())
    cluster.until(lambda: first.done)
    second = Outcome(cluster.leader.replica.snapshot())
    assert isinstance(second.error, NothingToSnapshot)


def test_a_snapshot_asked_for_while_the_leaders_is_taken_over_is_refused_and_harms_nobody(monkeypatch):
    """The store has the leader's already, the keyspace is still the old one."""
    cluster = Cluster(3)
    cluster.do("SET", "a", "b")
    cluster.settle()
    node = cluster.followers[0]
    newer = SnapshotMeta(node.replica.machine.applied + 10, 2, node.replica.node.configuration, 1)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(type(node.store), "snapshot", property(lambda store: newer))
        asked = Outcome(node.replica.snapshot())
    assert isinstance(asked.error, NothingToSnapshot)
    cluster.do("SET", "a", "c")
    assert cluster.get(b"a", node) == b"c"


def test_a_snapshot_of_its_own_that_the_leaders_overtakes_is_no_failure_of_the_disk(monkeypatch):
    """The leader's came between the decision and the first byte."""
    cluster = Cluster(3, snapshot_entries=5)
    refused = []

    def overtaken(store, meta):
        refused.append(meta)
        raise NothingToSnapshot()

    monkeypatch.setattr(type(cluster.leader.store), "create_snapshot", overtaken)
    for number in range(20):
        cluster.do("SET", "a", str(number))
    assert refused
    cluster.settle()
    assert cluster.get(b"a", cluster.followers[0]) == b"19"
    cluster.assert_equal_state()


def test_expired_keys_are_deleted_through_the_log():
    cluster = Cluster(3)
    for i in range(2500):
        cluster.write("SET", f"k{i}", "v", "PX", "500")
    cluster.settle()
    assert len({node.replica.machine.digest() for node in cluster.running}) == 1
    cluster.advance(2)
    for node in cluster.running:
        assert node.replica.machine.query([b"DBSIZE"], 0) == 0
    cluster.assert_equal_state()


def test_expiry_does_not_go_back_when_the_next_leader_has_a_slower_clock():
    cluster = Cluster(3)
    for node in cluster.followers:
        node.wall_offset = -3600.0
    cluster.do("SET", "a", "b", "PX", "1000")
    cluster.advance(1.5)
    assert cluster.get(b"a") is None
    cluster.leader.crash()
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    assert cluster.get(b"a") is None


def test_too_many_uncommitted_bytes_are_refused_before_they_are_appended():
    cluster = Cluster(3, max_uncommitted_bytes=100_000)
    leader = cluster.leader
    cluster.network.partition([leader.name], [node.name for node in cluster.followers])
    outcomes = [cluster.write("SET", f"k{i}", "v" * 10_000, node=leader) for i in range(20)]
    refused = [outcome for outcome in outcomes if isinstance(outcome.error, Overloaded)]
    assert 5 <= len(refused) <= 12
    cluster.network.heal_all()
    cluster.until(lambda: all(outcome.done for outcome in outcomes))


@pytest.mark.parametrize("on_follower", ["refuse", "proxy"])
def test_a_request_that_no_peer_could_take_is_refused_before_it_is_appended(on_follower, monkeypatch):
    monkeypatch.setattr("leto.replica.replica.MAX_REQUEST_BYTES", 1000)
    cluster = Cluster(3, on_follower=on_follower)
    for node in cluster.running:
        assert isinstance(cluster.write("SET", "a", "v" * 2000, node=node).error, RequestTooLarge)
    cluster.do("SET", "a", "v" * 900)


def test_a_large_write_on_a_slow_disk_is_no_hanging_disk():
    cluster = Cluster(3)
    leader = cluster.leader
    replica = leader.replica
    replica.driver._flush_started = cluster.clock.seconds() - 1.0

    class Large:
        entries = [type("Entry", (), {"payload": bytes(16 << 20)})]

    replica.driver._in_flight = [Large]
    replica._clockwork.heartbeat_due()
    assert replica.is_leader
    replica.driver._flush_started = cluster.clock.seconds() - 5.0
    replica._clockwork.heartbeat_due()
    assert not replica.is_leader


def test_a_stopping_leader_hands_over_and_refuses_new_writes():
    cluster = Cluster(3)
    old = cluster.leader
    appended = cluster.write("SET", "a", "1", node=old)
    cluster.clock.advance(0)
    stopped = Outcome(Deferred.fromCoroutine(old.replica.stop()))
    late = cluster.write("SET", "b", "2", node=old)
    cluster.until(lambda: stopped.done)
    assert isinstance(late.error, Stopping)
    assert appended.value == [OK]
    others = [node for node in cluster.running if node is not old]
    assert any(node.replica.is_leader for node in others)
    assert stopped.error is None


def test_a_stopped_replica_leaves_no_timer_behind():
    cluster = Cluster(1)
    stopped = Outcome(Deferred.fromCoroutine(cluster.leader.replica.stop()))
    cluster.until(lambda: stopped.done)
    cluster.nodes["id1"].transport.stop()
    cluster.clock.advance(0)
    assert cluster.clock.getDelayedCalls() == []


def test_a_proxied_write_is_done_by_the_leader_and_visible_to_the_follower():
    cluster = Cluster(3, on_follower="proxy")
    follower = cluster.followers[0]
    outcome = cluster.write("SET", "a", "b", node=follower)
    cluster.until(lambda: outcome.done)
    assert outcome.value == [OK]
    assert follower.replica.machine.query([b"GET", b"a"], 0) == b"b"


def test_a_proxied_write_whose_leader_dies_is_an_unknown_outcome():
    cluster = Cluster(3, on_follower="proxy")
    follower, leader = cluster.followers[0], cluster.leader
    cluster.network.cut(leader.name, follower.name)
    outcome = cluster.write("SET", "a", "b", node=follower)
    cluster.clock.advance(0)
    leader.crash()
    cluster.until(lambda: outcome.done)
    assert isinstance(outcome.error, OutcomeUnknown)


def test_local_reads_are_answered_without_a_quorum():
    cluster = Cluster(3, reads="local")
    cluster.do("SET", "a", "b")
    cluster.settle()
    survivor = cluster.followers[0]
    for node in [node for node in cluster.running if node is not survivor]:
        node.crash()
    assert cluster.read(b"a", survivor).value == b"b"


def test_lease_reads_need_no_round_and_end_with_the_lease():
    cluster = Cluster(3, reads="lease")
    cluster.do("SET", "a", "1")
    leader = cluster.leader
    cluster.advance(0.5)
    cluster.network.partition([leader.name], [node.name for node in cluster.followers])
    held = cluster.read(b"a", leader)
    cluster.clock.advance(0)
    assert held.value == b"1"
    cluster.advance(0.8)
    over = cluster.read(b"a", leader)
    cluster.advance(0.1)
    assert not over.done
    cluster.until(lambda: over.done)
    assert isinstance(over.error, NoQuorum)


class PromptRead:
    """A read of a client that asks again as soon as it is answered."""

    returns = True
    clock_ms = 0

    def confirmed(self, clock_ms):
        self.clock_ms = clock_ms

    def refused(self, error):
        raise error


def test_a_read_under_a_lease_waits_for_no_company():
    cluster = Cluster(3, reads="lease")
    cluster.do("SET", "a", "1")
    cluster.advance(0.5)
    for count in (10, 10, 10, 10, 10, 10, 10, 10, 10, 1):
        reads = [PromptRead() for _ in range(count)]
        for read in reads:
            cluster.leader.replica.submit_read(read)
        cluster.clock.advance(0)
        assert all(read.clock_ms for read in reads)


def test_cluster_status_gathers_every_members_view():
    cluster = Cluster(3)
    gone = cluster.followers[0]
    gone.crash()
    status = Outcome(cluster.leader.replica.cluster_status())
    cluster.until(lambda: status.done)
    assert status.error is None
    assert set(status.value["nodes"]) == {node.name for node in cluster.running}
    assert set(status.value["unreachable"]) == {gone.name}


def test_a_request_that_is_none_is_a_protocol_error():
    cluster = Cluster(3)
    asked = Outcome(cluster.followers[0].transport.request(cluster.leader.name, b"\xff nonsense", 1.0))
    cluster.until(lambda: asked.done)
    assert isinstance(asked.error, ConnectionError)
    cluster.settle()
    cluster.do("SET", "still", "here")


def test_a_disk_error_ends_the_node_and_acknowledges_nothing():
    cluster = Cluster(3)
    leader = cluster.leader

    def broken(*_args):
        raise OSError(5, "Input/output error")

    leader.store.write = broken
    outcome = Outcome(leader.replica.write(packed("SET", "a", "b"), 1))
    cluster.until(lambda: leader.fatal)
    assert "Input/output error" in leader.fatal[0]
    cluster.advance(0.5)
    assert outcome.error is not None or not outcome.done


def test_a_node_answers_its_leader_while_it_takes_in_a_large_snapshot():
    """The keyspace is replaced step by step; the node's heartbeats, and the others, go on meanwhile."""
    cluster = Cluster(3, trailing_entries=5)
    late = cluster.followers[0]
    late.crash()
    for i in range(30):
        cluster.do("MSET", *(word for k in range(50) for word in (f"k{i}-{k}", "v" * 1000)))
    for node in cluster.running:
        taken = Outcome(node.replica.snapshot())
        cluster.until(lambda taken=taken: taken.done)
    late.start()
    machine = late.replica.machine
    steps = []
    whole = machine.restoring

    def slow(chunks, index):
        for step in whole(chunks, index):
            steps.append(late.replica.driver.is_flushing)
            cluster.clock.rightNow += 0.01  # each step takes a while
            yield step

    machine.restoring = slow
    term = cluster.leader.replica.node.term
    cluster.settle()
    assert len(steps) > 5 and all(steps)
    assert cluster.leader.replica.node.term == term
    assert cluster.get(b"k29-49", late) == b"v" * 1000
    cluster.assert_equal_state()


def test_a_follower_under_load_needs_one_snapshot_and_not_one_after_another():
    """While it is brought a snapshot and installs it, the leader takes further ones: the log behind the first stays."""
    cluster = Cluster(3, snapshot_entries=20, trailing_entries=0, snapshot_rate=400 << 10)
    for number in range(40):
        cluster.do("SET", f"key{number}", "x" * 30_000)
    late = cluster.followers[0]
    late.crash()
    for number in range(40):
        cluster.do("SET", f"key{number}", "y" * 30_000)
    leader = cluster.leader.replica
    before = leader.status().counters["snapshots_sent"]
    began = cluster.clock.seconds()
    late.start()

    def caught_up() -> bool:
        cluster.write("SET", "load", "z")
        return late.replica.machine.applied >= leader.machine.applied - 5 and cluster.clock.seconds() > began + 1

    snapshots = leader.compaction._snapshot_index
    cluster.until(caught_up, 20.0)
    assert cluster.clock.seconds() - began > 2.0  # it took the time of many snapshots
    assert leader.compaction._snapshot_index - snapshots > 5 * 20
    assert leader.status().counters["snapshots_sent"] <= before + 1
    held = leader.status().first_index
    for number in range(14_000):
        if number % 100 == 0:
            cluster.write("SET", "load", "z")
        cluster.clock.advance(0.005)
    assert leader.status().first_index > held  # and is let go of later
    cluster.assert_equal_state()


def test_snapshots_write_in_proportion_to_the_log_however_large_the_keyspace():
    cluster = Cluster(1, snapshot_bytes=4096, trailing_entries=0)
    node = cluster.leader
    taken: list[int] = []
    log = snapshots = 0
    for number in range(400):
        payload = packed("SET", f"key:{number % 100}", "x" * 400)
        outcome = Outcome(node.replica.write(payload, 1))
        cluster.until(lambda outcome=outcome: outcome.done)
        assert outcome.error is None
        log += len(payload)
        cluster.until(lambda: not node.replica.compaction.in_progress)
        if node.store.snapshot is not None and (not taken or taken[-1] != node.store.snapshot.index):
            taken.append(node.store.snapshot.index)
            source = node.store.open_snapshot()
            snapshots += source.size
            source.close()
    assert len(taken) >= 4
    assert 0 < snapshots < 1.5 * log


def test_no_turn_applies_for_long_however_much_is_committed(monkeypatch):
    """Slice after slice is handed out: whoever else waits has their turn between them."""
    monkeypatch.setattr(node_module, "COMMITTED_BYTES", 200)
    cluster = Cluster(1)
    for number in range(60):
        cluster.do("SET", f"key:{number}", "x" * 100)
    node = cluster.leader
    node.crash()
    replica = node.start()
    machine, begin, longest = replica.machine, replica.machine.begin, [0.0]

    def slow(entry):
        cluster.clock.rightNow += 0.001
        return begin(entry)

    owner, began = replica.driver._owner, []
    begin_turn, end_turn = owner.begin_turn, owner.end_turn

    def beginning(now):  # once or more in a turn
        began.append(cluster.clock.seconds())
        return begin_turn(now)

    def ending(now):
        end_turn(now)
        longest[0] = max(longest[0], cluster.clock.seconds() - began[0])
        began.clear()

    machine.begin, owner.begin_turn, owner.end_turn = slow, beginning, ending
    cluster.until(lambda: cluster.get(b"key:59", node) == b"x" * 100)
    assert 0.002 <= longest[0] <= APPLY_SECONDS + 0.002

"""Entries that take long are applied in turns; reads that take long hold them up, and not for ever."""

from __future__ import annotations

import hiredis
import pytest

from leto.errors import NothingToSnapshot, RequestRefused
from leto.replica.driver import APPLY_SECONDS
from leto.vocabulary.steps import LONG
from tests.replica.cluster import Cluster

MANY = 20 * LONG


def transaction(count, value="new"):
    commands = [("MULTI",), *[("SET", f"key:{i}", value) for i in range(count)], ("EXEC",)]
    return b"".join(map(hiredis.pack_command, commands))


@pytest.fixture
def cluster():
    return Cluster(1)


def slowly(cluster, replica):
    """Each step takes half of a turn's time; gives how long the turns took."""
    machine, driver, turns = replica.machine, replica.driver, []
    owner, begin, go_on = driver._owner, machine.begin, machine.go_on
    begin_turn, end_turn = owner.begin_turn, owner.end_turn
    began = []

    def slow(step):
        def taken(*entry):
            cluster.clock.rightNow += APPLY_SECONDS / 2
            return step(*entry)

        return taken

    def beginning(now):  # once or more in a turn
        began.append(cluster.clock.seconds())
        return begin_turn(now)

    def ending(now):
        end_turn(now)
        turns.append(cluster.clock.seconds() - began[0])
        began.clear()

    machine.begin, machine.go_on = slow(begin), slow(go_on)
    owner.begin_turn, owner.end_turn = beginning, ending
    return turns


def test_a_long_entry_takes_turns_and_nobody_sees_half_of_it(cluster):
    replica = cluster.leader.replica
    turns = slowly(cluster, replica)
    told, seen, answers = [], [], []
    replica.on_half_applied = told.append
    go_on = replica.machine.go_on

    def asking():
        if len(seen) < 3:  # a read that comes while the entry is under way
            seen.append(None)
            replica.read().addCallback(
                lambda clock_ms: answers.append(
                    (
                        replica.machine.is_whole,
                        [replica.machine.query((b"GET", b"key:%d" % i), 0) for i in (0, MANY - 1)],
                    )
                )
            )
        return go_on()

    replica.machine.go_on = asking
    done = []
    replica.write(transaction(MANY), 1).addCallback(done.append)
    cluster.until(lambda: done and len(answers) == 3)
    assert max(turns) <= 2 * APPLY_SECONDS
    assert len(turns) > 5
    assert told == [True, False]
    assert answers == [(True, [b"new", b"new"])] * 3
    assert len(done[0][0]) == MANY


def test_a_snapshot_waits_until_the_entry_is_whole(cluster):
    cluster.do("SET", "a", "1")
    replica = cluster.leader.replica
    slowly(cluster, replica)
    taken, go_on = [], replica.machine.go_on

    def asking():
        if not taken:
            taken.append(None)
            replica.snapshot().addCallbacks(taken.append, lambda failure: failure.trap(NothingToSnapshot))
        return go_on()

    replica.machine.go_on = asking
    replica.write(transaction(MANY), 1)
    cluster.until(lambda: len(taken) == 2)
    assert replica.machine.is_whole
    assert taken[1].index == replica.machine.applied


def test_a_read_that_holds_the_state_is_followed_by_what_was_committed(cluster):
    replica = cluster.leader.replica
    assert replica.hold() is True
    assert replica.hold() is False  # one at a time
    done = []
    replica.write(hiredis.pack_command(("SET", "a", "1")), 1).addCallback(done.append)
    cluster.clock.pump([0.01] * 20)
    assert not done
    assert replica.machine.query((b"GET", b"a"), 0) is None
    replica.release()
    assert replica.hold() is False  # what waited comes first
    cluster.until(lambda: done)
    assert replica.hold() is True
    replica.release()


def test_long_writes_are_checked_in_turns_and_those_that_come_later_come_later():
    cluster = Cluster(3, on_follower="proxy")
    leader, follower = cluster.leader, next(node for node in cluster.nodes.values() if node is not cluster.leader)
    cluster.until(lambda: follower.replica.node.leader_id == leader.name)
    done = []
    for request in (transaction(MANY, "first"), hiredis.pack_command(("SET", "key:7", "second"))):
        follower.replica.write(request, 1).addCallback(done.append)
    cluster.until(lambda: len(done) == 2)
    assert len(done[0][0]) == MANY
    assert cluster.get(b"key:7") == b"second"
    assert cluster.get(b"key:8") == b"first"


def test_a_follower_is_told_why_the_leader_refuses_its_transaction():
    cluster = Cluster(3, on_follower="proxy")
    leader, follower = cluster.leader, next(node for node in cluster.nodes.values() if node is not cluster.leader)
    cluster.until(lambda: follower.replica.node.leader_id == leader.name)
    before, failures = leader.replica.node.last_index, []
    commands = [("MULTI",), ("SET", "a", "b"), *[("KEYS", "*")] * 80_000, ("EXEC",)]
    follower.replica.write(b"".join(map(hiredis.pack_command, commands)), 1).addErrback(failures.append)
    cluster.until(lambda: failures)
    assert failures[0].check(RequestRefused)
    assert "the transaction's reads would look at more than" in failures[0].getErrorMessage()
    assert leader.replica.node.last_index == before


def test_a_leaders_snapshot_replaces_nothing_that_a_read_holds():
    cluster = Cluster(3, snapshot_entries=10_000, trailing_entries=0)
    cluster.do("SET", "a", "old")
    late = cluster.followers[0]
    cluster.until(lambda: cluster.get(b"a", late) == b"old")
    late.crash()
    for number in range(50):
        cluster.do("SET", "a", f"new{number}")
    cluster.leader.replica.snapshot()
    cluster.until(lambda: not cluster.leader.replica.compaction.in_progress)
    replica = late.start()
    machine, held = replica.machine, []
    whole = machine.restoring

    def restoring(chunks, index):
        held.append(replica.hold())
        yield from whole(chunks, index)

    machine.restoring = restoring
    cluster.until(lambda: held)
    applied = machine.applied
    cluster.clock.pump([0.01] * 100)
    assert held == [True]
    assert machine.applied == applied
    assert replica.hold() is False
    replica.release()
    cluster.settle()
    assert cluster.get(b"a", late) == b"new49"
    assert replica.hold() is True
    replica.release()

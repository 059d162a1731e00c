"""What an entry did reaches the edges of every node: after it is applied, behind its own replies."""

from __future__ import annotations

import pytest

from leto.interfaces.listeners import Listeners
from leto.keyspace.effects import EVERYTHING, Effects, Kind
from leto.keyspace.machine import Machine
from leto.twins.replica import LoneReplica
from leto.vocabulary.replies import OK
from tests.replica.cluster import Cluster, packed


def watch(node) -> list[tuple[int, Effects]]:
    """What it tells from now on."""
    told: list[tuple[int, Effects]] = []
    node.replica.machine.watch(Kind.CHANGES)
    node.replica.effects.subscribe(lambda index, effects: told.append((index, effects)), Kind.CHANGES)
    return told


def test_every_node_that_watches_is_told_alike():
    cluster = Cluster(3)
    leader, (follower, other) = cluster.leader, cluster.followers
    told, told_too = watch(leader), watch(follower)
    assert cluster.do("SET", "a", "b") == OK
    assert cluster.get(b"a", follower) == b"b"
    assert cluster.get(b"a", other) == b"b"
    assert [effects for _, effects in told] == [Effects(changes=((b"set", b"a"),))]
    assert told == told_too


def test_who_is_told_can_read_what_it_hears_of():
    cluster = Cluster(3)
    for node in cluster.nodes.values():
        machine, key, heard = node.replica.machine, node.name.encode(), []
        machine.watch(key)

        def told(index, effects, machine=machine, key=key, heard=heard):
            heard.append((effects.changes, machine.query((b"GET", key), 0)))

        node.replica.effects.subscribe(told, Kind.CHANGES)
        cluster.do("SET", key, "v")
        cluster.until(lambda heard=heard: heard)
        assert heard == [(((b"set", key),), b"v")]


def test_an_entrys_replies_come_first_so_that_no_cache_keeps_what_was_read_before_a_change():
    cluster = Cluster(3)
    leader = cluster.leader
    assert cluster.do("SET", "a", "old") == OK
    heard = []
    leader.replica.machine.watch(b"a")
    leader.replica.effects.subscribe(
        lambda index, effects: heard.append((index, read.done and read.value, written.done)), Kind.CHANGES
    )
    read, written = cluster.write("GET", "a"), cluster.write("SET", "a", "new")
    cluster.until(lambda: written.done)
    assert heard == [(leader.replica.machine.applied, [b"old"], True)], "both were in one entry"


def test_the_twin_tells_in_the_same_order():
    replica = LoneReplica(Machine(random=lambda: 0.5))
    replica.machine.watch(Kind.CHANGES)
    order = []
    replica.effects.subscribe(lambda index, effects: order.append((index, effects.changes)), Kind.CHANGES)
    replica.hold_writes = True
    replica.write(packed("SET", "a", "b"), 1).addCallback(order.append)
    replica.release_writes()
    assert order == [[OK], (1, ((b"set", b"a"),))]


def test_a_snapshot_in_the_place_of_the_state_may_have_changed_anything():
    cluster = Cluster(3, snapshot_entries=20, trailing_entries=5)
    behind = cluster.followers[0]
    told = watch(behind)
    cluster.network.partition([behind.name], [node.name for node in cluster.nodes.values() if node is not behind])
    for number in range(60):
        assert cluster.do("SET", f"k{number}", "v") == OK
    assert cluster.leader.store.first_index > behind.store.last_index + 1
    cluster.network.heal_all()
    cluster.until(lambda: cluster.leader.replica.machine.applied == behind.replica.machine.applied)
    assert EVERYTHING in [effects for _, effects in told]


def test_a_listener_is_told_of_the_kinds_that_it_asked_for_once_for_each_entry():
    listeners, heard = Listeners(), []

    def changes(index: int, effects: Effects) -> None:
        heard.append(("changes", index))

    def both(index: int, effects: Effects) -> None:
        heard.append(("both", index))

    listeners.subscribe(changes, Kind.CHANGES)
    listeners.subscribe(both, Kind.MESSAGES, Kind.CHANGES)
    change, message = (b"set", b"a"), (b"channel", b"text")
    for index, effects in enumerate(
        [Effects((change,), messages=(message,)), Effects(messages=(message,)), Effects(ready=(b"a",)), EVERYTHING]
    ):
        listeners.tell(index, effects)
    assert heard == [("changes", 0), ("both", 0), ("both", 1), ("changes", 3), ("both", 3)]
    listeners.unsubscribe(changes)
    listeners.tell(9, EVERYTHING)
    assert heard[5:] == [("both", 9)]


def test_a_listener_may_go_while_others_are_told():
    listeners, heard = Listeners(), []

    def first(index: int, effects: Effects) -> None:
        heard.append("first")
        listeners.unsubscribe(second)
        listeners.subscribe(third, Kind.READY)

    def second(index: int, effects: Effects) -> None:
        heard.append("second")

    def third(index: int, effects: Effects) -> None:
        heard.append("third")

    listeners.subscribe(first, Kind.READY)
    listeners.subscribe(second, Kind.READY)
    listeners.tell(1, Effects(ready=(b"a",)))
    assert heard == ["first"]


def test_a_listener_is_subscribed_once_and_to_something():
    listeners = Listeners()

    def listener(index: int, effects: Effects) -> None: ...

    with pytest.raises(ValueError, match="once"):
        listeners.subscribe(listener)
    listeners.subscribe(listener, Kind.READY)
    with pytest.raises(ValueError, match="once"):
        listeners.subscribe(listener, Kind.CHANGES)
    listeners.unsubscribe(listener)
    with pytest.raises(KeyError):
        listeners.unsubscribe(listener)


def test_who_listens_and_watches_nothing_is_told_nothing():
    cluster = Cluster(3)
    heard = []
    cluster.leader.replica.effects.subscribe(lambda index, effects: heard.append(effects), *Kind)
    assert cluster.do("SET", "a", "b") == OK
    cluster.leader.replica.machine.watch(b"c")
    assert cluster.do("SET", "a", "b") == OK
    assert heard == []
    assert cluster.do("SET", "c", "d") == OK
    assert heard == [Effects(changes=((b"set", b"c"),))]

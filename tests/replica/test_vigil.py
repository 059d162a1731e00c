"""The log tells who leads, and why nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from tests.replica.cluster import Cluster, Outcome


class Lines:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def with_(self, words: str) -> list[str]:
        return [line for line in map(formatEvent, self.events) if words in line]


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines()
    globalLogPublisher.addObserver(lines.events.append)
    yield lines
    globalLogPublisher.removeObserver(lines.events.append)


def test_a_leader_that_loses_its_quorum_says_so(lines: Lines) -> None:
    cluster = Cluster(3)
    for node in cluster.followers:
        node.crash()
    leader = cluster.leader
    term = leader.replica.node.term
    cluster.until(lambda: not leader.replica.is_leader)
    others = ", ".join(sorted({"id1", "id2", "id3"} - {leader.name}))
    assert lines.with_("no longer leads") == [
        f"{leader.name} no longer leads term {term}: it does not hear from a majority of the voters "
        f"(1 of 3 connected, not {others}), and without one there are no writes and no linearizable reads"
    ]


def test_a_want_of_a_leader_is_told_seldom_and_its_end_once(lines: Lines) -> None:
    cluster = Cluster(3)
    lost, other = cluster.followers
    lost.crash()
    other.crash()
    cluster.advance(200, step=0.05)
    told = lines.with_("no leader for")
    assert 3 <= len(told) <= 8
    assert all("no majority answers this node" in line and "1 of 3 connected, not " in line for line in told)
    lost.start()
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    (over,) = lines.with_("s without a leader")
    assert 198 < float(over.split()[3]) < 204, over
    before = len(lines.events)
    cluster.advance(100, step=0.05)
    assert not any("leader" in formatEvent(event) for event in lines.events[before:])


def test_a_failover_that_is_quick_is_no_news_but_for_who_leads(lines: Lines) -> None:
    cluster = Cluster(3)
    cluster.leader.crash()
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    cluster.settle()
    assert lines.with_("no leader for") == lines.with_("without a leader") == []
    assert lines.with_("lost its leader")


def test_a_leader_that_hands_over_or_stops_blames_no_quorum(lines: Lines) -> None:
    cluster = Cluster(3)
    leader = cluster.leader
    done = Outcome(leader.replica.transfer(None))
    cluster.until(lambda: done.done and not leader.replica.is_leader)
    assert lines.with_("no longer leads")
    assert not lines.with_("majority")
    for node in cluster.running:
        stopped = Outcome(Deferred.fromCoroutine(node.replica.stop()))
        cluster.until(lambda stopped=stopped: stopped.done)
        node.replica = None
    cluster.advance(300, step=0.1)
    assert not lines.with_("no leader for")


def test_a_leader_that_steps_down_for_its_disk_blames_no_quorum(lines: Lines) -> None:
    cluster = Cluster(3)
    slow = cluster.followers[0]
    slow.crash()
    slow.start(slow_disk=True)

    def works() -> bool:
        while slow.flusher.pending:
            slow.flusher.run()
        return True

    cluster.until(lambda: works() and slow.replica.machine.applied == cluster.leader.replica.machine.applied)
    transfer = Outcome(cluster.leader.replica.transfer(slow.name))
    cluster.until(lambda: works() and transfer.done and slow.replica.is_leader)
    cluster.until(lambda: works() and cluster.get(b"x", slow) is None)
    hanging = cluster.write("SET", "a", "1", node=slow)
    cluster.until(lambda: not slow.replica.is_leader)
    assert lines.with_("stepping down: the disk has not answered")
    assert lines.with_(f"{slow.name} no longer leads")
    assert not lines.with_("majority")
    cluster.until(lambda: works() and hanging.done)


def test_a_removed_node_says_what_to_do_each_time_it_is_started(lines: Lines) -> None:
    cluster = Cluster(3)
    gone = cluster.followers[0]
    done = Outcome(cluster.leader.replica.remove_member(gone.name))
    cluster.until(lambda: done.done and gone.removed)
    words = f"move the directory {gone.config.raftdir} away and start it with --join"
    assert len(lines.with_(words)) == 1
    gone.crash()
    gone.removed.clear()
    gone.start()
    cluster.until(lambda: gone.removed)
    assert len(lines.with_(words)) == 2

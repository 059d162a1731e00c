"""Leaders that lose office and part of their log, and lead again soon: everybody who waits is told, and soon."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from leto.errors import ConfigurationRefused, OutcomeUnknown
from leto.raft.messages import AppendEntriesReply, Message, RequestVote
from leto.replica.deferred import DeferredWrite
from leto.replica.fate import Fate
from leto.replica.proposals import CONGESTED_REQUESTS
from tests.replica.cluster import Cluster, Node, Outcome, packed


def cut_off(cluster: Cluster, node: Node) -> list[Node]:
    """Nothing passes between that node and the others, who are returned."""
    others = [other for other in cluster.nodes.values() if other is not node]
    cluster.network.partition([node.name], [other.name for other in others])
    return others


def deposed(cluster: Cluster, node: Node, others: list[Node]) -> Node:
    """Until another leads and that node knows that it does not; gives the new leader. The network heals."""
    cluster.until(lambda: not node.replica.is_leader and any(other.replica.is_leader for other in others))
    leader = next(other for other in others if other.replica.is_leader)
    cluster.network.heal_all()
    cluster.until(lambda: node.replica.node.leader_id == leader.name)
    cluster.settle()
    return leader


def lead_again(cluster: Cluster, node: Node, leader: Node) -> None:
    transfer = Outcome(leader.replica.transfer(node.name))
    cluster.until(lambda: transfer.done)
    assert transfer.error is None, transfer.error
    cluster.settle()


def many_entries(cluster: Cluster, node: Node, count: int) -> list[Outcome]:
    """Writes at that node, each in an entry of its own."""
    asked = []
    for number in range(count):
        asked.append(cluster.write("SET", f"lost{number}", "1", node=node))
        cluster.clock.advance(0.005)
    return asked


def test_a_leader_again_answers_new_writes_at_once_and_tells_the_lost_ones():
    """Its log ends before what it lost, and nothing would fill it up to there."""
    cluster = Cluster(3)
    node = cluster.leader
    others = cut_off(cluster, node)
    lost = many_entries(cluster, node, 10)
    ended = node.replica.node.last_index
    lead_again(cluster, node, deposed(cluster, node, others))
    assert node.replica.node.last_index < ended
    assert [type(outcome.error) for outcome in lost] == [OutcomeUnknown] * 10
    new = cluster.write("SET", "new", "1", node=node)
    cluster.advance(0.1)
    assert new.value is not None and new.error is None
    cluster.assert_equal_state()


def test_what_was_lost_does_not_keep_a_leader_again_from_reading():
    cluster = Cluster(3)
    node = cluster.leader
    others = cut_off(cluster, node)
    many_entries(cluster, node, 5)
    crowd = DeferredWrite(packed("SET", "k", "v") * (CONGESTED_REQUESTS + 1), CONGESTED_REQUESTS + 1)
    node.replica.submit_write(crowd)
    lost = Outcome(crowd.done)
    cluster.clock.advance(0.005)
    assert node.replica.is_congested
    lead_again(cluster, node, deposed(cluster, node, others))
    assert type(lost.error) is OutcomeUnknown and not node.replica.is_congested
    cluster.do("SET", "new", "1", node=node)
    assert cluster.get(b"new", node) == b"1"


def test_a_lost_change_of_members_does_not_keep_the_next_one_waiting():
    cluster = Cluster(3)
    node = cluster.leader
    others = cut_off(cluster, node)
    many_entries(cluster, node, 6)
    lost = Outcome(node.replica.demote(others[1].name))
    cluster.clock.advance(0.01)
    lead_again(cluster, node, deposed(cluster, node, others))
    assert type(lost.error) is OutcomeUnknown
    change = Outcome(node.replica.demote(others[1].name))
    cluster.until(lambda: change.done, 5.0)
    assert change.error is None
    assert others[1].name in cluster.leader.replica.node.configuration.learner_ids()


def test_expiry_goes_on_when_a_deletion_was_lost():
    cluster = Cluster(3)
    node = cluster.leader
    cluster.do("SET", "k", "v", "PX", "300", node=node)
    cluster.settle()
    others = cut_off(cluster, node)
    many_entries(cluster, node, 6)
    cluster.until(lambda: node.replica._expiry._in_flight)
    lead_again(cluster, node, deposed(cluster, node, others))
    cluster.do("SET", "soon", "v", "PX", "100", node=node)
    cluster.until(lambda: all(b"soon" not in each.replica.machine.database.data for each in cluster.running), 2.0)


def test_a_node_that_stops_waits_for_nothing_that_was_lost():
    cluster = Cluster(3)
    node = cluster.leader
    others = cut_off(cluster, node)
    many_entries(cluster, node, 8)
    lead_again(cluster, node, deposed(cluster, node, others))
    began = cluster.clock.seconds()
    stopped = Outcome(Deferred.fromCoroutine(node.replica.stop()))
    cluster.until(lambda: stopped.done)
    assert stopped.error is None and cluster.clock.seconds() - began < node.config.election_timeout / 2


def test_to_lead_again_without_a_commit_puts_no_answer_off():
    """Every request is told of its fate within the write timeout of the loss, also by a leader that commits nothing."""
    timeout = 0.6
    cluster = Cluster(3, write_timeout=timeout)
    node = cluster.leader
    committed = node.replica.node.commit
    others = cut_off(cluster, node)
    lost = many_entries(cluster, node, 4)

    def fate(sender: str, to: str, what: Message | bytes) -> tuple[float, ...]:
        """Nothing new is acknowledged, and of these only the old leader is elected again."""
        news = isinstance(what, AppendEntriesReply) and what.match_index > committed
        return () if news or (isinstance(what, RequestVote) and to == node.name) else (0.0,)

    cluster.network.fate = fate
    cluster.until(lambda: not node.replica.is_leader)
    deadline = cluster.clock.seconds() + timeout
    cluster.until(lambda: any(other.replica.is_leader for other in others))
    between = next(other for other in others if other.replica.is_leader)
    cluster.network.heal_all()
    cluster.until(lambda: node.replica.node.last_index == committed + 1)
    between.crash()
    cluster.until(lambda: node.replica.is_leader)
    assert cluster.clock.seconds() < deadline and not any(outcome.done for outcome in lost)
    cluster.until(lambda: lost[0].done)
    assert node.replica.is_leader and cluster.clock.seconds() < deadline + 0.02
    assert [type(outcome.error) for outcome in lost] == [OutcomeUnknown] * 4


def test_a_forwarded_write_is_given_up_in_time_when_the_leader_is_replaced():
    """The connection to the old leader stands, and says nothing."""
    timeout = 3.0
    cluster = Cluster(3, on_follower="proxy", write_timeout=timeout)
    leader, (follower, _) = cluster.leader, cluster.followers
    cut_off(cluster, leader)
    write = cluster.write("SET", "k", "v", node=follower)
    term = follower.replica.node.term
    cluster.until(lambda: (follower.replica.node.term, follower.replica.node.leader_id) != (term, leader.name))
    lost = cluster.clock.seconds()
    cluster.until(lambda: write.done, timeout + 0.1)
    assert type(write.error) is OutcomeUnknown and cluster.clock.seconds() >= lost + timeout - 0.1
    assert not follower.replica.forwarding._asked


def test_changes_of_members_wait_their_turn_for_the_write_timeout_at_most():
    timeout = 0.3
    cluster = Cluster(3, write_timeout=timeout)
    node = cluster.leader
    others = cut_off(cluster, node)
    changes = [Outcome(node.replica.demote(other.name)) for other in others]
    cluster.advance(timeout + 0.02)
    assert node.replica.is_leader and not changes[0].done
    assert type(changes[1].error) is ConfigurationRefused and "under way for 0.3 s" in str(changes[1].error)


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([(0.0, 2)], [(5.0, 2)]),
        ([(0.0, 2), (3.0, 4), (4.75, 9)], [(5.0, 2), (8.0, 4), (9.75, 9)]),
        ([(0.0, 2), (0.0, 3)], [(5.0, 2), (5.0, 3)]),
        ([(0.0, 2), (20.0, 3)], [(5.0, 2), (25.0, 3)]),
    ],
)
def test_each_term_has_a_deadline_of_its_own(losses: list[tuple[float, int]], told: list[tuple[float, int]]):
    clock = Clock()
    given_up: list[tuple[float, int]] = []
    fate = Fate(clock, 5.0, lambda term: given_up.append((clock.seconds(), term)))
    for at, term in losses:
        while clock.seconds() < at:
            clock.advance(0.25)
        fate.lost(term)
    for _ in range(100):
        clock.advance(0.25)
    assert given_up == told


def test_a_fate_that_is_cancelled_leaves_no_timer():
    clock = Clock()
    fate = Fate(clock, 5.0, lambda term: pytest.fail("it was cancelled"))
    fate.lost(1)
    fate.cancel()
    assert not clock.getDelayedCalls()
    clock.advance(10.0)

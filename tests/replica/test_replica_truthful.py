"""What a node must say, and do, when something goes wrong between a success and its telling."""

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from leto.errors import OutcomeUnknown, Overloaded, StorageError
from leto.peer.exchange import MAX_OUTSTANDING
from leto.raft.messages import AppendEntries, AppendEntriesReply, RequestVote
from leto.replica.proposals import CONGESTED_REQUESTS
from leto.vocabulary.replies import OK
from tests.replica.cluster import Cluster, Outcome, packed


def test_a_forwarded_write_that_is_done_is_not_refused_by_a_stopping_follower():
    """The leader has done it; that the follower can no longer confirm a read must not turn it into a refusal."""
    cluster = Cluster(3, on_follower="proxy")
    follower = cluster.followers[0]
    outcome = cluster.write("SET", "a", "b", node=follower)
    stopping = Outcome(Deferred.fromCoroutine(follower.replica.stop()))
    cluster.until(lambda: outcome.done and stopping.done)
    assert outcome.error is None
    assert outcome.value == [OK]
    assert cluster.get(b"a") == b"b"


def test_a_snapshot_that_an_operator_asked_for_and_the_disk_failed_is_the_end():
    """As one that was due by itself: a disk that failed once is not trusted any more."""
    cluster = Cluster(1)
    cluster.do("SET", "a", "b")
    node = cluster.leader

    def fail(meta):
        raise StorageError("cannot write the snapshot: No space left on device")

    node.store.create_snapshot = fail
    outcome = Outcome(node.replica.snapshot())
    cluster.advance(0.1)
    assert isinstance(outcome.error, StorageError)
    assert node.fatal and "No space left" in node.fatal[0]


@pytest.mark.parametrize("error", [StorageError("cannot write it: No space left on device"), KeyError("ours")])
def test_a_disk_that_fails_a_snapshot_is_told_in_one_line_and_a_fault_of_ours_with_its_traceback(error: Exception):
    cluster = Cluster(1, snapshot_entries=3)
    node = cluster.leader

    def fail(meta):
        raise error

    node.store.create_snapshot = fail
    logged = []
    globalLogPublisher.addObserver(logged.append)
    try:
        for _ in range(4):
            cluster.write("SET", "a", "b")
            cluster.advance(0.1)
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert node.fatal[0].startswith("the snapshot failed: ")
    assert [event["log_failure"].value for event in logged if "log_failure" in event] == (
        [] if isinstance(error, StorageError) else [error]
    )


def test_a_member_that_hears_its_leader_does_not_believe_a_laggard_that_it_was_removed():
    """It came back under its old id and reads of its past; the laggard knows of its removal, not of its return."""
    cluster = Cluster(3)
    node, laggard = cluster.followers
    node.replica.listener.removed_by(laggard.name, node.replica.node.member_at + 10)
    assert not node.removed
    cluster.network.partition([node.name], [cluster.leader.name, laggard.name])
    cluster.advance(3)
    node.replica.listener.removed_by(laggard.name, node.replica.node.member_at + 10)
    assert node.removed  # no leader speaks against it


def test_one_that_was_removed_while_it_was_brought_the_log_says_what_to_do():
    cluster = Cluster(3)
    node, leader = cluster.add("id4"), cluster.leader
    node.incarnation = "new"
    node.introduce()
    added = Outcome(leader.replica.add_member("id4", str(node.config.raftbind), voter=True, incarnation="new"))
    cluster.until(lambda: added.done)
    cluster.network.partition(["id4"], ["id1", "id2", "id3"])  # what it hears is given to it by hand
    node.start()
    node.replica.listener.peer_message(AppendEntries(leader.name, "id4", leader.replica.node.term, 0, 0, 0))
    cluster.advance(3)
    assert (node.replica.node.leader_id, node.replica.node.member_at) == (leader.name, -1)
    logged = []
    globalLogPublisher.addObserver(logged.append)
    try:
        node.replica.listener.removed_by(
            leader.name, node.replica.node.last_index
        )  # a leader that lags itself, perhaps
        assert logged == []
        for _ in range(2):
            node.replica.listener.removed_by(leader.name, leader.replica.node.last_index)
    finally:
        globalLogPublisher.removeObserver(logged.append)
    (line,) = [formatEvent(event) for event in logged if event["log_namespace"].startswith("leto")]
    assert "knows no member of that id: if it was removed, stop this node" in line
    assert not node.removed


def test_a_lost_membership_change_does_not_hold_up_the_next_one():
    """Its leader was cut off, its entry overwritten; it leads again before it gave up waiting."""
    cluster = Cluster(3, write_timeout=60.0)
    old = cluster.leader
    others = [node for node in cluster.running if node is not old]
    cluster.network.partition([old.name], [node.name for node in others])
    lost = Outcome(old.replica.demote(others[0].name))
    cluster.until(lambda: not old.replica.is_leader and any(node.replica.is_leader for node in others))
    new = next(node for node in others if node.replica.is_leader)
    cluster.do("SET", "a", "b", node=new)
    cluster.network.heal_all()
    cluster.settle()
    transfer = Outcome(new.replica.transfer(old.name))
    cluster.until(lambda: transfer.done and old.replica.is_leader)
    assert isinstance(lost.error, OutcomeUnknown)
    done = Outcome(old.replica.demote(others[0].name))
    cluster.until(lambda: done.done)
    assert done.error is None
    assert old.replica.node.configuration.learner_ids() == (others[0].name,)


def test_a_follower_that_cannot_forward_more_says_that_nothing_was_done():
    """What never left this node is a plain refusal, not an unknown outcome; and before that its clients are not
    read from."""
    cluster = Cluster(3, on_follower="proxy")
    follower = cluster.followers[0]
    outcomes = [cluster.write("SET", f"k{i}", "v", node=follower) for i in range(MAX_OUTSTANDING + 3)]
    assert [type(outcome.error) for outcome in outcomes[-3:]] == [Overloaded] * 3
    assert follower.replica.is_congested and not cluster.leader.replica.is_congested
    cluster.until(lambda: all(outcome.done for outcome in outcomes))
    assert [outcome.error for outcome in outcomes[:-3]] == [None] * MAX_OUTSTANDING
    assert not follower.replica.is_congested
    for late in range(MAX_OUTSTANDING, MAX_OUTSTANDING + 3):
        assert cluster.get(b"k%d" % late) is None


def test_a_leader_is_congested_while_too_many_writes_wait_and_a_lost_one_is_not():
    """What a lost leader waits for may take long: its clients must hear meanwhile that it leads no more."""
    cluster = Cluster(3)
    leader = cluster.leader
    leader.replica.write(packed("SET", "a", "b") * (CONGESTED_REQUESTS + 1), CONGESTED_REQUESTS + 1)
    assert leader.replica.is_congested
    cluster.until(lambda: not leader.replica.is_congested, 5.0)
    cluster.network.partition([leader.name], [node.name for node in cluster.followers])
    lost = Outcome(leader.replica.write(packed("SET", "a", "b") * (CONGESTED_REQUESTS + 1), CONGESTED_REQUESTS + 1))
    assert leader.replica.is_congested
    cluster.until(lambda: not leader.replica.is_leader)
    assert not lost.done
    assert not leader.replica.is_congested
    cluster.until(lambda: lost.done)
    assert isinstance(lost.error, OutcomeUnknown)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_node_that_stood_still_hears_what_has_come_before_it_judges_the_others(who):
    """Its timers are due the moment it wakes; what the others sent meanwhile is there, but not read yet."""
    cluster = Cluster(3)
    leader, follower = cluster.leader, cluster.followers[0]
    term = leader.replica.node.term
    cluster.network.partition(*([name] for name in cluster.nodes))
    asleep = leader if who == "leader" else follower
    for node in cluster.running:
        if node is not asleep:
            node.replica.driver.stop()
    if who == "leader":
        unread = [AppendEntriesReply(node.name, leader.name, term, True) for node in cluster.followers]
    else:
        core = leader.replica.node
        last = core.last_index
        unread = [AppendEntries(leader.name, follower.name, term, last, term, last, (), 1000)]
    sent = []
    asleep.transport.send = sent.extend
    for message in unread:
        cluster.clock.callLater(1.4, asleep.replica.listener.peer_message, message)
    cluster.clock.advance(1.5)  # at once
    assert not [message for message in sent if isinstance(message, RequestVote)]
    assert (asleep.replica.node.leader_id, asleep.replica.node.term) == (leader.name, term)
    assert asleep.replica.is_leader == (who == "leader")
    cluster.advance(1.5)  # and nothing more comes
    assert not asleep.replica.is_leader
    assert asleep.replica.node.leader_id == ""

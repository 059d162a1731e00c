"""Reads that wait: batched, confirmed, applied, asked again, and never for ever."""

from twisted.internet.defer import Deferred

from leto.errors import NoQuorum, Stopping
from leto.raft.ready import ReadState
from leto.replica.deferred import DeferredRead
from leto.replica.reads import Reads


def submit(reads: Reads, now: float) -> Deferred:
    request = DeferredRead()
    (reads.gathering or reads.begin(now)).waiting.append(request)
    return request.done


def outcome(deferred: Deferred) -> list:
    results: list = []
    deferred.addBoth(results.append)
    return results


def test_all_reads_of_a_turn_share_one_context():
    reads = Reads(timeout=2.0, retry=1.0)
    first, second = outcome(submit(reads, 0.0)), outcome(submit(reads, 0.0))
    (context,) = reads.ask(0.0)
    reads.answered(ReadState(context, 5, 1234), applied=5)
    assert first == [1234] and second == [1234]
    assert not reads.batches


def test_a_confirmed_read_waits_until_its_index_is_applied():
    reads = Reads(2.0, 1.0)
    result = outcome(submit(reads, 0.0))
    (context,) = reads.ask(0.0)
    reads.answered(ReadState(context, 5, 1), applied=3)
    reads.applied(4)
    assert result == []
    reads.applied(5)
    assert result == [1]


def test_a_refused_read_is_asked_again_of_the_next_leader():
    reads = Reads(2.0, 1.0)
    result = outcome(submit(reads, 0.0))
    (context,) = reads.ask(0.0)
    reads.answered(ReadState(context, 0, 0), applied=9)
    assert not reads.wants_to_ask and reads.batches
    reads.leader_changed()
    assert reads.wants_to_ask
    (again,) = reads.ask(0.5)
    assert again != context
    reads.answered(ReadState(again, 2, 7), applied=9)
    assert result == [7]


def test_an_answer_under_an_abandoned_context_is_not_taken():
    """It could have been confirmed by a leader of before; the read was asked anew."""
    reads = Reads(2.0, 1.0)
    result = outcome(submit(reads, 0.0))
    (old,) = reads.ask(0.0)
    reads.leader_changed()
    list(reads.ask(0.1))
    reads.answered(ReadState(old, 1, 7), applied=9)
    assert result == []


def test_an_unanswered_read_is_asked_again_and_fails_at_its_deadline():
    reads = Reads(2.0, 0.5)
    result = outcome(submit(reads, 0.0))
    list(reads.ask(0.0))
    reads.tick(0.4)
    assert not reads.wants_to_ask
    reads.tick(0.6)
    assert reads.wants_to_ask
    list(reads.ask(0.6))
    reads.tick(2.1)
    assert [failure.type for failure in result] == [NoQuorum]
    assert not reads.batches


def test_a_read_without_any_leader_fails_at_its_deadline():
    reads = Reads(2.0, 0.5)
    result = outcome(submit(reads, 0.0))
    reads.tick(1.9)
    assert result == []
    reads.tick(2.0)
    assert [failure.type for failure in result] == [NoQuorum]


def test_a_confirmed_read_whose_index_never_applies_fails_too():
    reads = Reads(2.0, 0.5)
    result = outcome(submit(reads, 0.0))
    (context,) = reads.ask(0.0)
    reads.answered(ReadState(context, 99, 1), applied=3)
    reads.tick(2.0)
    assert [failure.type for failure in result] == [NoQuorum]


def test_stopping_fails_every_kind_of_waiting_read():
    reads = Reads(2.0, 0.5)
    asked = outcome(submit(reads, 0.0))
    (first,) = reads.ask(0.0)
    confirmed = outcome(submit(reads, 0.0))
    (second,) = reads.ask(0.0)
    reads.answered(ReadState(second, 99, 1), applied=0)
    gathering = outcome(submit(reads, 0.0))
    reads.fail_all(Stopping("stop"))
    for result in (asked, confirmed, gathering):
        assert [failure.type for failure in result] == [Stopping]
    assert not reads.batches and first != second


def test_reads_wait_until_they_are_answered_or_to_be_asked_again():
    reads = Reads(timeout=5.0, retry=1.0)
    for _ in range(3):
        outcome(submit(reads, 0.0))
    assert (reads.waiting, reads.asked) == (3, 0)
    (context,) = reads.ask(0.0)
    outcome(submit(reads, 0.0))
    assert (reads.waiting, reads.asked) == (4, 3)
    reads.answered(ReadState(context, 5, 1), applied=5)
    assert (reads.waiting, reads.asked) == (1, 0)
    list(reads.ask(0.0))
    reads.tick(1.5)  # no answer
    assert reads.asked == 0
    list(reads.ask(1.5))
    assert reads.asked == 1
    reads.leader_changed()
    assert reads.asked == 0
    list(reads.ask(1.5))
    reads.fail_all(Stopping("enough"))
    assert reads.waiting == 0


def test_a_read_that_was_asked_fails_at_its_deadline_also_before_it_would_be_asked_again():
    reads = Reads(timeout=0.5, retry=0.8)
    result = outcome(submit(reads, 0.0))
    list(reads.ask(0.1))
    reads.tick(0.4)
    assert result == []
    reads.tick(0.5)
    assert result[0].type is NoQuorum and not reads.batches

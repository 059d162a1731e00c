"""Writes on their way: each client gets its own replies, and every fate is told truthfully."""

import pytest
from twisted.internet.defer import Deferred

from leto.errors import LetoError, NotLeader, OutcomeUnknown, Overloaded
from leto.raft.messages import Entry
from leto.replica.deferred import DeferredWrite
from leto.replica.proposals import CONGESTED_REQUESTS, Proposals


def submit(proposals: Proposals, payload: bytes, count: int) -> Deferred:
    request = DeferredWrite(payload, count)
    proposals.submit(request)
    return request.done


def result_of(deferred: Deferred):
    results = []

    def keep(result):
        results.append(result)
        return result

    deferred.addCallbacks(keep, results.append)
    return results[0] if results else None


def error_of(deferred: Deferred) -> type[LetoError] | None:
    failure = result_of(deferred)
    return None if failure is None else failure.type


def test_one_entry_carries_many_clients_in_the_order_they_asked():
    proposals = Proposals(1000)
    first = submit(proposals, b"aa", 2)
    second = submit(proposals, b"b", 1)
    requests, count, waiting = proposals.next_batch()
    assert (requests, count) == (b"aab", 3)
    proposals.appended(7, 1, waiting)
    proposals.applied(Entry(7, 1, 1), ["r1", "r2", "r3"])
    assert result_of(first) == ["r1", "r2"]
    assert result_of(second) == ["r3"]
    assert proposals.is_empty


def test_a_batch_is_bounded_but_takes_at_least_one_run():
    proposals = Proposals(4)
    for payload in (b"xxxxxxxx", b"aa", b"bb", b"c"):
        submit(proposals, payload, 1)
    assert [proposals.next_batch()[0] for _ in range(3)] == [b"xxxxxxxx", b"aabb", b"c"]
    assert proposals.gathered_bytes == 0


def test_an_overwritten_entry_is_an_unknown_outcome_and_not_a_refusal():
    proposals = Proposals(100)
    waiter = submit(proposals, b"a", 1)
    proposals.appended(5, 2, proposals.next_batch()[2])
    proposals.applied(Entry(5, 3, 0), [])
    assert error_of(waiter) is OutcomeUnknown


def test_an_entry_below_the_own_one_resolves_nothing():
    proposals = Proposals(100)
    waiter = submit(proposals, b"a", 1)
    proposals.appended(5, 2, proposals.next_batch()[2])
    proposals.applied(Entry(4, 2, 0), [])
    assert result_of(waiter) is None
    proposals.applied(Entry(5, 2, 1), ["r"])
    assert result_of(waiter) == ["r"]


def test_what_was_only_gathered_is_refused_and_what_was_appended_is_not():
    proposals = Proposals(100)
    appended = submit(proposals, b"a", 1)
    proposals.appended(5, 2, proposals.next_batch()[2])
    gathered = submit(proposals, b"b", 1)
    proposals.refuse_gathered(NotLeader)
    assert error_of(gathered) is NotLeader
    proposals.abandon()
    assert error_of(appended) is OutcomeUnknown


def appended_at(proposals: Proposals, *places: tuple[int, int]) -> dict[tuple[int, int], Deferred]:
    """One write in an entry at each (index, term)."""
    waiters = {}
    for index, term in places:
        waiters[index, term] = submit(proposals, b"a", 1)
        proposals.appended(index, term, proposals.next_batch()[2])
    return waiters


def uncertain(waiters: dict[tuple[int, int], Deferred]) -> list[tuple[int, int]]:
    return [place for place, waiter in waiters.items() if error_of(waiter) is OutcomeUnknown]


@pytest.mark.parametrize(
    ("index", "term", "told"),
    [
        (4, 2, []),
        (10, 2, [(6, 4), (10, 2)]),
        (4, 3, [(10, 2), (11, 2)]),
        (6, 4, [(6, 4), (10, 2), (11, 2)]),
        (11, 4, [(6, 4), (10, 2), (11, 2)]),
        (5, 5, [(6, 4), (10, 2), (11, 2)]),
    ],
)
def test_a_snapshot_decides_what_it_holds_and_what_was_asked_of_earlier_leaders(index, term, told):
    proposals = Proposals(1)
    waiters = appended_at(proposals, (10, 2), (11, 2), (6, 4))
    proposals.overtaken(index, term)
    assert sorted(uncertain(waiters)) == told


@pytest.mark.parametrize(
    ("term", "told"), [(1, []), (2, [(5, 2), (6, 2)]), (3, [(5, 2), (6, 2)]), (None, [(5, 2), (6, 2), (4, 5)])]
)
def test_giving_up_what_earlier_leaders_were_asked(term, told):
    proposals = Proposals(1)
    waiters = appended_at(proposals, (5, 2), (6, 2), (4, 5))
    proposals.abandon(term)
    assert uncertain(waiters) == told
    assert proposals.waiting_requests == proposals.waiting_bytes == 3 - len(told)


def test_an_entry_of_a_later_term_decides_all_of_earlier_ones_wherever_they_were_appended():
    """A leader that lost a suffix of its log appends at lower indexes when it leads again."""
    proposals = Proposals(1)
    waiters = appended_at(proposals, (10, 2), (11, 2), (12, 2), (11, 4), (12, 4))
    proposals.applied(Entry(9, 4, 0), [])
    assert uncertain(waiters) == [(10, 2), (11, 2), (12, 2)]
    proposals.applied(Entry(10, 4, 0), [])
    proposals.applied(Entry(11, 4, 1), ["first"])
    proposals.applied(Entry(12, 4, 1), ["second"])
    assert [result_of(waiters[place]) for place in ((11, 4), (12, 4))] == [["first"], ["second"]]
    assert proposals.is_empty and proposals.waiting_requests == 0


def test_what_waits_is_counted_until_its_fate_is_told_whatever_that_is():
    proposals = Proposals(10)
    waiters = [submit(proposals, b"abcd", 2) for _ in range(6)]
    assert (proposals.waiting_requests, proposals.waiting_bytes) == (12, 24)
    for index in (1, 2):
        proposals.appended(index, 1, proposals.next_batch()[2])  # two runs each
    proposals.applied(Entry(1, 1, 1, b"however the entry holds them"), ["r"] * 4)
    assert (proposals.waiting_requests, proposals.waiting_bytes) == (8, 16)
    proposals.applied(Entry(2, 2, 0), [])  # overwritten
    assert (proposals.waiting_requests, proposals.waiting_bytes) == (4, 8)
    proposals.refuse(proposals.next_batch()[2], lambda: Overloaded("too much"))
    waiters.append(submit(proposals, b"x", 1))
    proposals.refuse_gathered(NotLeader)
    waiters.append(submit(proposals, b"y", 1))
    proposals.appended(3, 2, proposals.next_batch()[2])
    proposals.abandon()
    assert (proposals.waiting_requests, proposals.waiting_bytes) == (0, 0)
    told = [error_of(waiter) for waiter in waiters[2:]]
    assert told == [OutcomeUnknown, OutcomeUnknown, Overloaded, Overloaded, NotLeader, OutcomeUnknown]


def test_it_is_congested_while_too_many_requests_or_bytes_wait():
    proposals = Proposals(1 << 20, congested_bytes=100)
    waiters = [submit(proposals, b"a", CONGESTED_REQUESTS)]
    assert not proposals.is_congested
    waiters.append(submit(proposals, b"a", 1))
    assert proposals.is_congested
    proposals.refuse_gathered(NotLeader)
    assert not proposals.is_congested
    waiters.append(submit(proposals, b"a" * 101, 1))
    assert proposals.is_congested
    assert [error_of(waiter) for waiter in waiters] == [NotLeader, NotLeader, None]

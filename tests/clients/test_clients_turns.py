"""Reads are evaluated in slices: however many are due at once, the others have their turn in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.task import Clock

from leto.clients.turns import SLICE_SECONDS, Turns
from leto.reactor.stalls import StallMeter
from tests.clients.conversation import Node


class NextTurn:
    """A reactor whose next turn comes when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def callLater(self, delay: float, function: Callable[[], None]) -> object:
        assert delay == 0
        self.calls.append(function)
        return function

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for function in calls:
            function()


def test_many_clients_reads_confirmed_at_once_are_evaluated_over_several_turns() -> None:
    node, reactor = Node(), NextTurn()
    node.state.turns = Turns(reactor, StallMeter())
    node.replica.hold_reads = True
    clients = [node.client() for _ in range(10)]
    served: list[int] = []

    def slow_query(number: int) -> Callable[[Sequence[bytes], int], Any]:
        def query(argv: Sequence[bytes], clock_ms: int) -> Any:
            node.clock.rightNow += SLICE_SECONDS / 3  # it takes its time, in which nobody else runs
            served.append(number)
            return None

        return query

    for number, client in enumerate(clients):
        client.session.queue.query = slow_query(number)
        client.send(b"GET a\r\nGET a\r\n")
    node.replica.release_reads()
    assert served == [0, 0, 1, 1]  # and that is a slice
    late = node.client()
    late.send(b"GET a\r\n")
    node.replica.release_reads()
    assert served == [0, 0, 1, 1]
    for turn in range(1, 5):
        reactor.turn()
        assert served == [number for number in range(2 * turn + 2) for _ in range(2)]  # those left come first
    assert late.hear() == b""
    reactor.turn()
    assert late.hear() == b"$-1\r\n"
    assert [client.hear() for client in clients] == [b"$-1\r\n$-1\r\n"] * 10
    assert reactor.calls == []


def test_closing_leaves_no_timer() -> None:
    clock = Clock()
    turns = Turns(clock, StallMeter())
    turns.spent(SLICE_SECONDS / 2)
    assert not turns.is_over
    turns.spent(SLICE_SECONDS)
    assert turns.is_over
    assert len(clock.getDelayedCalls()) == 1
    turns.close()
    assert clock.getDelayedCalls() == []

"""The ports take a bounded number in each turn, leave descriptors to others, and do not spin when there are none."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from leto.reactor import descriptors
from leto.reactor.accepting import ACCEPTS, SLICE_SECONDS, SlicedPort


class FakeReactor(Clock):
    """Takes readers and does not watch them: the test says when the port is readable."""

    def addReader(self, reader: Any) -> None: ...

    def removeReader(self, reader: Any) -> None: ...

    removeWriter = addReader


class Counting(Factory):
    """Counts what it was asked for; each protocol takes `cost` seconds of the clock to make."""

    noisy = False

    def __init__(self, clock: Clock, cost: float = 0.0) -> None:
        self.clock = clock
        self.cost = cost
        self.protocols: list[Protocol] = []

    def buildProtocol(self, addr: Any) -> Protocol:
        self.clock.rightNow += self.cost
        self.protocols.append(Protocol())
        return self.protocols[-1]

    def full(self) -> bytes:
        return b"-ERR full\r\n"


class Door:
    """One port, and whoever knocks."""

    def __init__(self, cost: float = 0.0, **options: Any) -> None:
        self.reactor = FakeReactor()
        self.factory = Counting(self.reactor, cost)
        self.bound = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.bound.setblocking(False)
        self.port = SlicedPort.adopt(self.reactor, self.bound, self.factory, **options)
        self.callers: list[socket.socket] = []

    def knock(self, count: int) -> None:
        self.callers += [socket.create_connection(self.bound.getsockname(), timeout=5) for _ in range(count)]

    def close(self) -> None:
        for protocol in self.factory.protocols:
            protocol.transport.getHandle().close()
        for caller in self.callers:
            caller.close()
        self.port.loseConnection()
        self.reactor.advance(0)
        self.bound.close()


@pytest.fixture
def doors() -> Iterator[list[Door]]:
    made: list[Door] = []
    yield made
    for door in made:
        door.close()


def test_a_turn_takes_a_slice_and_the_next_turns_the_rest(doors: list[Door]) -> None:
    doors.append(door := Door())
    door.knock(3 * ACCEPTS)
    taken = [door.port.take() for _ in range(4)]
    assert taken == [ACCEPTS, ACCEPTS, ACCEPTS, 0]
    assert len(door.factory.protocols) == 3 * ACCEPTS


def test_a_slice_ends_when_it_takes_long(doors: list[Door]) -> None:
    doors.append(door := Door(cost=SLICE_SECONDS / 4))
    door.knock(20)
    assert door.port.take() == 5


def test_a_more_important_port_has_its_slice_first(doors: list[Door]) -> None:
    doors.append(peers := Door())
    doors.append(clients := Door(before=peers.port.take))
    clients.knock(1)
    peers.knock(2)
    clients.port.doRead()
    assert len(peers.factory.protocols) == 2
    assert len(clients.factory.protocols) == 1


def test_connections_leave_the_descriptors_that_files_need(doors: list[Door], monkeypatch: pytest.MonkeyPatch) -> None:
    doors.append(door := Door(spare=10))
    door.knock(8)
    with open(os.devnull) as probe:
        free = probe.fileno()
    monkeypatch.setattr(descriptors, "limit", lambda: free + 5 + 10)  # room for five, and ten to be left
    assert door.port.take() == 8
    assert len(door.factory.protocols) == 5
    for late in door.callers[5:]:
        assert late.recv(100) == b"-ERR full\r\n"
        assert late.recv(100) == b""


def test_without_any_descriptor_newcomers_are_closed_and_the_queue_empties(doors: list[Door]) -> None:
    doors.append(door := Door())
    door.knock(4)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        probe = held.enter_context(open(os.devnull))
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno() + 1, before[1]))
        with contextlib.suppress(OSError):
            while True:
                held.enter_context(open(os.devnull))  # until not one is left
        for _ in range(4):
            assert door.port.take() == 0
    assert [caller.recv(100) for caller in door.callers] == [b"-ERR full\r\n"] * 4
    door.knock(1)
    assert door.port.take() == 1  # and then it takes them again


def test_one_that_fails_does_not_cost_the_others(doors: list[Door], monkeypatch: pytest.MonkeyPatch) -> None:
    doors.append(door := Door())
    door.knock(3)
    build = door.factory.buildProtocol

    def fails_once(addr: Any) -> Protocol:
        monkeypatch.setattr(door.factory, "buildProtocol", build)
        raise ValueError("a fault of ours")

    monkeypatch.setattr(door.factory, "buildProtocol", fails_once)
    assert door.port.take() == 3
    assert len(door.factory.protocols) == 2

"""Clients' sockets are read in slices, in turns, and not at all while the node is congested."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from leto.clients.readers import (
    LEAST_BYTES,
    MOST_BYTES,
    QUICK_SECONDS,
    REST_SECONDS,
    ROUND_BYTES,
    SLICE_SECONDS,
    ClientReaders,
)
from leto.reactor.sockets import SocketReaders


class Reactor(Clock):
    """What a reactor knows of readers, and the time."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def removeWriter(self, writer: Any) -> None:
        pass


class Client:
    """A transport and its protocol, as far as reading goes."""

    def __init__(self, readers: ClientReaders, reactor: Reactor, cost: float = 0.0) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.socket, self.protocol = self.ours, self
        self.readers, self.reactor, self.cost = readers, reactor, cost
        self.heard: list[bytes] = []
        self.lost: list[Any] = []
        self.then: Callable[[], object] = lambda: None
        readers.addReader(self)

    def fileno(self) -> int:
        return self.ours.fileno()

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)
        self.then()
        self.reactor.advance(self.cost)

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason.type)
        self.readers.removeReader(self)

    def close(self) -> None:
        self.readers.removeReader(self)
        self.ours.close()
        self.theirs.close()


class Place:
    def __init__(self) -> None:
        self.reactor = Reactor()
        self.sockets = SocketReaders(self.reactor)
        self.congested = False
        self.readers = ClientReaders(self.sockets, lambda: self.congested)
        self.clients: list[Client] = []

    def client(self, cost: float = 0.0) -> Client:
        self.clients.append(Client(self.readers, self.reactor, cost))
        return self.clients[-1]


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    for client in place.clients:
        client.close()
    assert (place.reactor.readers, place.reactor.getDelayedCalls()) == ([], [])  # nothing stays behind


def test_the_others_have_their_turn_after_a_slice_and_those_left_come_first(place: Place) -> None:
    clients = [place.client(cost=SLICE_SECONDS / 1.5) for _ in range(3)]
    for client in clients:
        client.theirs.send(b"x" * 3 * MOST_BYTES)
    place.sockets.doRead()
    assert sorted(len(client.heard) for client in clients) == [0, 1, 1]
    place.sockets.doRead()
    assert min(len(client.heard) for client in clients) == 1  # whoever was left was first
    assert place.reactor.readers == [place.sockets]


def test_a_peer_is_served_in_every_turn_however_many_clients_there_are(place: Place) -> None:
    clients = [place.client(cost=SLICE_SECONDS * 2) for _ in range(5)]
    ours, theirs = socket.socketpair()
    peers: list[bytes] = []
    place.sockets.watch(ours.fileno(), lambda: peers.append(ours.recv(1)))
    theirs.send(b"123")
    for client in clients:
        client.theirs.send(b"x")
    for turn in range(1, 4):
        place.sockets.doRead()
        assert len(peers) == turn
        assert sum(len(client.heard) for client in clients) == turn
    place.sockets.unwatch(ours.fileno())
    ours.close()
    theirs.close()


def test_the_more_clients_have_something_the_less_is_read_from_each(place: Place) -> None:
    clients = [place.client() for _ in range(40)]
    for client in clients:
        client.theirs.send(b"x" * MOST_BYTES)
    place.readers.doRead()
    assert {len(client.heard[0]) for client in clients} == {ROUND_BYTES // 40}
    for client in clients[1:]:
        client.close()
    clients[0].theirs.send(b"y" * MOST_BYTES)
    place.readers.doRead()
    assert len(clients[0].heard[1]) == MOST_BYTES
    assert LEAST_BYTES < ROUND_BYTES // 40 < MOST_BYTES


def test_what_has_come_is_taken_in_one_piece_whatever_came_before(place: Place) -> None:
    client = place.client()
    sizes = [1, 478, 479, 480, 5000, 1, 479, *[1] * 20, 5000, MOST_BYTES]
    for size in sizes:
        client.theirs.send(b"x" * size)
        place.sockets.doRead()
    assert [len(data) for data in client.heard] == sizes


def test_an_end_behind_what_was_sent_is_seen_after_it(place: Place) -> None:
    for size in (1, 479, 480, 5000):
        client = place.client()
        client.theirs.send(b"x" * size)
        client.theirs.shutdown(socket.SHUT_WR)
        place.sockets.doRead()
        place.sockets.doRead()
        assert ([len(data) for data in client.heard], client.lost) == ([size], [ConnectionDone])


def test_congestion_is_looked_for_between_clients_and_seldom_where_they_send_little(place: Place) -> None:
    looks: list[int] = []
    readers = ClientReaders(place.sockets, lambda: looks.append(1) is not None)
    clients = [Client(readers, place.reactor) for _ in range(40)]
    for cost, most in ((QUICK_SECONDS / 40, 8), (QUICK_SECONDS * 1.01, 40)):
        looks.clear()
        for client in clients:
            client.cost = cost
            client.theirs.send(b"x")
        while sum(len(client.heard) for client in clients) < 40:
            readers.doRead()
        assert most / 4 < len(looks) <= most
        for client in clients:
            client.heard.clear()
    for client in clients:
        client.close()


def test_while_the_node_is_congested_nobody_is_read_from(place: Place) -> None:
    place.congested = True
    client = place.client()
    client.theirs.send(b"x")
    place.sockets.doRead()
    assert (client.heard, place.reactor.readers) == ([], [])
    place.reactor.advance(REST_SECONDS)
    assert place.reactor.readers == []
    other = place.client()  # one that comes meanwhile waits like the rest
    assert place.reactor.readers == []
    place.congested = False
    place.reactor.advance(REST_SECONDS)
    assert place.reactor.readers == [place.sockets]
    place.sockets.doRead()
    assert (client.heard, other.heard) == ([b"x"], [])
    place.congested = True
    client.theirs.send(b"y")
    place.sockets.doRead()
    assert client.heard == [b"x"]


def test_one_that_ends_before_its_turn_is_left_out(place: Place) -> None:
    clients = [place.client(cost=SLICE_SECONDS * 2) for _ in range(3)]
    for client in clients:
        client.theirs.send(b"x")
    place.sockets.doRead()
    gone = next(client for client in clients if not client.heard)
    place.readers.removeReader(gone)
    for _ in range(5):
        place.sockets.doRead()
    assert sorted(len(client.heard) for client in clients) == [0, 1, 1]
    place.readers.addReader(gone)
    place.sockets.doRead()
    assert gone.heard == [b"x"]


def test_the_reactors_end_ends_clients_too(place: Place) -> None:
    clients = [place.client(), place.client()]
    place.sockets.connectionLost(Failure(ConnectionLost()))
    assert [client.lost for client in clients] == [[ConnectionLost]] * 2


def test_timers_come_before_what_is_due_behind_a_request_that_took_long(place: Place) -> None:
    """A heartbeat that fell due while a large request was taken in leaves before the work that the request makes."""
    done: list[str] = []
    slow, quick = place.client(cost=SLICE_SECONDS * 50), place.client()
    for client, name in ((slow, "slow"), (quick, "quick")):
        client.then = lambda name=name: place.sockets.soon(lambda: done.append(name))
    quick.theirs.send(b"x")
    place.sockets.doRead()
    assert done == ["quick"]
    slow.theirs.send(b"x")
    place.sockets.doRead()
    assert done == ["quick"]
    place.reactor.advance(0)
    assert done == ["quick", "slow"]

"""The client port on real sockets: the direct transport, slow readers, closing, TLS, file descriptors."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable

import pytest
import pytest_twisted
import txredisapi
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from leto.clients.flow import UNREAD_BYTES
from leto.clients.output import PIECE, BufferedOutput, SocketOutput
from leto.clients.protocol import RespFactory
from leto.commands import CONNECTION
from leto.config import Config
from leto.keyspace.machine import Machine
from leto.reactor.sockets import SocketReaders
from leto.twins.replica import LoneReplica
from tests.clients.processes_of_resp import lone_node


class Listener(Protocol):
    """A client made of Twisted: what it heard, and whether it was closed."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.closed: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: object = None) -> None:
        self.closed.callback(None)


class Place:
    """A factory on a loopback port."""

    def __init__(self) -> None:
        self.replica = LoneReplica(Machine(random=lambda: 0.5))
        self.config = Config(id="lone")
        self.factory = RespFactory(
            self.replica,
            self.config,
            reactor,
            commands=CONNECTION,
            shutdown=lambda: None,
            readers=SocketReaders(reactor),
        )
        self.port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.clients: list[Listener] = []

    async def connect(self) -> Listener:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port)
        client = await endpoint.connect(Factory.forProtocol(Listener))
        self.clients.append(client)
        await until(lambda: len(self.factory.state.clients) == len(self.clients), "the session")
        return client

    async def stop(self) -> None:
        await self.port.stopListening()
        self.factory.close()
        for client in self.clients:
            client.transport.abortConnection()
            await client.closed
        await until(lambda: not self.factory.state.clients, "closed sessions")


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await deferLater(reactor, 0.005)


@pytest_twisted.async_yield_fixture
async def place():
    place = Place()
    yield place
    await place.stop()


@pytest_twisted.ensureDeferred
async def test_replies_of_any_size_arrive_whole_and_in_order(place) -> None:
    client = await place.connect()
    (session,) = place.factory.state.clients
    assert type(session.output) is SocketOutput
    sizes = [0, 1, 1000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5 << 20]
    expected = b""
    for number, size in enumerate(sizes):
        value = bytes([65 + number]) * size
        client.transport.write(
            b"*3\r\n$3\r\nSET\r\n$1\r\n%d\r\n$%d\r\n%b\r\nGET %d\r\nPING\r\n" % (number, size, value, number)
        )
        expected += b"+OK\r\n$%d\r\n%b\r\n+PONG\r\n" % (size, value)
    await until(lambda: len(client.heard) >= len(expected), "all replies")
    assert client.heard == expected


@pytest_twisted.ensureDeferred
async def test_a_reader_that_stops_is_bounded_and_gets_everything_when_it_goes_on(place) -> None:
    client = await place.connect()
    (session,) = place.factory.state.clients
    place.replica.write(b"*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$200000\r\n" + b"v" * 200_000 + b"\r\n", 1)
    client.transport.pauseProducing()
    client.transport.write(b"GET v\r\n" * 200 + b"QUIT\r\n")
    await until(lambda: session.queue.is_full, "a full output")
    await deferLater(reactor, 0.05)
    assert session.output.unsent < UNREAD_BYTES + 200_000 + PIECE
    client.transport.resumeProducing()
    await client.closed
    assert client.heard == (b"$200000\r\n" + b"v" * 200_000 + b"\r\n") * 200 + b"+OK\r\n"


@pytest_twisted.ensureDeferred
async def test_closing_sends_what_was_answered_first(place) -> None:
    client = await place.connect()
    place.replica.write(b"*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$9000000\r\n" + b"v" * 9_000_000 + b"\r\n", 1)
    client.transport.write(b"GET v\r\n*x\r\n")
    await client.closed
    assert client.heard == b"$9000000\r\n" + b"v" * 9_000_000 + b"\r\n-ERR Protocol error: invalid multibulk length\r\n"


@pytest_twisted.ensureDeferred
async def test_a_killed_client_that_never_reads_is_gone_at_once(place) -> None:
    victim = await place.connect()
    (session,) = place.factory.state.clients
    place.replica.write(b"*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$9000000\r\n" + b"v" * 9_000_000 + b"\r\n", 1)
    victim.transport.pauseProducing()
    victim.transport.write(b"GET v\r\n" * 3)
    await until(lambda: session.output.unsent, "bytes that wait")
    admin = await place.connect()
    admin.transport.write(b"CLIENT KILL ID %d\r\n" % session.identity.id)
    await until(lambda: admin.heard == b":1\r\n", "the answer")
    await until(lambda: session.closed, "the end of the session")
    assert session.output.unsent == 0
    victim.transport.resumeProducing()
    await victim.closed


@pytest_twisted.ensureDeferred
async def test_a_client_that_goes_away_in_the_middle_of_its_reply(place) -> None:
    client = await place.connect()
    (session,) = place.factory.state.clients
    place.replica.write(b"*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$9000000\r\n" + b"v" * 9_000_000 + b"\r\n", 1)
    client.transport.pauseProducing()
    client.transport.write(b"GET v\r\n" * 3)
    await until(lambda: session.output.unsent, "bytes that wait")
    client.transport.abortConnection()
    await until(lambda: session.closed, "the end of the session")
    assert not place.factory.state.clients


@pytest_twisted.ensureDeferred
async def test_half_a_connection_is_enough_for_the_answer(place) -> None:
    place.replica.hold_writes = True
    client = await place.connect()
    (session,) = place.factory.state.clients
    client.transport.write(b"SET a 1\r\n")
    client.transport.loseWriteConnection()
    await until(lambda: session.queue.half_closed, "the end of input")
    await until(lambda: place.replica.held_writes, "the write")
    place.replica.release_writes()
    await client.closed
    assert client.heard == b"+OK\r\n"


@pytest_twisted.ensureDeferred
async def test_txredisapi(place) -> None:
    host, port = "127.0.0.1", place.port.getHost().port
    client = await txredisapi.Connection(host, port, reconnect=False)
    try:
        assert await client.set("a", "1") == "OK"
        assert await client.get("a") == 1
        assert await client.incr("a") == 2
        assert await client.delete(["a", "b"]) == 1
        assert await client.ping() == "PONG"
        transaction = await client.multi("k")
        await transaction.set("k", "v")
        assert await transaction.commit() == ["OK"]
        pipeline = await client.pipeline()
        pipeline.set("p", "q")
        pipeline.get("p")
        assert await pipeline.execute_pipeline() == ["OK", "q"]
        place.replica.is_leader = False
        with pytest.raises(txredisapi.ResponseError, match="^not leader$"):
            await client.set("a", "1")
    finally:
        await client.disconnect()
    await until(lambda: not place.factory.state.clients, "the end of the session")


class FullTransport:
    """A transport without a socket that takes so many bytes before it wants a pause."""

    def __init__(self) -> None:
        self.taken = b""
        self.room = 0
        self.producer: BufferedOutput | None = None
        self.lost = False

    def registerProducer(self, producer: BufferedOutput, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        assert not self.lost
        self.taken += data
        self.room -= len(data)
        if self.room <= 0 and self.producer is not None:
            self.producer.pauseProducing()

    def loseConnection(self) -> None:
        self.lost = True


def test_other_transports_are_served_as_they_ask() -> None:
    transport = FullTransport()
    drained = []
    output = BufferedOutput(transport, lambda: drained.append(True))
    transport.room = 10
    output.write(b"a" * 20)
    output.write(b"b" * (2 * PIECE))
    assert (len(transport.taken), output.unsent) == (20, 2 * PIECE)
    output.write(b"c")
    output.close()
    assert not transport.lost
    for _ in range(5):
        if transport.producer is None:
            break
        transport.room = 1
        transport.producer.resumeProducing()
    assert transport.taken == b"a" * 20 + b"b" * (2 * PIECE) + b"c"
    assert transport.lost
    assert output.unsent == 0
    assert not drained


def test_accepting_goes_on_when_file_descriptors_run_out() -> None:
    with lone_node("files=64") as (port, pid), contextlib.ExitStack() as stack:
        kept = []
        for _ in range(120):
            wire = socket.create_connection(("127.0.0.1", port), timeout=10)
            stack.callback(wire.close)
            kept.append(wire)
        served = []
        for wire in kept:
            wire.settimeout(0.2)
            with contextlib.suppress(OSError):
                wire.sendall(b"PING\r\n")
                if wire.recv(100) == b"+PONG\r\n":
                    served.append(wire)
        assert 20 < len(served) < 64
        for wire in kept:
            wire.close()
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as wire:
                wire.sendall(b"PING\r\n")
                if wire.recv(100) == b"+PONG\r\n":
                    break
            assert time.monotonic() < deadline
        assert cpu_seconds(pid) < 10


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

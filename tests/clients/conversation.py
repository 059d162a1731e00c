"""A client of one node in memory: say bytes, hear replies. The node is a LoneReplica over the real Machine."""

from __future__ import annotations

from typing import Any

import hiredis
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from leto.clients.protocol import RespFactory
from leto.commands import CONNECTION
from leto.config import Config
from leto.keyspace.machine import Machine
from leto.resp.codec import pack
from leto.twins.replica import LoneReplica
from leto.vocabulary.registry import Registry

LOOPBACK = IPv4Address("TCP", "127.0.0.1", 50000)
WALL = 1_700_000_000.25


class Wire(StringTransport):
    """A transport that also remembers how it was closed and in how many writes it was used."""

    def __init__(self, peer: Any = LOOPBACK) -> None:
        super().__init__(hostAddress=IPv4Address("TCP", "127.0.0.1", 5379), peerAddress=peer)
        self.writes = 0
        self.aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    def write(self, data: bytes) -> None:
        self.writes += 1
        super().write(data)


class Node:
    """The shared side: replica, factory, clock."""

    def __init__(self, *, commands: Registry = CONNECTION, **config: Any) -> None:
        self.clock = Clock()
        self.shutdowns = 0
        self.replica = LoneReplica(Machine(random=lambda: 0.5), seconds=self.clock.seconds)
        self.factory = RespFactory(
            self.replica,
            Config(id="lone", **config),
            self.clock,
            commands=commands,
            shutdown=self._shut,
            wall_clock=lambda: WALL + self.clock.seconds(),
        )
        self.state = self.factory.state

    def _shut(self) -> None:
        self.shutdowns += 1

    def client(self, peer: Any = LOOPBACK) -> Client:
        return Client(self, peer)


class Client:
    """One connection."""

    def __init__(self, node: Node, peer: Any = LOOPBACK) -> None:
        self.node = node
        self.protocol = node.factory.buildProtocol(peer)
        self.wire = Wire(peer)
        self.protocol.makeConnection(self.wire)

    @property
    def session(self) -> Any:
        return self.protocol.session

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def hear(self) -> bytes:
        """What was answered since the last time, as bytes, at the end of this reactor turn."""
        self.node.clock.advance(0)
        heard = self.wire.value()
        self.wire.clear()
        return heard

    def say(self, data: bytes) -> bytes:
        self.send(data)
        return self.hear()

    def call(self, *words: bytes | str | int) -> Any:
        """One command's reply as hiredis reads it (an error as its ReplyError)."""
        replies = self.pipeline(words)
        assert len(replies) == 1, replies
        return replies[0]

    def pipeline(self, *commands: tuple[bytes | str | int, ...]) -> list[Any]:
        """Several commands in one chunk, and their replies."""
        encoded = [tuple(word if isinstance(word, bytes) else str(word).encode() for word in c) for c in commands]
        return parse(self.say(b"".join(map(pack, encoded))))

    @property
    def is_closed(self) -> bool:
        return self.wire.disconnecting or self.wire.aborted

    def lose(self) -> None:
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.protocol.connectionLost(Failure(ConnectionDone()))


def parse(data: bytes) -> list[Any]:
    """All replies in `data`, which must end with one."""
    reader = hiredis.Reader()
    reader.feed(data)
    replies = []
    while (reply := reader.gets()) is not False:
        replies.append(reply)
    assert not reader.has_data(), data
    return replies


def error(reply: Any) -> str:
    """The words of an error reply."""
    assert isinstance(reply, hiredis.ReplyError), reply
    return str(reply)

"""What clients hear while the node waits for a cluster to take it: it has no data yet, and says so."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

# Redis clients know LOADING: they wait and try again. The name helps where two nodes wait for each other.
_ANSWER = "-LOADING {}\r\n"


class WaitingProtocol(Protocol):
    """Answers whatever comes first, and closes."""

    transport: Any

    def __init__(self, connections: set[WaitingProtocol], answer: bytes) -> None:
        self._connections = connections
        self._answer = answer

    def connectionMade(self) -> None:
        self._connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self._answer)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connections.discard(self)


class WaitingFactory(Factory):
    """Serves the client port until the node has joined."""

    noisy = False

    def __init__(self) -> None:
        self._connections: set[WaitingProtocol] = set()
        self._answer = b"-LOADING\r\n"

    def announce(self, waiting: object) -> None:
        """What this node is, in words, until something else is announced."""
        self._answer = _ANSWER.format(waiting).encode()

    def buildProtocol(self, addr: Any) -> WaitingProtocol:
        return WaitingProtocol(self._connections, self._answer)

    def close(self) -> None:
        """The node has joined, or stops: those still connected come again."""
        for connection in tuple(self._connections):
            connection.transport.loseConnection()

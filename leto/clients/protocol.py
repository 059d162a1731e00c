"""The client port: Twisted's protocol and factory around leto.clients.session.

When a client is read from is leto.clients.flow's; while too many writes of all clients wait, none is
(leto.clients.readers).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from leto.clients.idle import probe_when_silent
from leto.clients.output import SocketOutput, output_for
from leto.clients.session import Session
from leto.clients.state import ServerState
from leto.config import Config
from leto.interfaces.replica import Replica
from leto.reactor.sockets import SocketReaders
from leto.reactor.stalls import StallMeter
from leto.vocabulary.registry import Registry

TOO_MANY = b"-ERR max number of clients reached\r\n"
PROTECTED = (
    b"-DENIED Leto is running in protected mode because protected mode is enabled and no password is set. "
    b"In this mode connections are only accepted from the loopback interface. If you want to connect from "
    b"external computers to Leto you may adopt one of the following solutions: "
    b"1) Set a password: start the node with --requirepass-file and the name of a file that holds it. "
    b"2) Disable protected mode by starting the node with --protected-mode no; make sure that its ports are not "
    b"reachable from the Internet. "
    b"3) If you just want to try it, connect from the same host, through the loopback interface. "
    b"NOTE: You only need to do one of the above things in order for the node to start accepting connections from "
    b"the outside.\r\n"
)


@implementer(IHalfCloseableProtocol)
class RespProtocol(Protocol):
    """One client's connection."""

    session: Session
    transport: Any

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def connectionMade(self) -> None:
        transport = self.transport
        output = output_for(transport, self._drained)
        session = self.session = Session(self._state, output, self._set_reading)
        identity = session.identity
        peer, local = transport.getPeer(), transport.getHost()
        identity.peer, identity.peer_host = _text(peer), getattr(peer, "host", "")
        identity.local, identity.local_host = _text(local), getattr(local, "host", "")
        if isinstance(local, IPv4Address | IPv6Address) and hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
            probe_when_silent(transport.getHandle(), self._state.settings.tcp_keepalive)
        if hasattr(transport, "fileno"):
            identity.descriptor = transport.fileno()
        self.dataReceived = session.receive  # type: ignore[method-assign]
        if self._state.readers is not None and isinstance(output, SocketOutput):
            self._state.readers.adopt(transport)
        self._state.clients.welcome(session)

    def _drained(self) -> None:
        self.session.queue.drained()

    def _set_reading(self, wanted: bool) -> None:
        if wanted:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        self.session.end_of_input()

    def writeConnectionLost(self) -> None:
        self.session.kill()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.session.lost()
        self._state.guard.gone(self.session.identity.id)
        # Nothing that holds itself stays behind: what thousands of connections took is free at once, not at a
        # collection that keeps the node from its peers.
        self.__dict__.pop("dataReceived", None)


class Refusal(Protocol):
    """Says why the connection is not taken, and closes it."""

    transport: Any

    def __init__(self, words: bytes) -> None:
        self._words = words

    def connectionMade(self) -> None:
        self.transport.write(self._words)
        self.transport.loseConnection()


class RespFactory(Factory):
    """Serves the client port. `shutdown` ends the node (SHUTDOWN); `wall_clock` gives seconds since the epoch;
    `commands` are those beside the keyspace's
    (leto.commands.CONNECTION); `readers` take plain sockets over from the reactor; `meter` is what INFO stalls and
    LATENCY tell of."""

    noisy = False
    log = Logger()

    def __init__(
        self,
        replica: Replica,
        config: Config,
        reactor: Any,
        *,
        commands: Registry,
        shutdown: Callable[[], None],
        wall_clock: Callable[[], float] = time.time,
        readers: SocketReaders | None = None,
        meter: StallMeter | None = None,
    ) -> None:
        self.state = ServerState(replica, config, reactor, commands, shutdown, wall_clock, readers, meter)

    def buildProtocol(self, addr: Any) -> Protocol:
        state = self.state
        state.counters.connections += 1
        if len(state.clients) >= state.settings.maxclients:
            state.counters.rejected_connections += 1
            return Refusal(TOO_MANY)
        if state.settings.protected_mode and state.settings.password is None and not is_loopback(addr):
            state.counters.refused_unprotected += 1
            return Refusal(PROTECTED)
        return RespProtocol(state)

    def full(self) -> bytes:
        """A connection is closed since there is no descriptor for it: what it is told."""
        self.state.counters.connections += 1
        self.state.counters.rejected_connections += 1
        return TOO_MANY

    @property
    def unanswered(self) -> int:
        """How many clients wait for a reply."""
        return sum(session.unanswered for session in self.state.clients)

    def close(self) -> None:
        """Close every connection, once what is written is sent; no timer stays behind."""
        self.state.close()
        for session in self.state.clients:
            session.close()

    @property
    def counters(self) -> Mapping[str, int]:
        """What was counted since the start (or CONFIG RESETSTAT), by name."""
        state = self.state
        return {
            "connections": state.counters.connections,
            "rejected_connections": state.counters.rejected_connections,
            "refused_unprotected_connections": state.counters.refused_unprotected,
            "commands": state.counters.commands,
            "received_bytes": state.counters.input_bytes,
            "sent_bytes": state.counters.output_bytes,
            "protocol_errors": state.counters.protocol_errors,
            "output_overruns": state.counters.output_overruns,
            "query_buffer_overruns": state.counters.query_overruns,
            "evicted_clients": state.memory.evicted,
            "authentication_failures": state.counters.authentication_failures,
            "error_replies": sum(state.counters.errors.values()),
        }

    @property
    def connected(self) -> int:
        """Clients connected now."""
        return len(self.state.clients)

    @property
    def command_calls(self) -> Mapping[bytes, int]:
        """Calls of each command that was called, by its full name."""
        return {known.full_name.encode(): known.calls for known in self.state.table.all() if known.calls}


def is_loopback(addr: Any) -> bool:
    """Whether a connection from there cannot come from another host."""
    if isinstance(addr, IPv4Address | IPv6Address):
        address = ip_address(addr.host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return bool((mapped or address).is_loopback)
    return isinstance(addr, UNIXAddress)


def _text(addr: Any) -> str:
    if isinstance(addr, IPv4Address):
        return f"{addr.host}:{addr.port}"
    if isinstance(addr, IPv6Address):
        return f"[{addr.host}]:{addr.port}"
    return f"{getattr(addr, 'name', None) or ''}:0"

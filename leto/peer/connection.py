"""What both ends of a connection between two nodes share, over Twisted: frames in, lanes out, silence noticed.

Bytes that are no message of the protocol close the connection with one log line and change nothing else. What each
end says is in leto.peer.dialled and leto.peer.accepted.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from leto.errors import ProtocolError
from leto.interfaces.transport import PeerListener
from leto.peer.frames import Assembler, FrameReader, Kind
from leto.peer.greetings import Hello, Refusal, Vouch, Vouched
from leto.peer.handshake import Session
from leto.peer.lanes import Lanes
from leto.reactor.sockets import SocketReaders, is_plain

BURST_BYTES: Final = 256 * 1024  # what is handed to the kernel at once
_BURSTS_A_TURN: Final = 4
_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_DEAD_TICKS: Final = 6  # silent ticks (of half an election timeout) after which a connection is dead
_QUIET_TICKS: Final = 3  # silent ticks up to which a connection counts as alive


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection, in bytes; `user_timeout` in seconds."""

    queue_bytes: int
    max_message_bytes: int
    user_timeout: float


class Owner(Protocol):
    """What a connection tells the transport that it belongs to."""

    listener: PeerListener | None
    readers: SocketReaders | None  # take plain sockets over from the reactor

    def accepted(self, connection: Any) -> None: ...

    def greeted(self, connection: Any) -> None: ...

    def dialled(self, connection: Any) -> None: ...

    def vouch(self, question: Vouch) -> Vouched: ...

    def confirm(self, connection: Any, hello: Hello) -> Deferred[str]: ...

    def established(self, connection: Any, session: Session) -> None: ...

    def refused(self, connection: Any, refusal: Refusal) -> None: ...

    def broken(self, connection: Any, error: ProtocolError) -> None: ...

    def oversized(self, connection: Any, size: int) -> None: ...

    def closed(self, connection: Any) -> None: ...

    def failed(self, connection: Any, failure: Failure) -> None: ...


class PeerConnection(TwistedProtocol):
    """One end of a connection."""

    transport: Any

    def __init__(self, owner: Owner, limits: Limits) -> None:
        self.owner = owner
        self.session: Session | None = None
        self.opened_at = 0.0
        self.remote = "nowhere"  # host:port, for log lines
        self.remote_host = ""
        self._limits = limits
        self._reader = FrameReader()
        self._assembler = Assembler(limits.max_message_bytes)
        self._lanes = Lanes(limits.queue_bytes)
        self._socket: socket.socket | None = None  # to send at once, where the transport is plain TCP
        self._busy = False  # the transport still has bytes of ours: wait for resumeProducing
        self._closing = False
        self._heard = self._spoke = True
        self._silent_ticks = 0

    # Twisted's side -----------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Twisted: the connection is up."""
        transport: Any = self.transport
        peer = transport.getPeer()
        host, port = getattr(peer, "host", ""), getattr(peer, "port", 0)
        self.remote_host = host
        self.remote = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if is_plain(transport):
            self._socket = transport.getHandle()
            self._tune(transport.getHandle())
            if self.owner.readers is not None:
                self.owner.readers.adopt(transport)
        # A pull producer: asked for more whenever the transport's own buffer has drained.
        transport.registerProducer(self, False)

    def _tune(self, sock: socket.socket) -> None:
        set_option = sock.setsockopt
        set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # The kernel takes no more than this unsent, so that an urgent message waits behind little.
        set_option(socket.IPPROTO_TCP, _NOTSENT_LOWAT, BURST_BYTES)
        set_option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(self._limits.user_timeout * 1000)))

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes came."""
        self._heard = True
        try:
            if self.session is not None and (whole := self._reader.whole(data)) is not None:
                self._take(*whole)
                return
            for kind, body in self._reader.feed(data):
                if self.session is None:
                    self._greet(kind, body)
                else:
                    self._take(kind, body)
                if self._closing:
                    return
        except ProtocolError as error:
            if not self._closing:
                self.owner.broken(self, error)
                self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is gone."""
        self._closing = True
        self._socket = None
        self.owner.closed(self)

    def resumeProducing(self) -> None:
        """Twisted: the transport's buffer is empty."""
        self._busy = False
        self.flush()

    def stopProducing(self) -> None:
        """Twisted: the connection is lost; connectionLost follows."""

    # Ours -----------------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing

    @property
    def is_alive(self) -> bool:
        """Whether the other side was heard lately."""
        return not self._closing and (self._heard or self._silent_ticks < _QUIET_TICKS)

    @property
    def dropped(self) -> int:
        """Messages that did not fit the queue."""
        return self._lanes.dropped

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return self._lanes.size

    def flush(self) -> None:
        """Send what is queued, as far as the connection takes it now."""
        lanes = self._lanes
        if self._busy or self._closing or not lanes.count:
            return
        self._spoke = True
        sock = self._socket
        if sock is not None:
            for _ in range(_BURSTS_A_TURN):
                data = lanes.take(BURST_BYTES)
                try:
                    sent = sock.send(data)
                except OSError:  # full (the transport waits), or broken (the transport finds that out itself)
                    sent = 0
                if sent < len(data):
                    self._busy = True
                    self.transport.write(data[sent:] if sent else data)
                    return
                if not lanes.count:
                    return
        self._busy = True
        self.transport.write(lanes.take(BURST_BYTES))

    def close(self) -> None:
        """Send a last burst of what is queued, then close."""
        if self._closing:
            return
        self._closing = True
        transport: Any = self.transport
        if self._lanes:
            transport.write(self._lanes.take(BURST_BYTES))
        transport.unregisterProducer()
        transport.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        transport: Any = self.transport
        if transport is not None:
            transport.unregisterProducer()
            transport.abortConnection()

    def tick(self) -> bool:
        """Half an election timeout has passed; False if the other side is dead, or does not let us close."""
        if self._heard and not self._closing:
            self._heard = False
            self._silent_ticks = 0
        else:
            self._silent_ticks += 1
        return self._silent_ticks < _DEAD_TICKS

    def excuse(self) -> None:
        """This process itself was asleep: what the others sent meanwhile is not read yet."""
        self._heard = True
        self._silent_ticks = 0

    def _greet(self, kind: int, body: bytes) -> None:
        raise AssertionError("each side has its own")

    def _take(self, kind: int, body: bytes | bytearray | memoryview) -> None:
        raise AssertionError("each side has its own")

    def _settle(self, out: bytes, result: Session | Refusal | None) -> None:
        """Send the handshake's bytes and act on what became of it."""
        if isinstance(result, Refusal):
            self._part(out)
            self.owner.refused(self, result)
            return
        transport: Any = self.transport
        if out:
            self._busy = True
            transport.write(out)
        if result is not None:
            self._reader.open(result.receives)
            self._lanes.seal = result.sends
            self.session = result
            self.owner.established(self, result)

    def _part(self, out: bytes) -> None:
        """These are the last bytes."""
        self._closing = True
        transport: Any = self.transport
        if out:
            transport.write(out)
        transport.unregisterProducer()
        transport.loseConnection()

    def _take_fragment(self, kind: int, body: bytes | bytearray | memoryview) -> None:
        if kind == Kind.FIRST:
            self._assembler.first(bytes(body))
        elif kind == Kind.MORE:
            whole = self._assembler.more(bytes(body))
            if whole is not None:
                self._take(*whole)
        else:
            raise ProtocolError(f"a frame of kind {kind} has no place here")

    def __repr__(self) -> str:
        who = self.session.server_id if self.session else "?"
        return f"<{type(self).__name__} {who} {self.remote}>"

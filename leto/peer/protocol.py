"""One connection between two nodes, over Twisted: its handshake, then its frames.

The dialler sends Raft messages, requests and pings; the acceptor answers requests and pings. Bytes that are no
message of the protocol close the connection with one log line and change nothing else.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from leto.errors import LetoError, ProtocolError
from leto.interfaces import PeerListener
from leto.peer.exchange import ANSWER, ANSWERED, FAILED, MAX_OUTSTANDING, NUMBER, Exchange
from leto.peer.frames import FRAGMENT_BYTES, Assembler, FrameReader, Kind, Lane, frame
from leto.peer.greetings import Refusal, Refused, decode, encode, refused_by_peer
from leto.peer.handshake import AcceptorHandshake, DiallerHandshake, Session
from leto.peer.lanes import Lanes
from leto.peer.wire_messages import decode_message, encode_message
from leto.raft.messages import AppendEntries, Message, TimeoutNow

# Plain ints: an enum's members cost a lookup each on the hot path.
_MESSAGE: Final = int(Kind.MESSAGE)
_URGENT: Final = int(Lane.URGENT)
_APPENDS: Final = int(Lane.APPENDS)

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

    def accepted(self, connection: Any) -> None: ...

    def dialled(self, connection: Any) -> None: ...

    def established(self, connection: Any, session: Session) -> None: ...

    def refused(self, connection: Any, refusal: Refusal) -> None: ...

    def broken(self, connection: Any, error: ProtocolError) -> None: ...

    def closed(self, connection: Any) -> None: ...

    def failed(self, connection: Any, failure: Failure) -> None: ...


class PeerConnection(TwistedProtocol):
    """What both sides share: frames in, lanes out, silence noticed."""

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
        if isinstance(transport, tcp.Connection):
            self._tune(transport.getHandle())
            if not transport.TLS:
                self._socket = transport.getHandle()
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
        if self._busy or self._closing or not lanes:
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
                if not lanes:
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

    def _take(self, kind: int, body: bytes | bytearray) -> None:
        raise AssertionError("each side has its own")

    def _settle(self, out: bytes, result: Session | Refusal | None) -> None:
        """Send the handshake's bytes and act on what became of it."""
        transport: Any = self.transport
        if isinstance(result, Refusal):
            self._closing = True
            if out:
                transport.write(out)
            transport.unregisterProducer()
            transport.loseConnection()
            self.owner.refused(self, result)
            return
        if out:
            self._busy = True
            transport.write(out)
        if result is not None:
            self._reader.open(result.receives)
            self._lanes.seal = result.sends
            self.session = result
            self.owner.established(self, result)

    def _take_fragment(self, kind: int, body: bytes | bytearray) -> None:
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


class DialledConnection(PeerConnection):
    """Ours to a peer: messages and requests go out."""

    def __init__(
        self, owner: Owner, limits: Limits, reactor: Any, server_id: str, handshake: Callable[[], DiallerHandshake]
    ) -> None:
        super().__init__(owner, limits)
        self.server_id = server_id
        self._exchange = Exchange(reactor, server_id, self._send_request)
        self._make_handshake = handshake
        self._large_appends: set[tuple[int, int]] = set()  # (term, prev_index) of those that wait or are being sent
        self._handshake: DiallerHandshake | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self.owner.dialled(self)
        if self._closing:
            return
        self._handshake = self._make_handshake()
        self._busy = True
        self.transport.write(self._handshake.open())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._exchange.close(f"the connection to {self.server_id!r} was closed")

    def put_message(self, message: Message) -> None:
        """Queue a Raft message for the next flush, or drop it if it does not fit.

        Appends keep their order; only past one that takes long may a heartbeat overtake, so that the follower's
        election timer hears of its leader. The follower refuses such a heartbeat, for it is ahead of its log, and
        the leader appends again from there: what is under way already is not queued twice.
        """
        lanes = self._lanes
        if type(message) is AppendEntries:
            if not message.entries:
                lane = _APPENDS if lanes.waits(_APPENDS) and not lanes.holds_large(_APPENDS) else _URGENT
                lanes.put(lane, _MESSAGE, encode_message(message))
                return
            large = self._large_appends
            if large and not lanes.holds_large(_APPENDS):
                large.clear()
            place = message.term, message.prev_index
            if place in large:
                return
            body = encode_message(message)
            if lanes.put(_APPENDS, _MESSAGE, body) and len(body) > FRAGMENT_BYTES:
                large.add(place)
            return
        # A transfer's TimeoutNow counts on all appends before it.
        lanes.put(_APPENDS if type(message) is TimeoutNow else _URGENT, _MESSAGE, encode_message(message))

    def request(self, body: bytes, timeout: float) -> Deferred[bytes]:
        """Errbacks with ConnectionError or TimeoutError."""
        answer = self._exchange.request(body, timeout)
        self.flush()
        return answer

    def tick(self) -> bool:
        quiet = not (self._heard and self._spoke)
        self._spoke = False
        if not super().tick():
            return False
        if quiet and self.session is not None and not self._closing:
            self._lanes.put(Lane.URGENT, Kind.PING, b"")
            self.flush()
        return True

    def _send_request(self, body: bytes) -> bool:
        if len(body) > self._limits.max_message_bytes:
            return False
        return self._lanes.put(Lane.REQUESTS, Kind.REQUEST, body)

    def _greet(self, kind: int, body: bytes) -> None:
        handshake = self._handshake
        if handshake is None:
            raise ProtocolError("bytes before the handshake")
        out = handshake.receive(kind, body)
        self._settle(out, handshake.result)

    def _take(self, kind: int, body: bytes | bytearray) -> None:
        if kind == Kind.ANSWER:
            self._exchange.answered(bytes(body))
        elif kind == Kind.REFUSED:
            self._settle(b"", refused_by_peer(decode(bytes(body), Refused), proved=True))
        elif kind != Kind.PONG:
            self._take_fragment(kind, body)


class AcceptedConnection(PeerConnection):
    """A peer's to us: messages and requests come in."""

    _PONG: ClassVar = (Lane.URGENT, Kind.PONG, b"")

    def __init__(self, owner: Owner, limits: Limits, own_id: str) -> None:
        super().__init__(owner, limits)
        self._own_id = own_id
        self.handshake: AcceptorHandshake | None = None  # set by the owner once it knows where this comes from
        self._answering = 0
        self._peer_id = ""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.owner.accepted(self)

    def refuse(self, refusal: Refusal) -> None:
        """The peer of a completed handshake is welcome no longer."""
        if self.session is not None and not self._closing:
            refused = frame(Kind.REFUSED, encode(refusal.as_frame_value()), self.session.sends)
            self._settle(refused, refusal)

    def _greet(self, kind: int, body: bytes) -> None:
        handshake = self.handshake
        if handshake is None:
            raise ProtocolError("bytes before the handshake")
        out = handshake.receive(kind, body)
        if isinstance(handshake.result, Session):
            self._peer_id = handshake.result.server_id
        self._settle(out, handshake.result)

    def _take(self, kind: int, body: bytes | bytearray) -> None:
        if kind == _MESSAGE:
            message = decode_message(body)
            if message.sender != self._peer_id or message.to != self._own_id:
                raise ProtocolError(
                    f"a message from {message.sender[:64]!r} to {message.to[:64]!r} "
                    f"on the connection from {self._peer_id!r} to {self._own_id!r}"
                )
            listener = self.owner.listener
            if listener is not None:
                listener.peer_message(message)
        elif kind == Kind.REQUEST:
            self._take_request(bytes(body))
        elif kind == Kind.PING:
            self._lanes.put(*self._PONG)
            self.flush()
        elif kind == Kind.REFUSED:
            self._settle(b"", refused_by_peer(decode(bytes(body), Refused), proved=True))
        else:
            self._take_fragment(kind, body)

    def _take_request(self, body: bytes) -> None:
        if len(body) < NUMBER.size:
            raise ProtocolError("a request without a number")
        (number,) = NUMBER.unpack_from(body)
        listener = self.owner.listener
        if listener is None or self._answering >= MAX_OUTSTANDING * 2:
            self._answer(b"too many requests wait for answers", number, FAILED)
            return
        self._answering += 1
        answer = maybeDeferred(listener.peer_request, self._peer_id, body[NUMBER.size :])
        answer.addCallbacks(self._answer, self._explain, callbackArgs=(number, ANSWERED), errbackArgs=(number,))
        answer.addBoth(self._answered)

    def _answer(self, content: bytes, number: int, outcome: int) -> None:
        if self._closing:
            return
        body = ANSWER.pack(number, outcome) + content
        if len(body) > self._limits.max_message_bytes:
            body = ANSWER.pack(number, FAILED) + b"the answer is too large to be sent"
        self._lanes.put(Lane.REQUESTS, Kind.ANSWER, body)
        self.flush()

    def _explain(self, failure: Failure, number: int) -> None:
        if not failure.check(LetoError):
            self.owner.failed(self, failure)
            self._answer(b"the request failed there; its log says why", number, FAILED)
        else:
            self._answer(str(failure.value).encode()[:1000], number, FAILED)

    def _answered(self, result: object) -> object:
        self._answering -= 1
        if isinstance(result, Failure):
            self.owner.failed(self, result)
        return None

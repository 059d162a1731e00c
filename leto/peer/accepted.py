"""A peer's connection to us: Raft messages, requests and pings come in; answers and pongs go back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from leto.errors import LetoError, ProtocolError
from leto.interfaces.transport import Claim
from leto.peer.connection import Limits, Owner, PeerConnection
from leto.peer.exchange import ANSWER, ANSWERED, FAILED, MAX_OUTSTANDING, NUMBER
from leto.peer.frames import Kind, Lane, frame
from leto.peer.greetings import Refusal, Refused, Vouch, decode, encode, refused_by_peer
from leto.peer.handshake import AcceptorHandshake, Session
from leto.peer.wire_messages import decode_message

_MESSAGE: Final = int(Kind.MESSAGE)  # a plain int: an enum's member costs a lookup on the hot path


class AcceptedConnection(PeerConnection):
    """A peer's to us: messages and requests come in."""

    _PONG: ClassVar = (Lane.URGENT, Kind.PONG, b"")

    def __init__(self, owner: Owner, limits: Limits, own_id: str) -> None:
        super().__init__(owner, limits)
        self._own_id = own_id
        self.handshake: AcceptorHandshake | None = None  # set by the owner once it knows where this comes from
        self._confirming: Deferred[str] | None = None  # that it is who it says
        self._answering = 0
        self._peer_id = ""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.owner.accepted(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.handshake = None  # it holds this connection: both are free at once, not at a collection
        if self._confirming is not None:
            self._confirming.cancel()

    @property
    def claim(self) -> Claim | None:
        """What the peer takes this node for, if it belongs to another cluster."""
        hello = self.handshake.claim if self.handshake is not None else None
        return None if hello is None else Claim(hello.cluster_id, hello.server_id, self.remote)

    def refuse(self, refusal: Refusal) -> None:
        """The peer of a completed handshake is welcome no longer."""
        if self.session is not None and not self._closing:
            refused = frame(Kind.REFUSED, encode(refusal.as_frame_value()), self.session.sends)
            self._settle(refused, refusal)

    def _greet(self, kind: int, body: bytes) -> None:
        handshake = self.handshake
        if handshake is None:
            raise ProtocolError("bytes before the handshake")
        if kind == Kind.VOUCH and not handshake.claimed_id:
            self._part(frame(Kind.VOUCHED, encode(self.owner.vouch(decode(body, Vouch)))))
            return
        out = handshake.receive(kind, body)
        self.owner.greeted(self)
        if handshake.unconfirmed is not None:
            self._confirming = confirming = self.owner.confirm(self, handshake.unconfirmed)
            confirming.addCallbacks(self._confirmed, self._unconfirmed)
            return
        self._greeted(handshake, out)

    def _confirmed(self, unconfirmed: str) -> None:
        """`unconfirmed`: why the peer may not be who it says, "" if it is."""
        self._confirming = None
        if self.handshake is not None and not self._closing:
            self._greeted(self.handshake, self.handshake.conclude(unconfirmed))

    def _unconfirmed(self, failure: Failure) -> None:
        self._confirming = None
        if not failure.check(CancelledError):
            self.owner.failed(self, failure)
        if not self._closing:
            self.abort()

    def _greeted(self, handshake: AcceptorHandshake, out: bytes) -> None:
        if isinstance(handshake.result, Session):
            self._peer_id = handshake.result.server_id
        self._settle(out, handshake.result)

    def _take(self, kind: int, body: bytes | bytearray | memoryview) -> None:
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


class AcceptorFactory(Factory):
    """Makes the protocols of accepted connections."""

    noisy = False

    def logPrefix(self) -> str:
        """Twisted: what its own log lines call the port."""
        return "peers' port"

    def __init__(self, make: Callable[[], AcceptedConnection]) -> None:
        self._make = make

    def buildProtocol(self, addr: Any) -> AcceptedConnection:
        """Twisted: somebody connects."""
        return self._make()

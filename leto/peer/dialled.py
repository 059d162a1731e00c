"""Our connection to a peer: Raft messages, requests and pings go out; answers and pongs come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from leto.checksums import crc32
from leto.errors import ProtocolError
from leto.peer.connection import Limits, Owner, PeerConnection
from leto.peer.exchange import Exchange
from leto.peer.frames import CHECKSUM, FRAGMENT_BYTES, Checksum, Kind, Lane
from leto.peer.greetings import Refused, decode, refused_by_peer
from leto.peer.handshake import DiallerHandshake
from leto.peer.wire_messages import LARGE, encode_append, encode_message
from leto.raft.messages import AppendEntries, Message, TimeoutNow

# Plain ints: an enum's members cost a lookup each on the hot path.
_MESSAGE: Final = int(Kind.MESSAGE)
_HEAD: Final = Checksum.header.pack
_OF_MESSAGE: Final = Checksum.OF_KIND[_MESSAGE]  # where the checksum of a message begins
_URGENT: Final = int(Lane.URGENT)
_APPENDS: Final = int(Lane.APPENDS)


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
        self._most_straight = min(FRAGMENT_BYTES, limits.max_message_bytes)

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

    def said(self, nonce: bytes) -> bool:
        """Whether it is up, and its Hello had that nonce."""
        return self._handshake is not None and self._handshake.nonce == nonce and not self._closing

    def send_message(self, message: Message) -> None:
        """put_message() and flush(); straight to the kernel, as what waits nowhere, where nothing else does."""
        sock = self._socket
        if sock is None or self._busy or self._closing or self._lanes.count or self._large_appends:
            self.put_message(message)
            self.flush()
            return
        is_large = type(message) is AppendEntries and message.entries and len(message.entries[0].payload) >= LARGE
        body = b"" if is_large else encode_message(message)
        if is_large or len(body) > self._most_straight:
            self.put_message(message)
            self.flush()
            return
        self._spoke = True
        seal = self._lanes.seal
        if seal is CHECKSUM:
            data = _HEAD(len(body) + 1, crc32(body, _OF_MESSAGE), _MESSAGE) + body
        else:
            data = seal.head(_MESSAGE, body) + body
        try:
            sent = sock.send(data)
        except OSError:  # as in flush()
            sent = 0
        if sent < len(data):
            self._busy = True
            self.transport.write(data[sent:] if sent else data)

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
            body = encode_append(message)
            if len(body) > self._limits.max_message_bytes:
                self.owner.oversized(self, len(body))  # the peer would close the connection
                return
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

    def _take(self, kind: int, body: bytes | bytearray | memoryview) -> None:
        if kind == Kind.ANSWER:
            self._exchange.answered(bytes(body))
        elif kind == Kind.REFUSED:
            self._settle(b"", refused_by_peer(decode(bytes(body), Refused), proved=True))
        elif kind != Kind.PONG:
            self._take_fragment(kind, body)

"""Frames, the smallest thing on the peers' wire: length, check, kind, body. Pure; docs/peer-protocol.md specifies them.

    length  4 bytes, big-endian: bytes after the check, 1 (the kind) + the body's
    check   4 bytes: CRC32 of kind and body (connections of a cluster without a secret, and every handshake),
            or 16 bytes: HMAC-SHA256 truncated (after an authenticated handshake; leto.peer.secrecy)
    kind    1 byte
    body    length - 1 bytes

A message larger than FRAGMENT_BYTES travels as one FIRST and some MORE frames, each small, so that urgent
messages pass between them. Nothing is allocated for a promised length: memory grows with the bytes that came.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, Protocol

from leto.checksums import crc32
from leto.errors import ProtocolError

FRAGMENT_BYTES: Final = 256 * 1024  # payload of one frame, at most
HANDSHAKE_BYTES: Final = 4096  # length of a frame before the handshake is complete, at most
MAX_MESSAGE_BYTES: Final = 1 << 30  # of a message put together from fragments, unless the transport is told less
FRAGMENT_HEADER: Final = struct.Struct(">BBQ")  # FIRST: lane, kind of the whole, its length; then the first bytes
_FRAME_LIMIT: Final = 1 + FRAGMENT_HEADER.size + FRAGMENT_BYTES
_FAILS: Final = "a frame of kind {kind} and {length} bytes fails its check"
_COPIED: Final = 4096  # bytes of a body that are copied: a view of so few costs more


class Kind(IntEnum):
    HELLO = 1  # dialler -> acceptor
    CHALLENGE = 2  # acceptor -> dialler
    PROOF = 3  # dialler -> acceptor
    ACCEPTED = 4  # acceptor -> dialler
    REFUSED = 5  # either way, then the connection closes
    VOUCH = 6  # on a connection of its own: do you know the one that says it is this member?
    VOUCHED = 7  # the answer; then the connection closes

    MESSAGE = 8  # dialler -> acceptor: one Raft message
    REQUEST = 9  # dialler -> acceptor: number, body
    ANSWER = 10  # acceptor -> dialler: number, outcome, body
    PING = 11  # dialler -> acceptor
    PONG = 12  # acceptor -> dialler

    FIRST = 16  # the head of a fragmented MESSAGE, REQUEST or ANSWER
    MORE = 17  # lane, then the next bytes


class Lane(IntEnum):
    """Ordered streams that share a connection; each carries at most one fragmented message at a time."""

    URGENT = 0  # votes, replies, heartbeats, pings: never fragmented, always first
    APPENDS = 1
    REQUESTS = 2


_FRAGMENTED: Final = frozenset((Kind.MESSAGE, Kind.REQUEST, Kind.ANSWER))


class Seal(Protocol):
    """How one direction of a connection checks its frames."""

    @property
    def header(self) -> struct.Struct:
        """length, check, kind"""

    def head(self, kind: int, body: bytes | memoryview) -> bytes:
        """The header of the next frame to send."""

    def holds(self, check: int | bytes, kind: int, body: bytes | memoryview) -> bool:
        """Whether the next frame received is what was sent."""


class Checksum:
    """CRC32 of kind and body: against damage, not against malice. Stateless."""

    __slots__ = ()
    header: Final = struct.Struct(">IIB")
    OF_KIND: Final = tuple(crc32(bytes((kind,))) for kind in range(256))

    def head(self, kind: int, body: bytes | memoryview) -> bytes:
        return self.header.pack(len(body) + 1, crc32(body, self.OF_KIND[kind]), kind)

    def holds(self, check: int | bytes, kind: int, body: bytes | memoryview) -> bool:
        return crc32(body, self.OF_KIND[kind]) == check


CHECKSUM: Final = Checksum()


def frame(kind: int, body: bytes, seal: Seal = CHECKSUM) -> bytes:
    """One whole frame."""
    return seal.head(kind, body) + body


class FrameReader:
    """Cuts a stream of bytes into frames. `limit` and `seal` may be changed between frames (open())."""

    __slots__ = ("_limit", "_needed", "_partial", "_seal")

    def __init__(self) -> None:
        self._limit = HANDSHAKE_BYTES
        self._seal: Seal = CHECKSUM
        self._partial = bytearray()
        self._needed = 0

    def open(self, seal: Seal) -> None:
        """The handshake is complete: full-sized frames from now on, checked by `seal`."""
        self._limit = _FRAME_LIMIT
        self._seal = seal

    def whole(self, data: bytes) -> tuple[int, bytes | memoryview] | None:
        """(kind, body) if `data` is one frame, no more and no less, and nothing is left of the data before it, as it
        mostly is; None, with nothing taken, otherwise. Raises ProtocolError for a check that fails."""
        seal = self._seal
        header = seal.header
        size = header.size
        if self._partial or len(data) < size:
            return None
        length, check, kind = header.unpack_from(data)
        if length != len(data) - size + 1 or length > self._limit:
            return None
        body = data[size:] if length <= _COPIED else memoryview(data)[size:]
        if crc32(body, CHECKSUM.OF_KIND[kind]) != check if seal is CHECKSUM else not seal.holds(check, kind, body):
            raise ProtocolError(_FAILS.format(kind=kind, length=length))
        return kind, body

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, body) of every frame that is complete with `data`; iterate to the end before the next feed.

        Raises ProtocolError for a length out of bounds or a check that fails; the stream is unusable then.
        """
        partial = self._partial
        if partial:
            partial += data
            if len(partial) < self._needed:
                return
            data = bytes(partial)
            self._partial = bytearray()
        position = 0
        end = len(data)
        while True:
            header = self._seal.header
            size = header.size
            if end - position < size:
                needed = 4
                if end - position >= 4:
                    needed = size
                    self._check_length(int.from_bytes(data[position : position + 4], "big"))
                break
            length, check, kind = header.unpack_from(data, position)
            if not 1 <= length <= self._limit:
                self._check_length(length)
            start = position + size
            stop = start + length - 1
            if stop > end:
                needed = stop - position
                break
            body = data[start:stop]
            if not self._seal.holds(check, kind, body):
                raise ProtocolError(_FAILS.format(kind=kind, length=length))
            position = stop
            yield kind, body
        if position < end:
            self._partial = bytearray(data[position:] if position else data)
            self._needed = needed

    def _check_length(self, length: int) -> None:
        if not 1 <= length <= self._limit:
            raise ProtocolError(f"a frame of {length} bytes is not within 1 to {self._limit}")


class Assembler:
    """Puts fragmented messages together again: at most one a lane, of at most `max_bytes`."""

    __slots__ = ("_max_bytes", "_unfinished")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._unfinished: dict[int, tuple[int, int, bytearray]] = {}  # lane -> kind, length, what has come

    def first(self, body: bytes) -> None:
        """Take a FIRST frame. Raises ProtocolError."""
        if len(body) <= FRAGMENT_HEADER.size:
            raise ProtocolError("a first fragment without content")
        lane, kind, length = FRAGMENT_HEADER.unpack_from(body)
        if lane not in (Lane.APPENDS, Lane.REQUESTS) or kind not in _FRAGMENTED:
            raise ProtocolError(f"a fragment of kind {kind} on lane {lane}")
        if lane in self._unfinished:
            raise ProtocolError(f"a first fragment on lane {lane}, whose last message is unfinished")
        if not len(body) - FRAGMENT_HEADER.size < length <= self._max_bytes:
            raise ProtocolError(f"a fragmented message of {length} bytes; at most {self._max_bytes} are taken")
        self._unfinished[lane] = kind, length, bytearray(memoryview(body)[FRAGMENT_HEADER.size :])

    def more(self, body: bytes) -> tuple[int, bytearray] | None:
        """Take a MORE frame; (kind, whole body) once that completes a message. Raises ProtocolError."""
        if len(body) < 2:
            raise ProtocolError("a fragment without content")
        lane = body[0]
        if lane not in self._unfinished:
            raise ProtocolError(f"a fragment on lane {lane} without a first one")
        kind, length, content = self._unfinished[lane]
        if len(content) + len(body) - 1 > length:
            raise ProtocolError(f"more fragments than the {length} bytes announced")
        content += memoryview(body)[1:]
        if len(content) < length:
            return None
        del self._unfinished[lane]
        return kind, content

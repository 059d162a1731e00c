"""The strict request reader: RESP arrays of bulk strings and inline commands, one at a time, as Redis 7 takes them.

It decides every question of the protocol; the fast path in leto.resp.codec only ever accepts what this one
would accept with the same result. It keeps what has come in one growing buffer, so that a value delivered a
byte at a time costs linear time, and allocates nothing for a length that is only promised.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from leto.config import LONGEST_PASSWORD
from leto.errors import ProtocolError
from leto.resp.inline import split_line

INLINE_LIMIT = 64 * 1024  # bytes of a line (inline request, count or length) before its end must have come
MAX_ARGUMENTS = (1 << 31) - 1  # of one command
ARGUMENT_BYTES = 64  # what an argument costs besides its bytes
ANONYMOUS_ARGUMENTS = 10  # the same before authentication
ANONYMOUS_BULK_BYTES = LONGEST_PASSWORD

_STAR, _DOLLAR, _CR, _LF = 0x2A, 0x24, 0x0D, 0x0A
_NUMBER = re.compile(rb"0|-?[1-9][0-9]{0,18}")  # what string2ll takes; 19 digits bound the cost of int()


def request_bytes(argv: Sequence[bytes]) -> int:
    """About what a request takes in memory."""
    return sum(map(len, argv)) + ARGUMENT_BYTES * (len(argv) + 1)


class StrictReader:
    """push() bytes, then call next() until it answers None. `max_bulk_bytes`: the longest argument taken. How
    large a request may become while it arrives (`buffered`) is for the caller to bound."""

    __slots__ = ("_arguments", "_at", "_buffer", "_bulk", "_held", "_max_bulk_bytes", "_missing", "_searched")

    def __init__(self, max_bulk_bytes: int) -> None:
        self._max_bulk_bytes = max_bulk_bytes
        self._buffer = bytearray()
        self._at = 0  # everything before it in the buffer is parsed
        self._searched = 0  # no line end between _at and here
        self._arguments: list[bytes] = []
        self._held = 0  # what they cost
        self._missing = 0  # arguments of the current array still to come
        self._bulk = -1  # length of the argument whose bytes are coming, -1: its header is to come

    @property
    def busy(self) -> bool:
        """Whether a request has begun to arrive, or bytes wait."""
        return self._missing > 0 or self._at < len(self._buffer)

    @property
    def buffered(self) -> int:
        """Bytes kept for the request that is arriving."""
        return len(self._buffer) - self._at + self._held

    @property
    def argument_bytes(self) -> int:
        """Those of them that are its arguments already."""
        return self._held

    def push(self, data: bytes) -> None:
        if self._at:
            del self._buffer[: self._at]
            self._searched = max(0, self._searched - self._at)
            self._at = 0
        self._buffer += data

    def take_rest(self) -> bytes:
        """Take what follows the last complete request, to be parsed elsewhere; call it only between requests."""
        rest = bytes(self._buffer[self._at :])
        self._buffer.clear()
        self._at = self._searched = 0
        return rest

    def next(self, trusted: bool = True) -> list[bytes] | None:
        """The next request's arguments (at least one), or None while it is incomplete.

        Raises ProtocolError with Redis's words (without "Protocol error: ").
        """
        while True:
            if not self._missing:
                if self._at >= len(self._buffer):
                    return None
                if self._buffer[self._at] != _STAR:
                    line = self._inline_line()
                    if line is None:
                        return None
                    words = split_line(line)
                    if words:
                        return words
                    continue
                count = self._count(trusted)
                if count is None:
                    return None
                if count <= 0:
                    continue
                self._missing, self._arguments = count, []
            if not self._fill(trusted):
                return None
            arguments, self._arguments = self._arguments, []
            self._held = 0
            return arguments

    def _fill(self, trusted: bool) -> bool:
        """Read arguments until the array is complete; False while it is not."""
        buffer = self._buffer
        while self._missing:
            if self._bulk < 0:
                length = self._length(trusted)
                if length is None:
                    return False
                self._bulk = length
            end = self._at + self._bulk
            if len(buffer) < end + 2:
                self._drop_parsed()
                return False
            self._arguments.append(bytes(memoryview(buffer)[self._at : end]))
            self._held += self._bulk + ARGUMENT_BYTES
            self._at = self._searched = end + 2  # Redis does not look at the two bytes that end a bulk either
            self._bulk = -1
            self._missing -= 1
        return True

    def _drop_parsed(self) -> None:
        """Before a long wait: what is parsed need not be kept."""
        del self._buffer[: self._at]
        self._at = self._searched = 0

    def _count(self, trusted: bool) -> int | None:
        line = self._header_line("too big mbulk count string")
        if line is None:
            return None
        count = _number(line)
        if count is None or count > MAX_ARGUMENTS:
            raise ProtocolError("invalid multibulk length")
        if count > ANONYMOUS_ARGUMENTS and not trusted:
            raise ProtocolError("unauthenticated multibulk length")
        return count

    def _length(self, trusted: bool) -> int | None:
        # Redis looks for the line's end before it looks at the '$'.
        line = self._header_line("too big bulk count string", _DOLLAR)
        if line is None:
            return None
        length = _number(line)
        if length is None or length < 0 or length > self._max_bulk_bytes:
            raise ProtocolError("invalid bulk length")
        if length > ANONYMOUS_BULK_BYTES and not trusted:
            raise ProtocolError("unauthenticated bulk length")
        return length

    def _header_line(self, too_big: str, wanted: int = _STAR) -> bytes | None:
        """What stands between the type byte and the CR of a count or length; the byte after CR is not looked at."""
        buffer, at = self._buffer, self._at
        end = self._find(_CR, too_big)
        if end is None or end + 1 >= len(buffer):
            return None
        if buffer[at] != wanted:
            raise ProtocolError(f"expected '$', got '{chr(buffer[at])}'")
        self._at = self._searched = end + 2
        return bytes(buffer[at + 1 : end])

    def _inline_line(self) -> bytes | None:
        at = self._at
        end = self._find(_LF, "too big inline request")
        if end is None:
            return None
        self._at = self._searched = end + 1
        line = bytes(self._buffer[at:end])
        return line[:-1] if line.endswith(b"\r") else line

    def _find(self, byte: int, too_big: str) -> int | None:
        # Redis looks with strchr: beyond a NUL it finds nothing, and takes in what comes up to the limit.
        limit = self._at + INLINE_LIMIT + 1
        start = max(self._searched, self._at)
        end = self._buffer.find(byte, start, limit)
        nul = self._buffer.find(0, start, limit if end < 0 else end)
        if end >= 0 and nul < 0:
            self._searched = end
            return end
        if len(self._buffer) >= limit:
            raise ProtocolError(too_big)
        self._searched = len(self._buffer) if nul < 0 else nul
        return None


def _number(text: bytes) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None

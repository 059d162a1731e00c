"""The Redis protocol, pure: bytes to requests, replies to bytes.

RequestReader takes what has come in one turn and gives all complete requests of it at once. Its fast path
splits the bytes at CRLF and proves with a few vectorised comparisons that they are canonical RESP: it accepts
nothing but `*n`, and `$len` headers that are exactly those of the arguments found. Whatever it cannot prove
(inline commands, leading zeros, cut requests, nonsense) goes to leto.resp.strict.StrictReader, which decides.

encode() turns replies (leto.vocabulary.replies) into RESP2, or RESP3 after HELLO 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from hiredis import pack_command

from leto.errors import ProtocolError
from leto.keyspace.types.long_string import LongString
from leto.resp.strict import StrictReader
from leto.vocabulary.numbers import double_text
from leto.vocabulary.replies import Error, NullArray, Pairs, Push, Reply, Set, Status, Verbatim

Request = Sequence[bytes]

CRLF = b"\r\n"
_COUNTS = {b"*%d" % n: n for n in range(1, 1024)}
_LENGTHS = tuple(b"$%d" % n for n in range(4096))  # bulk headers of short arguments
_LENGTH_OF = {header: length for length, header in enumerate(_LENGTHS)}
_KNOWN_LENGTHS = len(_LENGTHS)
_PARTS = {header: 2 * count + 2 for header, count in _COUNTS.items() if count}  # split at CRLF, if none holds one
_BULKS = tuple(b"\r\n$%d\r\n" % n for n in range(512))  # between two short strings
ONLY_STRINGS = frozenset((bytes,)).issuperset  # of the types of some replies
_LARGE_REQUEST = 1 << 16
_LONG_ARGUMENT = 256  # on average
_LONG_LENGTH = re.compile(rb"\$[1-9][0-9]{3,9}").fullmatch


def pack(arguments: Request) -> bytes:
    """One request as canonical RESP: an array of bulk strings."""
    size = sum(map(len, arguments))
    if size > _LARGE_REQUEST and size > _LONG_ARGUMENT * len(arguments):  # hiredis takes four times as long as one copy
        parts = [b"*%d\r\n" % len(arguments)]
        for argument in arguments:
            parts += (b"$%d\r\n" % len(argument), argument, CRLF)
        return b"".join(parts)
    packed: bytes = pack_command(arguments if type(arguments) is tuple else tuple(arguments))  # type: ignore[arg-type]
    return packed


class RequestReader:
    """feed() it what has come. Until `trusted` it gives at most one request a call (the request may change
    what the next one is allowed) and small limits apply: call feed(b"") until it gives none."""

    __slots__ = ("_is_cut", "_max_bulk_bytes", "_strict", "error", "raw", "trusted")

    def __init__(self, max_bulk_bytes: int, trusted: bool = True) -> None:
        self._max_bulk_bytes = max_bulk_bytes
        self._strict = StrictReader(max_bulk_bytes)
        self._is_cut = False  # a request has begun to arrive, or bytes wait
        self.trusted = trusted
        self.error: str | None = None  # a protocol error's words: nothing more will be read
        self.raw = b""  # the requests of the last feed() as canonical RESP

    @property
    def buffered(self) -> int:
        """Bytes of the request that is still arriving."""
        return self._strict.buffered

    @property
    def argument_bytes(self) -> int:
        """Those of them that are its arguments already."""
        return self._strict.argument_bytes

    def feed(self, data: bytes) -> list[Request]:
        """All requests that are complete now, in order. After a protocol error: those before it, then none."""
        if self.error is not None:
            self.raw = b""
            return []
        if not self.trusted:
            return self._feed_strictly(data, 1)
        if self._is_cut:
            requests = self._feed_strictly(data, 1)
            if not requests:
                return requests
            data = self._strict.take_rest()
            self._is_cut = False
            if not data:
                return requests
            first = self.raw
            more = self.feed(data)
            self.raw = first + self.raw
            return requests + more
        if len(data) > self._max_bulk_bytes:
            return self._feed_strictly(data)
        parts = data.split(CRLF)
        if len(parts) == _PARTS.get(parts[0]) and not parts[-1] and len(data) < _KNOWN_LENGTHS:
            # One request, whole and alone: what a client sends that waits for each reply.
            request = parts[2::2]
            header = 1
            for argument in request:
                if _LENGTHS[len(argument)] != parts[header]:
                    break
                header += 2
            else:
                self.raw = data
                return [request]
        requests, consumed = split_requests(data, parts)
        if consumed == len(data):
            self.raw = data
            return requests
        canonical = data[:consumed]
        more = self._feed_strictly(data[consumed:])
        self.raw = canonical + self.raw
        return requests + more

    def _feed_strictly(self, data: bytes, most: int = -1) -> list[Request]:
        strict = self._strict
        requests: list[Request] = []
        try:
            strict.push(data)
            while len(requests) != most:
                request = strict.next(self.trusted)
                if request is None:
                    break
                requests.append(request)
        except ProtocolError as error:
            self.error = str(error)
        self._is_cut = strict.busy
        self.raw = b"".join(map(pack, requests))
        return requests


def strings(items: Sequence[bytes]) -> bytes:
    """Bulk strings, one behind another; there is one, at least."""
    lengths = set(map(len, items))
    longest = max(lengths)
    if longest >= len(_BULKS):
        packed = pack(items)  # as a request, whose head is left out
        return packed[packed.index(b"\n") + 1 :]
    if len(lengths) == 1:
        head = _BULKS[longest]
        return b"%b%b\r\n" % (head[2:], head.join(items))
    return b"".join(chain.from_iterable(zip(map(_BULKS.__getitem__, map(len, items)), items, strict=True)))[2:] + CRLF


def split_requests(data: bytes, parts: list[bytes]) -> tuple[list[Request], int]:
    """The canonical requests that `data`, split at CRLF into `parts`, begins with, and how many bytes they take.

    Stops at the first request that is cut or not canonical.
    """
    last = len(parts) - 1  # parts[last] was not ended by CRLF
    count = _COUNTS.get(parts[0])
    if count is None:
        return [], 0
    requests: list[Request] = []
    at = 0
    stride = 2 * count + 1
    whole = last // stride
    if whole > 1:
        # Most pipelines repeat one shape: take it apart by columns.
        end = whole * stride
        if parts[:end:stride].count(parts[0]) == whole:
            columns = []
            for column in range(2, stride, 2):
                arguments = parts[column:end:stride]
                lengths = list(map(len, arguments))
                if max(lengths) < _KNOWN_LENGTHS:
                    headers = [_LENGTHS[length] for length in lengths]
                else:
                    headers = [b"$%d" % length for length in lengths]
                if headers != parts[column - 1 : end : stride]:
                    break
                columns.append(arguments)
            else:
                requests.extend(zip(*columns, strict=True))
                at = end
    while at < last:
        count = _COUNTS.get(parts[at])
        if count is None:
            break
        end = at + 2 * count + 1
        if end > last:
            break
        found = parts[at + 2 : end : 2]
        if [_LENGTHS[n] if (n := len(a)) < _KNOWN_LENGTHS else b"$%d" % n for a in found] != parts[at + 1 : end : 2]:
            rejoined = _rejoin(parts, at + 1, last, count)
            if rejoined is None:
                break
            found, end = rejoined
        requests.append(found)
        at = end
    return requests, len(data) - _size(parts, at, last)


def _rejoin(parts: list[bytes], at: int, last: int, count: int) -> tuple[list[bytes], int] | None:
    """`count` arguments from parts[at] on, some of which hold CRLF and were split: (arguments, where they end).

    None where they are cut, a header is not canonical or a length is not met at a CRLF.
    """
    arguments: list[bytes] = []
    for _ in range(count):
        if at + 1 >= last:
            return None
        header = parts[at]
        length = _LENGTH_OF.get(header, -1)
        if length < 0:
            if not _LONG_LENGTH(header):
                return None
            length = int(header[1:])
        start = at + 1
        have = len(parts[start])
        at = start + 1
        while have < length and at < last:
            have += 2 + len(parts[at])
            at += 1
        if have != length:
            return None
        arguments.append(parts[start] if at == start + 1 else CRLF.join(parts[start:at]))
    return arguments, at


def _size(parts: list[bytes], start: int, last: int) -> int:
    if start == last:
        return len(parts[last])
    return sum(map(len, parts[start:])) + 2 * (last - start)


# Replies -----------------------------------------------------------------------------------------


def encode(reply: Reply, resp3: bool = False) -> bytes:
    """`reply` as RESP2, or RESP3. Raises TypeError for a value that is no reply."""
    kind = type(reply)
    if kind is bytes:
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    encoder = (_RESP3 if resp3 else _RESP2).get(kind)
    if encoder is None:
        raise TypeError(f"{kind.__name__} is no reply")
    return encoder(reply)


def _line(text: bytes) -> bytes:
    """One line's text: a CR or LF in it (a client's bytes in an error) becomes a space, as in Redis."""
    if b"\r" in text or b"\n" in text:
        return text.replace(b"\r", b" ").replace(b"\n", b" ")
    return text


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def _items(mark: bytes, items: Sequence[Any], resp3: bool) -> bytes:
    if len(items) > 1 and ONLY_STRINGS(map(type, items)):
        return b"%b%d\r\n%b" % (mark, len(items), strings(items))
    return b"%b%d\r\n%b" % (mark, len(items), b"".join([encode(item, resp3) for item in items]))


def _pairs(items: dict[Any, Any], resp3: bool) -> bytes:
    flat = [part for pair in items.items() for part in pair]
    if flat and ONLY_STRINGS(map(type, flat)):
        body = strings(flat)
    else:
        body = b"".join([encode(part, resp3) for part in flat])
    return b"%%%d\r\n%b" % (len(items), body) if resp3 else b"*%d\r\n%b" % (2 * len(items), body)


def _twos(items: Sequence[Any]) -> bytes:
    encoded = [encode(item, True) for item in items]
    body = b"".join([b"*2\r\n%b%b" % pair for pair in zip(encoded[::2], encoded[1::2], strict=True)])
    return b"*%d\r\n%b" % (len(items) // 2, body)


def _verbatim(reply: Verbatim) -> bytes:
    return b"=%d\r\n%b:%b\r\n" % (len(reply.text) + 4, reply.format, reply.text)


_COMMON: dict[type, Callable[[Any], bytes]] = {
    bytes: _bulk,
    LongString: lambda reply: b"".join((b"$%d\r\n" % len(reply), *reply.parts(), CRLF)),
    int: lambda reply: b":%d\r\n" % reply,
    Status: lambda reply: b"+%b\r\n" % _line(reply.text),
    Error: lambda reply: b"-%b\r\n" % _line(reply.text),
}
_RESP2: dict[type, Callable[[Any], bytes]] = _COMMON | {
    type(None): lambda _: b"$-1\r\n",
    NullArray: lambda _: b"*-1\r\n",
    bool: lambda reply: b":1\r\n" if reply else b":0\r\n",
    float: lambda reply: _bulk(double_text(reply)),
    list: lambda reply: _items(b"*", reply, False),
    tuple: lambda reply: _items(b"*", reply, False),
    dict: lambda reply: _pairs(reply, False),
    Set: lambda reply: _items(b"*", reply.items, False),
    Pairs: lambda reply: _items(b"*", reply.items, False),
    Push: lambda reply: _items(b"*", reply.items, False),
    Verbatim: lambda reply: _bulk(reply.text),
}
_RESP3: dict[type, Callable[[Any], bytes]] = _COMMON | {
    type(None): lambda _: b"_\r\n",
    NullArray: lambda _: b"_\r\n",
    bool: lambda reply: b"#t\r\n" if reply else b"#f\r\n",
    float: lambda reply: b",%b\r\n" % double_text(reply),
    list: lambda reply: _items(b"*", reply, True),
    tuple: lambda reply: _items(b"*", reply, True),
    dict: lambda reply: _pairs(reply, True),
    Set: lambda reply: _items(b"~", reply.items, True),
    Pairs: lambda reply: _twos(reply.items),
    Push: lambda reply: _items(b">", reply.items, True),
    Verbatim: _verbatim,
}

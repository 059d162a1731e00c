"""The payload of a COMMAND entry: a batch of requests, stamped with the leader's time.

    byte 0      format, 1 or 2
    bytes 1-8   leader's wall time, milliseconds since the epoch, big-endian unsigned
    bytes 9-12  number of requests (replies), big-endian unsigned
    bytes 13-   format 1: the requests, each a RESP array of bulk strings, back to back
                format 2: all requests are a SET of a key and a value, and nothing but these two is written of each,
                as RESP bulk strings, back to back: most of what is written is such, and shorter by a tenth so

A transaction is ONE request of several arrays: MULTI [index key ...], the queued commands, EXEC.
`MULTI 17 a 19 b` is a transaction that watches: it aborts (a null array) if key a was modified by an entry
after index 17, or key b by one after 19.
So format 1 after its 13 bytes can be read by any RESP tool, and replayed into a Redis but for MULTI's arguments.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Generator

from leto.errors import InapplicableEntry, UnknownEntry
from leto.vocabulary.levels import BASE
from leto.vocabulary.steps import STEP, exhaust

HEADER = struct.Struct(">BQI")
REQUESTS, PAIRS = 1, 2  # formats
LEVELS = {REQUESTS: BASE, PAIRS: BASE}  # since which level each is understood (leto.vocabulary.levels)
LEAST_BYTES = {REQUESTS: len(b"*1\r\n$0\r\n\r\n"), PAIRS: 2 * len(b"$0\r\n\r\n")}  # of a request
SET_HEADS = frozenset((b"*3\r\n$3\r\nSET\r\n", b"*3\r\n$3\r\nset\r\n"))  # what a SET of a key and a value begins with
_HEAD_BYTES = len(b"*3\r\n$3\r\nSET\r\n")
SHORT = 4096  # bytes; for longer requests what is left out is not worth a copy of the rest
LARGE = 1 << 18  # bytes of a batch from which it is taken apart in steps, and its arguments are taken to be long
LATEST = 1 << 62  # ms; no clock says so, and what is added to it stays a 64-bit number
_STAR, _DOLLAR = b"*$"
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,9}").fullmatch


def encode(time_ms: int, count: int, requests: bytes) -> bytes:
    """Frame `requests` (canonical RESP holding `count` requests) for the log, in the shorter format where that may be
    used and is worth it."""
    head = requests[:_HEAD_BYTES]
    if head in SET_HEADS and len(requests) < SHORT * count:
        if count == 1:
            return HEADER.pack(PAIRS, time_ms, 1) + requests[_HEAD_BYTES:]
        if requests.count(head) == count:
            pairs = requests.replace(head, b"")
            # Every request begins with a star. If all stars were those of the heads, every request began with one.
            if b"*" not in pairs or _are_headed(requests, head, count):
                return HEADER.pack(PAIRS, time_ms, count) + pairs
    return HEADER.pack(REQUESTS, time_ms, count) + requests


def _are_headed(requests: bytes, head: bytes, count: int) -> bool:
    """Whether `count` requests, the first of which begins with `head`, all do. It tells by the lines that begin with a
    star: those of the requests, if there are no more than requests. Where a value holds such a line it is False."""
    return requests.count(b"\r\n*") == requests.count(b"\r\n" + head) == count - 1


def check_format(payload: bytes) -> None:
    """Raises InapplicableEntry for a payload without a header, UnknownEntry for a format that this version does not
    know: what no leader appends for a node like this one. Whether it holds what the header says, apply() finds out."""
    if len(payload) < HEADER.size:
        raise InapplicableEntry(f"batch of {len(payload)} bytes is shorter than its header")
    if payload[0] not in LEAST_BYTES:
        raise UnknownEntry(f"batch format {payload[0]} is unknown; this version reads formats {REQUESTS} and {PAIRS}")


def decode_header(payload: bytes) -> tuple[int, int, int]:
    """(format, time_ms, count). Raises as check_format() does, and InapplicableEntry for numbers that none has."""
    if len(payload) < HEADER.size or payload[0] not in LEAST_BYTES:
        check_format(payload)  # says what is wrong
    version, time_ms, count = HEADER.unpack_from(payload)
    if time_ms >= LATEST:
        raise InapplicableEntry(f"batch is of the impossible time {time_ms}")
    if count * LEAST_BYTES[version] > len(payload) - HEADER.size:
        raise InapplicableEntry(f"batch of {len(payload)} bytes cannot hold {count} whole requests")
    return version, time_ms, count


def split(payload: bytes, at: int = HEADER.size) -> list[list[bytes]] | None:
    """The arrays that a payload holds from `at` on, each argument copied once; None for bytes that are no such arrays
    from beginning to end, or hold an empty one. Allocates nothing for a length that is only promised."""
    return exhaust(splitting(payload, at))


def splitting(payload: bytes, at: int = HEADER.size) -> Generator[None, None, list[list[bytes]] | None]:
    """split() in steps."""
    commands: list[list[bytes]] = []
    work = 0
    try:
        while at < len(payload):
            line = payload.find(b"\r\n", at)
            if payload[at] != _STAR:
                return None
            left = _number(payload, at + 1, line)
            if left < 1:
                return None
            at = line + 2
            arguments: list[bytes] = []
            while left:
                some = min(left, STEP)
                strings = split_strings(payload, at, some)
                if strings is None:
                    return None
                found, at = strings
                arguments += found
                left -= some
                work += some
                if work >= STEP:
                    work = 0
                    yield
            commands.append(arguments)
    except (ValueError, IndexError):
        return None
    return commands


def split_strings(payload: bytes, at: int, count: int) -> tuple[list[bytes], int] | None:
    """`count` bulk strings from `at` on and where they end; None for anything else."""
    found: list[bytes] = []
    find = payload.find
    try:
        for _ in range(count):
            line = find(b"\r\n", at)
            if payload[at] != _DOLLAR:
                return None
            start = line + 2
            stop = start + _number(payload, at + 1, line)
            if stop < start or payload[stop : stop + 2] != b"\r\n":
                return None
            found.append(payload[start:stop])
            at = stop + 2
    except (ValueError, IndexError):
        return None
    return found, at


def _number(payload: bytes, start: int, end: int) -> int:
    """A count or length in canonical RESP. Raises ValueError."""
    digits = payload[start:end]
    if end < start or _NUMBER(digits) is None:
        raise ValueError(digits[:32])
    return int(digits)

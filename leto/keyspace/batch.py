"""The payload of a COMMAND entry: a batch of requests, stamped with the leader's time.

    byte 0      format, 1
    bytes 1-8   leader's wall time, milliseconds since the epoch, big-endian unsigned
    bytes 9-12  number of requests (replies), big-endian unsigned
    bytes 13-   the requests, each a RESP array of bulk strings, back to back

A transaction is ONE request of several arrays: MULTI [index key ...], the queued commands, EXEC.
`MULTI 17 a 19 b` is a transaction that watches: it aborts (a null array) if key a was modified by an entry
after index 17, or key b by one after 19.
So the payload after its 13 bytes can be read by any RESP tool, and replayed into a Redis but for MULTI's arguments.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct(">BQI")
FORMAT = 1
_STAR, _DOLLAR = b"*$"


def encode(time_ms: int, count: int, requests: bytes) -> bytes:
    """Frame `requests` (RESP bytes holding `count` requests) for the log."""
    return HEADER.pack(FORMAT, time_ms, count) + requests


def decode_header(payload: bytes) -> tuple[int, int]:
    """(time_ms, count). Raises ValueError for another format or a short payload."""
    if len(payload) < HEADER.size:
        raise ValueError(f"batch of {len(payload)} bytes is shorter than its header")
    version, time_ms, count = HEADER.unpack_from(payload)
    if version != FORMAT:
        raise ValueError(f"batch format {version} is unknown; this is format {FORMAT}")
    return time_ms, count


def decode(payload: bytes) -> tuple[int, int, bytes]:
    """(time_ms, count, requests). Raises ValueError for another format or a short payload."""
    time_ms, count = decode_header(payload)
    return time_ms, count, payload[HEADER.size :]


def split(payload: bytes) -> list[list[bytes]] | None:
    """The arrays that a payload of large arguments holds, each argument copied once; None for bytes that are no such
    arrays from beginning to end, or hold an empty one."""
    commands: list[list[bytes]] = []
    find = payload.find
    at, end = HEADER.size, len(payload)
    try:
        while at < end:
            line = find(b"\r\n", at)
            if payload[at] != _STAR:
                return None
            arguments: list[bytes] = []
            left = int(payload[at + 1 : line])
            if left < 1:
                return None
            at = line + 2
            for _ in range(left):
                line = find(b"\r\n", at)
                if payload[at] != _DOLLAR:
                    return None
                start = line + 2
                stop = start + int(payload[at + 1 : line])
                if stop < start or payload[stop : stop + 2] != b"\r\n":
                    return None
                arguments.append(payload[start:stop])
                at = stop + 2
            commands.append(arguments)
    except (ValueError, IndexError):
        return None
    return commands

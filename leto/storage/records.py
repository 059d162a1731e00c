"""One record of the log: its framing, checks, and the search for records beyond damage. Pure: bytes in, values out.

All numbers are little-endian.

     0  u32  head   CRC-32 of bytes 8-43, started from the segment's salt
     4  u32  body   CRC-32 of the payload, started from `head`: so it covers the whole record
     8  u32  previous   `body` of the record before (for a segment's first: the CRC of the segment's header)
    12  u32  length     bytes of payload
    16  u16  magic      0xE17E
    18  u8   kind       leto.raft.messages.EntryKind
    19  u8   zero
    20  u64  term
    28  u64  index
    36  u64  durable    how many records of this log were known to be durable when this one was written
    44       payload

`previous` chains the records, so that a spliced, repeated or missing one shows. `head` makes a header
trustworthy without its payload, so a length is believed only if it was written by us, and damage can be judged by
the headers that follow it. `durable` says what a crash may have torn: only records beyond it. The salt, random for
each segment, keeps a client's value that looks like a record from being taken for one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from leto.checksums import crc32

MAGIC = 0xE17E
HEADER_BYTES = 44
MAX_PAYLOAD = (1 << 32) - 1
MAX_KIND = 255
_CHECKS = struct.Struct("<II")
_FIELDS = struct.Struct("<IIHBBQQQ")
_HEADER = struct.Struct("<IIIIHBBQQQ")
_MAGIC_BYTES = struct.pack("<H", MAGIC)
_MAGIC_AT = 16
_QUIET_CRC = 5120  # zlib.crc32 gives up the GIL for more than this
_QUIET_PAYLOAD = 65536


class Record(msgspec.Struct, frozen=True, gc=False):
    kind: int
    term: int
    index: int
    durable: int
    previous: int
    body: int
    length: int


class Damage(Exception):
    """No valid record here; `reason` says what is wrong. `torn`: it may be the rest of an interrupted write."""

    def __init__(self, reason: str, torn: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.torn = torn


def checksum(payload: bytes | memoryview, start: int) -> int:
    """CRC-32 of `payload` from `start`. Up to 64 KiB it keeps the GIL: on a busy node winning it back costs
    the writer thread more than the checksum does."""
    size = len(payload)
    if size <= _QUIET_CRC or size > _QUIET_PAYLOAD:
        return crc32(payload, start)
    view = memoryview(payload)
    for offset in range(0, size, _QUIET_CRC):
        start = crc32(view[offset : offset + _QUIET_CRC], start)
    return start


def encode(
    salt: int, previous: int, kind: int, term: int, index: int, durable: int, payload: bytes
) -> tuple[bytes, int]:
    """(header, `body`): the record is the header and the payload; `body` is the next record's `previous`."""
    fields = _FIELDS.pack(previous, len(payload), MAGIC, kind, 0, term, index, durable)
    head = crc32(fields, salt)
    body = crc32(payload, head) if len(payload) <= _QUIET_CRC else checksum(payload, head)
    return _CHECKS.pack(head, body) + fields, body


def decode_header(data: bytes | memoryview, offset: int, salt: int) -> Record | None:
    """The header at `offset` if it is one that was written with this salt, else None. The payload is not looked at."""
    if len(data) - offset < HEADER_BYTES:
        return None
    head, body, previous, length, magic, kind, zero, term, index, durable = _HEADER.unpack_from(data, offset)
    if magic != MAGIC or zero or crc32(data[offset + 8 : offset + HEADER_BYTES], salt) != head:
        return None
    return Record(kind, term, index, durable, previous, body, length)


def decode(data: memoryview, offset: int, salt: int, previous: int | None = None) -> Record:
    """The valid record at `offset`, which follows the record whose `body` is `previous` (None: not asked for).

    Raises Damage.
    """
    record = decode_header(data, offset, salt)
    if record is None:
        left = len(data) - offset
        if left < HEADER_BYTES:
            raise Damage(f"{left} bytes are left, fewer than a record's header", torn=True)
        raise Damage("the record's header fails its checksum", torn=True)
    if previous is not None and record.previous != previous:
        raise Damage("the record does not follow the one before it: some are missing, repeated or spliced", torn=False)
    start = offset + HEADER_BYTES
    end = start + record.length
    if end > len(data):
        raise Damage(f"the record's payload of {record.length} bytes goes beyond the end of the file", torn=True)
    (head,) = struct.unpack_from("<I", data, offset)
    if checksum(data[start:end], head) != record.body:
        raise Damage("the record's payload fails its checksum", torn=True)
    return record


def run(
    data: bytes, offset: int, end: int, salt: int, previous: int | None
) -> tuple[list[tuple[int, Record]], int, int | None]:
    """The valid records in data[offset:end], one after another: ([(offset, record), ...], where they end, `body` of
    the last). `previous`: as in decode(), which tells why they end there if it is before `end`.

    decode() for many records at once, in a third of the time.
    """
    found: list[tuple[int, Record]] = []
    add, unpack, view = found.append, _HEADER.unpack_from, memoryview(data)
    last = end - HEADER_BYTES
    while offset <= last:
        head, body, before, length, magic, kind, zero, term, index, durable = unpack(data, offset)
        start = offset + HEADER_BYTES
        stop = start + length
        if (
            magic != MAGIC
            or zero
            or stop > end
            or (before != previous and previous is not None)
            or crc32(view[offset + 8 : start], salt) != head
            or (crc32 if length <= _QUIET_CRC else checksum)(view[start:stop], head) != body
        ):
            break
        add((offset, Record(kind, term, index, durable, before, body, length)))
        if previous is not None:
            previous = body
        offset = stop
    return found, offset, previous


def headers_after(data: bytes, offset: int, salt: int) -> Iterator[Record]:
    """Every record header at any byte beyond `offset`: what survived after damage."""
    at = data.find(_MAGIC_BYTES, offset + _MAGIC_AT + 1)
    while at >= 0:
        record = decode_header(data, at - _MAGIC_AT, salt)
        if record is not None:
            yield record
        at = data.find(_MAGIC_BYTES, at + 1)

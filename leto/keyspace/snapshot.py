"""A snapshot of the keyspace: one instant, written in slices while the keyspace goes on changing.

The payload is a sequence of frames:

    bytes 0-3   length of what follows, big-endian unsigned
    byte 4      kind
    bytes 5-    body: MessagePack, an array

    kind 1, header, the first frame    [format (3), index, time_ms, floor, keys, check_sum]
    kind 2, tombstones, any number     [database, [key, version, key, version, ...]] oldest first
    kind 3, records, any number        [database, [[key, version, expire_at, type code, value], ...]]
    kind 4, end, the last frame        [records and heads written, parts written]
    kind 5, head of a large value      [database, key, version, expire_at, type code, parts, head]
    kind 6, part of a large value      [database, key, type code, low, elements]

`index`, `time_ms`: the last entry applied and the log's time at the instant. `floor`, the tombstones and the
records' versions are what WATCH needs (leto.keyspace.database). `database` is 0. `expire_at` is in milliseconds since
the epoch, 0 for never; type code 0 is a string, whose value is its bytes; the others are leto.keyspace.types' types.
The value of a small one is in its record. That of a large one is a head, which says how many parts there are, and
those parts, in any order (leto.keyspace.types.parts). `head`, `low` and `elements` are the type's.
`check_sum` is the sum of the records' checksums, its lowest 64 bits; a reader computes it anew and refuses the
snapshot if it, or the number of keys, differs. A record's checksum is

    (crc32(key) + 0x5BD1E995) * (content + 1)

where content is crc32(value) of a string shorter than 32 bytes and adler32(value) of a longer one; with an expiry,
crc32(expire_at in decimal, started from that). For another type it is crc32(expire_at in decimal, started from the type
code), plus the sum of its elements' checksums (leto.keyspace.types.value.element_sum).

Format 2 has no databases and no other type than strings: its kind 2 is [key, version, ...], its kind 3 is
[[key, version, ...], ...], its kind 4 is [records]. It is what is written while the cluster's level is below LEVELS's.
Format 1, which is read as well, differs from it in the checksum alone: crc32(key, started from content ^ 0x5BD1E995).

No copy is made: the writer walks the keys in the table's order, and a record that is about to be replaced, deleted or
changed in place, and that the instant holds (its version is not above the snapshot's index), is handed to `save` first.
A record or a part may so be written twice, with the same content, which does no harm. Of a large value the writer takes
the list of its parts; from then on one that changes is another, so that the list stays as it is. Without writes
meanwhile, equal states give equal bytes.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

import msgspec

from leto.checksums import crc32
from leto.keyspace.database import Database
from leto.keyspace.packing import Held, Unpacked
from leto.keyspace.records import bucket_of
from leto.keyspace.types.long_string import PART, LongString
from leto.keyspace.types.parts import Part, Parts
from leto.keyspace.types.value import MASK, STRING_CODE, Record, Value, encode
from leto.vocabulary.levels import BASE

FORMAT = 3
STRINGS = 2  # the format of a keyspace of strings alone
FORMER = 1  # a format that is read, too
# Since which level each is understood (leto.vocabulary.levels). Who has no type but strings needs no more than the
# lower one, so these raise no version's level: the commands on types do.
LEVELS: Final = {STRINGS: BASE, FORMAT: 2}
HEADER, TOMBSTONES, RECORDS, END, HEAD, PARTS = 1, 2, 3, 4, 5, 6
ONLY = 0  # the number of the one database
PREFIX = struct.Struct(">IB")
MAX_FRAME = (1 << 32) - 1
BIN32 = struct.Struct(">BI")  # MessagePack's head of a long binary
LARGE_VALUE = 1 << 20
FRAME_BYTES = 1 << 16  # records are gathered into frames of about this size

RecordItem = tuple[bytes, int, int, int, bytes | LongString]

_encode = msgspec.msgpack.Encoder().encode


def _frame(kind: int, body: object) -> bytes:
    data = _encode(body)
    return PREFIX.pack(len(data) + 1, kind) + data


def _record_frame(items: list[RecordItem], version: int) -> Iterable[bytes | memoryview]:
    """A frame of records in that format, in pieces. A long string, which can only be the last, is given out as it
    is."""
    if not items or (type(items[-1][4]) is bytes and len(items[-1][4]) < LARGE_VALUE):
        return (_frame(RECORDS, _body(items, version)),)
    *rest, value = items[-1]
    head = _encode(_body([*items[:-1], (*rest, b"")], version))[:-2]  # without the empty value, two bytes
    size = len(head) + BIN32.size + len(value)
    first = b"".join((PREFIX.pack(size + 1, RECORDS), head, BIN32.pack(0xC6, len(value))))
    if isinstance(value, LongString):
        return chain((first,), value.parts())
    view = memoryview(value)
    return chain((first,), (view[at : at + PART] for at in range(0, len(view), PART)))


def _body(content: list[Any], version: int) -> list[Any]:
    """What a frame of tombstones or records holds in that format."""
    return content if version < FORMAT else [ONLY, content]


class _Large:
    """A large value on its way out: its head, and the parts that are to come, the last one first."""

    __slots__ = ("head", "key", "parts", "type")

    def __init__(self, key: bytes, record: Record, value: Value, index: int) -> None:
        content: Parts = value.content
        self.key = key
        self.type = value.__class__
        self.parts: list[Part] = content.share(index)
        self.parts.reverse()
        code = value.type_code
        self.head = _frame(
            HEAD, (ONLY, key, record.version, record.expire_at, code, len(self.parts), value.encode_head())
        )


class Writer:
    """A snapshot being taken: the SnapshotWriter of leto.interfaces.machine, and the Database's Observer."""

    def __init__(self, database: Database, time_ms: int) -> None:
        self.index = database.index
        self._database = database
        self._data = database.data  # FLUSHALL puts a new one in its place
        self._format = FORMAT if database.level >= LEVELS[FORMAT] else STRINGS
        self._saved: deque[RecordItem] = deque()
        self._large: deque[_Large] = deque()
        self._taken: set[bytes] = set()  # the keys of the large values that were among these
        self._tombstones = list(database.tombstones.items())
        self._bucket = 0  # up to which the walk has taken the keys
        self._passed = 0  # up to which it has seen to them
        self._waiting: Iterator[tuple[int, bytes, Held]] = iter(())
        self._written = 0
        self._parts_written = 0
        check_sum = database.check_sum & MASK
        header = _frame(HEADER, (self._format, self.index, time_ms, database.floor, len(database.data), check_sum))
        self._pieces: Iterator[bytes | memoryview] = iter((header,))  # of the frame at hand
        self._complete = False
        database.observer = self

    def save(self, key: bytes, record: Record) -> None:
        """The record is about to change: keep it as it is, unless the walk is past it."""
        if bucket_of(key) < self._passed:
            return
        if self._takes_large(key, record):
            return
        code, data = encode(record.value)
        self._saved.append((key, record.version, record.expire_at, code, data))

    def next_slice(self, max_bytes: int) -> bytes:
        """About max_bytes more of it; b"" when complete. What was saved meanwhile goes out first."""
        pieces: list[bytes | memoryview] = []
        size = 0
        while size < max_bytes or not pieces:
            piece = next(self._pieces, None)
            if piece is None:
                frame = self._next_frame(min(FRAME_BYTES, max(max_bytes - size, 1)))
                if not frame:
                    break
                self._pieces = iter(frame)
                continue
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Done or given up: the keyspace stops keeping old values for it."""
        self._detach()
        self._saved.clear()
        for large in self._large:  # it may be the last to have them
            self._database.waste.add_parts(large.parts)
        self._large.clear()
        self._tombstones = []
        self._pieces = iter(())
        self._waiting = iter(())

    def _detach(self) -> None:
        if self._database.observer is self:
            self._database.observer = None

    def _next_frame(self, max_bytes: int) -> Iterable[bytes | memoryview]:
        """Its pieces; empty if there is none any more."""
        if self._tombstones:
            some, self._tombstones = self._tombstones[:2048], self._tombstones[2048:]
            return (_frame(TOMBSTONES, _body([part for pair in some for part in pair], self._format)),)
        if self._large:
            return (self._large_frame(self._large[0]),)
        if self._saved:
            return self._record_frame(self._take_saved(max_bytes))
        items = self._walk(max_bytes)
        if items:
            return self._record_frame(items)
        if self._large:
            return (self._large_frame(self._large[0]),)
        if self._complete:
            return ()
        self._complete = True
        self._detach()
        written = (self._written,) if self._format == STRINGS else (self._written, self._parts_written)
        return (_frame(END, written),)

    def _takes_large(self, key: bytes, record: Record) -> bool:
        """Whether the record's value is a large one, which goes out by itself."""
        value = record.value
        if not isinstance(value, Value):
            return False
        if self._format == STRINGS:
            raise TypeError(f"a snapshot of format {STRINGS} holds strings alone: the cluster's level is too low")
        if not value.is_large:
            return False
        if key not in self._taken:
            self._taken.add(key)
            self._large.append(_Large(key, record, value, self.index))
        return True

    def _large_frame(self, large: _Large) -> bytes:
        """The next frame of the first of the large values."""
        if large.head:
            frame, large.head = large.head, b""
            self._written += 1
        else:
            part = large.parts.pop()
            body = ONLY, large.key, large.type.type_code, part.low, large.type.encode_part(part)
            frame = _frame(PARTS, body)
            self._parts_written += 1
        if not large.parts:
            self._large.popleft()
        return frame

    def _record_frame(self, items: list[RecordItem]) -> Iterable[bytes | memoryview]:
        self._written += len(items)
        return _record_frame(items, self._format)

    def _take_saved(self, max_bytes: int) -> list[RecordItem]:
        items: list[RecordItem] = []
        size = 0
        while size < max_bytes and self._saved:
            item = self._saved.popleft()
            items.append(item)
            size += len(item[0]) + len(item[4]) + 16
        return items

    def _walk(self, max_bytes: int) -> list[RecordItem]:
        """The next records of the walk through the keys, as the instant holds them."""
        items: list[RecordItem] = []
        size, index, records = 0, self.index, self._data
        while True:
            for bucket, key, held in self._waiting:
                self._passed = bucket
                data: bytes | LongString
                if held.__class__ is bytes:  # most, which need no call; nobody can have changed it since it was taken
                    version = int.from_bytes(held[-9:-1], "big")
                    if version > index:
                        continue  # newer than the instant, or changed since, and then it was saved
                    data = held[held[-1] : -9]
                    items.append((key, version, 0, STRING_CODE, data))
                else:
                    record = records.held(key, crc32(key))
                    if not isinstance(record, Unpacked) or record.version > index:
                        continue  # the same
                    if self._takes_large(key, record):
                        return items
                    code, data = encode(record.value)
                    items.append((key, record.version, record.expire_at, code, data))
                size += len(key) + len(data) + 16
                if size >= max_bytes:
                    return items
            self._passed = self._bucket
            self._bucket, found = records.stretch(self._bucket)
            if not found:
                return items
            self._waiting = iter(found)

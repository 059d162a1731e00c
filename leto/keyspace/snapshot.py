"""A snapshot of the keyspace: one instant, written in slices while the keyspace goes on changing.

The payload is a sequence of frames:

    bytes 0-3   length of what follows, big-endian unsigned
    byte 4      kind
    bytes 5-    body: MessagePack, an array

    kind 1, header, the first frame    [format (2), index, time_ms, floor, keys, check_sum]
    kind 2, tombstones, any number     [key, version, key, version, ...] oldest first
    kind 3, records, any number        [[key, version, expire_at, type code, value], ...]
    kind 4, end, the last frame        [records written]

`index`, `time_ms`: the last entry applied and the log's time at the instant. `floor`, the tombstones and the
records' versions are what WATCH needs (leto.keyspace.database). `expire_at` is in milliseconds since the epoch,
0 for never; type code 0 is a string, whose value is its bytes; the others are leto.keyspace.types.value' types.
`check_sum` is the sum of the records' checksums, its lowest 64 bits; a reader computes it anew and refuses the
snapshot if it, or the number of keys, differs. A record's checksum is

    (crc32(key) + 0x5BD1E995) * (content + 1)

where content is crc32(value) of a string shorter than 32 bytes, adler32(value) of a longer one, and for another type
crc32(type code in decimal, started from the value's digest); with an expiry, crc32(expire_at in decimal, started from
that). Format 1, which is read as well, differs in the checksum alone: crc32(key, started from content ^ 0x5BD1E995).

No copy is made: the writer walks the key index, and a record that is about to be replaced, deleted or changed
in place, and that the instant holds (its version is not above the snapshot's index), is handed to `save` first.
A record may so be written twice, with the same content, which does no harm. Without writes
meanwhile, equal states give equal bytes.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import chain, compress
from operator import is_, mul

import msgspec

from leto.checksums import adler32, crc32
from leto.errors import CorruptStorage
from leto.keyspace.database import Database
from leto.keyspace.index import bucket_of
from leto.keyspace.records import LAST
from leto.keyspace.types.long_string import PART, LongString
from leto.keyspace.types.value import (
    KEY_OFFSET,
    LONG_STRING,
    MASK,
    STRING_CODE,
    Record,
    content_sum,
    decode,
    encode,
    record_of,
)

FORMAT = 2
FORMER = 1  # a format that is read, too
HEADER, TOMBSTONES, RECORDS, END = 1, 2, 3, 4
PREFIX = struct.Struct(">IB")
MAX_FRAME = (1 << 32) - 1
BIN32 = struct.Struct(">BI")  # MessagePack's head of a long binary
LARGE_VALUE = 1 << 20
FRAME_BYTES = 1 << 16  # records are gathered into frames of about this size

RecordItem = tuple[bytes, int, int, int, bytes | LongString]

_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(tuple[int, int, int, int, int, int]).decode
_decode_tombstones = msgspec.msgpack.Decoder(list[bytes | int]).decode
_decode_records = msgspec.msgpack.Decoder(list[tuple[bytes, int, int, int, bytes]]).decode
_decode_end = msgspec.msgpack.Decoder(tuple[int]).decode


def _frame(kind: int, body: object) -> bytes:
    data = _encode(body)
    return PREFIX.pack(len(data) + 1, kind) + data


def _record_frame(items: list[RecordItem]) -> Iterable[bytes | memoryview]:
    """A frame of records, in pieces; a large value, which can only be the last, is given out as it is."""
    if not items or (type(items[-1][4]) is bytes and len(items[-1][4]) < LARGE_VALUE):
        return (_frame(RECORDS, items),)
    key, version, expire_at, code, value = items[-1]
    head = _encode([*items[:-1], (key, version, expire_at, code, b"")])[:-2]  # without the empty value, two bytes
    size = len(head) + BIN32.size + len(value)
    first = b"".join((PREFIX.pack(size + 1, RECORDS), head, BIN32.pack(0xC6, len(value))))
    if isinstance(value, LongString):
        return chain((first,), value.parts())
    view = memoryview(value)
    return chain((first,), (view[at : at + PART] for at in range(0, len(view), PART)))


class Writer:
    """A snapshot being taken: the SnapshotWriter of leto.interfaces.machine, and the Database's Observer."""

    def __init__(self, database: Database, time_ms: int) -> None:
        self.index = database.index
        self._database = database
        self._shards = database.data.shards  # FLUSHALL puts new objects in their place
        self._keys = database.keys
        self._saved: deque[RecordItem] = deque()
        self._tombstones = list(database.tombstones.items())
        self._bucket = 0
        self._waiting: Iterator[bytes] = iter(())
        self._written = 0
        check_sum = database.check_sum & MASK
        header = _frame(HEADER, (FORMAT, self.index, time_ms, database.floor, len(database.data), check_sum))
        self._pieces: Iterator[bytes | memoryview] = iter((header,))  # of the frame at hand
        self._complete = False
        database.observer = self

    def save(self, key: bytes, record: Record) -> None:
        """The record is about to change: keep it as it is, unless the walk is past it."""
        if bucket_of(key) < self._bucket - 1:
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
            return (_frame(TOMBSTONES, [part for pair in some for part in pair]),)
        if self._saved:
            return self._record_frame(self._take_saved(max_bytes))
        items = self._walk(max_bytes)
        if items:
            return self._record_frame(items)
        if self._complete:
            return ()
        self._complete = True
        self._detach()
        return (_frame(END, (self._written,)),)

    def _record_frame(self, items: list[RecordItem]) -> Iterable[bytes | memoryview]:
        self._written += len(items)
        return _record_frame(items)

    def _take_saved(self, max_bytes: int) -> list[RecordItem]:
        items: list[RecordItem] = []
        size = 0
        while size < max_bytes and self._saved:
            item = self._saved.popleft()
            items.append(item)
            size += len(item[0]) + len(item[4]) + 16
        return items

    def _walk(self, max_bytes: int) -> list[RecordItem]:
        """The next records of the walk through the index, as the instant holds them."""
        items: list[RecordItem] = []
        size, index, shards = 0, self.index, self._shards
        while True:
            for key in self._waiting:
                record = shards[crc32(key) & LAST].get(key)
                if record is None or record.version > index:
                    continue  # changed since: it was saved, or it is newer than the instant
                value = record.value
                code, data = (STRING_CODE, value) if value.__class__ is bytes else encode(value)  # most need no call
                items.append((key, record.version, record.expire_at, code, data))
                size += len(key) + len(data) + 16
                if size >= max_bytes:
                    return items
            found = self._keys.bucket(self._bucket)
            if found is None:
                return items
            self._bucket, self._waiting = found[0] + 1, iter(found[1])


REJOIN = "move the data directory away and start the node with --join: it joins its cluster anew"


def read(
    chunks: Iterable[bytes], index: int, random: Callable[[], float]
) -> Generator[None, None, tuple[Database, int]]:
    """The database that a payload holds, and its time_ms, made step by step: each step is one frame's work.
    `index`: the entry the snapshot is said to stand for.

    Raises CorruptStorage, naming what is wrong, for anything but that snapshot, complete and undamaged.
    """
    try:
        database, time_ms = yield from _read(chunks, random)
        if database.index != index:
            raise ValueError(f"it holds the state at entry {database.index}, not {index}")
    except (ValueError, msgspec.MsgspecError) as error:
        raise CorruptStorage(f"keyspace snapshot is damaged: {error}; {REJOIN}") from error
    return database, time_ms


def _read(chunks: Iterable[bytes], random: Callable[[], float]) -> Generator[None, None, tuple[Database, int]]:
    frames = _frames(chunks)
    kind, body = next(frames, (0, b""))
    if kind != HEADER:
        raise ValueError("it does not begin with a header")
    version, index, time_ms, floor, keys, check_sum = _decode_header(body)
    if version not in (FORMER, FORMAT):
        raise ValueError(f"its format is {version}; this version reads formats {FORMER} and {FORMAT}")
    database = Database(random)
    database.index, database.now, database.floor = index, time_ms, floor
    versions: dict[int, int] = {}
    volatile: list[tuple[int, bytes]] = []
    written = 0
    complete = False
    for kind, body in frames:
        if complete:
            raise ValueError("it goes on after its end")
        if kind == RECORDS:
            items = _decode_records(body)
            written += len(items)
            _load(database, items, versions, volatile)
        elif kind == TOMBSTONES:
            _bury(database, _decode_tombstones(body))
        elif kind == END:
            complete = True
            if _decode_end(body)[0] != written:
                raise ValueError(f"it has {written} records where its end says {_decode_end(body)[0]}")
        else:
            raise ValueError(f"it has a frame of unknown kind {kind}")
        yield
    if not complete:
        raise ValueError("its end is missing")
    found = len(database.data)
    found_sum = database.check_sum if version == FORMAT else (yield from _former_sum(database))
    if found != keys or found_sum & MASK != check_sum:
        raise ValueError(f"its digest does not match: {found} keys, sum {found_sum & MASK}, not {keys}, {check_sum}")
    database.volatile = len(volatile)
    database.deadlines.load(volatile)
    return database, time_ms


def _load(
    database: Database, items: Sequence[RecordItem], versions: dict[int, int], volatile: list[tuple[int, bytes]]
) -> None:
    """Store the records. `versions` lets records of one entry share the number, 32 bytes a key, as they did before."""
    if not items:
        return
    if len(versions) > 1 << 16:
        versions.clear()
    keys, stamps, expiries, codes, contents = zip(*items, strict=True)
    shared = map(versions.setdefault, stamps, stamps)
    if any(codes) or any(expiries):
        values = [
            content if code == STRING_CODE else decode(code, content)
            for code, content in zip(codes, contents, strict=True)
        ]
        sums = list(map(content_sum, values, expiries))
        records = list(map(record_of, values, shared, expiries))
    else:  # plain strings: without calls
        sums = [crc32(content) if len(content) < LONG_STRING else adler32(content) for content in contents]
        records = list(map(Record, contents, shared))
    crcs = list(map(crc32, keys))
    data = database.data
    before = len(data)
    stored = list(map(dict.setdefault, [data.shards[crc & LAST] for crc in crcs], keys, records))
    if len(data) - before < len(keys):  # some are written twice: the same content
        new = list(map(is_, stored, records))
        keys, expiries = tuple(compress(keys, new)), tuple(compress(expiries, new))
        crcs, sums = list(compress(crcs, new)), list(compress(sums, new))
    database.keys.add(zip(keys, crcs, strict=True))
    # The sum of (crc + KEY_OFFSET) * (content + 1), multiplied out so that it is made in C.
    database.check_sum += sum(map(mul, crcs, sums)) + sum(crcs) + KEY_OFFSET * (sum(sums) + len(sums))
    if any(expiries):
        volatile += [(expire_at, key) for expire_at, key in zip(expiries, keys, strict=True) if expire_at]


def _former_sum(database: Database) -> Generator[None, None, int]:
    """The sum of the records' checksums as they were in the former format, made step by step."""
    total = 0
    for number, (key, record) in enumerate(database.data.items()):
        if number % 1024 == 1023:
            yield
        total += crc32(key, content_sum(record.value, record.expire_at) ^ KEY_OFFSET)
    return total


def _bury(database: Database, pairs: list[bytes | int]) -> None:
    for key, version in zip(pairs[::2], pairs[1::2], strict=True):
        if not isinstance(key, bytes) or not isinstance(version, int):
            raise ValueError("a tombstone is no pair of key and version")
        database.tombstones[key] = version


def _frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Cut the chunks, however they were made, into frames: (kind, body)."""
    buffer = bytearray()
    start = 0
    for chunk in chunks:
        buffer += chunk
        while len(buffer) - start >= PREFIX.size:
            length, kind = PREFIX.unpack_from(buffer, start)
            if length == 0:
                raise ValueError("it has an empty frame")
            end = start + 4 + length
            if len(buffer) < end:
                break
            yield kind, bytes(memoryview(buffer)[start + PREFIX.size : end])
            start = end
        if start > 1 << 20:
            del buffer[:start]
            start = 0
    if len(buffer) != start:
        raise ValueError(f"it ends inside a frame, {len(buffer) - start} bytes after the last whole one")

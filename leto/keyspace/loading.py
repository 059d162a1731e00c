"""A snapshot of the keyspace, read: see leto.keyspace.snapshot for the format."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import msgspec

from leto.checksums import adler32, crc32
from leto.errors import CorruptStorage
from leto.keyspace.database import Database
from leto.keyspace.packing import LONGEST_KEY, PACKED, Unpacked, hold
from leto.keyspace.records import FULL, GROUP_SHIFT, NAMES, SLOT
from leto.keyspace.snapshot import (
    END,
    FORMAT,
    FORMER,
    HEAD,
    HEADER,
    ONLY,
    PARTS,
    PREFIX,
    RECORDS,
    TOMBSTONES,
)
from leto.keyspace.types.parts import Loader
from leto.keyspace.types.value import (
    KEY_OFFSET,
    LONG_STRING,
    MASK,
    STRING_CODE,
    Value,
    checksum,
    content_sum,
    decode,
    type_of,
)

REJOIN = "move the data directory away and start the node with --join: it joins its cluster anew"


class _Head(msgspec.Struct, array_like=True):
    database: int
    key: bytes
    version: int
    expire_at: int
    code: int
    parts: int
    head: Any


_Items = list[tuple[bytes, int, int, int, bytes]]

_decode_header = msgspec.msgpack.Decoder(tuple[int, int, int, int, int, int]).decode
_decode_tombstones = msgspec.msgpack.Decoder(list[bytes | int]).decode
_decode_records = msgspec.msgpack.Decoder(_Items).decode
_decode_end = msgspec.msgpack.Decoder(tuple[int]).decode
_decode_numbered_tombstones = msgspec.msgpack.Decoder(tuple[int, list[bytes | int]]).decode
_decode_numbered_records = msgspec.msgpack.Decoder(tuple[int, _Items]).decode
_decode_numbered_end = msgspec.msgpack.Decoder(tuple[int, int]).decode
_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode_part = msgspec.msgpack.Decoder(tuple[int, bytes, int, Any, bytes]).decode


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
    if not FORMER <= version <= FORMAT:
        raise ValueError(f"its format is {version}; this version reads formats {FORMER} to {FORMAT}")
    database = Database(random)
    database.index, database.now, database.floor = index, time_ms, floor
    reading = _Reading(database) if version == FORMAT else _ReadingStrings(database)
    complete = False
    for kind, body in frames:
        if complete:
            raise ValueError("it goes on after its end")
        if kind == END:
            reading.end(body)
            complete = True
        else:
            reading.take(kind, body)
        yield
    if not complete:
        raise ValueError("its end is missing")
    found = len(database.data)
    found_sum = database.check_sum if version != FORMER else (yield from _former_sum(database))
    if found != keys or found_sum & MASK != check_sum:
        raise ValueError(f"its digest does not match: {found} keys, sum {found_sum & MASK}, not {keys}, {check_sum}")
    database.volatile = len(reading.volatile)
    database.deadlines.load(reading.volatile)
    return database, time_ms


class _ReadingStrings:
    """The frames of formats 1 and 2."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions: dict[int, int] = {}
        self._written = 0
        self.volatile: list[tuple[int, bytes]] = []

    def take(self, kind: int, body: bytes) -> None:
        """Raises ValueError, as end() does."""
        if kind == RECORDS:
            self._load(_decode_records(body))
        elif kind == TOMBSTONES:
            _bury(self._database, _decode_tombstones(body))
        else:
            raise ValueError(f"it has a frame of unknown kind {kind}")

    def end(self, body: bytes) -> None:
        [written] = _decode_end(body)
        self._check(self._written, written, "records")

    def _load(self, items: _Items) -> None:
        self._written += len(items)
        _load(self._database, items, self._versions, self.volatile)

    def _check(self, found: int, told: int, what: str) -> None:
        if found != told:
            raise ValueError(f"it has {found} {what} where its end says {told}")


class _Reading(_ReadingStrings):
    """The frames of format 3."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._loaders: dict[bytes, tuple[type[Value], Loader]] = {}  # of large values that are not complete
        self._heads: dict[bytes, _Head] = {}
        self._parts_written = 0

    def take(self, kind: int, body: bytes) -> None:
        if kind == RECORDS:
            number, items = _decode_numbered_records(body)
            _check_number(number)
            self._load(items)
        elif kind == TOMBSTONES:
            number, pairs = _decode_numbered_tombstones(body)
            _check_number(number)
            _bury(self._database, pairs)
        elif kind == HEAD:
            self._take_head(_decode_head(body))
        elif kind == PARTS:
            self._take_part(*_decode_part(body))
        else:
            raise ValueError(f"it has a frame of unknown kind {kind}")

    def end(self, body: bytes) -> None:
        written, parts_written = _decode_numbered_end(body)
        self._check(self._written, written, "records")
        self._check(self._parts_written, parts_written, "parts")
        if self._heads or self._loaders:
            raise ValueError("it ends before a large value is complete")

    def _take_head(self, head: _Head) -> None:
        _check_number(head.database)
        if not 0 <= head.version <= self._database.index:
            raise ValueError("a value is of an entry that it cannot be of")
        self._written += 1
        if head.key not in self._database.data:
            self._heads[head.key] = head
            self._complete(head.key, head.code)

    def _take_part(self, number: int, key: bytes, code: int, low: Any, elements: bytes) -> None:
        _check_number(number)
        self._parts_written += 1
        if key not in self._database.data:
            type_, loader = self._loader(key, code)
            loader.add(type_.decode_part(low, elements))
            self._complete(key, code)

    def _loader(self, key: bytes, code: int) -> tuple[type[Value], Loader]:
        if key not in self._loaders:
            self._loaders[key] = type_of(code), Loader()
        found = self._loaders[key]
        if found[0].type_code != code:
            raise ValueError("the parts of a value are of two types")
        return found

    def _complete(self, key: bytes, code: int) -> None:
        """Store the large value if nothing of it is missing."""
        head = self._heads.get(key)
        type_, loader = self._loader(key, code)
        if head is None or len(loader) != head.parts:
            return
        del self._heads[key], self._loaders[key]
        value = type_.assembled(head.head, loader.parts())
        self._database.data.add(key, crc32(key), Unpacked(value, head.version, key, head.expire_at))
        self._database.check_sum += checksum(key, value, head.expire_at)
        if head.expire_at:
            self.volatile.append((head.expire_at, key))


def _check_number(database: int) -> None:
    if database != ONLY:
        raise ValueError(f"it has a database {database}, and this version has database {ONLY} alone")


def _load(database: Database, items: _Items, versions: dict[int, int], volatile: list[tuple[int, bytes]]) -> None:
    """Store the records. `versions` lets records of one entry that are not packed share the number, 32 bytes per key,
    as they did before."""
    of_entries = [item[1] for item in items]
    if items and not 0 <= min(of_entries) <= max(of_entries) <= database.index:
        raise ValueError("a record is of an entry that it cannot be of")
    if len(versions) > 1 << 16:
        versions.clear()
    data, counts = database.data, database.data.counts
    total = 0
    for key, version, expire_at, code, content in items:
        crc = crc32(key)
        if code == STRING_CODE and not expire_at and len(content) < PACKED and len(key) <= LONGEST_KEY:
            segment, name = data.segments[crc >> data.shift], NAMES[crc & SLOT]
            if name not in segment and len(segment) < FULL:  # nearly always: without calls
                segment[name] = key + content + version.to_bytes(8, "big") + bytes((len(key),))
                data.count += 1
                counts[crc >> GROUP_SHIFT] += 1
                total += (crc + KEY_OFFSET) * ((crc32 if len(content) < LONG_STRING else adler32)(content) + 1)
                continue
        if data.held(key, crc) is not None:
            continue  # some are written twice: the same content
        value = decode(code, content)
        data.add(key, crc, hold(key, value, versions.setdefault(version, version), expire_at))
        total += (crc + KEY_OFFSET) * (content_sum(value, expire_at) + 1)
        if expire_at:
            volatile.append((expire_at, key))
    database.check_sum += total


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
        if not 0 <= version <= database.index:
            raise ValueError("a tombstone is of an entry that it cannot be of")
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

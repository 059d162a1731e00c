"""What is always true of the keyspace between two entries, checked from the records up (as LogCabin's state machine and
leto.raft.invariants do): what a change forgot to keep shows here, and not when a snapshot does not load.

A whole check takes as long as the keyspace is large, so it is made in steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable

from leto.checksums import crc32
from leto.errors import BrokenKeyspace
from leto.keyspace.database import TOMBSTONES, Database
from leto.keyspace.packing import Crowded, Held, key_of, record_of
from leto.keyspace.records import BUCKETS, GROUP_SHIFT, NAMES, SHIFT, SLOT, Records, own_name
from leto.keyspace.types.value import Record, Value, checksum, is_string
from leto.vocabulary.steps import STEP, exhaust


def check(database: Database) -> None:
    """Raises BrokenKeyspace, naming what is wrong, unless all of it holds."""
    exhaust(checking(database))


def checking(database: Database) -> Generator[None, None, None]:
    """check() in steps of a millisecond or so, between which the keyspace must stay as it is."""
    total = volatile = count = 0
    deadlines = yield from _deadlines(database)
    for key, name, number, held in _places(database.data):
        count += 1
        if count % STEP == 0:
            yield
        _check_place(database.data, key, name, number)
        record = record_of(held)
        value = record.value
        if isinstance(value, Value):
            yield from _check_value(key, value)
        _check_record(database, key, record, deadlines)
        total += checksum(key, value, record.expire_at)
        volatile += record.expire_at > 0
    for what, kept, found in (
        ("the sum of the records' checksums", database.check_sum, total),
        ("the number of keys with an expiry", database.volatile, volatile),
        ("the number of keys", database.data.count, count),
    ):
        if kept != found:
            raise BrokenKeyspace(f"{what} is kept as {kept}, and is {found}")
    yield from _check_order(database.data)
    yield from _check_tombstones(database)


def _places(records: Records) -> Generator[tuple[bytes, str, int, Held], None, None]:
    """(key, its name, the segment's first number in the directory, what is held) of every key there is. A segment's
    Crowded ones are checked by the way."""
    number, size = 0, 1 << 32 - records.shift
    if not size == len(records.segments) == len(records.depths):
        raise BrokenKeyspace(f"the directory has {len(records.segments)} segments, not {size}")
    while number < size:
        segment = records.segments[number]
        first, end = records.span(number)
        if first != number or any(each is not segment for each in records.segments[first:end]):
            raise BrokenKeyspace(f"the directory has another segment at {number} than its depth says")
        crowds: Counter[str] = Counter()
        for name, held in segment.items():
            if isinstance(held, Crowded):
                crowds[name] -= held.keys
                continue
            key = key_of(held)
            if len(name) > 2:
                crowds[NAMES[crc32(key) & SLOT]] += 1
            yield key, name, number, held
        for name, difference in crowds.items():
            if difference:
                raise BrokenKeyspace(f"the keys of the name {name} are {difference} more than counted")
        number = end


def _check_place(records: Records, key: bytes, name: str, number: int) -> None:
    crc = crc32(key)
    if not number <= crc >> records.shift < records.span(number)[1]:
        raise BrokenKeyspace(f"key {key[:64]!r} is in another segment than its own")
    if name not in (NAMES[crc & SLOT], own_name(key)):
        raise BrokenKeyspace(f"key {key[:64]!r} is under another name than its own")


def _deadlines(database: Database) -> Generator[None, None, set[tuple[int, bytes]]]:
    """All entries of the heaps."""
    found = set()
    for number, entry in enumerate(database.deadlines):
        found.add(entry)
        if number % (8 * STEP) == 0:
            yield
    return found


def _check_value(key: bytes, value: Value) -> Generator[None, None, None]:
    if not value:
        raise BrokenKeyspace(f"the {value.type_name.decode()} under {key[:64]!r} is empty")
    for complaint in value.complaints():
        if complaint is not None:
            raise BrokenKeyspace(f"the {value.type_name.decode()} under {key[:64]!r} {complaint}")
        yield


def _check_record(database: Database, key: bytes, record: Record, deadlines: Iterable[tuple[int, bytes]]) -> None:
    if not isinstance(record.value, Value) and not is_string(record.value):
        raise BrokenKeyspace(f"under {key[:64]!r} is a {type(record.value).__name__}")
    if record.version > database.index:
        raise BrokenKeyspace(f"key {key[:64]!r} was changed by entry {record.version}, after {database.index}")
    if record.expire_at and (record.expire_at, key) not in deadlines:
        raise BrokenKeyspace(f"nothing says when key {key[:64]!r} expires")


def _check_order(records: Records) -> Generator[None, None, None]:
    """A walk meets every key, and each group counts its own."""
    found: Counter[int] = Counter()
    position, last = 0, (-1, b"")
    while position < BUCKETS:
        position, some = records.stretch(position)
        for bucket, key, _ in some:
            if (bucket, key) <= last:
                raise BrokenKeyspace(f"key {key[:64]!r} is met out of order")
            last = bucket, key
            found[bucket << SHIFT >> GROUP_SHIFT] += 1
        yield
    if records.counts != [found[group] for group in range(len(records.counts))]:
        raise BrokenKeyspace("the keys of a group of buckets are counted wrong")


def _check_tombstones(database: Database) -> Generator[None, None, None]:
    before = database.floor
    for number, (key, version) in enumerate(database.tombstones.items()):
        if not before <= version <= database.index:
            raise BrokenKeyspace(f"key {key[:64]!r} was deleted by entry {version}, out of order")
        if key in database.data:
            raise BrokenKeyspace(f"key {key[:64]!r} is there, and counts as deleted")
        before = version
        if number % STEP == STEP - 1:
            yield
    if len(database.tombstones) >= TOMBSTONES:
        raise BrokenKeyspace(f"{len(database.tombstones)} deleted keys are remembered")

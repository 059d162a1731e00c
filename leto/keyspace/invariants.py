"""What is always true of the keyspace between two entries, checked from the records up (as LogCabin's state machine and
leto.raft.invariants do): what a change forgot to keep shows here, and not when a snapshot does not load.

A whole check takes as long as the keyspace is large, so it is made in steps.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

from leto.checksums import crc32
from leto.errors import BrokenKeyspace
from leto.keyspace.database import TOMBSTONES, Database
from leto.keyspace.records import LAST
from leto.keyspace.types.value import Record, Value, checksum, is_string
from leto.vocabulary.steps import STEP, exhaust


def check(database: Database) -> None:
    """Raises BrokenKeyspace, naming what is wrong, unless all of it holds."""
    exhaust(checking(database))


def checking(database: Database) -> Generator[None, None, None]:
    """check() in steps of a millisecond or so, between which the keyspace must stay as it is."""
    total = volatile = count = 0
    deadlines = yield from _deadlines(database)
    for number, shard in enumerate(database.data.shards):
        for key, record in shard.items():
            count += 1
            if count % STEP == 0:
                yield
            value = record.value
            if isinstance(value, Value):
                yield from _check_value(key, value)
            _check_record(database, key, record, deadlines)
            if crc32(key) & LAST != number:
                raise BrokenKeyspace(f"key {key[:64]!r} is in another dictionary than its own")
            total += checksum(key, value, record.expire_at)
            volatile += record.expire_at > 0
    for what, kept, found in (
        ("the sum of the records' checksums", database.check_sum, total),
        ("the number of keys with an expiry", database.volatile, volatile),
        ("the number of keys in the index", len(database.keys), count),
    ):
        if kept != found:
            raise BrokenKeyspace(f"{what} is kept as {kept}, and is {found}")
    yield from _check_index(database)
    yield from _check_tombstones(database)


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


def _check_index(database: Database) -> Generator[None, None, None]:
    met, cursor = 0, 0
    while True:
        cursor, keys = database.keys.page(cursor, STEP)
        for key in keys:
            if key not in database.data:
                raise BrokenKeyspace(f"the index has key {key[:64]!r}, which is missing")
        met += len(keys)
        if not cursor:
            break
        yield
    if met != len(database.keys):
        raise BrokenKeyspace(f"the index counts {len(database.keys)} keys, and has {met}")


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

"""Commands on keys whatever they hold: DEL, EXISTS, TYPE, RENAME, COPY, FLUSHALL and their kin.

Expiry is in expiration.py, walks over the keys in scanning.py, OBJECT in introspection.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from leto.keyspace.database import Database
from leto.keyspace.types.value import copy as copy_value
from leto.keyspace.types.value import type_name
from leto.vocabulary.numbers import bounded_integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import NO_SUCH_KEY, OK, SYNTAX_ERROR, Error, Reply, Status
from leto.vocabulary.steps import LONG, STEP, Steps

SAME_OBJECT = Error(b"ERR source and destination objects are the same")
NO_SUCH_DATABASE = Error(b"ERR DB index is out of range")


@KEYSPACE.add(
    "DEL",
    -2,
    "write",
    keys=(1, -1, 1),
    group="generic",
    since="1.0.0",
    summary="Delete a key",
    complexity="O(N) where N is the number of keys that will be removed. When a key to remove holds a value other"
    " than a string, the individual complexity for this key is O(M) where M is the number of elements in the list,"
    " set, sorted set or hash. Removing a single key that holds a string value is O(1).",
    syntax="key [key ...]",
    categories="keyspace write slow",
    tips="request_policy:multi_shard response_policy:agg_sum",
    key_flags="RM delete",
)
@KEYSPACE.add(
    "UNLINK",
    -2,
    "write fast",
    keys=(1, -1, 1),
    group="generic",
    since="4.0.0",
    summary="Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.",
    complexity="O(1) for each key removed regardless of its size. Then the command does O(N) work in a different"
    " thread in order to reclaim memory, where N is the number of allocations the deleted objects where composed of.",
    syntax="key [key ...]",
    categories="keyspace write fast",
    tips="request_policy:multi_shard response_policy:agg_sum",
    key_flags="RM delete",
)
def delete(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/del"""
    return Steps(_in_steps(_delete, db, argv)) if len(argv) > LONG else _delete(db, argv[1:])


def _delete(db: Database, keys: Sequence[bytes]) -> int:
    count = 0
    for key in keys:
        record = db.delete(key)
        if record is not None and not 0 < record.expire_at < db.now:  # else it was as good as gone
            count += 1
    return count


def _in_steps(
    work: Callable[[Database, Sequence[bytes]], int], db: Database, argv: list[bytes]
) -> Generator[None, None, int]:
    """The sum of what `work` makes of the keys, some at a time."""
    total, now = 0, db.now
    for start in range(1, len(argv), STEP):
        db.now = now
        total += work(db, argv[start : start + STEP])
        yield
    return total


@KEYSPACE.add(
    "EXISTS",
    -2,
    "readonly fast",
    keys=(1, -1, 1),
    group="generic",
    since="1.0.0",
    summary="Determine if a key exists",
    complexity="O(N) where N is the number of keys to check.",
    syntax="key [key ...]",
    categories="keyspace read fast",
    tips="request_policy:multi_shard response_policy:agg_sum",
    key_flags="RO",
)
@KEYSPACE.add(
    "TOUCH",
    -2,
    "readonly fast",
    keys=(1, -1, 1),
    group="generic",
    since="3.2.1",
    summary="Alters the last access time of a key(s). Returns the number of existing keys specified.",
    complexity="O(N) where N is the number of keys that will be touched.",
    syntax="key [key ...]",
    categories="keyspace read fast",
    tips="request_policy:multi_shard response_policy:agg_sum",
    key_flags="RO",
)
def exists(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/exists"""
    return Steps(_in_steps(_exist, db, argv), holds=True) if len(argv) > LONG else _exist(db, argv[1:])


def _exist(db: Database, keys: Sequence[bytes]) -> int:
    return sum(db.find(key) is not None for key in keys)


@KEYSPACE.add(
    "TYPE",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="generic",
    since="1.0.0",
    summary="Determine the type stored at key",
    syntax="key",
    categories="keyspace read fast",
    key_flags="RO",
)
def type_(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/type"""
    record = db.find(argv[1])
    return Status(b"none" if record is None else type_name(record.value))


@KEYSPACE.add(
    "DBSIZE",
    1,
    "readonly fast",
    group="server",
    since="1.0.0",
    summary="Return the number of keys in the selected database",
    categories="keyspace read fast",
    tips="request_policy:all_shards response_policy:agg_sum",
)
def dbsize(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/dbsize: expired keys that were not deleted yet are counted, as Redis counts them."""
    return len(db.data)


@KEYSPACE.add(
    "FLUSHALL",
    -1,
    "write",
    group="server",
    since="1.0.0",
    summary="Remove all keys from all databases",
    complexity="O(N) where N is the total number of keys in all databases",
    syntax="[ASYNC | SYNC]",
    categories="keyspace write slow dangerous",
    tips="request_policy:all_shards response_policy:all_succeeded",
)
@KEYSPACE.add(
    "FLUSHDB",
    -1,
    "write",
    group="server",
    since="1.0.0",
    summary="Remove all keys from the current database",
    complexity="O(N) where N is the number of keys in the selected database",
    syntax="[ASYNC | SYNC]",
    categories="keyspace write slow dangerous",
    tips="request_policy:all_shards response_policy:all_succeeded",
)
def flush(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/flushall"""
    if len(argv) > 2 or (len(argv) == 2 and argv[1].upper() not in (b"ASYNC", b"SYNC")):
        return SYNTAX_ERROR
    db.clear()
    return OK


@KEYSPACE.add(
    "RENAME",
    3,
    "write",
    keys=(1, 2, 1),
    group="generic",
    since="1.0.0",
    summary="Rename a key",
    syntax="key newkey",
    categories="keyspace write slow",
    key_flags="RW access delete; OW update",
)
def rename(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/rename"""
    return OK if _rename(db, argv[1], argv[2], replace=True) is not None else NO_SUCH_KEY


@KEYSPACE.add(
    "RENAMENX",
    3,
    "write fast",
    keys=(1, 2, 1),
    group="generic",
    since="1.0.0",
    summary="Rename a key, only if the new key does not exist",
    syntax="key newkey",
    categories="keyspace write fast",
    key_flags="RW access delete; OW insert",
)
def renamenx(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/renamenx"""
    renamed = _rename(db, argv[1], argv[2], replace=False)
    return NO_SUCH_KEY if renamed is None else int(renamed)


def _rename(db: Database, source: bytes, destination: bytes, replace: bool) -> bool | None:
    """Whether it was renamed; None when there is no source."""
    record = db.touch(source)
    if record is None:
        return None
    if source == destination:
        return False
    if db.touch(destination) is not None and not replace:
        return False
    db.delete(source, moves=True, event=b"rename_from")
    db.store(destination, record.value, record.expire_at, b"rename_to")
    return True


@KEYSPACE.add(
    "COPY",
    -3,
    "write denyoom",
    keys=(1, 2, 1),
    group="generic",
    since="6.2.0",
    summary="Copy a key",
    complexity="O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
    syntax="source destination [DB destination-db] [REPLACE]",
    categories="keyspace write slow",
    key_flags="RO access; OW update",
)
def copy(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/copy. There is one database, number 0."""
    replace = False
    words = iter(argv[3:])
    for word in words:
        option = word.upper()
        if option == b"REPLACE":
            replace = True
        elif option == b"DB" and (number := next(words, None)) is not None:
            if bounded_integer(number, -(2**31), 2**31 - 1) != 0:
                return NO_SUCH_DATABASE
        else:
            return SYNTAX_ERROR
    source, destination = argv[1], argv[2]
    if source == destination:
        return SAME_OBJECT
    record = db.touch(source)
    if record is None or (db.touch(destination) is not None and not replace):
        return 0
    db.store(destination, copy_value(record.value, db.index), record.expire_at, b"copy_to")
    return 1

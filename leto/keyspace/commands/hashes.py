"""Hashes. HSET HSETNX HMSET HGET HMGET HGETALL HKEYS HVALS HLEN HSTRLEN HEXISTS HDEL HINCRBY HINCRBYFLOAT HRANDFIELD
HSCAN."""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import islice
from typing import Any, Final

from leto.keyspace import costs
from leto.keyspace.database import Database
from leto.keyspace.types.drawing import draw, sample
from leto.keyspace.types.hash import Hash
from leto.keyspace.walks import scan_value
from leto.vocabulary.numbers import (
    INT64_MAX,
    INT64_MIN,
    Infinite,
    bounded_integer,
    integer,
    long_double,
    parse_integer,
)
from leto.vocabulary.registry import KEYSPACE, wrong_arity
from leto.vocabulary.replies import OK, SYNTAX_ERROR, Error, Pairs, Refused, Reply
from leto.vocabulary.steps import LONG, STEP, Steps, all_steps, exhaust

NOT_AN_INTEGER = Error(b"ERR hash value is not an integer")
NOT_A_FLOAT = Error(b"ERR hash value is not a float")
OVERFLOW = Error(b"ERR increment or decrement would overflow")
NOT_FINITE = Error(b"ERR value is NaN or Infinity")
WOULD_NOT_BE_FINITE = Error(b"ERR increment would produce NaN or Infinity")
OUT_OF_RANGE = Error(b"ERR value is out of range")
MOST_DRAWN: Final = 1 << 20  # fields that may come more than once: Redis makes a reply of any length

for _name in (b"HGETALL", b"HKEYS", b"HVALS"):
    costs.weigh(_name, costs.length_of_first)


@KEYSPACE.add(
    "HSET",
    -4,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Set the string value of a hash field",
    complexity="O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is called"
    " with multiple field/value pairs.",
    syntax="key field value [field value ...]",
    categories="write hash fast",
    key_flags="RW update",
    level=2,
)
def hset(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hset"""
    if len(argv) % 2:
        return wrong_arity(KEYSPACE[b"HSET"])
    if len(argv) > LONG:
        return Steps(_hset_in_steps(db, argv))
    with db.edit(argv[1], Hash, b"hset") as fields:
        if len(argv) == 4:
            return int(fields.put(argv[2], argv[3]) is None)
        return sum([fields.put(argv[at], argv[at + 1]) is None for at in range(2, len(argv), 2)])


def _hset_in_steps(db: Database, argv: list[bytes]) -> Generator[None, None, int]:
    added = 0
    for start in range(2, len(argv), STEP):
        with db.edit(argv[1], Hash, b"hset" if start == 2 else b"") as fields:
            for at in range(start, min(start + STEP, len(argv)), 2):
                added += fields.put(argv[at], argv[at + 1]) is None
        yield
    return added


@KEYSPACE.add(
    "HSETNX",
    4,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Set the value of a hash field, only if the field does not exist",
    syntax="key field value",
    categories="write hash fast",
    key_flags="RW insert",
    level=2,
)
def hsetnx(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hsetnx"""
    with db.edit(argv[1], Hash, b"hset") as fields:
        if argv[2] in fields:
            return 0
        fields.put(argv[2], argv[3])
        return 1


@KEYSPACE.add(
    "HMSET",
    -4,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Set multiple hash fields to multiple values",
    complexity="O(N) where N is the number of fields being set.",
    syntax="key field value [field value ...]",
    categories="write hash fast",
    key_flags="RW update",
    deprecated_since="4.0.0",
    replaced_by="`HSET` with multiple field-value pairs",
    level=2,
)
def hmset(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hmset"""
    if len(argv) % 2:
        return wrong_arity(KEYSPACE[b"HMSET"])
    added = hset(db, argv)
    return Steps(_then_ok(added)) if type(added) is Steps else OK


def _then_ok(steps: Steps) -> Generator[None, None, Reply]:
    yield from all_steps(steps)
    return OK


@KEYSPACE.add(
    "HGET",
    3,
    "readonly fast",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Get the value of a hash field",
    syntax="key field",
    categories="read hash fast",
    key_flags="RO access",
    level=2,
)
def hget(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hget"""
    fields = db.read(argv[1], Hash)
    return None if fields is None else fields.get(argv[2])


@KEYSPACE.add(
    "HMGET",
    -3,
    "readonly fast",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Get the values of all the given hash fields",
    complexity="O(N) where N is the number of fields being requested.",
    syntax="key field [field ...]",
    categories="read hash fast",
    key_flags="RO access",
    level=2,
)
def hmget(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hmget"""
    fields = db.read(argv[1], Hash)
    if len(argv) > LONG:
        return Steps(_hmget_in_steps(fields, argv), holds=True)
    if fields is None:
        return [None] * (len(argv) - 2)
    return fields.get_all(argv[2:])


def _hmget_in_steps(fields: Hash | None, argv: list[bytes]) -> Generator[None, None, Reply]:
    found: list[bytes | None] = []
    for start in range(2, len(argv), STEP):
        some = argv[start : start + STEP]
        found += [None] * len(some) if fields is None else fields.get_all(some)
        yield
    return found


@KEYSPACE.add(
    "HSTRLEN",
    3,
    "readonly fast",
    keys=(1, 1, 1),
    group="hash",
    since="3.2.0",
    summary="Get the length of the value of a hash field",
    syntax="key field",
    categories="read hash fast",
    key_flags="RO",
    level=2,
)
def hstrlen(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hstrlen"""
    fields = db.read(argv[1], Hash)
    return 0 if fields is None else len(fields.get(argv[2]) or b"")


@KEYSPACE.add(
    "HEXISTS",
    3,
    "readonly fast",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Determine if a hash field exists",
    syntax="key field",
    categories="read hash fast",
    key_flags="RO",
    level=2,
)
def hexists(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hexists"""
    fields = db.read(argv[1], Hash)
    return int(fields is not None and argv[2] in fields)


@KEYSPACE.add(
    "HLEN",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Get the number of fields in a hash",
    syntax="key",
    categories="read hash fast",
    key_flags="RO",
    level=2,
)
def hlen(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hlen"""
    fields = db.read(argv[1], Hash)
    return 0 if fields is None else len(fields)


@KEYSPACE.add(
    "HDEL",
    -3,
    "write fast",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Delete one or more hash fields",
    complexity="O(N) where N is the number of fields to be removed.",
    syntax="key field [field ...]",
    categories="write hash fast",
    key_flags="RW delete",
    level=2,
)
def hdel(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hdel"""
    if len(argv) > LONG:
        return Steps(_hdel_in_steps(db, argv))
    with db.edit_existing(argv[1], Hash, b"hdel") as fields:
        return 0 if fields is None else sum([fields.pop(field) is not None for field in argv[2:]])


def _hdel_in_steps(db: Database, argv: list[bytes]) -> Generator[None, None, int]:
    gone = 0
    for start in range(2, len(argv), STEP):
        with db.edit_existing(argv[1], Hash, b"hdel" if not gone else b"") as fields:
            if fields is not None:
                gone += sum([fields.pop(field) is not None for field in argv[start : start + STEP]])
        yield
    return gone


# All fields ---------------------------------------------------------------------------------------------


@KEYSPACE.add(
    "HGETALL",
    2,
    "readonly",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Get all the fields and values in a hash",
    complexity="O(N) where N is the size of the hash.",
    syntax="key",
    categories="read hash slow",
    tips="nondeterministic_output_order",
    key_flags="RO access",
    level=2,
)
def hgetall(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hgetall"""
    fields = db.read(argv[1], Hash)
    if fields is None:
        return {}
    return Steps(_all(fields, dict), holds=True) if fields.is_large else dict(fields.items())


@KEYSPACE.add(
    "HKEYS",
    2,
    "readonly",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Get all the fields in a hash",
    complexity="O(N) where N is the size of the hash.",
    syntax="key",
    categories="read hash slow",
    tips="nondeterministic_output_order",
    key_flags="RO access",
    level=2,
)
def hkeys(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hkeys"""
    fields = db.read(argv[1], Hash)
    if fields is None:
        return []
    return Steps(_all(fields, list), holds=True) if fields.is_large else [field for field, _ in fields.items()]


@KEYSPACE.add(
    "HVALS",
    2,
    "readonly",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Get all the values in a hash",
    complexity="O(N) where N is the size of the hash.",
    syntax="key",
    categories="read hash slow",
    tips="nondeterministic_output_order",
    key_flags="RO access",
    level=2,
)
def hvals(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hvals"""
    fields = db.read(argv[1], Hash)
    if fields is None:
        return []
    steps: Callable[[dict[bytes, bytes]], Reply] = lambda items: list(items.values())  # noqa: E731
    return Steps(_all(fields, steps), holds=True) if fields.is_large else [value for _, value in fields.items()]


def _all(fields: Hash, made: Callable[[dict[bytes, bytes]], Any]) -> Generator[None, None, Reply]:
    items: dict[bytes, bytes] = {}
    walk = fields.items()
    while some := dict(islice(walk, STEP)):
        items.update(some)
        yield
    return made(items)


# Numbers ------------------------------------------------------------------------------------------------


@KEYSPACE.add(
    "HINCRBY",
    4,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="hash",
    since="2.0.0",
    summary="Increment the integer value of a hash field by the given number",
    syntax="key field increment",
    categories="write hash fast",
    key_flags="RW access update",
    level=2,
)
def hincrby(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hincrby"""
    increment = integer(argv[3])
    with db.edit(argv[1], Hash, b"hincrby") as fields:
        text = fields.get(argv[2])
        number = 0 if text is None else parse_integer(text)
        if number is None:
            return NOT_AN_INTEGER
        number += increment
        if not INT64_MIN <= number <= INT64_MAX:
            return OVERFLOW
        fields.put(argv[2], b"%d" % number)
    return number


@KEYSPACE.add(
    "HINCRBYFLOAT",
    4,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="hash",
    since="2.6.0",
    summary="Increment the float value of a hash field by the given amount",
    syntax="key field increment",
    categories="write hash fast",
    key_flags="RW access update",
    level=2,
)
def hincrbyfloat(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hincrbyfloat"""
    try:
        increment = long_double(argv[3])
    except Infinite:
        return NOT_FINITE
    with db.edit(argv[1], Hash, b"hincrbyfloat") as fields:
        text = fields.get(argv[2])
        try:
            number = increment if text is None else long_double(text) + increment
            result = number.text()
        except Refused:
            return NOT_A_FLOAT
        except Infinite:
            return WOULD_NOT_BE_FINITE
        fields.put(argv[2], result)
    return result


# Some of them -------------------------------------------------------------------------------------------


@KEYSPACE.add(
    "HRANDFIELD",
    -2,
    "readonly",
    keys=(1, 1, 1),
    group="hash",
    since="6.2.0",
    summary="Get one or multiple random fields from a hash",
    complexity="O(N) where N is the number of fields returned",
    syntax="key [count [WITHVALUES]]",
    categories="read hash slow",
    tips="nondeterministic_output",
    key_flags="RO access",
    level=2,
)
def hrandfield(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hrandfield"""
    if len(argv) == 2:
        fields = db.read(argv[1], Hash)
        return None if fields is None else fields.choose(db.random)
    count = bounded_integer(argv[2], -INT64_MAX, INT64_MAX)
    if len(argv) > 4 or (len(argv) == 4 and argv[3].upper() != b"WITHVALUES"):
        return SYNTAX_ERROR
    pairs = len(argv) == 4
    if count < -MOST_DRAWN or (pairs and count > INT64_MAX // 2):
        return OUT_OF_RANGE
    fields = db.read(argv[1], Hash)
    if fields is None or not count:
        return []
    chosen = draw(fields, -count, db.random) if count < 0 else sample(fields, count, db.random)
    drawn = _drawn(fields, chosen, pairs)
    return Steps(drawn, holds=True) if fields.is_large or abs(count) > STEP else exhaust(drawn)


def _drawn(fields: Hash, chosen: Generator[None, None, list[bytes]], pairs: bool) -> Generator[None, None, Reply]:
    found = yield from chosen
    if not pairs:
        return found
    items: list[bytes | None] = []
    for start in range(0, len(found), STEP):
        some = found[start : start + STEP]
        items += [each for pair in zip(some, fields.get_all(some), strict=True) for each in pair]
        yield
    return Pairs(items)


@KEYSPACE.add(
    "HSCAN",
    -3,
    "readonly",
    keys=(1, 1, 1),
    group="hash",
    since="2.8.0",
    summary="Incrementally iterate hash fields and associated values",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to"
    " return back to 0. N is the number of elements inside the collection..",
    syntax="key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
    categories="read hash slow",
    tips="nondeterministic_output",
    key_flags="RO access",
    level=2,
)
def hscan(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/hscan"""
    return scan_value(db, argv, Hash, pairs=True, more=b"NOVALUES")

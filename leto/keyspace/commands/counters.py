"""INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT: strings as numbers."""

from __future__ import annotations

from leto.keyspace.database import Database
from leto.vocabulary.numbers import INT64_MAX, INT64_MIN, Infinite, LongDouble, integer, long_double
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import Error, Reply

OVERFLOW = Error(b"ERR increment or decrement would overflow")
DECREMENT_OVERFLOW = Error(b"ERR decrement would overflow")
_TOO_LONG = b"too long"  # in the place of a LongString, which is no number
NOT_FINITE = Error(b"ERR increment would produce NaN or Infinity")


def _add(db: Database, key: bytes, increment: int) -> Reply:
    """Add to the integer under `key` (0 if there is none), keeping its expiry."""
    record = db.touch_string(key)
    if record is None:
        db.store(key, b"%d" % increment, event=b"incrby")
        return increment
    value = record.value
    number = integer(value if value.__class__ is bytes else _TOO_LONG) + increment
    if not INT64_MIN <= number <= INT64_MAX:
        return OVERFLOW
    db.store(key, b"%d" % number, record.expire_at, b"incrby")
    return number


@KEYSPACE.add(
    "INCR",
    2,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="string",
    since="1.0.0",
    summary="Increment the integer value of a key by one",
    syntax="key",
    categories="write string fast",
    key_flags="RW access update",
)
def incr(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/incr"""
    return _add(db, argv[1], 1)


@KEYSPACE.add(
    "DECR",
    2,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="string",
    since="1.0.0",
    summary="Decrement the integer value of a key by one",
    syntax="key",
    categories="write string fast",
    key_flags="RW access update",
)
def decr(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/decr"""
    return _add(db, argv[1], -1)


@KEYSPACE.add(
    "INCRBY",
    3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="string",
    since="1.0.0",
    summary="Increment the integer value of a key by the given amount",
    syntax="key increment",
    categories="write string fast",
    key_flags="RW access update",
)
def incrby(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/incrby"""
    return _add(db, argv[1], integer(argv[2]))


@KEYSPACE.add(
    "DECRBY",
    3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="string",
    since="1.0.0",
    summary="Decrement the integer value of a key by the given number",
    syntax="key decrement",
    categories="write string fast",
    key_flags="RW access update",
)
def decrby(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/decrby"""
    decrement = integer(argv[2])
    if decrement == INT64_MIN:
        return DECREMENT_OVERFLOW
    return _add(db, argv[1], -decrement)


@KEYSPACE.add(
    "INCRBYFLOAT",
    3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="string",
    since="2.6.0",
    summary="Increment the float value of a key by the given amount",
    syntax="key increment",
    categories="write string fast",
    key_flags="RW access update",
)
def incrbyfloat(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/incrbyfloat"""
    record = db.touch_string(argv[1])
    finite = True
    numbers: list[LongDouble] = []
    value = b"0" if record is None else record.value
    for text in (value if value.__class__ is bytes else _TOO_LONG, argv[2]):
        try:
            numbers.append(long_double(text))
        except Infinite:
            finite = False
    if not finite:
        return NOT_FINITE
    try:
        text = (numbers[0] + numbers[1]).text()
    except Infinite:
        return NOT_FINITE
    db.store(argv[1], text, 0 if record is None else record.expire_at, b"incrbyfloat")
    return text

"""Commands on strings: GET, SET and their kin (redis.io/commands, group "string"). Counters are in counters.py."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from leto.checksums import crc32
from leto.keyspace.database import Database
from leto.keyspace.options import deadline, parse_options
from leto.keyspace.packing import Unpacked
from leto.keyspace.records import NAMES, SLOT
from leto.keyspace.types.long_string import LONG_STRING, LongString
from leto.keyspace.types.value import is_string
from leto.vocabulary.numbers import integer
from leto.vocabulary.registry import KEYSPACE, wrong_arity
from leto.vocabulary.replies import OK, WRONG_TYPE, Error, Refused, Reply
from leto.vocabulary.steps import LONG, STEP, Steps

MAX_STRING = 512 << 20  # bytes; a constant of the database, not a setting: nodes must agree
TOO_LONG = Error(b"ERR string exceeds maximum allowed size (proto-max-bulk-len)")
OFFSET_OUT_OF_RANGE = Error(b"ERR offset is out of range")


def check_length(size: int) -> None:
    """Raises Refused for a string that would be longer than a bulk string may be."""
    if size > MAX_STRING:
        raise Refused(TOO_LONG)


@KEYSPACE.add(
    "GET",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="string",
    since="1.0.0",
    summary="Get the value of a key",
    syntax="key",
    categories="read string fast",
    key_flags="RO access",
)
def get(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/get"""
    key = argv[1]
    data = db.data
    crc = crc32(key)
    held = data.segments[crc >> data.shift].get(NAMES[crc & SLOT])  # find() without its call
    if held.__class__ is bytes:
        length = held[-1]
        return held[length:-9] if held[:length] == key else None
    if held.__class__ is Unpacked and held.key == key and not held.expire_at and held.value.__class__ is bytes:
        return held.value
    return None if held is None else db.find_string(key)


@KEYSPACE.add(
    "SET",
    -3,
    "write denyoom",
    keys=(1, 1, 1),
    group="string",
    since="1.0.0",
    summary="Set the string value of a key",
    syntax="key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds |"
    " PXAT unix-time-milliseconds | KEEPTTL]",
    categories="write string slow",
    key_flags="RW access update variable_flags",
)
def set_(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/set"""
    key = argv[1]
    if len(argv) == 3:
        db.store(key, argv[2])
        return OK
    options = parse_options(argv, 3, setting=True)
    expire_at = deadline(db, options.expire, options.unit, b"set") if options.unit else 0
    record = db.touch(key)
    old: Reply = None
    if options.get and record is not None:
        if not is_string(record.value):
            return WRONG_TYPE
        old = record.value
    if (options.condition == b"NX" and record is not None) or (options.condition == b"XX" and record is None):
        return old
    if options.keep_ttl and record is not None:
        expire_at = record.expire_at
    db.store(key, argv[2], expire_at)
    if options.unit and db.noting is not None:
        db.note(b"expire", key)
    return old if options.get else OK


@KEYSPACE.add(
    "GETSET",
    3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="string",
    since="1.0.0",
    summary="Set the string value of a key and return its old value",
    syntax="key value",
    categories="write string fast",
    key_flags="RW access update",
    deprecated_since="6.2.0",
    replaced_by="`SET` with the `!GET` argument",
)
def getset(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/getset"""
    record = db.touch_string(argv[1])
    db.store(argv[1], argv[2])
    return None if record is None else record.value


@KEYSPACE.add(
    "GETDEL",
    2,
    "write fast",
    keys=(1, 1, 1),
    group="string",
    since="6.2.0",
    summary="Get the value of a key and delete the key",
    syntax="key",
    categories="write string fast",
    key_flags="RW access delete",
)
def getdel(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/getdel"""
    record = db.touch_string(argv[1])
    if record is None:
        return None
    db.delete(argv[1])
    return record.value


@KEYSPACE.add(
    "GETEX",
    -2,
    "write fast",
    keys=(1, 1, 1),
    group="string",
    since="6.2.0",
    summary="Get the value of a key and optionally set its expiration",
    syntax="key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
    categories="write string fast",
    key_flags="RW access update",
)
def getex(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/getex"""
    key = argv[1]
    options = parse_options(argv, 2, setting=False)
    record = db.touch_string(key)
    if record is None:
        return None
    if options.unit:
        expire_at = deadline(db, options.expire, options.unit, b"getex")
        if expire_at <= db.now:
            db.delete(key)
        else:
            db.store(key, record.value, expire_at, b"expire")
    elif options.persist and record.expire_at:
        db.store(key, record.value, event=b"persist")
    return record.value


@KEYSPACE.add(
    "SETNX",
    3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="string",
    since="1.0.0",
    summary="Set the value of a key, only if the key does not exist",
    syntax="key value",
    categories="write string fast",
    key_flags="OW insert",
)
def setnx(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/setnx"""
    if db.touch(argv[1]) is not None:
        return 0
    db.store(argv[1], argv[2])
    return 1


@KEYSPACE.add(
    "SETEX",
    4,
    "write denyoom",
    keys=(1, 1, 1),
    group="string",
    since="2.0.0",
    summary="Set the value and expiration of a key",
    syntax="key seconds value",
    categories="write string slow",
    key_flags="OW update",
)
def setex(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/setex"""
    db.store(argv[1], argv[3], deadline(db, argv[2], b"EX", b"setex"))
    if db.noting is not None:
        db.note(b"expire", argv[1])
    return OK


@KEYSPACE.add(
    "PSETEX",
    4,
    "write denyoom",
    keys=(1, 1, 1),
    group="string",
    since="2.6.0",
    summary="Set the value and expiration in milliseconds of a key",
    syntax="key milliseconds value",
    categories="write string slow",
    key_flags="OW update",
)
def psetex(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/psetex"""
    db.store(argv[1], argv[3], deadline(db, argv[2], b"PX", b"psetex"))
    if db.noting is not None:
        db.note(b"expire", argv[1])
    return OK


@KEYSPACE.add(
    "MGET",
    -2,
    "readonly fast",
    keys=(1, -1, 1),
    group="string",
    since="1.0.0",
    summary="Get the values of all the given keys",
    complexity="O(N) where N is the number of keys to retrieve.",
    syntax="key [key ...]",
    categories="read string fast",
    tips="request_policy:multi_shard",
    key_flags="RO access",
)
def mget(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/mget"""
    return Steps(_mget_in_steps(db, argv), holds=True) if len(argv) > LONG else _mget(db, argv[1:])


def _mget(db: Database, keys: Sequence[bytes]) -> list[Reply]:
    replies: list[Reply] = []
    for key in keys:
        record = db.find(key)
        replies.append(record.value if record is not None and is_string(record.value) else None)
    return replies


def _mget_in_steps(db: Database, argv: Sequence[bytes]) -> Generator[None, None, list[Reply]]:
    replies: list[Reply] = []
    now = db.now
    for start in range(1, len(argv), STEP):
        db.now = now
        replies += _mget(db, argv[start : start + STEP])
        yield
    return replies


@KEYSPACE.add(
    "MSET",
    -3,
    "write denyoom",
    keys=(1, -1, 2),
    group="string",
    since="1.0.1",
    summary="Set multiple keys to multiple values",
    complexity="O(N) where N is the number of keys to set.",
    syntax="key value [key value ...]",
    categories="write string slow",
    tips="request_policy:multi_shard response_policy:all_succeeded",
    key_flags="OW update",
)
def mset(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/mset"""
    if len(argv) % 2 == 0:
        return wrong_arity(KEYSPACE[b"MSET"])
    if len(argv) > LONG:
        return Steps(_mset_in_steps(db, argv, OK))
    for i in range(1, len(argv), 2):
        db.store(argv[i], argv[i + 1])
    return OK


def _mset_in_steps(db: Database, argv: list[bytes], reply: Reply) -> Generator[None, None, Reply]:
    for start in range(1, len(argv), 2 * STEP):
        db.store_strings(argv[start : start + 2 * STEP])
        yield
    return reply


def _msetnx_in_steps(db: Database, argv: list[bytes]) -> Generator[None, None, Reply]:
    for start in range(1, len(argv), 2 * STEP):
        if any(db.touch(key) is not None for key in argv[start : start + 2 * STEP : 2]):
            return 0
        yield
    return (yield from _mset_in_steps(db, argv, 1))


@KEYSPACE.add(
    "MSETNX",
    -3,
    "write denyoom",
    keys=(1, -1, 2),
    group="string",
    since="1.0.1",
    summary="Set multiple keys to multiple values, only if none of the keys exist",
    complexity="O(N) where N is the number of keys to set.",
    syntax="key value [key value ...]",
    categories="write string slow",
    tips="request_policy:multi_shard response_policy:agg_min",
    key_flags="OW insert",
)
def msetnx(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/msetnx"""
    if len(argv) % 2 == 0:
        return wrong_arity(KEYSPACE[b"MSETNX"])
    if len(argv) > LONG:
        return Steps(_msetnx_in_steps(db, argv))
    if any(db.touch(key) is not None for key in argv[1::2]):
        return 0
    for i in range(1, len(argv), 2):
        db.store(argv[i], argv[i + 1])
    return 1


@KEYSPACE.add(
    "APPEND",
    3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="string",
    since="2.0.0",
    summary="Append a value to a key",
    complexity="O(1). The amortized time complexity is O(1) assuming the appended value is small and the already"
    " present value is of any size, since the dynamic string library used by Redis will double the free space"
    " available on every reallocation.",
    syntax="key value",
    categories="write string fast",
    key_flags="RW insert",
)
def append(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/append"""
    record = db.touch_string(argv[1])
    if record is None:
        db.store(argv[1], argv[2], event=b"append")
        return len(argv[2])
    length = len(record.value) + len(argv[2])
    check_length(length)
    value = record.value
    if length < LONG_STRING:
        db.store(argv[1], value + argv[2], record.expire_at, b"append")  # type: ignore[operator]
    elif argv[2]:
        db.store(argv[1], _in_parts(value).appended(argv[2]), record.expire_at, b"append")  # type: ignore[arg-type]
    else:
        db.store(argv[1], value, record.expire_at, b"append")
    return length


def _in_parts(value: bytes | LongString) -> LongString:
    return value if isinstance(value, LongString) else LongString.of(value)


@KEYSPACE.add(
    "STRLEN",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="string",
    since="2.2.0",
    summary="Get the length of the value stored in a key",
    syntax="key",
    categories="read string fast",
    key_flags="RO",
)
def strlen(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/strlen"""
    return len(db.find_string(argv[1]) or b"")


_RANGE_COMPLEXITY = (
    "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned"
    " length, but because creating a substring from an existing string is very cheap, it can be considered O(1)"
    " for small strings."
)


@KEYSPACE.add(
    "GETRANGE",
    4,
    "readonly",
    keys=(1, 1, 1),
    group="string",
    since="2.4.0",
    summary="Get a substring of the string stored at a key",
    complexity=_RANGE_COMPLEXITY,
    syntax="key start end",
    categories="read string slow",
    key_flags="RO access",
)
@KEYSPACE.add(
    "SUBSTR",
    4,
    "readonly",
    keys=(1, 1, 1),
    group="string",
    since="1.0.0",
    summary="Get a substring of the string stored at a key",
    complexity=_RANGE_COMPLEXITY,
    syntax="key start end",
    categories="read string slow",
    key_flags="RO access",
    deprecated_since="2.0.0",
    replaced_by="`GETRANGE`",
)
def getrange(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/getrange"""
    start, end = integer(argv[2]), integer(argv[3])
    value = db.find_string(argv[1]) or b""
    if start < 0 and end < 0 and start > end:
        return b""
    if start < 0:
        start = max(start + len(value), 0)
    if end < 0:
        end = max(end + len(value), 0)
    if isinstance(value, LongString):
        return value.range(start, min(end + 1, len(value)))
    return value[start : end + 1]


@KEYSPACE.add(
    "SETRANGE",
    4,
    "write denyoom",
    keys=(1, 1, 1),
    group="string",
    since="2.2.0",
    summary="Overwrite part of a string at key starting at the specified offset",
    complexity="O(1), not counting the time taken to copy the new string in place. Usually, this string is very"
    " small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the"
    " value argument.",
    syntax="key offset value",
    categories="write string slow",
    key_flags="RW update",
)
def setrange(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/setrange"""
    offset, patch = integer(argv[2]), argv[3]
    if offset < 0:
        return OFFSET_OUT_OF_RANGE
    record = db.touch_string(argv[1])
    value: bytes | LongString = b"" if record is None else record.value  # type: ignore[assignment]
    if not patch:
        return len(value)
    check_length(offset + len(patch))
    if max(len(value), offset + len(patch)) >= LONG_STRING:
        value = _in_parts(value).patched(offset, patch)
    else:
        assert isinstance(value, bytes)
        value = value[:offset].ljust(offset, b"\0") + patch + value[offset + len(patch) :]
    db.store(argv[1], value, 0 if record is None else record.expire_at, b"setrange")
    return len(value)

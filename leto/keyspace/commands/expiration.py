"""Commands on a key's time to live: EXPIRE, TTL, PERSIST and their kin. Times are kept in milliseconds."""

from __future__ import annotations

from leto.keyspace.database import Database
from leto.vocabulary.numbers import INT64_MAX, INT64_MIN, integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import Error, Refused, Reply

NX_WITH_OTHERS = Error(b"ERR NX and XX, GT or LT options at the same time are not compatible")
GT_WITH_LT = Error(b"ERR GT and LT options at the same time are not compatible")
NO_EXPIRY = -1
NO_KEY = -2


def _conditions(argv: list[bytes]) -> frozenset[bytes]:
    """NX, XX, GT, LT after EXPIRE key seconds. Raises Refused."""
    conditions = set()
    for word in argv[3:]:
        option = word.upper()
        if option not in (b"NX", b"XX", b"GT", b"LT"):
            shown = word.split(b"\0", 1)[0].replace(b"\r", b" ").replace(b"\n", b" ")
            raise Refused(Error(b"ERR Unsupported option " + shown))
        conditions.add(option)
    if b"NX" in conditions and len(conditions) > 1:
        raise Refused(NX_WITH_OTHERS)
    if b"GT" in conditions and b"LT" in conditions:
        raise Refused(GT_WITH_LT)
    return frozenset(conditions)


def _expire(db: Database, argv: list[bytes], unit: int, base: int) -> Reply:
    """`unit` milliseconds each, counted from `base`. A time that is past deletes the key."""
    conditions = _conditions(argv)
    number = integer(argv[2])
    if unit != 1 and not -(-INT64_MIN // unit) <= number <= INT64_MAX // unit or number * unit > INT64_MAX - base:
        return Error(b"ERR invalid expire time in '%b' command" % argv[0].lower())
    expire_at = number * unit + base
    record = db.touch(argv[1])
    if record is None:
        return 0
    current = record.expire_at
    if (
        (b"NX" in conditions and current)
        or (b"XX" in conditions and not current)
        or (b"GT" in conditions and (not current or expire_at <= current))
        or (b"LT" in conditions and current and expire_at >= current)
    ):
        return 0
    if expire_at <= db.now:
        db.delete(argv[1])
    else:
        db.store(argv[1], record.value, expire_at, b"expire")
    return 1


@KEYSPACE.add(
    "EXPIRE",
    -3,
    "write fast",
    keys=(1, 1, 1),
    group="generic",
    since="1.0.0",
    summary="Set a key's time to live in seconds",
    syntax="key seconds [NX | XX | GT | LT]",
    categories="keyspace write fast",
    key_flags="RW update",
)
def expire(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/expire"""
    return _expire(db, argv, 1000, db.now)


@KEYSPACE.add(
    "PEXPIRE",
    -3,
    "write fast",
    keys=(1, 1, 1),
    group="generic",
    since="2.6.0",
    summary="Set a key's time to live in milliseconds",
    syntax="key milliseconds [NX | XX | GT | LT]",
    categories="keyspace write fast",
    key_flags="RW update",
)
def pexpire(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/pexpire"""
    return _expire(db, argv, 1, db.now)


@KEYSPACE.add(
    "EXPIREAT",
    -3,
    "write fast",
    keys=(1, 1, 1),
    group="generic",
    since="1.2.0",
    summary="Set the expiration for a key as a UNIX timestamp",
    syntax="key unix-time-seconds [NX | XX | GT | LT]",
    categories="keyspace write fast",
    key_flags="RW update",
)
def expireat(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/expireat"""
    return _expire(db, argv, 1000, 0)


@KEYSPACE.add(
    "PEXPIREAT",
    -3,
    "write fast",
    keys=(1, 1, 1),
    group="generic",
    since="2.6.0",
    summary="Set the expiration for a key as a UNIX timestamp specified in milliseconds",
    syntax="key unix-time-milliseconds [NX | XX | GT | LT]",
    categories="keyspace write fast",
    key_flags="RW update",
)
def pexpireat(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/pexpireat"""
    return _expire(db, argv, 1, 0)


def _expiry(db: Database, key: bytes) -> int:
    """When the key expires; NO_EXPIRY, NO_KEY."""
    record = db.find(key)
    if record is None:
        return NO_KEY
    return record.expire_at or NO_EXPIRY


@KEYSPACE.add(
    "TTL",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="generic",
    since="1.0.0",
    summary="Get the time to live for a key in seconds",
    syntax="key",
    categories="keyspace read fast",
    tips="nondeterministic_output",
    key_flags="RO access",
)
def ttl(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/ttl: to the nearest second."""
    expire_at = _expiry(db, argv[1])
    return expire_at if expire_at < 0 else (expire_at - db.now + 500) // 1000


@KEYSPACE.add(
    "PTTL",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="generic",
    since="2.6.0",
    summary="Get the time to live for a key in milliseconds",
    syntax="key",
    categories="keyspace read fast",
    tips="nondeterministic_output",
    key_flags="RO access",
)
def pttl(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/pttl"""
    expire_at = _expiry(db, argv[1])
    return expire_at if expire_at < 0 else expire_at - db.now


@KEYSPACE.add(
    "EXPIRETIME",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="generic",
    since="7.0.0",
    summary="Get the expiration Unix timestamp for a key",
    syntax="key",
    categories="keyspace read fast",
    key_flags="RO access",
)
def expiretime(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/expiretime: to the nearest second."""
    expire_at = _expiry(db, argv[1])
    return expire_at if expire_at < 0 else (expire_at + 500) // 1000


@KEYSPACE.add(
    "PEXPIRETIME",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="generic",
    since="7.0.0",
    summary="Get the expiration Unix timestamp for a key in milliseconds",
    syntax="key",
    categories="keyspace read fast",
    key_flags="RO access",
)
def pexpiretime(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/pexpiretime"""
    return _expiry(db, argv[1])


@KEYSPACE.add(
    "PERSIST",
    2,
    "write fast",
    keys=(1, 1, 1),
    group="generic",
    since="2.2.0",
    summary="Remove the expiration from a key",
    syntax="key",
    categories="keyspace write fast",
    key_flags="RW update",
)
def persist(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/persist"""
    record = db.touch(argv[1])
    if record is None or not record.expire_at:
        return 0
    db.store(argv[1], record.value, event=b"persist")
    return 1

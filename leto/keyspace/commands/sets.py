"""Sets. SADD SREM SMEMBERS SISMEMBER SMISMEMBER SCARD SPOP SRANDMEMBER SMOVE SSCAN. What is made of several sets is in
set_algebra.py."""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice
from typing import Final

from leto.keyspace import costs
from leto.keyspace.database import Database
from leto.keyspace.types.drawing import draw, sample
from leto.keyspace.types.set import Set
from leto.keyspace.walks import scan_value
from leto.vocabulary import replies
from leto.vocabulary.numbers import INT64_MAX, bounded_integer, positive_integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import SYNTAX_ERROR, Error, Refused, Reply
from leto.vocabulary.steps import LONG, STEP, Steps, exhaust

OUT_OF_RANGE = Error(b"ERR value is out of range")
MOST_DRAWN: Final = 1 << 20  # members that may come more than once: Redis makes a reply of any length

costs.weigh(b"SMEMBERS", costs.length_of_first)


@KEYSPACE.add(
    "SADD",
    -3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="set",
    since="1.0.0",
    summary="Add one or more members to a set",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is called with multiple"
    " arguments.",
    syntax="key member [member ...]",
    categories="write set fast",
    key_flags="RW insert",
    level=2,
)
def sadd(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sadd"""
    if len(argv) > LONG:
        return Steps(_sadd_in_steps(db, argv))
    with db.edit(argv[1], Set, b"sadd") as members:
        return sum([members.put(member, b"") is None for member in argv[2:]])


def _sadd_in_steps(db: Database, argv: list[bytes]) -> Generator[None, None, int]:
    added = 0
    for start in range(2, len(argv), STEP):
        with db.edit(argv[1], Set, b"" if added else b"sadd") as members:
            added += sum([members.put(member, b"") is None for member in argv[start : start + STEP]])
        yield
    return added


@KEYSPACE.add(
    "SREM",
    -3,
    "write fast",
    keys=(1, 1, 1),
    group="set",
    since="1.0.0",
    summary="Remove one or more members from a set",
    complexity="O(N) where N is the number of members to be removed.",
    syntax="key member [member ...]",
    categories="write set fast",
    key_flags="RW delete",
    level=2,
)
def srem(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/srem"""
    if len(argv) > LONG:
        return Steps(_srem_in_steps(db, argv))
    with db.edit_existing(argv[1], Set, b"srem") as members:
        return 0 if members is None else sum([members.discard(member) for member in argv[2:]])


def _srem_in_steps(db: Database, argv: list[bytes]) -> Generator[None, None, int]:
    gone = 0
    for start in range(2, len(argv), STEP):
        with db.edit_existing(argv[1], Set, b"" if gone else b"srem") as members:
            if members is not None:
                gone += sum([members.discard(member) for member in argv[start : start + STEP]])
        yield
    return gone


@KEYSPACE.add(
    "SMOVE",
    4,
    "write fast",
    keys=(1, 2, 1),
    group="set",
    since="1.0.0",
    summary="Move a member from one set to another",
    syntax="source destination member",
    categories="write set fast",
    key_flags="RW access delete; RW insert",
    level=2,
)
def smove(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/smove"""
    _, source, destination, member = argv
    if db.read(source, Set) is None:
        return 0
    db.read(destination, Set)  # of another type, nothing is moved
    if source == destination:
        return sismember(db, argv[1:])
    with db.edit(source, Set, b"srem") as members:
        if not members.discard(member):
            return 0
    with db.edit(destination, Set, b"sadd") as members:
        members.add(member)
    return 1


@KEYSPACE.add(
    "SISMEMBER",
    3,
    "readonly fast",
    keys=(1, 1, 1),
    group="set",
    since="1.0.0",
    summary="Determine if a given value is a member of a set",
    syntax="key member",
    categories="read set fast",
    key_flags="RO",
    level=2,
)
def sismember(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sismember"""
    members = db.read(argv[1], Set)
    return int(members is not None and argv[2] in members)


@KEYSPACE.add(
    "SMISMEMBER",
    -3,
    "readonly fast",
    keys=(1, 1, 1),
    group="set",
    since="6.2.0",
    summary="Returns the membership associated with the given elements for a set",
    complexity="O(N) where N is the number of elements being checked for membership",
    syntax="key member [member ...]",
    categories="read set fast",
    key_flags="RO access",
    level=2,
)
def smismember(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/smismember"""
    members = db.read(argv[1], Set)
    if len(argv) > LONG:
        return Steps(_smismember_in_steps(members, argv), holds=True)
    if members is None:
        return [0] * (len(argv) - 2)
    return [int(found is not None) for found in members.get_all(argv[2:])]


def _smismember_in_steps(members: Set | None, argv: list[bytes]) -> Generator[None, None, Reply]:
    found: list[int] = []
    for start in range(2, len(argv), STEP):
        some = argv[start : start + STEP]
        found += [0] * len(some) if members is None else [int(each is not None) for each in members.get_all(some)]
        yield
    return found


@KEYSPACE.add(
    "SCARD",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="set",
    since="1.0.0",
    summary="Get the number of members in a set",
    syntax="key",
    categories="read set fast",
    key_flags="RO",
    level=2,
)
def scard(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/scard"""
    members = db.read(argv[1], Set)
    return 0 if members is None else len(members)


@KEYSPACE.add(
    "SMEMBERS",
    2,
    "readonly",
    keys=(1, 1, 1),
    group="set",
    since="1.0.0",
    summary="Get all the members in a set",
    complexity="O(N) where N is the set cardinality.",
    syntax="key",
    categories="read set slow",
    tips="nondeterministic_output_order",
    key_flags="RO access",
    level=2,
)
def smembers(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/smembers"""
    members = db.read(argv[1], Set)
    if members is None:
        return replies.Set([])
    return Steps(_all(members), holds=True) if members.is_large else replies.Set(list(members.members()))


def _all(members: Set) -> Generator[None, None, Reply]:
    found: list[bytes] = []
    walk = members.members()
    while some := list(islice(walk, STEP)):
        found += some
        yield
    return replies.Set(found)


@KEYSPACE.add(
    "SPOP",
    -2,
    "write fast",
    keys=(1, 1, 1),
    group="set",
    since="1.0.0",
    summary="Remove and return one or multiple random members from a set",
    complexity="Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
    syntax="key [count]",
    categories="write set fast",
    tips="nondeterministic_output",
    key_flags="RW access delete",
    level=2,
)
def spop(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/spop"""
    if len(argv) > 3:
        return SYNTAX_ERROR
    if len(argv) == 3:
        count = positive_integer(argv[2])
        members = db.read(argv[1], Set)
        if members is None or not count:
            return replies.Set([])
        chosen = _popped(db, argv[1], sample(members, count, db.random))
        return Steps(chosen) if members.is_large else exhaust(chosen)
    with db.edit_existing(argv[1], Set, b"spop") as popped:
        if popped is None:
            return None
        member = popped.choose(db.random)
        popped.discard(member)
        return member


def _popped(db: Database, key: bytes, chosen: Generator[None, None, list[bytes]]) -> Generator[None, None, Reply]:
    members = yield from chosen
    for start in range(0, len(members), STEP):
        with db.edit(key, Set, b"" if start else b"spop") as left:
            for member in members[start : start + STEP]:
                left.discard(member)
        yield
    return replies.Set(members)


@KEYSPACE.add(
    "SRANDMEMBER",
    -2,
    "readonly",
    keys=(1, 1, 1),
    group="set",
    since="1.0.0",
    summary="Get one or multiple random members from a set",
    complexity="Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
    syntax="key [count]",
    categories="read set slow",
    tips="nondeterministic_output",
    key_flags="RO access",
    level=2,
)
def srandmember(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/srandmember"""
    if len(argv) > 3:
        return SYNTAX_ERROR
    if len(argv) == 2:
        members = db.read(argv[1], Set)
        return None if members is None else members.choose(db.random)
    count = bounded_integer(argv[2], -INT64_MAX, INT64_MAX)
    if count < -MOST_DRAWN:
        raise Refused(OUT_OF_RANGE)
    members = db.read(argv[1], Set)
    if members is None or not count:
        return []
    chosen = draw(members, -count, db.random) if count < 0 else sample(members, count, db.random)
    return Steps(chosen, holds=True) if members.is_large or abs(count) > STEP else exhaust(chosen)


@KEYSPACE.add(
    "SSCAN",
    -3,
    "readonly",
    keys=(1, 1, 1),
    group="set",
    since="2.8.0",
    summary="Incrementally iterate Set elements",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to"
    " return back to 0. N is the number of elements inside the collection..",
    syntax="key cursor [MATCH pattern] [COUNT count]",
    categories="read set slow",
    tips="nondeterministic_output",
    key_flags="RO access",
    level=2,
)
def sscan(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sscan"""
    return scan_value(db, argv, Set, pairs=False)

"""What is made of several sets. SINTER SUNION SDIFF, their forms that store, and SINTERCARD."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from typing import Any

from leto.keyspace import costs
from leto.keyspace.database import Database
from leto.keyspace.types.set import Set
from leto.vocabulary import replies
from leto.vocabulary.numbers import INT64_MAX, parse_integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import SYNTAX_ERROR, Error, Reply
from leto.vocabulary.steps import STEP, Steps, exhaust

NO_KEYS = Error(b"ERR numkeys should be greater than 0")
TOO_MANY_KEYS = Error(b"ERR Number of keys can't be greater than number of args")
NEGATIVE_LIMIT = Error(b"ERR LIMIT can't be negative")

Operands = list["Set | None"]
Walk = Generator[None, None, list[bytes]]


def _lengths(db: Database, argv: Sequence[bytes]) -> int:
    return sum(costs.length_of(db, key) for key in argv[1:])


for _name in (b"SINTER", b"SUNION", b"SDIFF", b"SINTERCARD"):
    costs.weigh(_name, _lengths)


# Members in pages ---------------------------------------------------------------------------------------


def _pages(members: Set) -> Iterator[list[bytes]]:
    walk = members.members()
    while page := list(islice(walk, STEP)):
        yield page


def _inter(operands: Operands, most: int = INT64_MAX) -> Walk:
    """The members of all of them, `most` at most: those of the smallest are looked for in the others."""
    present = [members for members in operands if members is not None]
    found: list[bytes] = []
    if len(present) < len(operands):
        return found
    smallest, *others = sorted(present, key=len)
    for page in _pages(smallest):
        for members in others:
            page = _those(page, members, present=True)
            yield
        found += page
        if len(found) >= most:
            return found[:most]
        yield
    return found


def _union(operands: Operands) -> Walk:
    found: dict[bytes, None] = {}
    for members in operands:
        for page in _pages(members) if members is not None else ():
            found.update(dict.fromkeys(page))
            yield
    return list(found)


def _diff(operands: Operands) -> Walk:
    """The first one's members that no other has."""
    first, *others = operands
    found: list[bytes] = []
    for page in _pages(first) if first is not None else ():
        for members in others:
            if members is not None:
                page = _those(page, members, present=False)
                yield
        found += page
        yield
    return found


def _those(page: list[bytes], members: Set, *, present: bool) -> list[bytes]:
    """Those of a page that are, or are not, in that set."""
    return [member for member, found in zip(page, members.get_all(page), strict=True) if (found is not None) is present]


def _operands(db: Database, keys: Sequence[bytes]) -> Operands:
    """The sets under these keys. Raises Refused (WRONGTYPE)."""
    return [db.read(key, Set) for key in keys]


def _steps(operands: Operands, walk: Generator[None, None, Any], *, holds: bool) -> Reply:
    """At once, where all are small."""
    count = sum(len(members) for members in operands if members is not None)
    return exhaust(walk) if count <= STEP else Steps(walk, holds=holds)


def _read(db: Database, argv: list[bytes], combine: Callable[[Operands], Walk]) -> Reply:
    operands = _operands(db, argv[1:])
    return _steps(operands, _as_set(combine(operands)), holds=True)


def _as_set(walk: Walk) -> Generator[None, None, Reply]:
    return replies.Set((yield from walk))


def _store(db: Database, argv: list[bytes], combine: Callable[[Operands], Walk], event: bytes) -> Reply:
    operands = _operands(db, argv[2:])
    return _steps(operands, _stored(db, argv[1], combine(operands), event), holds=False)


def _stored(db: Database, key: bytes, walk: Walk, event: bytes) -> Generator[None, None, int]:
    """Whatever was under the key gives way."""
    found = yield from walk
    db.delete(key, event=b"" if found else b"del")
    for start in range(0, len(found), STEP):
        with db.edit(key, Set, b"" if start else event) as members:
            for member in found[start : start + STEP]:
                members.put(member, b"")
        yield
    return len(found)


# Commands -----------------------------------------------------------------------------------------------


@KEYSPACE.add(
    "SINTER",
    -2,
    "readonly",
    keys=(1, -1, 1),
    group="set",
    since="1.0.0",
    summary="Intersect multiple sets",
    complexity="O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
    syntax="key [key ...]",
    categories="read set slow",
    tips="nondeterministic_output_order",
    key_flags="RO access",
    level=2,
)
def sinter(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sinter"""
    return _read(db, argv, _inter)


@KEYSPACE.add(
    "SUNION",
    -2,
    "readonly",
    keys=(1, -1, 1),
    group="set",
    since="1.0.0",
    summary="Add multiple sets",
    complexity="O(N) where N is the total number of elements in all given sets.",
    syntax="key [key ...]",
    categories="read set slow",
    tips="nondeterministic_output_order",
    key_flags="RO access",
    level=2,
)
def sunion(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sunion"""
    return _read(db, argv, _union)


@KEYSPACE.add(
    "SDIFF",
    -2,
    "readonly",
    keys=(1, -1, 1),
    group="set",
    since="1.0.0",
    summary="Subtract multiple sets",
    complexity="O(N) where N is the total number of elements in all given sets.",
    syntax="key [key ...]",
    categories="read set slow",
    tips="nondeterministic_output_order",
    key_flags="RO access",
    level=2,
)
def sdiff(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sdiff"""
    return _read(db, argv, _diff)


@KEYSPACE.add(
    "SINTERSTORE",
    -3,
    "write denyoom",
    keys=(1, -1, 1),
    group="set",
    since="1.0.0",
    summary="Intersect multiple sets and store the resulting set in a key",
    complexity="O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
    syntax="destination key [key ...]",
    categories="write set slow",
    key_flags="RW update; RO access",
    level=2,
)
def sinterstore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sinterstore"""
    return _store(db, argv, _inter, b"sinterstore")


@KEYSPACE.add(
    "SUNIONSTORE",
    -3,
    "write denyoom",
    keys=(1, -1, 1),
    group="set",
    since="1.0.0",
    summary="Add multiple sets and store the resulting set in a key",
    complexity="O(N) where N is the total number of elements in all given sets.",
    syntax="destination key [key ...]",
    categories="write set slow",
    key_flags="OW update; RO access",
    level=2,
)
def sunionstore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sunionstore"""
    return _store(db, argv, _union, b"sunionstore")


@KEYSPACE.add(
    "SDIFFSTORE",
    -3,
    "write denyoom",
    keys=(1, -1, 1),
    group="set",
    since="1.0.0",
    summary="Subtract multiple sets and store the resulting set in a key",
    complexity="O(N) where N is the total number of elements in all given sets.",
    syntax="destination key [key ...]",
    categories="write set slow",
    key_flags="OW update; RO access",
    level=2,
)
def sdiffstore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sdiffstore"""
    return _store(db, argv, _diff, b"sdiffstore")


@KEYSPACE.add(
    "SINTERCARD",
    -3,
    "readonly movablekeys",
    numkeys=1,
    group="set",
    since="7.0.0",
    summary="Intersect multiple sets and return the cardinality of the result",
    complexity="O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
    syntax="numkeys key [key ...] [LIMIT limit]",
    categories="read set slow",
    key_flags="RO access",
    level=2,
)
def sintercard(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sintercard"""
    numkeys = parse_integer(argv[1])
    if numkeys is None or numkeys < 1:
        return NO_KEYS
    if numkeys > len(argv) - 2:
        return TOO_MANY_KEYS
    most = 0
    rest = iter(argv[2 + numkeys :])
    for option in rest:
        argument = next(rest, None)
        if option.upper() != b"LIMIT" or argument is None:
            return SYNTAX_ERROR
        limit = parse_integer(argument)
        if limit is None or limit < 0:
            return NEGATIVE_LIMIT
        most = limit
    operands = _operands(db, argv[2 : 2 + numkeys])
    return _steps(operands, _counted(_inter(operands, most or INT64_MAX)), holds=True)


def _counted(walk: Walk) -> Generator[None, None, int]:
    return len((yield from walk))

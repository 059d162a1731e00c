"""Lists by index and by element: LRANGE, LINDEX, LSET, LINSERT, LREM, LTRIM, LPOS."""

from __future__ import annotations

from collections.abc import Generator

from leto.keyspace.database import Database
from leto.keyspace.types.list import PAGE, List, pages
from leto.vocabulary.numbers import INT64_MAX, bounded_integer, integer, positive_integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import NO_SUCH_KEY, OK, OUT_OF_RANGE, SYNTAX_ERROR, Error, Refused, Reply
from leto.vocabulary.steps import Steps, exhaust

ZERO_RANK = Error(
    b"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start"
    b" from the end of the list"
)
NEGATIVE_COUNT = Error(b"ERR COUNT can't be negative")
NEGATIVE_LENGTH = Error(b"ERR MAXLEN can't be negative")


@KEYSPACE.add(
    "LRANGE",
    4,
    "readonly",
    keys=(1, 1, 1),
    group="list",
    since="1.0.0",
    summary="Returns a range of elements from a list.",
    complexity="O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end (HEAD or"
    " TAIL) for large lists; and N is the number of elements in the specified range.",
    syntax="key start stop",
    categories="read list slow",
    key_flags="RO access",
    level=2,
)
def lrange(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lrange"""
    start, stop = integer(argv[2]), integer(argv[3])
    value = db.read(argv[1], List)
    if value is None:
        return []
    start, stop = _within(start, stop, len(value))
    return value.range(start, stop) if stop - start <= PAGE else Steps(pages(value, start, stop), holds=True)


def _within(start: int, last: int, length: int) -> tuple[int, int]:
    """Python's bounds of what lies between two indexes, both included, which may count from the end."""
    if start < 0:
        start = max(start + length, 0)
    if last < 0:
        last += length
    stop = min(last + 1, length)
    return (start, stop) if start < stop else (0, 0)


@KEYSPACE.add(
    "LINDEX",
    3,
    "readonly",
    keys=(1, 1, 1),
    group="list",
    since="1.0.0",
    summary="Returns an element from a list by its index.",
    complexity="O(N) where N is the number of elements to traverse to get to the element at index. This makes asking"
    " for the first or the last element of the list O(1).",
    syntax="key index",
    categories="read list slow",
    key_flags="RO access",
    level=2,
)
def lindex(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lindex"""
    value = db.read(argv[1], List)
    if value is None:
        return None
    at = _place(integer(argv[2]), len(value))
    return None if at is None else value.get(at)


def _place(index: int, length: int) -> int | None:
    """The index from the first element on; None if it is outside."""
    if index < 0:
        index += length
    return index if 0 <= index < length else None


@KEYSPACE.add(
    "LSET",
    4,
    "write denyoom",
    keys=(1, 1, 1),
    group="list",
    since="1.0.0",
    summary="Sets the value of an element in a list by its index.",
    complexity="O(N) where N is the length of the list. Setting either the first or the last element of the list is"
    " O(1).",
    syntax="key index element",
    categories="write list slow",
    key_flags="RW update",
    level=2,
)
def lset(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lset"""
    with db.edit_existing(argv[1], List, b"lset") as value:
        if value is None:
            return NO_SUCH_KEY
        at = _place(integer(argv[2]), len(value))
        if at is None:
            return OUT_OF_RANGE
        value.put(at, argv[3])
    return OK


@KEYSPACE.add(
    "LINSERT",
    5,
    "write denyoom",
    keys=(1, 1, 1),
    group="list",
    since="2.2.0",
    summary="Inserts an element before or after another element in a list.",
    complexity="O(N) where N is the number of elements to traverse before seeing the value pivot. This means that"
    " inserting somewhere on the left end on the list (head) can be considered O(1) and inserting somewhere on the"
    " right end (tail) is O(N).",
    syntax="key <BEFORE | AFTER> pivot element",
    categories="write list slow",
    key_flags="RW insert",
    level=2,
)
def linsert(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/linsert"""
    side = argv[2].upper()
    if side not in (b"BEFORE", b"AFTER"):
        return SYNTAX_ERROR
    with db.edit_existing(argv[1], List, b"") as value:
        if value is None:
            return 0
    steps = _insert(db, argv, side == b"AFTER")
    return Steps(steps) if len(value) > PAGE else exhaust(steps)


def _insert(db: Database, argv: list[bytes], behind: bool) -> Generator[None, None, Reply]:
    value = db.read(argv[1], List)
    assert value is not None  # nothing comes between the steps of a write
    for at in value.find(argv[3], left=True, most=len(value)):
        if at is None:
            yield
            continue
        with db.edit(argv[1], List, b"linsert") as value:
            at += behind
            if 0 < at < len(value):
                value.insert(at, argv[4])
            else:
                value.push(argv[4], left=at == 0)
            return len(value)
    return -1


@KEYSPACE.add(
    "LREM",
    4,
    "write",
    keys=(1, 1, 1),
    group="list",
    since="1.0.0",
    summary="Removes elements from a list. Deletes the list if the last element was removed.",
    complexity="O(N+M) where N is the length of the list and M is the number of elements removed.",
    syntax="key count element",
    categories="write list slow",
    key_flags="RW delete",
    level=2,
)
def lrem(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lrem"""
    count = integer(argv[2])
    with db.edit_existing(argv[1], List, b"") as value:
        if value is None:
            return 0
        is_large = value.is_large
    steps = _remove(db, argv, count)
    return Steps(steps) if is_large else exhaust(steps)


def _remove(db: Database, argv: list[bytes], count: int) -> Generator[None, None, Reply]:
    with db.edit(argv[1], List, b"lrem") as value:
        return (yield from value.remove_equal(argv[3], left=count >= 0, most=abs(count) or len(value)))


@KEYSPACE.add(
    "LTRIM",
    4,
    "write",
    keys=(1, 1, 1),
    group="list",
    since="1.0.0",
    summary="Removes elements from both ends a list. Deletes the list if all elements were trimmed.",
    complexity="O(N) where N is the number of elements to be removed by the operation.",
    syntax="key start stop",
    categories="write list slow",
    key_flags="RW delete",
    level=2,
)
def ltrim(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/ltrim"""
    start, stop = integer(argv[2]), integer(argv[3])
    with db.edit_existing(argv[1], List, b"ltrim") as value:
        if value is not None:
            start, stop = _within(start, stop, len(value))
            if stop - start < len(value):
                value.trim(start, stop)
    return OK


@KEYSPACE.add(
    "LPOS",
    -3,
    "readonly",
    keys=(1, 1, 1),
    group="list",
    since="6.0.6",
    summary="Returns the index of matching elements in a list.",
    complexity="O(N) where N is the number of elements in the list, for the average case. When searching for elements"
    " near the head or the tail of the list, or when the MAXLEN option is provided, the command may run in constant"
    " time.",
    syntax="key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
    categories="read list slow",
    key_flags="RO access",
    level=2,
)
def lpos(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lpos"""
    rank, count, most = 1, -1, 0
    words = iter(argv[3:])
    for word in words:
        argument = next(words, None)
        option = word.upper()
        if argument is None:
            raise Refused(SYNTAX_ERROR)
        if option == b"RANK":
            rank = bounded_integer(argument, -INT64_MAX, INT64_MAX)
            if rank == 0:
                return ZERO_RANK
        elif option == b"COUNT":
            count = positive_integer(argument, error=NEGATIVE_COUNT)
        elif option == b"MAXLEN":
            most = positive_integer(argument, error=NEGATIVE_LENGTH)
        else:
            return SYNTAX_ERROR
    value = db.read(argv[1], List)
    if value is None:
        return None if count < 0 else []
    steps = _positions(value, argv[2], rank, count, most or len(value))
    return Steps(steps, holds=True) if len(value) > PAGE else exhaust(steps)


def _positions(value: List, element: bytes, rank: int, count: int, most: int) -> Generator[None, None, Reply]:
    found: list[int] = []
    skipped = abs(rank) - 1
    for at in value.find(element, left=rank > 0, most=most):
        if at is None:
            yield
        elif skipped:
            skipped -= 1
        elif count < 0:
            return at
        else:
            found.append(at)
            if len(found) == count:
                break
    return None if count < 0 else found

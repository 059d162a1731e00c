"""Ranges of sorted sets by rank, score and member. ZRANGE and its older forms, ZRANGESTORE, ZCOUNT, ZLEXCOUNT,
ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREMRANGEBYLEX."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from leto.keyspace import costs
from leto.keyspace.database import Database
from leto.keyspace.scores import (
    member_range,
    ranks_by_index,
    ranks_by_member,
    ranks_by_score,
    score_range,
    scored,
)
from leto.keyspace.types.scored import Scored
from leto.keyspace.types.sorted_set import SortedSet
from leto.vocabulary.numbers import integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import SYNTAX_ERROR, Error, Refused, Reply
from leto.vocabulary.steps import STEP, Steps, exhaust

LIMIT_BY_RANK = Error(b"ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
SCORES_BY_MEMBER = Error(b"ERR syntax error, WITHSCORES not supported in combination with BYLEX")
RANK, SCORE, LEX = b"", b"BYSCORE", b"BYLEX"

Ranks = Callable[[SortedSet], tuple[int, int]]

for _name in (
    b"ZRANGE", b"ZREVRANGE", b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE", b"ZRANGEBYLEX", b"ZREVRANGEBYLEX",
):  # fmt: skip
    costs.weigh(_name, costs.length_of_first)


@dataclass(slots=True)
class _Range:
    """What a command asks for: ranks found by an index, a score or a member; backwards; a part of them."""

    by: bytes
    backwards: bool
    offset: int = 0
    limit: int = -1
    has_limit: bool = False
    with_scores: bool = False


def _options(words: Sequence[bytes], wanted: _Range, *, free: bool, stores: bool) -> None:
    """`free`: BYSCORE, BYLEX and REV may be among them. Raises Refused."""
    rest = iter(words)
    for word in rest:
        option = word.upper()
        if option == b"WITHSCORES" and not stores:
            wanted.with_scores = True
        elif option == b"LIMIT":
            offset, limit = next(rest, None), next(rest, None)
            if offset is None or limit is None:
                raise Refused(SYNTAX_ERROR)
            wanted.offset, wanted.limit, wanted.has_limit = integer(offset), integer(limit), True
        elif free and option == b"REV" and not wanted.backwards:
            wanted.backwards = True
        elif free and option in (SCORE, LEX) and wanted.by == RANK:
            wanted.by = option
        else:
            raise Refused(SYNTAX_ERROR)
    if wanted.limit != -1 and wanted.by == RANK:
        raise Refused(LIMIT_BY_RANK)
    if wanted.with_scores and wanted.by == LEX:
        raise Refused(SCORES_BY_MEMBER)


def _ranks(wanted: _Range, first: bytes, second: bytes) -> Ranks:
    """The ends' meaning. Raises Refused."""
    if wanted.by == RANK:
        start, stop = integer(first), integer(second)
        return lambda members: _turned(ranks_by_index(len(members), start, stop), members, wanted.backwards)
    if wanted.backwards:
        first, second = second, first
    if wanted.by == SCORE:
        least, most = score_range(first, second)
        return lambda members: ranks_by_score(members, least, most)
    low, high = member_range(first, second)
    return lambda members: ranks_by_member(members, low, high, from_the_end=wanted.backwards)


def _turned(ranks: tuple[int, int], members: SortedSet, backwards: bool) -> tuple[int, int]:
    start, stop = ranks
    return (len(members) - stop, len(members) - start) if backwards else ranks


def _limited(wanted: _Range, ranks: tuple[int, int]) -> tuple[int, int]:
    """LIMIT's part of them."""
    start, stop = ranks
    if not wanted.has_limit or wanted.by == RANK:
        return ranks
    if wanted.offset < 0 or wanted.offset >= stop - start:
        return 0, 0
    if wanted.backwards:
        stop -= wanted.offset
        return (start if wanted.limit < 0 else max(start, stop - wanted.limit)), stop
    start += wanted.offset
    return start, (stop if wanted.limit < 0 else min(stop, start + wanted.limit))


def _pages(members: SortedSet, start: int, stop: int, backwards: bool) -> Generator[None, None, list[Scored]]:
    found: list[Scored] = []
    while start < stop:
        some = min(STEP, stop - start)
        if backwards:
            found += reversed(members.range(stop - some, stop))
            stop -= some
        else:
            found += members.range(start, start + some)
            start += some
        if start < stop:
            yield
    return found


def _read(db: Database, argv: list[bytes], wanted: _Range, *, free: bool = False) -> Reply:
    _options(argv[4:], wanted, free=free, stores=False)
    ranks = _ranks(wanted, argv[2], argv[3])
    members = db.read(argv[1], SortedSet)
    if members is None:
        return []
    start, stop = _limited(wanted, ranks(members))
    if stop - start <= STEP:
        found = members.range(start, stop)
        if wanted.backwards:
            found.reverse()
        return scored(found, with_scores=wanted.with_scores)
    return Steps(_scored(_pages(members, start, stop, wanted.backwards), wanted.with_scores), holds=True)


def _scored(pages: Generator[None, None, list[Scored]], with_scores: bool) -> Generator[None, None, Reply]:
    return scored((yield from pages), with_scores=with_scores)


@KEYSPACE.add(
    "ZRANGE",
    -4,
    "readonly",
    keys=(1, 1, 1),
    group="sorted-set",
    since="1.2.0",
    summary="Return a range of members in a sorted set",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements"
    " returned.",
    syntax="key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
    categories="read sortedset slow",
    key_flags="RO access",
    level=2,
)
def zrange(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrange"""
    return _read(db, argv, _Range(RANK, False), free=True)


@KEYSPACE.add(
    "ZREVRANGE",
    -4,
    "readonly",
    keys=(1, 1, 1),
    group="sorted-set",
    since="1.2.0",
    summary="Return a range of members in a sorted set, by index, with scores ordered from high to low",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements"
    " returned.",
    syntax="key start stop [WITHSCORES]",
    categories="read sortedset slow",
    key_flags="RO access",
    deprecated_since="6.2.0",
    replaced_by="`ZRANGE` with the `REV` argument",
    level=2,
)
def zrevrange(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrevrange"""
    return _read(db, argv, _Range(RANK, True))


@KEYSPACE.add(
    "ZRANGEBYSCORE",
    -4,
    "readonly",
    keys=(1, 1, 1),
    group="sorted-set",
    since="1.0.5",
    summary="Return a range of members in a sorted set, by score",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being"
    " returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can"
    " consider it O(log(N)).",
    syntax="key min max [WITHSCORES] [LIMIT offset count]",
    categories="read sortedset slow",
    key_flags="RO access",
    deprecated_since="6.2.0",
    replaced_by="`ZRANGE` with the `BYSCORE` argument",
    level=2,
)
def zrangebyscore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrangebyscore"""
    return _read(db, argv, _Range(SCORE, False))


@KEYSPACE.add(
    "ZREVRANGEBYSCORE",
    -4,
    "readonly",
    keys=(1, 1, 1),
    group="sorted-set",
    since="2.2.0",
    summary="Return a range of members in a sorted set, by score, with scores ordered from high to low",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being"
    " returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can"
    " consider it O(log(N)).",
    syntax="key max min [WITHSCORES] [LIMIT offset count]",
    categories="read sortedset slow",
    key_flags="RO access",
    deprecated_since="6.2.0",
    replaced_by="`ZRANGE` with the `REV` and `BYSCORE` arguments",
    level=2,
)
def zrevrangebyscore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrevrangebyscore"""
    return _read(db, argv, _Range(SCORE, True))


@KEYSPACE.add(
    "ZRANGEBYLEX",
    -4,
    "readonly",
    keys=(1, 1, 1),
    group="sorted-set",
    since="2.8.9",
    summary="Return a range of members in a sorted set, by lexicographical range",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being"
    " returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can"
    " consider it O(log(N)).",
    syntax="key min max [LIMIT offset count]",
    categories="read sortedset slow",
    key_flags="RO access",
    deprecated_since="6.2.0",
    replaced_by="`ZRANGE` with the `BYLEX` argument",
    level=2,
)
def zrangebylex(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrangebylex"""
    return _read(db, argv, _Range(LEX, False))


@KEYSPACE.add(
    "ZREVRANGEBYLEX",
    -4,
    "readonly",
    keys=(1, 1, 1),
    group="sorted-set",
    since="2.8.9",
    summary="Return a range of members in a sorted set, by lexicographical range, ordered from higher to lower"
    " strings.",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being"
    " returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can"
    " consider it O(log(N)).",
    syntax="key max min [LIMIT offset count]",
    categories="read sortedset slow",
    key_flags="RO access",
    deprecated_since="6.2.0",
    replaced_by="`ZRANGE` with the `REV` and `BYLEX` arguments",
    level=2,
)
def zrevrangebylex(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrevrangebylex"""
    return _read(db, argv, _Range(LEX, True))


@KEYSPACE.add(
    "ZRANGESTORE",
    -5,
    "write denyoom",
    keys=(1, 2, 1),
    group="sorted-set",
    since="6.2.0",
    summary="Store a range of members from sorted set into another key",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements"
    " stored into the destination key.",
    syntax="dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
    categories="write sortedset slow",
    key_flags="OW update; RO access",
    level=2,
)
def zrangestore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrangestore"""
    wanted = _Range(RANK, False)
    _options(argv[5:], wanted, free=True, stores=True)
    ranks = _ranks(wanted, argv[3], argv[4])
    members = db.read(argv[2], SortedSet)
    start, stop = (0, 0) if members is None else _limited(wanted, ranks(members))
    pages = _nothing() if members is None else _pages(members, start, stop, False)
    storing = store_scored(db, argv[1], pages, b"zrangestore")
    return exhaust(storing) if stop - start <= STEP else Steps(storing)


def _nothing() -> Generator[None, None, list[Scored]]:
    yield from ()
    return []


def store_scored(
    db: Database, key: bytes, found: Generator[None, None, list[Scored]], event: bytes
) -> Generator[None, None, int]:
    """Have these under the key, whatever was there: how many they are."""
    items = yield from found
    db.delete(key, event=b"" if items else b"del")
    for start in range(0, len(items), STEP):
        with db.edit(key, SortedSet, b"" if start else event) as members:
            for member, score in items[start : start + STEP]:
                members.put(member, score)
        if start + STEP < len(items):
            yield
    return len(items)


# Counting and removing ----------------------------------------------------------------------------------


def _count(db: Database, key: bytes, ranks: Ranks) -> int:
    members = db.read(key, SortedSet)
    if members is None:
        return 0
    start, stop = ranks(members)
    return stop - start


@KEYSPACE.add(
    "ZCOUNT",
    4,
    "readonly fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="2.0.0",
    summary="Count the members in a sorted set with scores within the given values",
    complexity="O(log(N)) with N being the number of elements in the sorted set.",
    syntax="key min max",
    categories="read sortedset fast",
    key_flags="RO access",
    level=2,
)
def zcount(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zcount"""
    return _count(db, argv[1], _ranks(_Range(SCORE, False), argv[2], argv[3]))


@KEYSPACE.add(
    "ZLEXCOUNT",
    4,
    "readonly fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="2.8.9",
    summary="Count the number of members in a sorted set between a given lexicographical range",
    complexity="O(log(N)) with N being the number of elements in the sorted set.",
    syntax="key min max",
    categories="read sortedset fast",
    key_flags="RO access",
    level=2,
)
def zlexcount(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zlexcount"""
    return _count(db, argv[1], _ranks(_Range(LEX, False), argv[2], argv[3]))


def _remove(db: Database, argv: list[bytes], by: bytes, event: bytes) -> Reply:
    ranks = _ranks(_Range(by, False), argv[2], argv[3])
    members = db.read(argv[1], SortedSet)
    if members is None:
        return 0
    start, stop = ranks(members)
    removing = _removed(db, argv[1], start, stop, event)
    return exhaust(removing) if stop - start <= STEP else Steps(removing)


def _removed(db: Database, key: bytes, start: int, stop: int, event: bytes) -> Generator[None, None, int]:
    for left in range(stop - start, 0, -STEP):
        with db.edit(key, SortedSet, event if left == stop - start else b"") as members:
            for member, _ in members.range(start, start + min(left, STEP)):
                members.pop(member)
        if left > STEP:
            yield
    return stop - start


@KEYSPACE.add(
    "ZREMRANGEBYRANK",
    4,
    "write",
    keys=(1, 1, 1),
    group="sorted-set",
    since="2.0.0",
    summary="Remove all members in a sorted set within the given indexes",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements"
    " removed by the operation.",
    syntax="key start stop",
    categories="write sortedset slow",
    key_flags="RW delete",
    level=2,
)
def zremrangebyrank(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zremrangebyrank"""
    return _remove(db, argv, RANK, b"zremrangebyrank")


@KEYSPACE.add(
    "ZREMRANGEBYSCORE",
    4,
    "write",
    keys=(1, 1, 1),
    group="sorted-set",
    since="1.2.0",
    summary="Remove all members in a sorted set within the given scores",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements"
    " removed by the operation.",
    syntax="key min max",
    categories="write sortedset slow",
    key_flags="RW delete",
    level=2,
)
def zremrangebyscore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zremrangebyscore"""
    return _remove(db, argv, SCORE, b"zremrangebyscore")


@KEYSPACE.add(
    "ZREMRANGEBYLEX",
    4,
    "write",
    keys=(1, 1, 1),
    group="sorted-set",
    since="2.8.9",
    summary="Remove all members in a sorted set between the given lexicographical range",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements"
    " removed by the operation.",
    syntax="key min max",
    categories="write sortedset slow",
    key_flags="RW delete",
    level=2,
)
def zremrangebylex(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zremrangebylex"""
    return _remove(db, argv, LEX, b"zremrangebylex")

"""Sorted sets. ZADD ZINCRBY ZREM ZCARD ZSCORE ZMSCORE ZRANK ZREVRANK ZPOPMIN ZPOPMAX ZMPOP ZRANDMEMBER ZSCAN.

Ranges are in sorted_set_ranges.py, what is made of several sets in sorted_set_algebra.py."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from leto.keyspace.database import Database
from leto.keyspace.scores import NOT_A_NUMBER, scored
from leto.keyspace.types.drawing import draw, sample
from leto.keyspace.types.scored import Scored
from leto.keyspace.types.sorted_set import SortedSet
from leto.keyspace.walks import scan_value
from leto.vocabulary.numbers import INT64_MAX, bounded_integer, double, positive_integer
from leto.vocabulary.registry import KEYSPACE, wrong_arity
from leto.vocabulary.replies import NULL_ARRAY, SYNTAX_ERROR, Error, Pairs, Refused, Reply
from leto.vocabulary.steps import LONG, STEP, Steps, exhaust

XX_AND_NX = Error(b"ERR XX and NX options at the same time are not compatible")
GT_LT_NX = Error(b"ERR GT, LT, and/or NX options at the same time are not compatible")
ONE_INCREMENT = Error(b"ERR INCR option supports a single increment-element pair")
OUT_OF_RANGE = Error(b"ERR value is out of range")
NO_KEYS = Error(b"ERR numkeys should be greater than 0")
NO_COUNT = Error(b"ERR count should be greater than 0")
MOST_DRAWN: Final = 1 << 20  # members that may come more than once: Redis makes a reply of any length
_OPTIONS = frozenset((b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"))


# Adding and taking away ----------------------------------------------------------------------------------


@KEYSPACE.add(
    "ZADD",
    -4,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="1.2.0",
    summary="Add one or more members to a sorted set, or update its score if it already exists",
    complexity="O(log(N)) for each item added, where N is the number of elements in the sorted set.",
    syntax="key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
    categories="write sortedset fast",
    key_flags="RW update",
    level=2,
)
def zadd(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zadd"""
    if len(argv) == 4 and argv[2].upper() not in _OPTIONS:  # the commonest
        score = double(argv[2])
        with db.edit(argv[1], SortedSet, b"zadd") as members:
            return int(members.put(argv[3], score) is None)
    at = 2
    options: set[bytes] = set()
    while at < len(argv) and (option := argv[at].upper()) in _OPTIONS:
        options.add(option)
        at += 1
    return _add(db, argv[1], argv[at:], options)


@KEYSPACE.add(
    "ZINCRBY",
    4,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="1.2.0",
    summary="Increment the score of a member in a sorted set",
    complexity="O(log(N)) where N is the number of elements in the sorted set.",
    syntax="key increment member",
    categories="write sortedset fast",
    key_flags="RW access update",
    level=2,
)
def zincrby(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zincrby"""
    return _add(db, argv[1], argv[2:], {b"INCR"})


def _add(db: Database, key: bytes, words: list[bytes], options: set[bytes]) -> Reply:
    """`words` are scores and members in turn."""
    if not words or len(words) % 2:
        return SYNTAX_ERROR
    if b"NX" in options and b"XX" in options:
        return XX_AND_NX
    if len(options & {b"GT", b"LT", b"NX"}) > 1:
        return GT_LT_NX
    increments = b"INCR" in options
    if increments and len(words) > 2:
        return ONE_INCREMENT
    pairs = [(words[at + 1], double(words[at])) for at in range(0, len(words), 2)]
    there = db.read(key, SortedSet)
    if there is None and b"XX" in options:
        return None if increments else 0
    if increments:
        return _increment(db, key, pairs[0], options)
    if len(pairs) > STEP:
        return Steps(_add_in_steps(db, key, pairs, options))
    return exhaust(_add_in_steps(db, key, pairs, options))


def _add_in_steps(db: Database, key: bytes, pairs: list[Scored], options: set[bytes]) -> Generator[None, None, int]:
    added = changed = 0
    for start in range(0, len(pairs), STEP):
        with db.edit(key, SortedSet, b"" if added + changed else b"zadd") as members:
            for member, score in pairs[start : start + STEP]:
                old = members.get(member)
                if not _may(options, old, score):
                    continue
                members.put(member, score)
                added += old is None
                changed += old is not None and old != score
        if start + STEP < len(pairs):
            yield
    return added + changed if b"CH" in options else added


def _may(options: set[bytes], old: float | None, score: float) -> bool:
    """Whether a member with the score `old`, or none, may get that one."""
    if old is None:
        return b"XX" not in options
    return not (b"NX" in options or (b"GT" in options and score <= old) or (b"LT" in options and score >= old))


def _increment(db: Database, key: bytes, pair: Scored, options: set[bytes]) -> Reply:
    member, score = pair
    with db.edit(key, SortedSet, b"zincr") as members:
        old = members.get(member)
        if old is None and b"XX" in options or (old is not None and b"NX" in options):
            return None
        score += old or 0.0
        if score != score:
            return NOT_A_NUMBER
        if not _may(options, old, score):
            return None
        members.put(member, score)
    return score


@KEYSPACE.add(
    "ZREM",
    -3,
    "write fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="1.2.0",
    summary="Remove one or more members from a sorted set",
    complexity="O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be"
    " removed.",
    syntax="key member [member ...]",
    categories="write sortedset fast",
    key_flags="RW delete",
    level=2,
)
def zrem(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrem"""
    if len(argv) > LONG:
        return Steps(_zrem_in_steps(db, argv))
    with db.edit_existing(argv[1], SortedSet, b"zrem") as members:
        return 0 if members is None else sum([members.pop(member) is not None for member in argv[2:]])


def _zrem_in_steps(db: Database, argv: list[bytes]) -> Generator[None, None, int]:
    gone = 0
    for start in range(2, len(argv), STEP):
        with db.edit_existing(argv[1], SortedSet, b"" if gone else b"zrem") as members:
            if members is not None:
                gone += sum([members.pop(member) is not None for member in argv[start : start + STEP]])
        yield
    return gone


# One member, or all --------------------------------------------------------------------------------------


@KEYSPACE.add(
    "ZCARD",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="1.2.0",
    summary="Get the number of members in a sorted set",
    syntax="key",
    categories="read sortedset fast",
    key_flags="RO",
    level=2,
)
def zcard(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zcard"""
    members = db.read(argv[1], SortedSet)
    return 0 if members is None else len(members)


@KEYSPACE.add(
    "ZSCORE",
    3,
    "readonly fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="1.2.0",
    summary="Get the score associated with the given member in a sorted set",
    syntax="key member",
    categories="read sortedset fast",
    key_flags="RO access",
    level=2,
)
def zscore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zscore"""
    members = db.read(argv[1], SortedSet)
    return None if members is None else members.get(argv[2])


@KEYSPACE.add(
    "ZMSCORE",
    -3,
    "readonly fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="6.2.0",
    summary="Get the score associated with the given members in a sorted set",
    complexity="O(N) where N is the number of members being requested.",
    syntax="key member [member ...]",
    categories="read sortedset fast",
    key_flags="RO access",
    level=2,
)
def zmscore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zmscore"""
    members = db.read(argv[1], SortedSet)
    if len(argv) > LONG:
        return Steps(_scores_in_steps(members, argv), holds=True)
    return [None] * (len(argv) - 2) if members is None else members.get_all(argv[2:])


def _scores_in_steps(members: SortedSet | None, argv: list[bytes]) -> Generator[None, None, Reply]:
    found: list[float | None] = []
    for start in range(2, len(argv), STEP):
        some = argv[start : start + STEP]
        found += [None] * len(some) if members is None else members.get_all(some)
        yield
    return found


@KEYSPACE.add(
    "ZRANK",
    -3,
    "readonly fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="2.0.0",
    summary="Determine the index of a member in a sorted set",
    complexity="O(log(N))",
    syntax="key member [WITHSCORE]",
    categories="read sortedset fast",
    key_flags="RO access",
    level=2,
)
def zrank(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrank"""
    return _rank(db, argv, from_the_end=False)


@KEYSPACE.add(
    "ZREVRANK",
    -3,
    "readonly fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="2.0.0",
    summary="Determine the index of a member in a sorted set, with scores ordered from high to low",
    complexity="O(log(N))",
    syntax="key member [WITHSCORE]",
    categories="read sortedset fast",
    key_flags="RO access",
    level=2,
)
def zrevrank(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrevrank"""
    return _rank(db, argv, from_the_end=True)


def _rank(db: Database, argv: list[bytes], *, from_the_end: bool) -> Reply:
    if len(argv) > 4:
        return wrong_arity(KEYSPACE[b"ZREVRANK" if from_the_end else b"ZRANK"])
    with_score = len(argv) == 4
    if with_score and argv[3].upper() != b"WITHSCORE":
        return SYNTAX_ERROR
    members = db.read(argv[1], SortedSet)
    rank = None if members is None else members.rank(argv[2])
    if members is None or rank is None:
        return NULL_ARRAY if with_score else None
    if from_the_end:
        rank = len(members) - 1 - rank
    return [rank, members.get(argv[2])] if with_score else rank


# The first and the last ---------------------------------------------------------------------------------


@KEYSPACE.add(
    "ZPOPMIN",
    -2,
    "write fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="5.0.0",
    summary="Remove and return members with the lowest scores in a sorted set",
    complexity="O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of"
    " elements popped.",
    syntax="key [count]",
    categories="write sortedset fast",
    key_flags="RW access delete",
    level=2,
)
def zpopmin(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zpopmin"""
    return _pop(db, argv, b"zpopmin", last=False)


@KEYSPACE.add(
    "ZPOPMAX",
    -2,
    "write fast",
    keys=(1, 1, 1),
    group="sorted-set",
    since="5.0.0",
    summary="Remove and return members with the highest scores in a sorted set",
    complexity="O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of"
    " elements popped.",
    syntax="key [count]",
    categories="write sortedset fast",
    key_flags="RW access delete",
    level=2,
)
def zpopmax(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zpopmax"""
    return _pop(db, argv, b"zpopmax", last=True)


def _pop(db: Database, argv: list[bytes], event: bytes, *, last: bool) -> Reply:
    if len(argv) > 3:
        return SYNTAX_ERROR
    count = positive_integer(argv[2]) if len(argv) == 3 else 1
    members = db.read(argv[1], SortedSet)
    if members is None or not count:
        return []
    popping = _popped(db, argv[1], min(count, len(members)), event, last=last)
    if len(argv) == 2:
        return list(exhaust(popping)[0])
    return Steps(_as_pairs(popping)) if count > STEP and members.is_large else exhaust(_as_pairs(popping))


def _popped(db: Database, key: bytes, count: int, event: bytes, *, last: bool) -> Generator[None, None, list[Scored]]:
    found: list[Scored] = []
    while len(found) < count:
        with db.edit(key, SortedSet, b"" if found else event) as members:
            some = min(STEP, count - len(found))
            start = len(members) - some if last else 0
            page = members.range(start, start + some)
            for member, _ in page:
                members.pop(member)
        found += reversed(page) if last else page
        if len(found) < count:
            yield
    return found


def _as_pairs(popping: Generator[None, None, list[Scored]]) -> Generator[None, None, Reply]:
    return scored((yield from popping), with_scores=True)


@KEYSPACE.add(
    "ZMPOP",
    -4,
    "write movablekeys",
    numkeys=1,
    group="sorted-set",
    since="7.0.0",
    summary="Remove and return members with scores in a sorted set",
    complexity="O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the"
    " sorted set, and M being the number of elements popped.",
    syntax="numkeys key [key ...] <MIN | MAX> [COUNT count]",
    categories="write sortedset slow",
    key_flags="RW access delete",
    level=2,
)
def zmpop(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zmpop"""
    side = positive_integer(argv[1], 1, NO_KEYS) + 2
    if side >= len(argv) or (where := argv[side].upper()) not in (b"MIN", b"MAX"):
        return SYNTAX_ERROR
    count = 0
    rest = iter(argv[side + 1 :])
    for option in rest:
        argument = next(rest, None)
        if option.upper() != b"COUNT" or argument is None or count:
            return SYNTAX_ERROR
        count = positive_integer(argument, 1, NO_COUNT)
    for key in argv[2:side]:
        members = db.read(key, SortedSet)
        if members is None:
            continue
        many = min(count or 1, len(members))
        event = b"zpopmin" if where == b"MIN" else b"zpopmax"
        popping = _from(key, _popped(db, key, many, event, last=where == b"MAX"))
        return Steps(popping) if many > STEP else exhaust(popping)
    return NULL_ARRAY


def _from(key: bytes, popping: Generator[None, None, list[Scored]]) -> Generator[None, None, Reply]:
    return [key, [list(pair) for pair in (yield from popping)]]


# Some of them -------------------------------------------------------------------------------------------


@KEYSPACE.add(
    "ZRANDMEMBER",
    -2,
    "readonly",
    keys=(1, 1, 1),
    group="sorted-set",
    since="6.2.0",
    summary="Get one or multiple random elements from a sorted set",
    complexity="O(N) where N is the number of elements returned",
    syntax="key [count [WITHSCORES]]",
    categories="read sortedset slow",
    tips="nondeterministic_output",
    key_flags="RO access",
    level=2,
)
def zrandmember(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zrandmember"""
    if len(argv) == 2:
        members = db.read(argv[1], SortedSet)
        return None if members is None else members.choose(db.random)
    count = bounded_integer(argv[2], -INT64_MAX, INT64_MAX)
    if len(argv) > 4 or (len(argv) == 4 and argv[3].upper() != b"WITHSCORES"):
        return SYNTAX_ERROR
    pairs = len(argv) == 4
    if count < -MOST_DRAWN or (pairs and count > INT64_MAX // 2):
        raise Refused(OUT_OF_RANGE)
    members = db.read(argv[1], SortedSet)
    if members is None or not count:
        return []
    chosen = draw(members, -count, db.random) if count < 0 else sample(members, count, db.random)
    drawn = _drawn(members, chosen, pairs)
    return Steps(drawn, holds=True) if members.is_large or abs(count) > STEP else exhaust(drawn)


def _drawn(members: SortedSet, chosen: Generator[None, None, list[bytes]], pairs: bool) -> Generator[None, None, Reply]:
    found = yield from chosen
    if not pairs:
        return found
    items: list[bytes | float | None] = []
    for start in range(0, len(found), STEP):
        some = found[start : start + STEP]
        items += [each for pair in zip(some, members.get_all(some), strict=True) for each in pair]
        yield
    return Pairs(items)


@KEYSPACE.add(
    "ZSCAN",
    -3,
    "readonly",
    keys=(1, 1, 1),
    group="sorted-set",
    since="2.8.0",
    summary="Incrementally iterate sorted sets elements and associated scores",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to"
    " return back to 0. N is the number of elements inside the collection..",
    syntax="key cursor [MATCH pattern] [COUNT count]",
    categories="read sortedset slow",
    tips="nondeterministic_output",
    key_flags="RO access",
    level=2,
)
def zscan(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zscan"""
    return scan_value(db, argv, SortedSet, pairs=True)

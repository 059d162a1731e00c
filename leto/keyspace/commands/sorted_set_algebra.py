"""What is made of several sorted sets, or sets. ZUNION ZINTER ZDIFF, their forms that store, and ZINTERCARD."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat

from leto.keyspace import costs
from leto.keyspace.commands.sorted_set_ranges import store_scored
from leto.keyspace.database import Database
from leto.keyspace.scores import scored
from leto.keyspace.types.scored import Scored
from leto.keyspace.types.set import Set
from leto.keyspace.types.sorted_set import SortedSet
from leto.vocabulary.numbers import integer, parse_double, positive_integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import SYNTAX_ERROR, WRONG_TYPE, Error, Refused, Reply
from leto.vocabulary.steps import STEP, Steps, exhaust

NOT_A_WEIGHT = Error(b"ERR weight value is not a float")
NEGATIVE_LIMIT = Error(b"ERR LIMIT can't be negative")

Operand = SortedSet | Set | None
Found = Generator[None, None, list[Scored]]


def _lengths(db: Database, argv: Sequence[bytes]) -> int:
    return sum(costs.length_of(db, key) for key in argv[2:])


for _name in (b"ZUNION", b"ZINTER", b"ZDIFF", b"ZINTERCARD"):
    costs.weigh(_name, _lengths)


def _sum(one: float, other: float) -> float:
    total = one + other
    return total if total == total else 0.0  # of infinities of both signs


def _least(one: float, other: float) -> float:
    return other if other < one else one


def _most(one: float, other: float) -> float:
    return other if other > one else one


AGGREGATES: dict[bytes, Callable[[float, float], float]] = {b"SUM": _sum, b"MIN": _least, b"MAX": _most}


@dataclass(slots=True)
class _Asked:
    """What a command asks for."""

    operands: list[Operand]
    weights: list[float]
    aggregate: Callable[[float, float], float] = _sum
    with_scores: bool = False
    limit: int = 0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(len(operand) for operand in self.operands if operand is not None)

    def by_size(self) -> list[tuple[Operand, float]]:
        """The operands with their weights, the smallest first: so are scores added up."""
        both = list(zip(self.operands, self.weights, strict=True))
        return sorted(both, key=lambda each: 0 if each[0] is None else len(each[0]))


def _asked(db: Database, words: list[bytes], name: bytes, *, kind: bytes) -> _Asked:
    """`words`: how many keys, the keys, options. Raises Refused."""
    count = integer(words[0])
    if count < 1:
        raise Refused(Error(b"ERR at least 1 input key is needed for '%b' command" % name.lower()))
    if count > len(words) - 1:
        raise Refused(SYNTAX_ERROR)
    asked = _Asked([_operand(db, key) for key in words[1 : count + 1]], [1.0] * count)
    rest = words[count + 1 :]
    while rest:
        option = rest[0].upper()
        if option == b"WEIGHTS" and kind == b"scores" and len(rest) > count:
            asked.weights = [_weight(text) for text in rest[1 : count + 1]]
            rest = rest[count + 1 :]
        elif option == b"AGGREGATE" and kind == b"scores" and len(rest) > 1 and rest[1].upper() in AGGREGATES:
            asked.aggregate = AGGREGATES[rest[1].upper()]
            rest = rest[2:]
        elif option == b"WITHSCORES" and not name.endswith((b"STORE", b"CARD")):
            asked.with_scores = True
            rest = rest[1:]
        elif option == b"LIMIT" and kind == b"count" and len(rest) > 1:
            asked.limit = positive_integer(rest[1], 0, NEGATIVE_LIMIT)
            rest = rest[2:]
        else:
            raise Refused(SYNTAX_ERROR)
    return asked


def _operand(db: Database, key: bytes) -> Operand:
    record = db.find(key)
    if record is None:
        return None
    value = record.value
    if isinstance(value, SortedSet | Set):
        return value
    raise Refused(WRONG_TYPE)


def _weight(text: bytes) -> float:
    value = parse_double(text)
    if value is None:
        raise Refused(NOT_A_WEIGHT)
    return value


def _pages(operand: Operand) -> Iterator[list[Scored]]:
    """Members with their scores; those of a set have 1."""
    if operand is None:
        return
    walk = operand.items() if isinstance(operand, SortedSet) else zip(operand.members(), repeat(1.0), strict=False)
    while page := list(islice(walk, STEP)):
        yield page


def _scores(operand: Operand, members: list[bytes]) -> list[float | None]:
    if operand is None:
        return [None] * len(members)
    if isinstance(operand, SortedSet):
        return operand.get_all(members)
    return [None if found is None else 1.0 for found in operand.get_all(members)]


def _weighed(weight: float, score: float) -> float:
    product = weight * score
    return product if product == product else 0.0  # nothing of infinity


# What comes of them, in order ----------------------------------------------------------------------------


def _union(asked: _Asked) -> Found:
    found: dict[bytes, float] = {}
    for operand, weight in asked.by_size():
        for page in _pages(operand):
            for member, score in page:
                score = _weighed(weight, score)
                found[member] = asked.aggregate(found[member], score) if member in found else score
            yield
    return (yield from _in_order(found))


def _inter(asked: _Asked) -> Found:
    if None in asked.operands:
        return []
    (smallest, weight), *others = asked.by_size()
    found: dict[bytes, float] = {}
    for page in _pages(smallest):
        scores = {member: _weighed(weight, score) for member, score in page}
        for other, factor in others:
            for member, score in zip(list(scores), _scores(other, list(scores)), strict=True):
                if score is None:
                    del scores[member]
                else:
                    scores[member] = asked.aggregate(scores[member], factor * score)
            yield
        found.update(scores)
        if asked.limit and len(found) >= asked.limit:
            return list(found.items())[: asked.limit]
        yield
    return (yield from _in_order(found))


def _diff(asked: _Asked) -> Found:
    first, *others = asked.operands
    found: dict[bytes, float] = {}
    for page in _pages(first):
        scores = dict(page)
        for other in others:
            for member, score in zip(list(scores), _scores(other, list(scores)), strict=True):
                if score is not None:
                    del scores[member]
            yield
        found.update(scores)
        yield
    return (yield from _in_order(found))


def _in_order(found: dict[bytes, float]) -> Found:
    """By score and member: sorted in runs, and these merged, so that no step is long."""
    items = [(score, member) for member, score in found.items()]
    runs = []
    for start in range(0, len(items), 4 * STEP):
        runs.append(sorted(items[start : start + 4 * STEP]))
        yield
    while len(runs) > 1:
        merged = []
        for at in range(0, len(runs), 2):
            merged.append((yield from _merged(runs[at : at + 2])))
        runs = merged
    return [(member, score) for score, member in runs[0]] if runs else []


def _merged(runs: list[list[tuple[float, bytes]]]) -> Generator[None, None, list[tuple[float, bytes]]]:
    if len(runs) == 1:
        return runs[0]
    one, other = runs
    merged: list[tuple[float, bytes]] = []
    at = to = 0
    while at < len(one) and to < len(other):
        some = sorted(one[at : at + STEP] + other[to : to + STEP])
        last = min(one[min(at + STEP, len(one)) - 1], other[min(to + STEP, len(other)) - 1])
        some = [item for item in some if item <= last]  # nothing that is still to come is before these
        merged += some
        taken = sum(item <= last for item in one[at : at + STEP])
        at, to = at + taken, to + len(some) - taken
        yield
    return merged + one[at:] + other[to:]


# Commands -----------------------------------------------------------------------------------------------


def _read(db: Database, argv: list[bytes], combine: Callable[[_Asked], Found], *, kind: bytes) -> Reply:
    asked = _asked(db, argv[1:], argv[0].upper(), kind=kind)
    made = _scored(combine(asked), asked.with_scores)
    return exhaust(made) if asked.size <= STEP else Steps(made, holds=True)


def _scored(found: Found, with_scores: bool) -> Generator[None, None, Reply]:
    return scored((yield from found), with_scores=with_scores)


def _store(db: Database, argv: list[bytes], combine: Callable[[_Asked], Found], *, kind: bytes) -> Reply:
    name = argv[0].upper()
    asked = _asked(db, argv[2:], name, kind=kind)
    storing = store_scored(db, argv[1], combine(asked), name.lower())
    return exhaust(storing) if asked.size <= STEP else Steps(storing)


@KEYSPACE.add(
    "ZUNION",
    -3,
    "readonly movablekeys",
    numkeys=1,
    group="sorted-set",
    since="6.2.0",
    summary="Add multiple sorted sets",
    complexity="O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number"
    " of elements in the resulting sorted set.",
    syntax="numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]",
    categories="read sortedset slow",
    key_flags="RO access",
    level=2,
)
def zunion(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zunion"""
    return _read(db, argv, _union, kind=b"scores")


@KEYSPACE.add(
    "ZINTER",
    -3,
    "readonly movablekeys",
    numkeys=1,
    group="sorted-set",
    since="6.2.0",
    summary="Intersect multiple sorted sets",
    complexity="O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of"
    " input sorted sets and M being the number of elements in the resulting sorted set.",
    syntax="numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]",
    categories="read sortedset slow",
    key_flags="RO access",
    level=2,
)
def zinter(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zinter"""
    return _read(db, argv, _inter, kind=b"scores")


@KEYSPACE.add(
    "ZDIFF",
    -3,
    "readonly movablekeys",
    numkeys=1,
    group="sorted-set",
    since="6.2.0",
    summary="Subtract multiple sorted sets",
    complexity="O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size"
    " of the first set, and K is the size of the result set.",
    syntax="numkeys key [key ...] [WITHSCORES]",
    categories="read sortedset slow",
    key_flags="RO access",
    level=2,
)
def zdiff(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zdiff"""
    return _read(db, argv, _diff, kind=b"members")


@KEYSPACE.add(
    "ZUNIONSTORE",
    -4,
    "write denyoom movablekeys",
    keys=(1, 1, 1),
    numkeys=2,
    group="sorted-set",
    since="2.0.0",
    summary="Add multiple sorted sets and store the resulting sorted set in a new key",
    complexity="O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number"
    " of elements in the resulting sorted set.",
    syntax="destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX]",
    categories="write sortedset slow",
    key_flags="OW update; RO access",
    level=2,
)
def zunionstore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zunionstore"""
    return _store(db, argv, _union, kind=b"scores")


@KEYSPACE.add(
    "ZINTERSTORE",
    -4,
    "write denyoom movablekeys",
    keys=(1, 1, 1),
    numkeys=2,
    group="sorted-set",
    since="2.0.0",
    summary="Intersect multiple sorted sets and store the resulting sorted set in a new key",
    complexity="O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of"
    " input sorted sets and M being the number of elements in the resulting sorted set.",
    syntax="destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX]",
    categories="write sortedset slow",
    key_flags="OW update; RO access",
    level=2,
)
def zinterstore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zinterstore"""
    return _store(db, argv, _inter, kind=b"scores")


@KEYSPACE.add(
    "ZDIFFSTORE",
    -4,
    "write denyoom movablekeys",
    keys=(1, 1, 1),
    numkeys=2,
    group="sorted-set",
    since="6.2.0",
    summary="Subtract multiple sorted sets and store the resulting sorted set in a new key",
    complexity="O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size"
    " of the first set, and K is the size of the result set.",
    syntax="destination numkeys key [key ...]",
    categories="write sortedset slow",
    key_flags="OW update; RO access",
    level=2,
)
def zdiffstore(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zdiffstore"""
    return _store(db, argv, _diff, kind=b"members")


@KEYSPACE.add(
    "ZINTERCARD",
    -3,
    "readonly movablekeys",
    numkeys=1,
    group="sorted-set",
    since="7.0.0",
    summary="Intersect multiple sorted sets and return the cardinality of the result",
    complexity="O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
    syntax="numkeys key [key ...] [LIMIT limit]",
    categories="read sortedset slow",
    key_flags="RO access",
    level=2,
)
def zintercard(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/zintercard"""
    asked = _asked(db, argv[1:], argv[0].upper(), kind=b"count")
    counted = _counted(_inter(asked))
    return exhaust(counted) if asked.size <= STEP else Steps(counted, holds=True)


def _counted(found: Found) -> Generator[None, None, int]:
    return len((yield from found))

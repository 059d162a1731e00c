"""SORT and SORT_RO: the members of a value, sorted by themselves or by what is under keys that are named after them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any, Final

from leto.keyspace.database import Database
from leto.keyspace.types.list import built
from leto.keyspace.types.long_string import LongString
from leto.keyspace.types.value import Value, is_string
from leto.vocabulary.numbers import integer, parse_double
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import SYNTAX_ERROR, WRONG_TYPE, Error, Refused, Reply
from leto.vocabulary.steps import STEP, Steps, exhaust

NO_SCORE: Final = Error(b"ERR One or more scores can't be converted into double")
RUN: Final = 1 << 10  # members that one step takes, sorts or merges

_KEY: Final = itemgetter(0)
_COMPLEXITY: Final = (
    "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements."
    " When the elements are not sorted, complexity is O(N)."
)
_SYNTAX: Final = "[BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]"
_BY_OR_GET: Final = (
    "RO access: For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content"
    " of the key we sort"
)


@dataclass(slots=True)
class Options:
    """What follows SORT key."""

    pattern: Pattern | None = None  # of BY
    sorts: bool = True  # BY names no key otherwise
    descends: bool = False
    is_text: bool = False  # ALPHA
    offset: int = 0
    count: int = -1
    gets: list[Pattern] = field(default_factory=list)
    target: bytes | None = None  # of STORE


class Pattern:
    """What BY and GET look up for a member: the string under a key that is named after it, or a field there."""

    __slots__ = ("_after", "_before", "_field", "_is_itself", "is_constant")

    def __init__(self, text: bytes) -> None:
        self._is_itself = text == b"#"
        star = text.find(b"*")
        nul = text.find(b"\0")
        self.is_constant = star < 0 or 0 <= nul < star  # Redis looks up to a NUL
        self._before, self._after = text[:star], text[star + 1 :]
        key, arrow, name = self._after.partition(b"->")
        self._field: bytes | None = None
        if arrow and name and name[0] and b"\0" not in key:
            self._after, self._field = key, name

    def find(self, db: Database, member: bytes) -> bytes | LongString | None:
        """None if there is nothing."""
        if self._is_itself:
            return member
        if self.is_constant:
            return None
        record = db.find(b"%b%b%b" % (self._before, member, self._after))
        if record is None:
            return None
        value = record.value
        if is_string(value):
            return None if self._field is not None else value  # type: ignore[return-value]
        return None if self._field is None else value.field(self._field)  # type: ignore[union-attr]


def _parse(argv: Sequence[bytes], *, stores: bool) -> Options:
    """Raises Refused."""
    options = Options()
    words = iter(argv[2:])
    left = len(argv) - 2
    for word in words:
        left -= 1
        name = word.upper()
        if name in (b"ASC", b"DESC"):
            options.descends = name == b"DESC"
        elif name == b"ALPHA":
            options.is_text = True
        elif name == b"LIMIT" and left >= 2:
            options.offset, options.count = integer(next(words)), integer(next(words))
            left -= 2
        elif left and (name in (b"BY", b"GET") or (name == b"STORE" and stores)):
            argument = next(words)
            left -= 1
            if name == b"STORE":
                options.target = argument
            elif name == b"GET":
                options.gets.append(Pattern(argument))
            else:
                options.pattern = Pattern(argument)
                options.sorts &= not options.pattern.is_constant
        else:
            raise Refused(SYNTAX_ERROR)
    return options


def store_key(argv: Sequence[bytes]) -> Sequence[int]:
    """Where the key of the last STORE stands."""
    found: list[int] = []
    at = 2
    while at < len(argv):
        word = argv[at].upper()
        if word == b"STORE" and at + 1 < len(argv):
            found = [at + 1]
        at += {b"LIMIT": 3, b"GET": 2, b"BY": 2}.get(word, 1)
    return found


@KEYSPACE.add(
    "SORT",
    -2,
    "write denyoom movablekeys",
    keys=(1, 1, 1),
    more_keys=store_key,
    group="generic",
    since="1.0.0",
    summary="Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
    complexity=_COMPLEXITY,
    syntax=f"key {_SYNTAX} [STORE destination]",
    categories="write set sortedset list slow dangerous",
    key_flags=f"RO access; {_BY_OR_GET}; OW update: For the optional STORE keyword. It is marked 'unknown' because the"
    " keyword can appear anywhere in the argument array",
    level=2,
)
def sort(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sort"""
    return _sort(db, argv, stores=True)


@KEYSPACE.add(
    "SORT_RO",
    -2,
    "readonly movablekeys",
    keys=(1, 1, 1),
    group="generic",
    since="7.0.0",
    summary="Returns the sorted elements of a list, a set, or a sorted set.",
    complexity=_COMPLEXITY,
    syntax=f"key {_SYNTAX}",
    categories="read set sortedset list slow dangerous",
    key_flags=f"RO access; {_BY_OR_GET}",
    level=2,
)
def sort_ro(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/sort_ro"""
    return _sort(db, argv, stores=False)


def _sort(db: Database, argv: list[bytes], *, stores: bool) -> Reply:
    options = _parse(argv, stores=stores)
    record = db.find(argv[1])
    value = None if record is None else record.value
    if value is not None and not (isinstance(value, Value) and value.sorts):
        return WRONG_TYPE
    count = 0 if value is None else len(value)
    if value is not None and not value.is_ordered and not options.sorts and options.target is not None:
        options.sorts, options.is_text, options.pattern = True, True, None  # so that what is stored has an order
    steps = _answer(db, value, options)
    return Steps(steps, holds=True) if count * (1 + len(options.gets)) > RUN else exhaust(steps)


def _answer(db: Database, value: Value | None, options: Options) -> Generator[None, None, Reply]:
    now = db.now
    members: list[bytes] = []
    if value is not None:
        rest = iter(value.members())
        if not options.sorts and not options.descends and options.count >= 0:
            rest = islice(rest, min(max(options.offset, 0) + options.count, len(value)))
        while some := list(islice(rest, RUN)):
            members += some
            yield
    start = min(max(options.offset, 0), len(members))
    stop = len(members) if options.count < 0 else min(start + options.count, len(members))
    if options.sorts:
        members = yield from _sorted(db, members, options, start, stop)
    else:
        if options.descends:
            members.reverse()
        members = members[start:stop]
    db.now = now
    found: list[Any] = members
    if options.gets:
        found = []
        for number, member in enumerate(members):
            if number % STEP == STEP - 1:
                yield
                db.now = now
            found += [pattern.find(db, member) for pattern in options.gets]
        yield from _used_up(members)
    if options.target is None:
        return found
    return (yield from _stored(db, options.target, found))


def _stored(db: Database, key: bytes, found: list[Any]) -> Generator[None, None, int]:
    """Have them as a list under the key: how many there are. Nothing is an empty element."""
    for at in range(0, len(found), RUN):
        found[at : at + RUN] = [b"" if each is None else bytes(each) for each in found[at : at + RUN]]
        yield
    count = len(found)
    if count:
        db.store(key, (yield from built(found, db.index)), event=b"sortstore")
        yield from _used_up(found)
    elif db.touch(key) is not None:
        db.delete(key)
    return count


def _sorted(
    db: Database, members: list[bytes], options: Options, start: int, stop: int
) -> Generator[None, None, list[bytes]]:
    """Those from place `start` up to `stop` of the order: runs of them are sorted, and merged. The list is used up.
    Raises Refused."""
    keys_of: Callable[[Database, list[bytes], Pattern | None], Sequence[Any]] = _texts if options.is_text else _numbers
    key = _KEY if options.is_text else None  # numbers that are equal go by the members
    runs: list[tuple[list[Any], list[bytes]]] = []  # the last one first; pairs would be seen by the garbage collector
    now = db.now
    for at in range(0, len(members), RUN):
        db.now = now
        run = members[at : at + RUN]
        pairs = sorted(zip(keys_of(db, run, options.pattern), run, strict=True), key=key, reverse=options.descends)
        pairs.reverse()
        runs.append(([key for key, _ in pairs], [member for _, member in pairs]))
        yield
    yield from _used_up(members)
    in_order: Iterable[tuple[Any, bytes]] = merge(*map(_consumed, runs), key=key, reverse=options.descends)
    in_order = iter(in_order)
    for skipped in range(0, start, RUN):
        for _ in islice(in_order, min(RUN, start - skipped)):
            pass
        yield
    found: list[bytes] = []
    while len(found) < stop - start:
        found += [member for _, member in islice(in_order, min(RUN, stop - start - len(found)))]
        yield
    for keys, rest in runs:
        keys.clear()
        rest.clear()
        yield
    return found


def _consumed(run: tuple[list[Any], list[bytes]]) -> Iterator[tuple[Any, bytes]]:
    """Its pairs from the last one on, none of which it has any more."""
    keys, members = run
    while keys:
        yield keys.pop(), members.pop()


def _used_up(members: list[bytes]) -> Generator[None, None, None]:
    """Empty the list: many at once would take long."""
    while members:
        del members[-16 * RUN :]
        yield


def _texts(db: Database, members: list[bytes], pattern: Pattern | None) -> list[bytes]:
    """What each is sorted by: those without a text come first."""
    if pattern is None:
        return members
    texts = (pattern.find(db, member) for member in members)
    return [b"" if text is None else b"\0%b" % bytes(text) for text in texts]


def _numbers(db: Database, members: list[bytes], pattern: Pattern | None) -> list[float]:
    """What each is sorted by: 0 for those without a number. Raises Refused for what is none."""
    if pattern is None:
        return list(map(_score, members))
    texts = (pattern.find(db, member) for member in members)
    return [0.0 if text is None else _score(bytes(text)) for text in texts]


def _score(text: bytes) -> float:
    """What C's strtod makes of it, as Redis calls it here."""
    if text.isdigit():
        return float(text) if len(text) < 300 else _finite(text)
    text = text.split(b"\0", 1)[0]
    return _finite(text.lstrip(b" \t\n\v\f\r")) if text else 0.0


def _finite(text: bytes) -> float:
    score = parse_double(text)
    if score is None:
        raise Refused(NO_SCORE)
    return score

"""Values of more than one element, as the simulated clients use them: each group of keys has a hash, a list, a set and
a sorted set beside its registers. What they are to the model is immutable; what a command makes of one is a function.

Some changes are of many elements, so that values become large, and their parts change while snapshots are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from leto.vocabulary.replies import Pairs, Set

Command = list[bytes]
Change = Callable[[Any, Command], tuple[Any, Any]]

HASH, LIST, SET, SORTED_SET = b"h", b"l", b"s", b"z"  # what the keys end with
KINDS = (HASH, LIST, SET, SORTED_SET)
MANY = 150  # elements at once: more than a small value has
CHANCE_OF_MANY = 0.04


def choose(random: Random, group: bytes, token: bytes) -> tuple[Command, bool]:
    """A command on one of the group's, and whether it reads."""
    kind = random.choice(KINDS)
    key = group + kind
    name = random.choice([b"a", b"b", b"c", b"d"])
    if random.random() < 0.3:
        return {
            HASH: [b"HGETALL", key],
            LIST: [b"LRANGE", key, b"0", b"-1"],
            SET: [b"SMEMBERS", key],
            SORTED_SET: [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        }[kind], True
    names = [b"%b%d" % (name, number) for number in range(MANY)] if random.random() < CHANCE_OF_MANY else [name]
    score = b"%d" % random.randrange(5)
    takes = random.random() < 0.35
    if kind == HASH:
        words = [b"HDEL", key, *names] if takes else [b"HSET", key, *[w for each in names for w in (each, token)]]
    elif kind == LIST:
        words = (
            [random.choice([b"LPOP", b"RPOP"]), key] if takes else [random.choice([b"LPUSH", b"RPUSH"]), key, *names]
        )
    elif kind == SET:
        words = [b"SREM" if takes else b"SADD", key, *names]
    elif takes:
        words = [b"ZREM", key, *names]
    else:
        words = [b"ZADD", key, *[w for each in names for w in (score, each)]]
    return words, False


def _hset(value: Any, argv: Command) -> tuple[Any, Any]:
    fields = dict(value or ())
    pairs = dict(zip(argv[2::2], argv[3::2], strict=True))
    return len(pairs.keys() - fields.keys()), frozenset({**fields, **pairs}.items())


def _hdel(value: Any, argv: Command) -> tuple[Any, Any]:
    left = frozenset(item for item in value or () if item[0] not in argv[2:])
    return len(value or ()) - len(left), left or None


def _push(value: Any, argv: Command) -> tuple[Any, Any]:
    value = (*argv[:1:-1], *(value or ())) if argv[0] == b"LPUSH" else (*(value or ()), *argv[2:])
    return len(value), value


def _pop(value: Any, argv: Command) -> tuple[Any, Any]:
    if value is None:
        return None, None
    *rest, last = value if argv[0] == b"RPOP" else value[::-1]
    return last, tuple(rest if argv[0] == b"RPOP" else rest[::-1]) or None


def _sadd(value: Any, argv: Command) -> tuple[Any, Any]:
    both = (value or frozenset()) | frozenset(argv[2:])
    return len(both) - len(value or ()), both


def _srem(value: Any, argv: Command) -> tuple[Any, Any]:
    left = (value or frozenset()) - frozenset(argv[2:])
    return len(value or ()) - len(left), left or None


def _zadd(value: Any, argv: Command) -> tuple[Any, Any]:
    scores = dict(value or ())
    pairs = dict(zip(argv[3::2], map(float, argv[2::2]), strict=True))
    return len(pairs.keys() - scores.keys()), frozenset({**scores, **pairs}.items())


CHANGES: dict[bytes, Change] = {
    b"HSET": _hset,
    b"HDEL": _hdel,
    b"LPUSH": _push,
    b"RPUSH": _push,
    b"LPOP": _pop,
    b"RPOP": _pop,
    b"SADD": _sadd,
    b"SREM": _srem,
    b"ZADD": _zadd,
    b"ZREM": _hdel,
    b"HGETALL": lambda value, argv: (dict(value or ()), value),
    b"LRANGE": lambda value, argv: (list(value or ()), value),
    b"SMEMBERS": lambda value, argv: (Members(value or ()), value),
    b"ZRANGE": lambda value, argv: (_in_order(value or ()), value),
}
"""(the reply, what it becomes), as a function of what it is: None for nothing."""


class Members:
    """Equal to a reply of these members, in any order."""

    def __init__(self, members: Any) -> None:
        self._members = frozenset(members)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Set) and len(other.items) == len(self._members) and self._members == set(other.items)

    __hash__ = None  # type: ignore[assignment]


def _in_order(pairs: Any) -> Any:
    found = [each for pair in sorted(pairs, key=lambda pair: (pair[1], pair[0])) for each in pair]
    return Pairs(found) if found else []

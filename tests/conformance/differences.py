"""How replies of the two are compared, and what may differ, with the reason.

A rule that no command of a long run needed fails that run: what is written here is true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.conformance.replies import Node
from tests.conformance.stream import Command

Same = Callable[[Command, Node, Node], bool]


class Rule(NamedTuple):
    """`same` is asked where the bytes differ."""

    commands: frozenset[bytes]
    same: Same
    reason: str
    is_needed: bool = True  # by a long run, beside whichever version


def _sorted(node: Node) -> Node:
    return node._replace(items=tuple(sorted(node.items, key=repr)))


def _as_sets(command: Command, ours: Node, theirs: Node) -> bool:
    return _sorted(ours) == _sorted(theirs)


def _pairs(node: Node) -> tuple[bytes, list[tuple[Node, ...]]]:
    return node.mark, sorted(zip(node.items[::2], node.items[1::2], strict=True), key=repr)


def _as_maps(command: Command, ours: Node, theirs: Node) -> bool:
    return len(ours.items) % 2 == 0 and len(theirs.items) % 2 == 0 and _pairs(ours) == _pairs(theirs)


def _as_whole_walks(command: Command, ours: Node, theirs: Node) -> bool:
    """Both walks end with this call, and have met the same, if it is their first."""
    if command[1 if command[0].upper() == b"SCAN" else 2] != b"0" or (theirs.items and theirs.items[0].text != b"0"):
        return ours.mark == theirs.mark == b"*" and len(ours.items) == len(theirs.items) == 2
    if len(ours.items) != 2 or len(theirs.items) != 2 or ours.items[0] != theirs.items[0]:
        return False
    return sorted(map(repr, ours.items[1].items)) == sorted(map(repr, theirs.items[1].items))


def _as_scores(command: Command, ours: Node, theirs: Node) -> bool:
    """A walk through a sorted set, whose scores there have 17 digits once it is no listpack."""
    if len(ours.items) != 2 or len(theirs.items) != 2 or ours.items[0] != theirs.items[0]:
        return False
    one, other = (
        sorted((node.items[1].items[at].text or b"", float(node.items[1].items[at + 1].text or b"nan"))
               for at in range(0, len(node.items[1].items), 2))
        for node in (ours, theirs)
    )  # fmt: skip
    return one == other


def _same_numbers(command: Command, ours: Node, theirs: Node) -> bool:
    """Scores that read as the same number."""
    if (ours.mark, len(ours.items), ours.text is None) != (theirs.mark, len(theirs.items), theirs.text is None):
        return False
    if ours.items:
        return all(_same_numbers(command, *each) for each in zip(ours.items, theirs.items, strict=True))
    if ours.text == theirs.text:
        return True
    try:
        return float(ours.text or b"x") == float(theirs.text or b"x")
    except ValueError:
        return False


def _as_draws(command: Command, ours: Node, theirs: Node) -> bool:
    """As many elements of the same kinds."""
    shape = [node.mark for node in ours.items] == [node.mark for node in theirs.items]
    return shape and (ours.mark, ours.text is None) == (theirs.mark, theirs.text is None)


def _near(command: Command, ours: Node, theirs: Node) -> bool:
    most = 2000 if command[0].upper().startswith(b"P") else 2
    if ours.mark != b":" or theirs.mark != b":":
        return False
    return abs(int(ours.text or b"") - int(theirs.text or b"")) <= most


def _more_compact(command: Command, ours: Node, theirs: Node) -> bool:
    """Or Redis is older than 7.2, and knows no listpacks of lists and sets."""
    return (ours.text, theirs.text) in {
        (b"embstr", b"raw"),
        (b"int", b"embstr"),
        (b"int", b"raw"),
        (b"listpack", b"hashtable"),
        (b"listpack", b"quicklist"),
        (b"listpack", b"skiplist"),
        (b"intset", b"listpack"),
        (b"intset", b"hashtable"),
    }


def _same_sketches(command: Command, ours: Node, theirs: Node) -> bool:
    """But for the cardinality that was told last."""
    one, other = ours.text or b"", theirs.text or b""
    return one[:4] == b"HYLL" and one[:8] + one[16:] == other[:8] + other[16:]


def _far_away(command: Command, ours: Node, theirs: Node) -> bool:
    return ours.mark == b"-" and abs(int(command[2])) >= 2**63 - 1


def _rule(words: str, same: Same, reason: str, *, is_needed: bool = True) -> Rule:
    return Rule(frozenset(words.encode().split()), same, reason, is_needed)


RULES = (
    _rule("SMEMBERS SINTER SUNION SDIFF KEYS HKEYS HVALS", _as_sets, "their order is arbitrary"),
    _rule(
        "SORT SORT_RO",
        lambda command, ours, theirs: (
            any(b"\0" in (node.text or b"") for node in ours.items) and _as_sets(command, ours, theirs)
        ),
        "texts are compared there up to a NUL",
    ),
    _rule("HGETALL", _as_maps, "the order of fields is arbitrary"),
    _rule("SCAN HSCAN SSCAN ZSCAN", _as_whole_walks, "the order of a walk is arbitrary"),
    _rule(
        "LPOS",
        lambda command, ours, theirs: b"-9223372036854775808" in command and ours.mark == b"-",
        "before 7.2 the least integer was a RANK",
        is_needed=False,
    ),
    _rule(
        "ZRANK ZREVRANK",
        lambda command, ours, theirs: len(command) == 4 and (theirs.text or b"").startswith(b"ERR wrong number of"),
        "before 7.2 they had no WITHSCORE",
        is_needed=False,
    ),
    _rule("ZSCAN", _as_scores, "scores have all their 17 digits there"),
    _rule(
        "ZADD ZINCRBY ZSCORE ZMSCORE ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE ZPOPMIN ZPOPMAX ZMPOP ZUNION"
        " ZINTER ZDIFF",
        _same_numbers,
        "there a zero keeps its sign where it is no listpack's, and some last digits are not the nearest",
    ),
    _rule("RANDOMKEY SRANDMEMBER HRANDFIELD ZRANDMEMBER SPOP", _as_draws, "drawn at random"),
    _rule("LSET", _far_away, "there the largest and the smallest index overflow to another one"),
    _rule("GET", _same_sketches, "PFCOUNT writes what it told into the string there"),
    _rule("TTL EXPIRETIME PTTL PEXPIRETIME", _near, "the two read their clocks one after the other"),
    _rule(
        "COPY",
        lambda command, ours, theirs: ours.text == b"ERR DB index is out of range",
        "there is one database here",
    ),
    _rule("OBJECT", _more_compact, "encodings tell what a value has been there, and what it is here"),
    _rule(
        "OBJECT",
        lambda command, ours, theirs: ours == Node(b":", b"1") and theirs == Node(b":", b"2147483647"),
        "small integers are shared there, and nothing is here",
    ),
)
DRAWN = frozenset((b"SPOP",))  # the two may have drawn differently


def parts(command: Command, rule: int) -> bool:
    """Whether the two may be in other states after that command, whose replies that rule (-1: none) let pass: its key
    is deleted then."""
    name = command[0].upper()
    return name in DRAWN or (name == b"LSET" and rule >= 0)


def same(command: Command, ours: Node, theirs: Node) -> tuple[bool, int]:
    """(whether the two replies are as they may be, the number of the rule that says so or -1 for none)."""
    if ours == theirs:
        return True, -1
    name = command[0].upper()
    for number, rule in enumerate(RULES):
        if name in rule.commands and rule.same(command, ours, theirs):
            return True, number
    return False, -1

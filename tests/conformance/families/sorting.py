"""SORT, of lists, sets and sorted sets."""

from __future__ import annotations

from tests.conformance.stream import Source, family

makes = family("sorting")
PATTERNS = (b"k*", b"w_*", b"*->a", b"none_*")
NUMBERS = (b"0", b"1", b"-1", b"1.5", b"-2.25", b"3e2", b"inf", b"x", b"", b"10", b"0x10")


def _sort(s: Source) -> list[bytes]:
    """Texts that are equal have no order, so there is no BY where texts are compared; and no member has a NUL, behind
    which Redis does not look."""
    is_text = s.random() < 0.5
    words = s.maybe(b"LIMIT", s.integer(), s.integer()) + (s.maybe(b"BY", s.one(*PATTERNS)) if not is_text else [])
    for _ in range(s.choice((0, 0, 1, 2))):
        words += [b"GET", s.one(*PATTERNS, b"#", b"nosort", b"k1->*")]
    direction = s.maybe(s.one(b"ASC", b"DESC", b"desc"))
    return [s.one(b"numbers", b"texts", b"few"), *words, *direction, *([b"ALPHA"] if is_text else [])]


def _text(s: Source) -> bytes:
    return s.value().replace(b"\0", b"")


makes(b"SORT")(lambda s: [*_sort(s), *s.maybe(b"STORE", s.key(), chance=0.2)])
makes(b"SORT_RO")(_sort)
makes(b"RPUSH")(
    lambda s: (
        [b"texts", *s.some(lambda: _text(s))] if s.random() < 0.5 else [b"numbers", *s.some(lambda: s.one(*NUMBERS))]
    )
)
makes(b"SADD")(lambda s: [b"few", *s.some(lambda: s.one(*NUMBERS))])
makes(b"ZADD")(lambda s: [s.key(), s.one(b"0", b"1", b"-3.5", b"inf"), s.one(*NUMBERS)])
makes(b"SET")(lambda s: [s.one(b"w_1", b"w_10", b"w_x", s.key()), s.one(*NUMBERS)])
makes(b"HSET")(lambda s: [s.key(), b"a", s.value()])
makes(b"LRANGE")(lambda s: [s.key(), b"0", b"-1"])

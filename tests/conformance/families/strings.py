"""Strings, counters and LCS."""

from __future__ import annotations

from tests.conformance.stream import Source, family

makes = family("strings")
TIMES = (b"100", b"100000", b"0", b"-1", b"x", b"9223372036854775807", b"1.5")


def _expiry(s: Source) -> list[bytes]:
    unit = s.one(b"EX", b"PX", b"EXAT", b"PXAT")
    future = {b"EXAT": b"4102444800", b"PXAT": b"4102444800000", b"EX": b"1000", b"PX": b"1000000"}[unit]
    return [s.cased(unit), future if s.random() < 0.8 else s.one(*TIMES[2:])]


@makes(b"SET")
def _set(s: Source) -> list[bytes]:
    words = [s.key(), s.value()]
    for option in (
        s.maybe(_expiry(s), chance=0.15),
        s.maybe(s.one(b"NX", b"XX")),
        s.maybe(b"GET"),
        s.maybe(b"KEEPTTL"),
    ):
        words += option if s.random() < 0.5 else []
    return words


for _name in (b"GET", b"STRLEN", b"GETDEL", b"INCR", b"DECR"):
    makes(_name)(lambda s: [s.key()])
for _name in (b"GETSET", b"SETNX", b"APPEND"):
    makes(_name)(lambda s: [s.key(), s.value()])
for _name in (b"INCRBY", b"DECRBY"):
    makes(_name)(lambda s: [s.key(), s.integer()])
for _name in (b"GETRANGE", b"SUBSTR"):
    makes(_name)(lambda s: [s.key(), s.integer(), s.integer()])
makes(b"INCRBYFLOAT")(lambda s: [s.key(), s.number()])
makes(b"SETRANGE")(lambda s: [s.key(), s.one(b"0", b"1", b"5", b"70", b"-1", b"x", b"536870912"), s.value()])
makes(b"MGET")(lambda s: s.some(s.key))
makes(b"MSET")(lambda s: [w for _ in range(s.randint(1, 3)) for w in (s.key(), s.value())])
makes(b"MSETNX")(lambda s: [w for _ in range(s.randint(1, 3)) for w in (s.key(), s.value())])
makes(b"SETEX")(lambda s: [s.key(), s.one(*TIMES), s.value()])
makes(b"PSETEX")(lambda s: [s.key(), s.one(*TIMES), s.value()])
makes(b"GETEX")(lambda s: [s.key(), *s.maybe(_expiry(s), chance=0.4), *s.maybe(b"PERSIST")])
makes(b"LCS")(
    lambda s: [s.key(), s.key(), *s.maybe(b"LEN"), *s.maybe(b"IDX"), *s.maybe(b"MINMATCHLEN", s.integer()),
               *s.maybe(b"WITHMATCHLEN")]
)  # fmt: skip

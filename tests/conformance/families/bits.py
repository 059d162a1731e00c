"""Bitmaps and bit fields."""

from __future__ import annotations

from tests.conformance.stream import Source, family

makes = family("bits")
OFFSETS = (b"0", b"1", b"7", b"8", b"100", b"-1", b"x", b"4294967296", b"#1", b"65")
TYPES = (b"u8", b"i8", b"u1", b"i16", b"u63", b"i64", b"u64", b"i65", b"u0", b"x", b"")


def _field(s: Source) -> list[bytes]:
    where = [s.one(*TYPES), s.one(*OFFSETS)]
    match s.randrange(4):
        case 0:
            return [b"GET", *where]
        case 1:
            return [b"SET", *where, s.integer()]
        case 2:
            return [b"INCRBY", *where, s.integer()]
        case _:
            return [b"OVERFLOW", s.one(b"WRAP", b"SAT", b"FAIL", b"fail", b"BOGUS")]


def _fields(s: Source) -> list[bytes]:
    return [word for _ in range(s.randint(1, 3)) for word in _field(s)]


makes(b"SETBIT")(lambda s: [s.key(), s.one(*OFFSETS), s.one(b"0", b"1", b"1", b"2", b"x")])
makes(b"GETBIT")(lambda s: [s.key(), s.one(*OFFSETS)])
makes(b"BITCOUNT")(
    lambda s: [s.key(), *s.maybe(s.integer(), s.integer(), s.maybe(s.one(b"BYTE", b"BIT", b"X")), chance=0.7)]
)
makes(b"BITPOS")(
    lambda s: [s.key(), s.one(b"0", b"1", b"1", b"2", b"x"),
               *s.maybe(s.integer(), s.maybe(s.integer(), s.maybe(s.one(b"BYTE", b"bit", b"X"))), chance=0.6)]
)  # fmt: skip
makes(b"BITOP")(lambda s: [s.one(b"AND", b"OR", b"XOR", b"NOT", b"not", b"BOGUS"), s.key(), *s.some(s.key, 3)])
makes(b"BITFIELD")(lambda s: [s.key(), *_fields(s)])
makes(b"BITFIELD_RO")(lambda s: [s.key(), *_fields(s)])
makes(b"SET")(lambda s: [s.key(), s.value()])
makes(b"GET")(lambda s: [s.key()])

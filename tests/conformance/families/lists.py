"""Lists."""

from __future__ import annotations

from tests.conformance.stream import Source, family

makes = family("lists")


def _elements(s: Source) -> list[bytes]:
    if s.random() < 0.02:
        return [b"e%d" % number for number in range(s.choice((127, 128, 129, 300)))]
    if s.random() < 0.02:
        return [b"z" * s.choice((1000, 8192, 9000))]
    return s.some(s.value)


for _name in (b"LPUSH", b"RPUSH", b"LPUSHX", b"RPUSHX"):
    makes(_name)(lambda s: [s.key(), *_elements(s)])
for _name in (b"LPOP", b"RPOP"):
    makes(_name)(lambda s: [s.key(), *s.maybe(s.integer())])
makes(b"LLEN")(lambda s: [s.key()])
makes(b"LRANGE")(lambda s: [s.key(), s.integer(), s.integer()])
makes(b"LTRIM")(lambda s: [s.key(), s.one(b"0", b"0", b"1", b"-3", b"x"), s.integer()])
makes(b"LINDEX")(lambda s: [s.key(), s.integer()])
makes(b"LSET")(lambda s: [s.key(), s.integer(), s.value()])
makes(b"LREM")(lambda s: [s.key(), s.integer(), s.value()])
makes(b"LINSERT")(lambda s: [s.key(), s.one(b"BEFORE", b"AFTER", b"after", b"BOGUS"), s.value(), s.value()])
makes(b"LPOS")(
    lambda s: [s.key(), s.value(), *s.maybe(b"RANK", s.integer()), *s.maybe(b"COUNT", s.integer()),
               *s.maybe(b"MAXLEN", s.integer())]
)  # fmt: skip
_SIDES = (b"LEFT", b"RIGHT", b"left", b"BOGUS")
makes(b"LMOVE")(lambda s: [s.key(), s.key(), s.one(*_SIDES), s.one(*_SIDES)])
makes(b"RPOPLPUSH")(lambda s: [s.key(), s.key()])
makes(b"LMPOP")(
    lambda s: [s.one(b"1", b"2", b"2", b"0", b"x"), s.key(), s.key(), s.one(*_SIDES), *s.maybe(b"COUNT", s.integer())]
)

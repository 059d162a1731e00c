"""Sets, and what is made of several."""

from __future__ import annotations

from tests.conformance.stream import Source, family

makes = family("sets")


def _members(s: Source) -> list[bytes]:
    if s.random() < 0.02:
        prefix = s.one(b"", b"m")
        return [b"%b%d" % (prefix, number) for number in range(s.choice((127, 128, 129, 511, 512, 513)))]
    return s.some(s.field)


for _name in (b"SADD", b"SREM"):
    makes(_name)(lambda s: [s.key(), *_members(s)])
for _name in (b"SMEMBERS", b"SCARD"):
    makes(_name)(lambda s: [s.key()])
makes(b"SISMEMBER")(lambda s: [s.key(), s.field()])
makes(b"SMISMEMBER")(lambda s: [s.key(), *s.some(s.field)])
makes(b"SMOVE")(lambda s: [s.key(), s.key(), s.field()])
makes(b"SPOP")(lambda s: [s.key(), *s.maybe(s.count())])
makes(b"SRANDMEMBER")(lambda s: [s.key(), *s.maybe(s.count())])
makes(b"SSCAN")(lambda s: [s.key(), s.one(b"0", b"0", b"x"), *s.maybe(b"MATCH", b"*1*"), b"COUNT", b"9999"])
for _name in (b"SINTER", b"SUNION", b"SDIFF"):
    makes(_name)(lambda s: s.some(s.key))
    makes(_name + b"STORE")(lambda s: [s.key(), *s.some(s.key)])
makes(b"SINTERCARD")(
    lambda s: [s.one(b"2", b"2", b"1", b"0", b"3", b"x"), s.key(), s.key(), *s.maybe(b"LIMIT", s.integer())]
)

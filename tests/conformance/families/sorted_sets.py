"""Sorted sets."""

from __future__ import annotations

from tests.conformance.stream import Source, family

makes = family("sorted_sets")
ENDS = (b"-inf", b"+inf", b"inf", b"(1", b"(-2", b"0", b"1", b"1.5", b"-1", b"(x", b"x", b"", b"(", b"nan", b"3")
LEX = (b"-", b"+", b"[a", b"(a", b"[b", b"(c", b"[", b"(", b"[5", b"(1", b"x", b"", b"[field", b"+x")


def _pairs(s: Source) -> list[bytes]:
    if s.random() < 0.02:
        return [
            word for number in range(s.choice((127, 128, 129, 300))) for word in (b"%d" % (number % 7), b"m%d" % number)
        ]
    return [word for _ in range(s.randint(1, 4)) for word in (s.number(), s.field())]


def _flags(s: Source) -> list[bytes]:
    return [s.cased(s.one(b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR")) for _ in range(s.choice((0, 0, 0, 1, 1, 2)))]


def _limit(s: Source) -> list[bytes]:
    return s.maybe(b"LIMIT", s.integer(), s.integer(), chance=0.25)


def _alike(s: Source) -> bytes:
    """A key whose members have one score: only of these are ranges of members defined."""
    return s.one(b"alike1", b"alike2")


@makes(b"ZADD")
def _zadd(s: Source) -> list[bytes]:
    if s.random() < 0.3:
        names = [b"n%d" % number for number in range(s.choice((5, 130)))] if s.random() < 0.05 else s.some(s.field)
        return [_alike(s), *[word for name in names for word in (b"0", name)]]
    return [s.key(), *_flags(s), *_pairs(s)]


makes(b"ZINCRBY")(lambda s: [s.key(), s.number(), s.field()])
makes(b"ZREM")(lambda s: [s.key(), *s.some(s.field)])
makes(b"ZCARD")(lambda s: [s.key()])
makes(b"ZSCORE")(lambda s: [s.key(), s.field()])
makes(b"ZMSCORE")(lambda s: [s.key(), *s.some(s.field)])
for _name in (b"ZRANK", b"ZREVRANK"):
    makes(_name)(lambda s: [s.key(), s.field()])  # WITHSCORE is since 7.2
for _name in (b"ZPOPMIN", b"ZPOPMAX"):
    makes(_name)(lambda s: [s.key(), *s.maybe(s.integer())])
makes(b"ZMPOP")(
    lambda s: [s.one(b"2", b"2", b"1", b"0", b"x"), s.key(), s.key(), s.one(b"MIN", b"MAX", b"min", b"BOGUS"),
               *s.maybe(b"COUNT", s.integer())]
)  # fmt: skip
makes(b"ZRANDMEMBER")(lambda s: [s.key(), *s.maybe(s.count(), s.maybe(b"WITHSCORES"), chance=0.7)])
makes(b"ZSCAN")(lambda s: [s.key(), s.one(b"0", b"0", b"x"), *s.maybe(b"MATCH", b"*1*"), b"COUNT", b"9999"])


@makes(b"ZRANGE")
def _zrange(s: Source) -> list[bytes]:
    by = s.choice((b"", b"", b"BYSCORE", b"BYLEX"))
    draw = {b"": s.integer, b"BYSCORE": lambda: s.one(*ENDS), b"BYLEX": lambda: s.one(*LEX)}[by]
    words = [*([by] if by else []), *s.maybe(b"REV"), *s.maybe(b"WITHSCORES")]
    s.shuffle(words)
    return [
        _alike(s) if by == b"BYLEX" else s.key(),
        draw(),
        draw(),
        *words,
        *(_limit(s) if by or s.random() < 0.1 else []),
    ]


makes(b"ZRANGESTORE")(lambda s: [s.key(), *[word for word in _zrange(s) if word != b"WITHSCORES"]])
makes(b"ZREVRANGE")(lambda s: [s.key(), s.integer(), s.integer(), *s.maybe(b"WITHSCORES")])
for _name in (b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE"):
    makes(_name)(lambda s: [s.key(), s.one(*ENDS), s.one(*ENDS), *s.maybe(b"WITHSCORES"), *_limit(s)])
for _name in (b"ZRANGEBYLEX", b"ZREVRANGEBYLEX"):
    makes(_name)(lambda s: [_alike(s), s.one(*LEX), s.one(*LEX), *_limit(s)])
makes(b"ZCOUNT")(lambda s: [s.key(), s.one(*ENDS), s.one(*ENDS)])
makes(b"ZLEXCOUNT")(lambda s: [_alike(s), s.one(*LEX), s.one(*LEX)])
makes(b"ZREMRANGEBYRANK")(lambda s: [s.key(), s.integer(), s.integer()])
makes(b"ZREMRANGEBYSCORE")(lambda s: [s.key(), s.one(*ENDS), s.one(*ENDS)])
makes(b"ZREMRANGEBYLEX")(lambda s: [_alike(s), s.one(*LEX), s.one(*LEX)])


def _operands(s: Source, *, weighs: bool) -> list[bytes]:
    words = [s.one(b"2", b"2", b"2", b"1", b"3", b"0", b"x"), s.key(), s.key()]
    if weighs:
        words += s.maybe(b"WEIGHTS", s.number(), s.number())
        words += s.maybe(b"AGGREGATE", s.one(b"SUM", b"MIN", b"max", b"BOGUS"))
    return words


for _name in (b"ZUNION", b"ZINTER", b"ZDIFF"):
    _weighs = _name != b"ZDIFF"
    makes(_name)(lambda s, w=_weighs: [*_operands(s, weighs=w), *s.maybe(b"WITHSCORES")])
    makes(_name + b"STORE")(lambda s, w=_weighs: [s.key(), *_operands(s, weighs=w)])
makes(b"ZINTERCARD")(lambda s: [*_operands(s, weighs=False), *s.maybe(b"LIMIT", s.integer())])

"""Hashes."""

from __future__ import annotations

from tests.conformance.stream import Source, family

makes = family("hashes")


def _pairs(s: Source, most: int = 4) -> list[bytes]:
    if s.random() < 0.02:  # across the borders of encodings
        return [word for number in range(s.choice((127, 128, 129, 511, 513))) for word in (b"n%d" % number, b"v")]
    return [word for _ in range(s.randint(1, most)) for word in (s.field(), s.value())]


makes(b"HSET")(lambda s: [s.key(), *_pairs(s)])
makes(b"HMSET")(lambda s: [s.key(), *_pairs(s)])
makes(b"HSETNX")(lambda s: [s.key(), s.field(), s.value()])
for _name in (b"HGET", b"HSTRLEN", b"HEXISTS"):
    makes(_name)(lambda s: [s.key(), s.field()])
for _name in (b"HMGET", b"HDEL"):
    makes(_name)(lambda s: [s.key(), *s.some(s.field)])
for _name in (b"HGETALL", b"HKEYS", b"HVALS", b"HLEN"):
    makes(_name)(lambda s: [s.key()])
makes(b"HINCRBY")(lambda s: [s.key(), s.field(), s.integer()])
makes(b"HINCRBYFLOAT")(lambda s: [s.key(), s.field(), s.number()])
makes(b"HRANDFIELD")(lambda s: [s.key(), *s.maybe(s.count(), s.maybe(b"WITHVALUES"), chance=0.7)])
makes(b"HSCAN")(lambda s: [s.key(), s.one(b"0", b"0", b"0", b"x"), *s.maybe(b"MATCH", b"*1*"), b"COUNT", b"9999"])

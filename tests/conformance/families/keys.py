"""What is asked of keys of any type."""

from __future__ import annotations

from tests.conformance.stream import Source, family

makes = family("keys")
FUTURE = {b"EXPIREAT": b"4102444800", b"PEXPIREAT": b"4102444800000"}
PATTERNS = (b"*", b"k*", b"k[1-3]", b"k?", b"nothing", b"[^k]*", b"", b"k\\1")


def _expire(name: bytes) -> None:
    @makes(name)
    def make(s: Source) -> list[bytes]:
        future = b"%d" % s.randrange(10**5, 10**9) if b"AT" not in name else FUTURE[name]  # never twice the same
        when = future if s.random() < 0.75 else s.one(b"0", b"-1", b"x", b"9223372036854775807", b"1.5")
        return [s.key(), when, *s.maybe(s.one(b"NX", b"XX", b"GT", b"LT", b"BOGUS")), *s.maybe(b"GT", chance=0.1)]


for _name in (b"EXPIRE", b"PEXPIRE", *FUTURE):
    _expire(_name)
for _name in (b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME", b"PERSIST", b"TYPE"):
    makes(_name)(lambda s: [s.key()])
for _name in (b"DEL", b"UNLINK", b"EXISTS", b"TOUCH"):
    makes(_name)(lambda s: s.some(s.key))
for _name in (b"RENAME", b"RENAMENX"):
    makes(_name)(lambda s: [s.key(), s.key()])
makes(b"COPY")(
    lambda s: [s.key(), s.key(), *s.maybe(b"REPLACE", chance=0.6), *s.maybe(b"DB", s.one(b"0", b"0", b"1"), chance=0.1)]
)
makes(b"KEYS")(lambda s: [s.one(*PATTERNS)])
makes(b"RANDOMKEY")(lambda s: [])
makes(b"OBJECT")(lambda s: [s.one(b"ENCODING", b"REFCOUNT", b"encoding", b"BOGUS"), s.key()])
makes(b"SCAN")(
    lambda s: [s.one(b"0", b"0", b"0", b"x", b"-1x"), *s.maybe(b"MATCH", s.one(*PATTERNS)), b"COUNT", b"1000",
               *s.maybe(b"TYPE", s.one(b"string", b"hash", b"list", b"set", b"zset", b"bogus"))]
)  # fmt: skip

"""HyperLogLog, sparse and dense, and the strings that it is."""

from __future__ import annotations

from tests.conformance.stream import Source, family

makes = family("hyperloglogs")
KEYS = (b"hll1", b"hll2", b"hll3", b"k0")


def _key(s: Source) -> bytes:
    return s.one(*KEYS)


def _elements(s: Source) -> list[bytes]:
    if s.random() < 0.15:
        start = s.randrange(5000)
        return [b"element:%d" % number for number in range(start, start + s.choice((50, 300, 2000)))]
    return s.some(lambda: b"%d" % s.randrange(1000) if s.random() < 0.7 else s.value())


makes(b"PFADD")(lambda s: [_key(s), *_elements(s)])
makes(b"PFCOUNT")(lambda s: s.some(lambda: _key(s), 3))
makes(b"PFMERGE")(lambda s: s.some(lambda: _key(s), 3))
makes(b"PFDEBUG")(lambda s: [s.one(b"ENCODING", b"DECODE", b"GETREG", b"TODENSE", b"encoding", b"BOGUS"), _key(s)])
makes(b"GET")(lambda s: [_key(s)])
makes(b"DEL")(lambda s: [_key(s)])
makes(b"SET")(lambda s: [b"k0", s.one(b"HYLL", b"HYLL" + bytes(12), b"abc", b"HYLL\x02" + bytes(20))])
makes(b"LPUSH")(lambda s: [b"k0", b"x"])

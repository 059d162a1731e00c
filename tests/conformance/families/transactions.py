"""Transactions of one client: what is queued, aborted, watched."""

from __future__ import annotations

from tests.conformance.stream import family

makes = family("transactions")
for _name in (b"MULTI", b"EXEC", b"DISCARD", b"UNWATCH"):
    makes(_name)(lambda s: [])
makes(b"WATCH")(lambda s: s.some(s.key))
makes(b"SET")(lambda s: [s.key(), s.value()])
makes(b"GET")(lambda s: [s.key()])
makes(b"INCR")(lambda s: [s.key()])
makes(b"LPUSH")(lambda s: [s.key(), s.value()])
makes(b"DEL")(lambda s: [s.key()])

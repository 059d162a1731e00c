"""A data type for the tests: counts by name, changed in place. It is what docs/adding-a-command.md describes."""

from __future__ import annotations

from typing import ClassVar
from zlib import crc32

import msgspec

from leto.keyspace.types.value import register


@register(255)
class Tally:
    type_name: ClassVar[bytes] = b"tally"
    type_code: ClassVar[int]

    def __init__(self, counts):
        self.counts = counts

    def encode(self):
        return msgspec.msgpack.encode(sorted(self.counts.items()))

    @classmethod
    def decode(cls, data):
        return cls(dict(msgspec.msgpack.decode(data, type=list[tuple[bytes, int]])))

    def digest(self):
        return sum(crc32(b"%d" % count, crc32(name)) for name, count in self.counts.items()) & 0xFFFFFFFF

    def copy(self):
        return Tally(dict(self.counts))

    def encoding(self):
        return b"hashtable"

    def size(self):
        return 64 + 100 * len(self.counts)

    def __len__(self):
        return len(self.counts)

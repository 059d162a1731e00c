"""Sets of members."""

from __future__ import annotations

from typing import ClassVar, Final

from leto.keyspace.types.crc_map import CrcMap
from leto.keyspace.types.value import register
from leto.vocabulary.numbers import parse_integer

INTSET_MEMBERS: Final = 512  # Redis's set-max-intset-entries, by default
LISTPACK_MEMBERS: Final = 128  # its set-max-listpack-entries
LISTPACK_BYTES: Final = 64  # its set-max-listpack-value


@register(2)
class Set(CrcMap):
    """redis.io/docs/data-types/sets. Nothing is under a member."""

    type_name: ClassVar[bytes] = b"set"
    sorts: ClassVar[bool] = True
    is_ordered: ClassVar[bool] = False

    def add(self, member: bytes) -> bool:
        """Whether it is new."""
        return self.put(member, b"") is None

    def discard(self, member: bytes) -> bool:
        """Whether it was there."""
        return self.pop(member) is not None

    def encoding(self) -> bytes:
        """By Redis's default thresholds. There a set that has outgrown one never gets compact again."""
        count = len(self)
        if count <= INTSET_MEMBERS and all(parse_integer(member) is not None for member in self.members()):
            return b"intset"
        is_compact = count <= LISTPACK_MEMBERS and max(map(len, self.members()), default=0) <= LISTPACK_BYTES
        return b"listpack" if is_compact else b"hashtable"

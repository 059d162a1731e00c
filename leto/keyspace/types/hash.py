"""Hashes: what is under each field."""

from __future__ import annotations

from typing import ClassVar, Final

from leto.keyspace.types.crc_map import CrcMap
from leto.keyspace.types.value import register

LISTPACK_FIELDS: Final = 512  # Redis's hash-max-listpack-entries, by default
LISTPACK_BYTES: Final = 64  # its hash-max-listpack-value


@register(4)
class Hash(CrcMap):
    """redis.io/docs/data-types/hashes"""

    type_name: ClassVar[bytes] = b"hash"

    def encoding(self) -> bytes:
        """By Redis's default thresholds. There a hash that has outgrown one never gets compact again."""
        if len(self) > LISTPACK_FIELDS:
            return b"hashtable"
        longest = max((max(len(field), len(value)) for field, value in self.items()), default=0)
        return b"hashtable" if longest > LISTPACK_BYTES else b"listpack"

    def field(self, name: bytes) -> bytes | None:
        return self.get(name)

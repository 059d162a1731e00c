"""A data type for the tests: bytes in a row, which is all that Blocks are."""

from __future__ import annotations

from typing import ClassVar

from leto.keyspace.types.blocks import Blocks
from leto.keyspace.types.value import register


@register(253)
class Row(Blocks):
    type_name: ClassVar[bytes] = b"row"

    def encoding(self) -> bytes:
        return b"quicklist" if self.is_large else b"listpack"

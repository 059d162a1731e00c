"""Parts of a few elements, so that short examples meet large values, splits and joins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from leto.keyspace.types import blocks, crc_map


@contextmanager
def tiny_parts() -> Iterator[None]:
    """Small: 2 elements; a part: 4."""
    limits = {"SMALL_ELEMENTS": 2, "PART_ELEMENTS": 4, "FEW_ELEMENTS": 2}
    with patch.multiple(crc_map, **limits), patch.multiple(blocks, **limits):
        yield

"""Parts of a few elements and segments of a few records, so that short examples meet large values, splits, joins, and
keys of one name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from leto.keyspace import database, invariants, loading, records
from leto.keyspace.commands import strings
from leto.keyspace.types import blocks, crc_map


@contextmanager
def tiny_parts() -> Iterator[None]:
    """Small: 2 elements; a part: 4."""
    limits = {"SMALL_ELEMENTS": 2, "PART_ELEMENTS": 4, "FEW_ELEMENTS": 2}
    with patch.multiple(crc_map, **limits), patch.multiple(blocks, **limits):
        yield


@contextmanager
def tiny_segments(names: int = 4, full: int = 3, lopsided: int = 9) -> Iterator[None]:
    """So many names in a segment, which is full of so many records, and is not split with so many more. The directory
    is made larger whatever the number of keys."""
    with ExitStack() as stack:
        for module in (database, invariants, loading, records, strings):
            stack.enter_context(patch.object(module, "SLOT", names - 1))
        for module in (database, loading, records):
            stack.enter_context(patch.object(module, "FULL", full))
        stack.enter_context(patch.multiple(records, LOPSIDED=lopsided, SPARSE=0))
        yield

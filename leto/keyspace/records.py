"""The table of all records: a few dictionaries, of which a key's is chosen by the CRC-32 of its bytes.

Python's dictionaries grow in one go: one that held everything took 35 ms of everybody's time at 700 thousand keys.
Of these each takes a 64th of that, at its own time. Which one a key is in depends on the key alone, never on
hash(), so that the order of a walk is the same in every process of the same history.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from leto.checksums import crc32
from leto.keyspace.types.value import Record
from leto.keyspace.waste import Waste

LAST = 63  # the highest number of a dictionary; its bits are those of the CRC-32 that choose


class Records:
    """Records by key. Who has a key's CRC-32 at hand, or no time for a call, does without the methods:
    `shards[crc32(key) & LAST]` is the dictionary that has the key, if any has."""

    __slots__ = ("shards",)

    def __init__(self) -> None:
        self.shards: list[dict[bytes, Record]] = [{} for _ in range(LAST + 1)]

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def __contains__(self, key: bytes) -> bool:
        return key in self.shards[crc32(key) & LAST]

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self.shards)

    def __getitem__(self, key: bytes) -> Record:
        """Raises KeyError when the key is missing."""
        return self.shards[crc32(key) & LAST][key]

    def __setitem__(self, key: bytes, record: Record) -> None:
        self.shards[crc32(key) & LAST][key] = record

    def get(self, key: bytes) -> Record | None:
        """The key's record, None when it is missing."""
        return self.shards[crc32(key) & LAST].get(key)

    def pop(self, key: bytes) -> Record | None:
        """The key's record, there no more; None when it is missing."""
        return self.shards[crc32(key) & LAST].pop(key, None)

    def items(self) -> Iterator[tuple[bytes, Record]]:
        """Every key with its record."""
        return chain.from_iterable(shard.items() for shard in self.shards)

    def discard_all(self, waste: Waste) -> None:
        """Nobody needs them any more, but for a snapshot that goes on with them until it is complete."""
        for shard in self.shards:
            waste.add_records(shard)

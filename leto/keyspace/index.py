"""The key index: every key of the database in an order that depends on the keys alone.

Keys are spread over a fixed number of buckets by the CRC-32 of their bytes. A walk goes bucket by bucket, so
its position (a bucket number) stays good whatever is inserted or deleted meanwhile, on every node, and after a
restart: a key that is there from the walk's beginning to its end is met. That is SCAN's guarantee
(redis.io/commands/scan) and the snapshot's order. Nothing of it needs to be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from zlib import crc32

BUCKETS = 1 << 16
SHIFT = 16  # CRC-32 bits that do not choose the bucket
GROUP = 1 << 8  # buckets whose keys are counted together, so that a key of a given rank is found soon


class KeyIndex:
    """Buckets of keys. About 12 bytes a key (at a million keys), O(1) to add, O(bucket) to discard."""

    __slots__ = ("_buckets", "_counts", "_occupied", "_size")

    def __init__(self) -> None:
        # Tuples of bytes leave the cyclic garbage collector, lists would not.
        self._buckets: list[tuple[bytes, ...]] = [()] * BUCKETS
        self._occupied = bytearray(BUCKETS)  # 1 where the bucket holds a key; searched with memchr
        self._counts = [0] * (BUCKETS // GROUP)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, key: bytes) -> None:
        """Add a key that is not there."""
        number = crc32(key) >> SHIFT
        self._buckets[number] += (key,)
        self._occupied[number] = 1
        self._counts[number // GROUP] += 1
        self._size += 1

    def extend(self, keys: Iterable[bytes]) -> None:
        """Add keys that are not there: soon done where those of one bucket follow each other, as in a snapshot."""
        run: list[bytes] = []
        number = 0
        for key in keys:
            place = crc32(key) >> SHIFT
            if place != number:
                self._extend_bucket(number, run)
                number, run = place, []
            run.append(key)
        self._extend_bucket(number, run)

    def _extend_bucket(self, number: int, keys: list[bytes]) -> None:
        if keys:
            self._buckets[number] += tuple(keys)
            self._occupied[number] = 1
            self._counts[number // GROUP] += len(keys)
            self._size += len(keys)

    def discard(self, key: bytes) -> None:
        """Remove a key that is there. Raises ValueError if it is not."""
        number = crc32(key) >> SHIFT
        bucket = self._buckets[number]
        place = bucket.index(key)
        self._buckets[number] = bucket = bucket[:place] + bucket[place + 1 :]
        self._occupied[number] = bool(bucket)
        self._counts[number // GROUP] -= 1
        self._size -= 1

    def bucket(self, start: int) -> tuple[int, list[bytes]] | None:
        """The first bucket at or after `start` that holds keys: (its number, a sorted copy); None if none does."""
        number = self._occupied.find(1, start)
        if number < 0:
            return None
        return number, sorted(self._buckets[number])

    def page(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """From `cursor` (0: the beginning) whole buckets until there are `count` keys: (next cursor, keys).

        The next cursor is 0 when the walk is complete.
        """
        keys: list[bytes] = []
        while len(keys) < count:
            found = self.bucket(cursor) if cursor < BUCKETS else None
            if found is None:
                return 0, keys
            cursor = found[0] + 1
            keys += found[1]
        return (cursor if self._occupied.find(1, cursor) >= 0 else 0), keys

    def choose(self, random: Callable[[], float]) -> bytes | None:
        """A key, each exactly as likely; random() is in [0, 1). Depends on the keys and random() alone."""
        rank, number = int(random() * self._size), -1
        for count in self._counts:
            if rank < count:
                break
            rank -= count
            number += GROUP
        else:
            return None
        while True:
            number = self._occupied.find(1, number + 1)
            bucket = self._buckets[number]
            if rank < len(bucket):
                return sorted(bucket)[rank]
            rank -= len(bucket)


def bucket_of(key: bytes) -> int:
    """The number of the key's bucket."""
    return crc32(key) >> SHIFT

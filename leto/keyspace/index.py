"""The key index: every key of the database in an order that depends on the keys alone.

Keys are spread over a fixed number of buckets by the CRC-32 of their bytes. A walk goes bucket by bucket, so
its position (a bucket number) stays good whatever is inserted or deleted meanwhile, on every node, and after a
restart: a key that is there from the walk's beginning to its end is met. That is SCAN's guarantee
(redis.io/commands/scan) and the snapshot's order. Nothing of it needs to be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from leto.checksums import crc32
from leto.keyspace.waste import Waste

BUCKETS = 1 << 16
SHIFT = 16  # CRC-32 bits that do not choose the bucket
DEEPEST = 1 << 8  # nodes of a chain
GROUP = 1 << 8  # buckets whose keys are counted together, so that a key of a given rank is found soon


class _Node(msgspec.Struct, gc=False):
    """Up to four keys of a bucket, filled from `a` on; only a bucket's first node may have room left. `depth`: nodes
    from here on, this one included.

    No tuple: a bucket's tuple would be made anew with each key, and the cyclic garbage collector looks at every new
    tuple with all its keys once, tens of thousands of them in one go. Structs without `gc` it never sees.
    """

    a: bytes
    b: bytes | None = None
    c: bytes | None = None
    d: bytes | None = None
    next: _Node | None = None
    depth: int = 1

    def find(self, key: bytes) -> _Node | None:
        """The node that holds the key, this one or one behind it."""
        node: _Node | None = self
        while node is not None and node.a != key and node.b != key and node.c != key and node.d != key:
            node = node.next
        return node

    def keys(self) -> list[bytes]:
        """Those of this node and all behind it."""
        found = [self.a]
        for key in (self.b, self.c, self.d):
            if key is None:
                break
            found.append(key)
        node = self.next
        while node is not None:
            found += (node.a, node.b, node.c, node.d)  # type: ignore[arg-type]  # it is full
            node = node.next
        return found


class KeyIndex:
    """Buckets of keys. About 17 bytes a key (at a million keys), O(1) to add, O(bucket) to discard.

    A bucket is a chain of nodes. One of more than DEEPEST nodes (there are 67 million keys, or somebody chose them to
    have it so) becomes a dictionary: a chain is freed by recursion. Neither is known to the cyclic collector.
    """

    __slots__ = ("_buckets", "_counts", "_occupied")

    def __init__(self) -> None:
        self._buckets: list[_Node | dict[bytes, None] | None] = [None] * BUCKETS
        self._occupied = bytearray(BUCKETS)  # 1 where the bucket holds a key; searched with memchr
        self._counts = [0] * (BUCKETS // GROUP)

    def __len__(self) -> int:
        return sum(self._counts)

    def add(self, keys: Iterable[tuple[bytes, int]]) -> None:
        """Add keys that are not there, none of them twice, each with its CRC-32, which the caller has at hand."""
        buckets, counts = self._buckets, self._counts
        for key, crc in keys:
            number = crc >> SHIFT
            head = buckets[number]
            if head is None:
                buckets[number] = _Node(key)
                self._occupied[number] = 1
            elif isinstance(head, dict):
                head[key] = None
            elif head.b is None:
                head.b = key
            elif head.c is None:
                head.c = key
            elif head.d is None:
                head.d = key
            elif head.depth < DEEPEST:
                buckets[number] = _Node(key, None, None, None, head, head.depth + 1)
            else:
                buckets[number] = dict.fromkeys([*head.keys(), key])
            counts[number // GROUP] += 1

    def discard(self, key: bytes, crc: int) -> None:
        """Remove a key that is there, whose CRC-32 is `crc`. Raises ValueError if it is not."""
        number = crc >> SHIFT
        head = self._buckets[number]
        if isinstance(head, dict) and key in head:
            del head[key]
            if not head:
                self._buckets[number] = None
                self._occupied[number] = 0
        elif isinstance(head, _Node) and (node := head.find(key)) is not None:
            self._take(number, head, node, key)
        else:
            raise ValueError(f"{key!r} is not in the index")
        self._counts[number // GROUP] -= 1

    def _take(self, number: int, head: _Node, node: _Node, key: bytes) -> None:
        """Remove a key of that node: the last key of the bucket's first node takes its place."""
        last: bytes | None
        if head.d is not None:
            last, head.d = head.d, None
        elif head.c is not None:
            last, head.c = head.c, None
        elif head.b is not None:
            last, head.b = head.b, None
        else:
            last, self._buckets[number] = head.a, head.next
            self._occupied[number] = head.next is not None
        if last != key:
            if node.a == key:
                node.a = last
            elif node.b == key:
                node.b = last
            elif node.c == key:
                node.c = last
            else:
                node.d = last

    def bucket(self, start: int) -> tuple[int, list[bytes]] | None:
        """The first bucket at or after `start` that holds keys: (its number, a sorted copy); None if none does."""
        number = self._occupied.find(1, start)
        if number < 0:
            return None
        return number, self._sorted(number)

    def _sorted(self, number: int) -> list[bytes]:
        head = self._buckets[number]
        return sorted(head.keys()) if head is not None else []  # a dictionary's, or a chain's

    def discard_all(self, waste: Waste) -> None:
        """Nobody needs it any more, but for a snapshot that goes on with it until it is complete."""
        waste.add(self._buckets, 1 + len(self) // BUCKETS)

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
        rank, number = int(random() * len(self)), -1
        for count in self._counts:
            if rank < count:
                break
            rank -= count
            number += GROUP
        else:
            return None
        while True:
            number = self._occupied.find(1, number + 1)
            bucket = self._sorted(number)
            if rank < len(bucket):
                return bucket[rank]
            rank -= len(bucket)


def bucket_of(key: bytes) -> int:
    """The number of the key's bucket."""
    return crc32(key) >> SHIFT

"""When keys expire: a heap of (expire_at, key), cleaned lazily. It decides only what is looked at, never what expires.

Not part of the state: a node that restored a snapshot may hold other stale entries than one that did not.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leto.keyspace.database import Database

SLACK = 1024  # stale entries that are never worth a cleaning


class Deadlines:
    """Every key with an expiry is in the heap with it; entries that are no longer true are stale."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, expire_at: int, key: bytes, database: Database) -> None:
        """The key expires then. Cleans the heap once stale entries outnumber the true ones."""
        heappush(self._heap, (expire_at, key))
        if len(self._heap) > 2 * database.volatile + SLACK:
            self.rebuild(database)

    def rebuild(self, database: Database) -> None:
        """Make the heap anew from the records that it should hold."""
        data = database.data
        true = {entry for entry in self._heap if (record := data.get(entry[1])) and record.expire_at == entry[0]}
        self._heap = list(true)
        heapify(self._heap)

    def load(self, entries: list[tuple[int, bytes]]) -> None:
        """Take over these entries (a restored snapshot's)."""
        self._heap = entries
        heapify(entries)

    def next(self, database: Database) -> int:
        """When the next key expires, in milliseconds since the epoch; 0 when none will."""
        heap, data = self._heap, database.data
        while heap:
            expire_at, key = heap[0]
            record = data.get(key)
            if record is not None and record.expire_at == expire_at:
                return expire_at
            heappop(heap)
        return 0

    def due(self, database: Database, now: int, limit: int) -> list[bytes]:
        """Up to `limit` keys that are expired by `now`; empty only if none is. They stay in the heap.

        What is due forms a subtree at the heap's root, so the walk touches only that.
        """
        first = self.next(database)
        if not 0 < first < now:
            return []
        heap, data = self._heap, database.data
        found: dict[bytes, None] = {}
        waiting = [0]
        for _ in range(4 * limit):  # stale entries inside the subtree are passed, within bounds
            if not waiting or len(found) >= limit:
                break
            place = waiting.pop()
            expire_at, key = heap[place]
            record = data.get(key)
            if record is not None and record.expire_at == expire_at:
                found[key] = None
            waiting += [child for child in (2 * place + 1, 2 * place + 2) if child < len(heap) and heap[child][0] < now]
        return list(found)

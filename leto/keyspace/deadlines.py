"""When keys expire: heaps of (expire_at, key), cleaned lazily. They decide only what is looked at, never what expires.

Not part of the state: a node that restored a snapshot may hold other stale entries than one that did not.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leto.keyspace.database import Database
    from leto.keyspace.waste import Waste

SLACK = 1024  # stale entries that are never worth a cleaning
MOVES = 4  # entries cleaned for each one added, while a cleaning is on
PASSES = 4096  # stale entries that one call of due() drops at most


class Deadlines:
    """Every key with an expiry is in a heap with it; entries that are no longer true are stale.

    Once stale entries outnumber the true ones, a new heap is begun and the old one emptied into it from its end,
    a few entries at each addition, so that no single one takes long.
    """

    __slots__ = ("_heap", "_old")

    def __init__(self) -> None:
        self._heap: list[tuple[int, bytes]] = []
        self._old: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._heap) + len(self._old)

    def add(self, expire_at: int, key: bytes, database: Database) -> None:
        """The key expires then, as its record says already."""
        heappush(self._heap, (expire_at, key))
        old = self._old
        if old:
            for _ in range(min(MOVES, len(old))):
                entry = old.pop()
                if _is_true(entry, database):
                    heappush(self._heap, entry)
        elif len(self._heap) > 2 * database.volatile + SLACK:
            self._heap, self._old = [], self._heap

    def load(self, entries: list[tuple[int, bytes]]) -> None:
        """Take over these entries (a restored snapshot's)."""
        self._heap, self._old = entries, []
        heapify(entries)

    def discard_all(self, waste: Waste) -> None:
        """Nobody needs them any more."""
        waste.add(self._heap)
        waste.add(self._old)

    def due(self, database: Database, now: int, limit: int) -> list[bytes]:
        """Up to `limit` keys that are expired by `now`. They stay here until their records are gone.

        Empty if none is, or if it met nothing but stale entries within its bound: those are dropped for good.
        """
        found: dict[bytes, int] = {}
        for _ in range(PASSES + limit):
            heap = self._old if self._old and (not self._heap or self._old[0] < self._heap[0]) else self._heap
            if len(found) >= limit or not heap or heap[0][0] >= now:
                break
            entry = heappop(heap)
            if _is_true(entry, database):
                found[entry[1]] = entry[0]
        for key, expire_at in found.items():
            heappush(self._heap, (expire_at, key))
        return list(found)


def _is_true(entry: tuple[int, bytes], database: Database) -> bool:
    record = database.data.get(entry[1])
    return record is not None and record.expire_at == entry[0]

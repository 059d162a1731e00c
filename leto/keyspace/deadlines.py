"""When keys expire: heaps of (expire_at, key), cleaned lazily. They decide only what is looked at, never what expires.

Not part of the state: a node that restored a snapshot may hold other stale entries than one that did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import chain

from leto.keyspace.records import Records
from leto.keyspace.waste import Waste

SLACK = 1024  # stale entries that are never worth a cleaning
MOVES = 4  # entries cleaned for each one added, while a cleaning is on
PASSES = 4096  # stale entries that one call of due() drops at most


class Deadlines:
    """Every key of `records` with an expiry is in a heap with it; entries that are no longer true are stale.

    Once stale entries outnumber the true ones, a new heap is begun and the old one emptied into it from its end,
    a few entries at each addition, so that no single one takes long.
    """

    __slots__ = ("_heap", "_old", "_records")

    def __init__(self, records: Records) -> None:
        self._records = records
        self._heap: list[tuple[int, bytes]] = []
        self._old: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._heap) + len(self._old)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """(expire_at, key) of every entry, true or stale."""
        return chain(self._heap, self._old)

    def add(self, expire_at: int, key: bytes, volatile: int) -> None:
        """The key expires then, as its record says already: one of `volatile` keys with an expiry."""
        heappush(self._heap, (expire_at, key))
        old = self._old
        if old:
            for _ in range(min(MOVES, len(old))):
                entry = old.pop()
                if self._is_true(entry):
                    heappush(self._heap, entry)
        elif len(self._heap) > 2 * volatile + SLACK:
            self._heap, self._old = [], self._heap

    def load(self, entries: list[tuple[int, bytes]]) -> None:
        """Take over these entries (a restored snapshot's)."""
        self._heap, self._old = entries, []
        heapify(entries)

    def discard_all(self, waste: Waste) -> None:
        """Nobody needs them any more."""
        waste.add(self._heap)
        waste.add(self._old)

    def due(self, now: int, limit: int) -> list[bytes]:
        """Up to `limit` keys that are expired by `now`. They stay here until their records are gone.

        Empty if none is, or if it met nothing but stale entries within its bound: those are dropped for good.
        """
        found: dict[bytes, int] = {}
        for _ in range(PASSES + limit):
            heap = self._old if self._old and (not self._heap or self._old[0] < self._heap[0]) else self._heap
            if len(found) >= limit or not heap or heap[0][0] >= now:
                break
            entry = heappop(heap)
            if self._is_true(entry):
                found[entry[1]] = entry[0]
        for key, expire_at in found.items():
            heappush(self._heap, (expire_at, key))
        return list(found)

    def _is_true(self, entry: tuple[int, bytes]) -> bool:
        record = self._records.get(entry[1])
        return record is not None and record.expire_at == entry[0]

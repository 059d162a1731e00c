"""The log as the core sees it: the tail in memory over what the disk holds.

    first_index            offset             persisted       handed          last_index
        |---- LogReader ----|------- durable, cached ----|-- being written --|-- not yet handed out --|

Entries from `offset` on are in memory. Those below are on disk and durable, for only durable (and committed)
entries are ever evicted; so LogReader is never asked for an entry that a write still under way could touch.
"""

from __future__ import annotations

from collections.abc import Sequence

from leto.errors import Compacted, Unavailable
from leto.raft.messages import Entry
from leto.raft.reader import LogReader

ENTRY_OVERHEAD = 128  # bytes an entry costs in memory beside its payload, about


class Log:
    """Entries first_index..last_index. Indexes `persisted` <= `handed` <= last_index say what is on disk."""

    __slots__ = (
        "_before_term",
        "_reader",
        "bytes",
        "cache_bytes",
        "first_index",
        "handed",
        "last_index",
        "last_term",
        "offset",
        "persisted",
        "tail",
    )

    def __init__(self, reader: LogReader, snapshot_index: int, snapshot_term: int, cache_bytes: int) -> None:
        self._reader = reader
        self.cache_bytes = cache_bytes
        self.first_index = reader.first_index
        self.last_index = reader.last_index
        self._before_term: int | None = None  # term of the entry before first_index, where known
        before = self.first_index - 1
        if before == snapshot_index:
            self._before_term = snapshot_term
        else:
            self._before_term = self._ask_term(before)
        self.offset = self.last_index + 1  # index of the first entry in memory; last_index + 1 if there is none
        self.tail: list[Entry] = []  # the entries in memory; they change here and in lanes alone
        self.bytes = 0  # that they take, about
        self.last_term = self.term(self.last_index)
        self.persisted = self.last_index  # durable at this node, and no write under way touches it
        self.handed = self.last_index  # given out in Readys to be written

    # reading ---------------------------------------------------------------------------------

    def term(self, index: int) -> int:
        """Term of the entry at `index` (0 at 0). Raises Compacted, Unavailable."""
        if index >= self.offset:
            if index > self.last_index:
                raise Unavailable(f"index {index} is beyond the log's end at {self.last_index}")
            return self.tail[index - self.offset].term
        if index < self.first_index:
            if index == self.first_index - 1 and self._before_term is not None:
                return self._before_term
            raise Compacted(f"index {index} was compacted; the log starts at {self.first_index}")
        return self._reader.term(index)

    def term_or_none(self, index: int) -> int | None:
        """The same, None where it is compacted or beyond the end."""
        try:
            return self.term(index)
        except (Compacted, Unavailable):
            return None

    def slice(self, low: int, high: int, max_bytes: int) -> Sequence[Entry]:
        """Entries low <= index < high: at least one, then as many as fit max_bytes of payload. Raises Compacted."""
        offset = self.offset
        if low >= offset:
            tail = self.tail
            if high - low == 1:
                return (tail[low - offset],)
            size = 0
            for position in range(low - offset, high - offset):
                size += len(tail[position].payload)
                if size > max_bytes:
                    high = max(position + offset, low + 1)
                    break
            return tail[low - offset : high - offset]
        if low < self.first_index:
            raise Compacted(f"index {low} was compacted; the log starts at {self.first_index}")
        return self._reader.entries(low, min(high, offset), max_bytes)

    def last_index_at_most(self, term: int, low: int, high: int) -> int:
        """Largest index in low..high whose term is <= `term`, or low - 1; by bisection, as terms never fall.
        What was compacted meanwhile counts as older."""
        low = max(low, self.first_index)
        floor = low - 1
        while low <= high:
            middle = (low + high) >> 1
            known = self.term_or_none(middle)
            if known is None or known <= term:
                floor = middle
                low = middle + 1
            else:
                high = middle - 1
        return floor

    # changing --------------------------------------------------------------------------------

    def append(self, entry: Entry) -> None:
        """The entry after last_index."""
        self.tail.append(entry)
        self.last_index = entry.index
        self.last_term = entry.term
        self.bytes += len(entry.payload) + ENTRY_OVERHEAD

    def truncate(self, index: int) -> None:
        """Drop the entries from `index` on; what the disk holds of them counts no more."""
        offset = self.offset
        if index > offset:
            dropped = self.tail[index - offset :]
            del self.tail[index - offset :]
            self.bytes -= sum(len(e.payload) + ENTRY_OVERHEAD for e in dropped)
        else:
            self.tail.clear()
            self.bytes = 0
            self.offset = index
        self.last_index = index - 1
        self.last_term = self.term(index - 1)
        if self.handed >= index:
            self.handed = index - 1
        if self.persisted >= index:
            self.persisted = index - 1

    def take_unwritten(self) -> list[Entry]:
        """The entries that no Ready has handed out yet; they count as handed out from now on."""
        start = self.handed + 1 - self.offset
        self.handed = self.last_index
        return self.tail[start:]

    def restore(self, index: int, term: int, agreed: int) -> bool:
        """The log now begins behind a snapshot of everything up to `index`, whose last entry has `term`.

        A suffix behind an entry of that index and term is kept (returns True); else the whole log goes, as it may
        have diverged anywhere (paper 7, figure 13 rules 6 and 7), and of what is on disk only the part up to
        `agreed`, the old commit index, is known to be the leader's.
        """
        kept = index <= self.last_index and self.term_or_none(index) == term
        if not kept:
            self.tail.clear()
            self.bytes = 0
            self.offset = index + 1
            self.last_index = index
            self.last_term = term
            self.persisted = min(self.persisted, agreed)
            self.handed = index
        else:
            self._drop_head(index)
            # What was not yet handed out up to `index` needs no writing: the snapshot holds it, and the store, which
            # does not know that entry, will begin its log anew behind the snapshot.
            self.handed = max(self.handed, index)
        self.first_index = index + 1
        self._before_term = term
        return kept

    def compacted(self, first_index: int, snapshot_index: int, snapshot_term: int) -> None:
        """The stored log now starts at `first_index`, behind or within what that snapshot covers."""
        if first_index <= self.first_index:
            return
        term: int | None
        if first_index - 1 == snapshot_index:
            term = snapshot_term
        elif first_index - 1 >= self.offset:
            term = self.tail[first_index - 1 - self.offset].term
        else:
            term = self._ask_term(first_index - 1)
        self._drop_head(first_index - 1)
        self.first_index = first_index
        self._before_term = term
        if self.offset < first_index:
            self.offset = first_index

    def evict(self, limit: int) -> None:
        """Forget the oldest entries in memory while they exceed the cache, none above `limit` nor undurable."""
        limit = min(limit, self.persisted)
        goal = self.cache_bytes - (self.cache_bytes >> 3)  # some more, so that the list moves seldom
        count = 0
        size = self.bytes
        for entry in self.tail:
            if entry.index > limit or size <= goal:
                break
            size -= len(entry.payload) + ENTRY_OVERHEAD
            count += 1
        if count:
            del self.tail[:count]
            self.offset += count
            self.bytes = size

    def _drop_head(self, index: int) -> None:
        """Forget the entries in memory up to and including `index`."""
        count = min(index + 1 - self.offset, len(self.tail))
        if count > 0:
            self.bytes -= sum(len(e.payload) + ENTRY_OVERHEAD for e in self.tail[:count])
            del self.tail[:count]
            self.offset += count

    def _ask_term(self, index: int) -> int | None:
        if index == 0:
            return 0
        try:
            return self._reader.term(index)
        except (Compacted, Unavailable):
            return None

"""Where each live entry of the log stands: what readers look at while the writer works.

Thread-safety. The writer thread mutates, the reactor's thread reads, and no lock is taken:

- `Log.index` is one attribute, so a reader that takes it once sees one LogIndex. Dropping a prefix or a suffix
  makes a new LogIndex and replaces the attribute; the old one is never shortened, so a reader that holds it goes
  on reading consistent values.
- Only `append` and `extend` change a LogIndex in place, and only beyond its end. They add the term and the size
  before the position, and `last` is computed from the positions: whoever sees an entry sees all of it. Each of these
  list and array operations is atomic under the GIL.
- Readers ask only for entries that are durable and that no submitted write replaces (the core keeps the rest in
  memory itself), so what they ask for is not being appended or cut.
- Entries below a compaction that runs meanwhile may be asked for: the segment's object is looked up by its
  sequence number, and either it is gone (Compacted), or holding it keeps its descriptor open, also when the file
  has been unlinked. A descriptor's number can therefore not be reused under a reader.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from leto.errors import Compacted, StorageError, Unavailable
from leto.raft.messages import Entry, EntryKind
from leto.storage import records

_CONFIGURATION = int(EntryKind.CONFIGURATION)
_STRIDE = 1024  # entries summed at once
OFFSET_BITS = 40
_OFFSET_MASK = (1 << OFFSET_BITS) - 1


def position(sequence: int, offset: int) -> int:
    """A place in the log as one number, growing with every record written."""
    return sequence << OFFSET_BITS | offset


def place(at: int) -> tuple[int, int]:
    """(sequence, offset) of a position."""
    return at >> OFFSET_BITS, at & _OFFSET_MASK


class LogIndex:
    """Entries first..last. `previous_term`: of the entry before the first; None when it is not known."""

    __slots__ = ("configurations", "first", "positions", "previous_term", "run_starts", "run_terms", "sizes")

    def __init__(self, first: int, previous_term: int | None) -> None:
        self.first = first
        self.previous_term = previous_term
        self.positions = array("Q")
        self.sizes = array("I")  # payload bytes
        self.run_starts: list[int] = []  # index at which a term begins
        self.run_terms: list[int] = []
        self.configurations: list[Entry] = []

    @property
    def last(self) -> int:
        return self.first + len(self.positions) - 1

    @property
    def last_term(self) -> int | None:
        return self.run_terms[-1] if self.run_terms else self.previous_term

    def term(self, index: int) -> int:
        """Raises Compacted, Unavailable."""
        if index < self.first:
            if index == self.first - 1 and self.previous_term is not None:
                return self.previous_term
            raise Compacted(f"entry {index} was compacted: the log starts at {self.first}")
        if index > self.last:
            raise Unavailable(f"entry {index} is beyond the log's end at {self.last}")
        return self.run_terms[bisect_right(self.run_starts, index) - 1]

    def check(self, entries: Sequence[Entry], current_term: int) -> None:
        """Raises StorageError unless `entries` follow the log or replace its end, in terms that do not go back and
        that the node knows of: no entry is newer than the term on disk."""
        expected = entries[0].index
        end = self.first + len(self.positions)
        if not self.first <= expected <= end:
            raise StorageError(f"entry {expected} does not fit a log of {self.first} to {self.last}")
        if expected == end and self.run_terms:
            term = self.run_terms[-1]
        else:
            term = self.term(expected - 1) if expected > self.first or self.previous_term is not None else 0
        for entry in entries:
            if entry.index != expected:
                raise StorageError(f"entry {entry.index} where {expected} was due")
            if not term <= entry.term <= current_term:
                raise StorageError(
                    f"entry {entry.index} of term {entry.term} after one of term {term}, in term {current_term}"
                )
            if len(entry.payload) > records.MAX_PAYLOAD or not 0 <= entry.kind <= records.MAX_KIND:
                raise StorageError(
                    f"entry {entry.index} of kind {entry.kind} and {len(entry.payload)} bytes fits no record"
                )
            term = entry.term
            expected += 1

    def leads_to(self, index: int, term: int) -> bool:
        """Whether the entry at `index`, or the one that the log begins after, is of `term`."""
        if self.first - 1 == index:
            return self.previous_term is None or self.previous_term == term
        return self.first <= index <= self.last and self.term(index) == term

    def append(self, term: int, size: int, at: int) -> None:
        """Add the entry last + 1."""
        if not self.run_terms or self.run_terms[-1] != term:
            self.run_terms.append(term)
            self.run_starts.append(self.first + len(self.positions))
        self.sizes.append(size)
        self.positions.append(at)

    def extend(self, staged: Sequence[tuple[Entry, int]]) -> None:
        """Add entries, each with its position, that follow the last."""
        terms, sizes, positions = self.run_terms, self.sizes, self.positions
        for entry, at in staged:
            term = entry.term
            if not terms or terms[-1] != term:
                terms.append(term)
                self.run_starts.append(self.first + len(positions))
            sizes.append(len(entry.payload))
            positions.append(at)
            if entry.kind == _CONFIGURATION:
                self.configurations.append(entry)

    def before(self, index: int) -> LogIndex:
        """A copy without the entries from `index` on."""
        keep = index - self.first
        copy = LogIndex(self.first, self.previous_term)
        copy.positions = self.positions[:keep]
        copy.sizes = self.sizes[:keep]
        runs = bisect_left(self.run_starts, index)
        copy.run_starts = self.run_starts[:runs]
        copy.run_terms = self.run_terms[:runs]
        copy.configurations = [entry for entry in self.configurations if entry.index < index]
        return copy

    def after(self, index: int) -> LogIndex:
        """A copy without the entries up to and including `index`."""
        drop = index + 1 - self.first
        copy = LogIndex(index + 1, self.term(index))
        copy.positions = self.positions[drop:]
        copy.sizes = self.sizes[drop:]
        runs = bisect_right(self.run_starts, index + 1)
        if copy.positions:
            copy.run_starts = [index + 1, *self.run_starts[runs:]]
            copy.run_terms = self.run_terms[runs - 1 :]
        copy.configurations = [entry for entry in self.configurations if entry.index > index]
        return copy

    def behind(self, index: int, max_bytes: int) -> int:
        """The lowest index such that the entries after it, up to `index`, are here and take at most so many bytes of
        the log; `index` itself if not even that one entry does."""
        at = min(index, self.last) + 1 - self.first
        while at > 0:
            start = max(0, at - _STRIDE)
            size = sum(self.sizes[start:at]) + (at - start) * records.HEADER_BYTES
            if size > max_bytes:
                break
            max_bytes -= size
            at = start
        while at > 0 and (size := self.sizes[at - 1] + records.HEADER_BYTES) <= max_bytes:
            max_bytes -= size
            at -= 1
        return min(index, self.first + at - 1)

    def count_in(self, sequence: int) -> int:
        """How many live entries stand in segments up to and including that one. Positions grow with the index,
        since an entry is always written after the one before it."""
        return bisect_left(self.positions, position(sequence + 1, 0))

"""A simulated durable log: what was written and what is durable are two things, and a crash shows the difference.

`Disk` stands in for leto.storage's Store as the core sees it (a LogReader) and as the replica drives it
(write in order, sync later). It survives a crash of its server; everything else of a server does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from leto.errors import Compacted, Unavailable
from leto.raft.messages import Entry, EntryKind, HardState, SnapshotMeta


class LogImage:
    """Entries from `first` on, after a prefix that ends with term `prev_term` (a snapshot, or nothing)."""

    __slots__ = ("entries", "first", "prev_term")

    def __init__(self, first: int = 1, prev_term: int = 0, entries: Sequence[Entry] = ()) -> None:
        self.first = first
        self.prev_term = prev_term
        self.entries = list(entries)

    @property
    def last(self) -> int:
        return self.first + len(self.entries) - 1

    @property
    def last_term(self) -> int:
        return self.entries[-1].term if self.entries else self.prev_term

    def copy(self) -> LogImage:
        return LogImage(self.first, self.prev_term, self.entries)

    def term(self, index: int) -> int:
        """Raises Compacted below the first entry's predecessor, Unavailable beyond the end."""
        if index == self.first - 1:
            return self.prev_term
        if index < self.first:
            raise Compacted(f"index {index} was compacted, the log starts at {self.first}")
        if index > self.last:
            raise Unavailable(f"index {index} is beyond the end, {self.last}")
        return self.entries[index - self.first].term

    def entry(self, index: int) -> Entry:
        self.term(index)
        return self.entries[index - self.first]

    def append(self, entries: Sequence[Entry]) -> None:
        """Write `entries`, cutting off what they replace."""
        if not entries:
            return
        at = entries[0].index
        assert self.first <= at <= self.last + 1, f"entry {at} leaves a gap in a log of {self.first}..{self.last}"
        del self.entries[at - self.first :]
        self.entries.extend(entries)

    def compact(self, index: int) -> None:
        """Drop everything up to and including `index`."""
        if index >= self.first:
            self.prev_term = self.term(index)
            del self.entries[: index - self.first + 1]
            self.first = index + 1

    def install(self, meta: SnapshotMeta) -> None:
        """Start after a snapshot: the suffix stays only if the log agrees with it at its end (figure 13)."""
        if self.first - 1 <= meta.index <= self.last and self.term(meta.index) == meta.term:
            return
        self.first, self.prev_term = meta.index + 1, meta.term
        self.entries.clear()


@dataclass(frozen=True, slots=True)
class Write:
    """What one Ready asks to be made durable."""

    number: int
    hard_state: HardState | None
    entries: Sequence[Entry]
    snapshot: SnapshotMeta | None

    @property
    def is_empty(self) -> bool:
        return self.hard_state is None and not self.entries and self.snapshot is None


@dataclass(slots=True)
class Disk:
    """One server's disk.

    `durable` is what a crash leaves for certain, `written` what a reader of the page cache would see, `waiting`
    the writes between the two. `blobs` holds the snapshots' payloads by index, received ones too.
    """

    hard_state: HardState = HardState()
    snapshot: SnapshotMeta | None = None
    durable: LogImage = field(default_factory=LogImage)
    written: LogImage = field(default_factory=LogImage)
    waiting: deque[Write] = field(default_factory=deque)
    blobs: dict[int, tuple[SnapshotMeta, Any]] = field(default_factory=dict)
    votes: dict[int, str] = field(default_factory=dict)  # every vote that ever was durable, by term

    # the core's LogReader: the durable log, and nothing that a waiting write is about to replace ----------------

    @property
    def first_index(self) -> int:
        return self.durable.first

    @property
    def last_index(self) -> int:
        return self.durable.last

    def term(self, index: int) -> int:
        self._assert_settled(index)
        return self.durable.term(index)

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        assert low < high, f"asked for the empty range {low}..{high}"
        self._assert_settled(high - 1)
        self.durable.term(high - 1)
        if low < self.durable.first:
            raise Compacted(f"index {low} was compacted, the log starts at {self.durable.first}")
        found: list[Entry] = []
        size = 0
        for entry in self.durable.entries[low - self.durable.first : high - self.durable.first]:
            size += len(entry.payload)
            if found and size > max_bytes:
                break
            found.append(entry)
        return found

    def configurations(self) -> list[Entry]:
        return [entry for entry in self.durable.entries if entry.kind == EntryKind.CONFIGURATION]

    def _assert_settled(self, index: int) -> None:
        for write in self.waiting:
            assert not write.entries or index < write.entries[0].index, (
                f"the core read index {index} from the disk while a write of {write.entries[0].index} is under way"
            )

    # the replica's side ------------------------------------------------------------------------------------------

    def write(self, write: Write) -> None:
        """Hand a write to the operating system; it is not durable yet."""
        if write.snapshot is not None:
            self.written.install(write.snapshot)
        self.written.append(write.entries)
        self.waiting.append(write)

    def sync(self, number: int) -> None:
        """Make every write up to `number` durable."""
        while self.waiting and self.waiting[0].number <= number:
            write = self.waiting.popleft()
            if write.snapshot is not None:
                self._install(write.snapshot)
            self.durable.append(write.entries)
            if write.hard_state is not None:
                self._save(write.hard_state)

    def save_snapshot(self, meta: SnapshotMeta, blob: Any) -> None:
        """A snapshot of this server's own is durable."""
        assert self.durable.last >= meta.index, f"snapshot at {meta.index} beyond the durable log"
        self.blobs[meta.index] = (meta, blob)
        if self.snapshot is None or meta.index > self.snapshot.index:
            self.snapshot = meta
        self._forget_old_blobs()

    def receive_blob(self, meta: SnapshotMeta, blob: Any) -> None:
        """A snapshot from the leader is complete and durable, but not yet this server's state."""
        self.blobs[meta.index] = (meta, blob)

    def compact(self, index: int) -> None:
        """Drop the log up to and including `index`."""
        assert self.snapshot is not None and index <= self.snapshot.index, "compaction beyond the snapshot"
        self.durable.compact(index)
        self.written.compact(index)

    def crash(self, random: Random | None = None) -> None:
        """Lose what is not durable: all of it, or with `random` all but some prefix that happened to reach the
        platter, the last write of it torn (a part of its entries, its hard state or not)."""
        while random is not None and self.waiting:
            write = self.waiting[0]
            if random.random() < 0.5:
                self.sync(write.number)
                continue
            self._tear(write, random)
            break
        if random is not None and self.hard_state.commit > 1 and random.random() < 0.5:
            # the commit index is a hint that nobody syncs
            hint = random.randint(1, self.hard_state.commit)
            self.hard_state = HardState(self.hard_state.term, self.hard_state.vote, hint)
        self.waiting.clear()
        self.written = self.durable.copy()

    def _tear(self, write: Write, random: Random) -> None:
        """Some of a write's parts got there, in the order in which Store carries them out: the snapshot, then term
        and vote, then the cut of the log, then its entries."""
        steps = random.randint(0, 3)
        if steps >= 1 and write.snapshot is not None:
            self._install(write.snapshot)
        if steps >= 2 and write.hard_state is not None:
            self._save(write.hard_state)
        if steps >= 3 and write.entries:
            del self.durable.entries[write.entries[0].index - self.durable.first :]
            self.durable.append(write.entries[: random.randint(0, len(write.entries))])

    def _save(self, hard_state: HardState) -> None:
        self.hard_state = hard_state
        if hard_state.vote:
            self.votes.setdefault(hard_state.term, hard_state.vote)

    def _install(self, meta: SnapshotMeta) -> None:
        assert meta.index in self.blobs, f"snapshot {meta.index} was installed without its bytes"
        self.durable.install(meta)
        self.snapshot = meta
        self._forget_old_blobs()

    def _forget_old_blobs(self) -> None:
        assert self.snapshot is not None
        kept = sorted((i for i in self.blobs if i <= self.snapshot.index), reverse=True)[:2]
        self.blobs = {i: blob for i, blob in self.blobs.items() if i > self.snapshot.index or i in kept}

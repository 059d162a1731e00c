"""Which Readys are still being written, and what each makes durable.

The disk is asynchronous: several Readys may be outstanding, and a suffix may be truncated and replaced in memory while
an earlier version of it is still on its way to the disk. Readys are written in order, so when Ready n is durable the
disk may at once begin the truncation that Ready n+1 asks for. Therefore the news "Ready n is durable" counts only for
entries that no later Ready truncates: `truncate` clamps every write under way at the moment the log is cut. Comparing
terms on arrival would not do: an entry may be cut and come back with the same index and term while both writes are
under way, and the first one's news says nothing about what the disk holds after the second and third.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from leto.raft.messages import HardState, SnapshotMeta


class Write(msgspec.Struct):
    """One Ready that has something to write."""

    number: int
    last_index: int  # durable with it, unless truncated meanwhile; 0: nothing
    hard_state: HardState | None
    snapshot: SnapshotMeta | None


class Writes:
    """The writes under way, oldest first."""

    __slots__ = ("snapshots", "under_way")

    def __init__(self) -> None:
        self.under_way: deque[Write] = deque()
        self.snapshots = 0  # that are being installed

    def __len__(self) -> int:
        return len(self.under_way)

    def __iter__(self) -> Iterator[Write]:
        return iter(self.under_way)

    def add(self, number: int, last_index: int, hard_state: HardState | None, snapshot: SnapshotMeta | None) -> None:
        self.under_way.append(Write(number, last_index, hard_state, snapshot))
        if snapshot is not None:
            self.snapshots += 1

    def truncate(self, index: int) -> None:
        """The entries from `index` on were cut off in memory: no write under way makes them durable."""
        for write in self.under_way:
            if write.last_index >= index:
                write.last_index = index - 1

    def finished(self, number: int) -> list[Write]:
        """Those of Ready `number` and before, oldest first; they are under way no more."""
        under_way = self.under_way
        done = []
        while under_way and under_way[0].number <= number:
            write = under_way.popleft()
            done.append(write)
            if write.snapshot is not None:
                self.snapshots -= 1
        return done

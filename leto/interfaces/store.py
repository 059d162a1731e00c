"""What a node's disk is to the replica: one data directory's log, hard state and snapshots, and who writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from leto.raft.messages import Entry, HardState, SnapshotMeta
from leto.raft.reader import LogReader


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose data directory it is. Written once, checked at every start."""

    cluster_id: str  # 32 lower-case hex digits
    server_id: str
    incarnation: str = ""  # names this data directory among those that joined under the id; "" for a bootstrapped one


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Of the disk that holds a data directory, in bytes."""

    free: int
    total: int
    min_free: int  # with less than that, nothing is to be written that can be refused


class SnapshotSink(Protocol):
    """A snapshot being written: temp file, CRC-framed; nothing is visible before commit()."""

    offset: int  # bytes of payload held so far (a resumed one: durable so far): where the transfer goes on

    def write(self, data: bytes) -> None:
        """Append payload. Syncs every few megabytes so that commit() is short."""

    def commit(self) -> None:
        """Sync, read back and verify, rename, sync the directory. The previous one stays until free_compacted()."""

    def abort(self, keep_partial: bool = False) -> None:
        """Give up; keep_partial leaves the file for a later resume (receive_snapshot only)."""


class SnapshotSource(Protocol):
    """A durable snapshot being read; stays readable after a newer one replaces it, until close()."""

    meta: SnapshotMeta
    size: int  # payload bytes
    token: int  # random; tells two nodes' snapshots of one index apart: hand it to receive_snapshot

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` payload bytes from `offset`, CRC-checked; b"" at the end. Raises CorruptStorage."""

    def close(self) -> None: ...


class Store(LogReader, Protocol):
    """One locked data directory. Mutators block (disk) and are called in order, from one thread at a time,
    through a Flusher; readers may run in the reactor's thread meanwhile, and ask only for what is durable."""

    identity: Identity | None
    hard_state: HardState
    recovered: list[str]  # lines for the log: what opening the directory mended

    @property
    def snapshot(self) -> SnapshotMeta | None:
        """The newest durable one that is this node's."""

    def identify(self, identity: Identity) -> None:
        """Make the directory this node's: durable once it returns. Raises ForeignDirectory if it is another's."""

    def write(self, hard_state: HardState | None, entries: Sequence[Entry], sync: bool) -> None:
        """Append (truncating a conflicting suffix durably first, so that it never comes back), save the hard
        state, and make all of it durable if `sync` (and the fsync policy says so; term and vote always are).

        Needs an identity. Raises StorageError, with nothing changed, for entries that leave a gap, reach into the
        snapshot or are of a higher term than the hard state, and for a hard state that takes back a term or a vote."""

    def rotates_with(self, count: int, payload_bytes: int) -> bool:
        """Whether writing so many entries of so many bytes together begins a new file: that takes several syncs."""

    def create_snapshot(self, meta: SnapshotMeta) -> SnapshotSink:
        """A snapshot of this node's own. May be written from another thread than the log's. Its sink raises NoRoom
        where it would take the room that is kept for the log; it is removed then."""

    def receive_snapshot(self, meta: SnapshotMeta, size: int, token: int = 0) -> SnapshotSink:
        """A snapshot that the leader streams; resumes a partial one of the same meta, size and token.
        Its commit() makes it durable but not yet this node's: install_snapshot does."""

    def install_snapshot(self, meta: SnapshotMeta) -> None:
        """The received snapshot replaces the node's state: the whole log below and beyond it is dropped
        (paper 7, figure 13) unless the log has an entry of meta.index with meta.term, whose suffix is kept."""

    def open_snapshot(self) -> SnapshotSource | None:
        """The newest durable snapshot, or None."""

    def compact(self, index: int) -> None:
        """Drop the log up to and including `index`, by whole segments. Refuses to go beyond the snapshot."""

    def behind(self, index: int, max_bytes: int) -> int:
        """The lowest index such that the stored entries after it, up to `index`, take at most so many bytes."""

    def free_compacted(self) -> None:
        """Give the room of what compact() dropped back, and of a snapshot that serves no more without it. Takes long,
        and may run beside the mutators: not a job for the thread that flushes the log."""

    def log_bytes(self) -> int:
        """Size of the stored log."""

    def space(self) -> DiskSpace:
        """How much room is left now: one quick system call. Raises StorageError."""

    def close(self) -> None:
        """Sync and release the lock."""


class Flusher(Protocol):
    """Runs the store's mutators in order, off or on the reactor's thread (the flush seam)."""

    def submit(self, job: Callable[[], None]) -> Deferred[None]:
        """Fires in the reactor's thread when `job` has run; errbacks with what it raised. FIFO."""

    def submit_brief(self, job: Callable[[], None]) -> Deferred[None] | None:
        """submit() of a job that writes little, and may run before this returns where the disk is quick: None if it
        did, and raised nothing."""

    def stop(self) -> Deferred[None]:
        """Fires when all that was submitted has run; nothing may be submitted after."""

"""The memory twins of FileStore and the flushers: same contract, same checks, no disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, fail

from leto.checksums import crc32
from leto.errors import Compacted, ForeignDirectory, NothingToSnapshot, Stopping, StorageError
from leto.interfaces.store import DiskSpace, Identity, SnapshotSink, SnapshotSource
from leto.raft.messages import Entry, EntryKind, HardState, SnapshotMeta
from leto.storage import identity as identities
from leto.storage.log_index import LogIndex
from leto.storage.snapshot_file import check_meta


@dataclass(slots=True)
class _Image:
    """What a directory holds."""

    identity: Identity | None = None
    hard_state: HardState = HardState()
    index: LogIndex = field(default_factory=lambda: LogIndex(1, 0))
    entries: list[Entry] = field(default_factory=list)
    snapshots: list[tuple[SnapshotMeta, bytes, int]] = field(
        default_factory=list
    )  # (meta, payload, token), newest last
    partial: tuple[SnapshotMeta, int, int, bytes] | None = None  # (meta, size, token, payload so far)
    received: tuple[SnapshotMeta, int, int, bytes] | None = None

    def copy(self) -> _Image:
        image = _Image(self.identity, self.hard_state, self.index.before(self.index.last + 1))
        image.entries = list(self.entries)
        image.snapshots = list(self.snapshots)
        image.partial, image.received = self.partial, self.received
        return image


class MemorySource:
    """leto.interfaces.store.SnapshotSource."""

    def __init__(self, meta: SnapshotMeta, payload: bytes, token: int) -> None:
        self.meta = meta
        self.size = len(payload)
        self.token = token
        self._payload = payload

    def read(self, offset: int, size: int) -> bytes:
        if offset < 0 or size <= 0:
            return b""
        return self._payload[offset : offset + size]

    def close(self) -> None:
        """Nothing is held."""


class MemorySink:
    """leto.interfaces.store.SnapshotSink."""

    def __init__(
        self,
        begun: bytes,
        announced: int | None,
        complete: Callable[[bytes], None],
        keep: Callable[[bytes], None],
    ) -> None:
        self._payload = bytearray(begun)
        self._announced = announced
        self._complete = complete
        self._keep = keep
        self._open = True
        self.offset = len(begun)

    def write(self, data: bytes) -> None:
        self._check()
        if self._announced is not None and self.offset + len(data) > self._announced:
            raise StorageError(f"more than the {self._announced} bytes that were announced")
        self._payload += data
        self.offset = len(self._payload)

    def commit(self) -> None:
        self._check()
        if self._announced is not None and self.offset != self._announced:
            raise StorageError(f"{self.offset} bytes came of the {self._announced} that were announced")
        self._open = False
        self._complete(bytes(self._payload))

    def abort(self, keep_partial: bool = False) -> None:
        if not self._open:
            return
        self._open = False
        self._keep(bytes(self._payload) if keep_partial and self._announced is not None else b"")

    def _check(self) -> None:
        if not self._open:
            raise StorageError("this snapshot was committed or given up")


class MemoryStore:
    """leto.interfaces.store.Store in memory. `reopened()` is what a stop and a start leave; `crashed()` a loss of
    power, which forgets what was not synced."""

    def __init__(self, image: _Image | None = None) -> None:
        self._image = image if image is not None else _Image()
        self._durable = self._image.copy()
        self.recovered: list[str] = []
        self.disk_space = DiskSpace(1 << 60, 1 << 60, 0)  # what space() gives
        self._closed = False

    def reopened(self) -> MemoryStore:
        return MemoryStore(self._image.copy())

    def crashed(self) -> MemoryStore:
        return MemoryStore(self._durable.copy())

    # reading -------------------------------------------------------------------------------------------

    @property
    def identity(self) -> Identity | None:
        return self._image.identity

    @identity.setter
    def identity(self, new: Identity | None) -> None:
        raise StorageError("the identity is set by identify()")

    @property
    def hard_state(self) -> HardState:
        return self._image.hard_state

    @hard_state.setter
    def hard_state(self, new: HardState) -> None:
        raise StorageError("the hard state is set by write()")

    @property
    def snapshot(self) -> SnapshotMeta | None:
        return self._image.snapshots[-1][0] if self._image.snapshots else None

    @property
    def first_index(self) -> int:
        return self._image.index.first

    @property
    def last_index(self) -> int:
        return self._image.index.last

    def term(self, index: int) -> int:
        meta = self.snapshot
        return meta.term if meta is not None and index == meta.index else self._image.index.term(index)

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        index = self._image.index
        found: list[Entry] = []
        if low >= high:
            return found
        index.term(low)
        if low < index.first:
            raise Compacted(f"entry {low} was compacted: the log starts at {index.first}")
        index.term(high - 1)
        for entry in self._image.entries[low - index.first : high - index.first]:
            if found and len(entry.payload) > max_bytes:
                break
            max_bytes -= len(entry.payload)
            found.append(entry)
        return found

    def configurations(self) -> list[Entry]:
        return [entry for entry in self._image.entries if entry.kind == EntryKind.CONFIGURATION]

    def behind(self, index: int, max_bytes: int) -> int:
        return self._image.index.behind(index, max_bytes)

    def space(self) -> DiskSpace:
        return self.disk_space

    def log_bytes(self) -> int:
        return sum(len(entry.payload) for entry in self._image.entries)

    # mutators ------------------------------------------------------------------------------------------

    def identify(self, new: Identity) -> None:
        self._check_open()
        if self.identity is not None:
            if self.identity != new:
                raise ForeignDirectory(
                    f"this store belongs to server {self.identity.server_id!r} of cluster {self.identity.cluster_id},"
                    f" not to {new.server_id!r} of {new.cluster_id}"
                )
            return
        identities.check(new)
        self._image.identity = new
        self._sync()

    def write(self, hard_state: HardState | None, entries: Sequence[Entry], sync: bool) -> None:
        self._check_usable()
        if entries:
            self._check(entries, (hard_state or self.hard_state).term)
        if hard_state is not None:
            self._save(hard_state)
        if entries:
            index = self._image.index
            first = entries[0].index
            if first <= index.last:
                self._image.index = index = index.before(first)
                del self._image.entries[first - index.first :]
            for entry in entries:
                index.append(entry.term, len(entry.payload), 0)
                self._image.entries.append(entry)
        if sync:
            self._sync()

    def _check(self, entries: Sequence[Entry], current_term: int) -> None:
        self._image.index.check(entries, current_term)
        meta = self.snapshot
        if meta is not None and entries[0].index <= meta.index:
            raise StorageError(f"entry {entries[0].index} must not replace what the snapshot at {meta.index} holds")

    def _save(self, new: HardState) -> None:
        old = self.hard_state
        if new.vote:
            identities.check_server_id(new.vote)
        if new.term < old.term:
            raise StorageError(f"term {new.term} must not replace term {old.term}")
        if new.term == old.term and old.vote and new.vote != old.vote:
            raise StorageError(f"in term {old.term} the vote was for {old.vote!r} and must not become {new.vote!r}")
        self._image.hard_state = new
        if (new.term, new.vote) != (old.term, old.vote):
            commit = min(new.commit, self._durable.index.last)
            self._durable.hard_state = HardState(new.term, new.vote, commit)

    def _sync(self) -> None:
        partial, received, snapshots = self._durable.partial, self._durable.received, self._durable.snapshots
        self._durable = self._image.copy()
        self._durable.partial, self._durable.received, self._durable.snapshots = partial, received, snapshots

    def rotates_with(self, count: int, payload_bytes: int) -> bool:
        return False

    def create_snapshot(self, meta: SnapshotMeta) -> SnapshotSink:
        self._check_usable()
        check_meta(meta, 0)
        newest = self.snapshot
        if newest is not None and meta.index < newest.index:
            raise NothingToSnapshot()
        if meta.index > self.last_index:
            raise StorageError(f"a snapshot at {meta.index} would be beyond the log's end at {self.last_index}")

        def complete(payload: bytes) -> None:
            current = self.snapshot
            if current is None or current.index <= meta.index:
                self._sync()
                self._keep_snapshot((meta, payload, crc32(payload, meta.index)))

        return MemorySink(b"", None, complete, lambda _: None)

    def _keep_snapshot(self, new: tuple[SnapshotMeta, bytes, int]) -> None:
        others = [kept for kept in self._image.snapshots if kept[0].index != new[0].index]
        self._image.snapshots = [*others, new][-2:]
        self._durable.snapshots = list(self._image.snapshots)

    def receive_snapshot(self, meta: SnapshotMeta, size: int, token: int = 0) -> SnapshotSink:
        self._check_usable()
        check_meta(meta, size)
        begun = b""
        for held in (self._image.partial, self._image.received):
            if held is not None and held[:3] == (meta, size, token):
                begun = held[3]
        self._image.partial = self._image.received = None

        def complete(payload: bytes) -> None:
            self._image.received = self._durable.received = (meta, size, token, payload)

        def keep(payload: bytes) -> None:
            self._image.partial = self._durable.partial = (meta, size, token, payload) if payload else None

        return MemorySink(begun, size, complete, keep)

    def install_snapshot(self, meta: SnapshotMeta) -> None:
        self._check_usable()
        newest, received = self.snapshot, self._image.received
        if newest is not None and meta.index < newest.index:
            raise StorageError(f"the snapshot at {meta.index} is older than the one at {newest.index}")
        if received is None or received[0] != meta:
            raise StorageError(f"no snapshot at {meta.index} was received")
        if not self._image.index.leads_to(meta.index, meta.term):
            self._image.index = LogIndex(meta.index + 1, meta.term)
            self._image.entries = []
        self._image.received = self._durable.received = None
        self._sync()
        self._keep_snapshot((meta, received[3], received[2]))

    def open_snapshot(self) -> SnapshotSource | None:
        return MemorySource(*self._image.snapshots[-1]) if self._image.snapshots else None

    def compact(self, index: int) -> None:
        self._check_usable()
        newest = self.snapshot
        if index > (newest.index if newest is not None else 0):
            raise StorageError(f"the log must not be dropped up to {index}: the newest snapshot does not reach it")
        if index >= self.first_index:
            del self._image.entries[: index + 1 - self.first_index]
            self._image.index = self._image.index.after(index)
            self._sync()

    def free_compacted(self) -> None:
        """Nothing is left of it."""

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._sync()

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("this store was closed")

    def _check_usable(self) -> None:
        self._check_open()
        if self.identity is None:
            raise StorageError("this store is nobody's yet: identify() must come first")


class MemoryFlusher:
    """leto.interfaces.store.Flusher whose jobs run when a test says so: a disk as slow as wanted."""

    def __init__(self) -> None:
        self._jobs: deque[tuple[Callable[[], None], Deferred[None]]] = deque()
        self._stopping: Deferred[None] | None = None

    @property
    def pending(self) -> int:
        return len(self._jobs)

    def submit(self, job: Callable[[], None]) -> Deferred[None]:
        if self._stopping is not None:
            return fail(Stopping("the disk writer has stopped"))
        done: Deferred[None] = Deferred()
        self._jobs.append((job, done))
        return done

    def submit_brief(self, job: Callable[[], None]) -> Deferred[None]:
        return self.submit(job)

    def run_one(self) -> None:
        """Run the oldest job and fire its Deferred. Raises IndexError if there is none."""
        job, done = self._jobs.popleft()
        try:
            job()
        except Exception:  # noqa: BLE001 - whatever it is, the Deferred's holder decides
            done.errback()
        else:
            done.callback(None)
        if self._stopping is not None and not self._jobs:
            self._stopping.callback(None)

    def run_untold(self) -> Deferred[None]:
        """Run the oldest job, and leave it to the caller to fire its Deferred: a thread has done it, and the reactor's
        does not know yet."""
        job, done = self._jobs.popleft()
        job()
        return done

    def run(self) -> int:
        """Run jobs until none is left; how many."""
        count = 0
        while self._jobs:
            self.run_one()
            count += 1
        return count

    def stop(self) -> Deferred[None]:
        if self._stopping is not None:
            return fail(Stopping("the disk writer has stopped"))
        self._stopping = done = Deferred[None]()
        if not self._jobs:
            done.callback(None)
        return done

"""FileStore: one locked data directory, and all that one node keeps in it.

    leto.lock         held while the node runs
    leto.identity     whose directory it is; created last
    leto.hard-state   term and vote
    leto.watermark    what is known to be durable, and the commit index as a hint
    leto-log/         the segments of the log
    leto-snapshots/   the snapshots

Other names in the directory are left alone. docs/disk-format.md specifies every file.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from leto.config import FsyncPolicy
from leto.errors import CorruptStorage, DirectoryLocked, ForeignDirectory, StorageError
from leto.interfaces.store import DiskSpace, Identity, SnapshotSink, SnapshotSource
from leto.raft.messages import Entry, HardState, SnapshotMeta
from leto.storage import hard_state, identity, records, watermark
from leto.storage.disk import Disk, File, Lock, RealDisk, Space, describe
from leto.storage.everysec import EverySecond
from leto.storage.faultpoints import ARMED, reach
from leto.storage.hard_state import HardStateFile
from leto.storage.identity import Owner
from leto.storage.layout import LOG, SNAPSHOTS, check_fresh, create_files, write_whole
from leto.storage.log import Log
from leto.storage.log_index import LogIndex
from leto.storage.recovery import join, recover
from leto.storage.segments import PAD, RESTORE
from leto.storage.snapshots import Snapshots
from leto.storage.watermark import Mark, WatermarkFile

LOCK = "leto.lock"
SEGMENT_BYTES = 64 << 20
MIN_SEGMENT_BYTES = 4096
_NO_ENTRIES = LogIndex(1, 0)
SMALL_DISK_SHARE = 8  # of a small disk, no more than this part is to stay free
ROTATION_BYTES = 4 * PAD  # free, for a new segment to be begun only so that the one before can be removed
MARK_SECONDS = 0.05  # a busy log's watermark follows by this much


def _random32() -> int:
    return int.from_bytes(os.urandom(4), "little")


class FileStore:
    """leto.interfaces.store.Store over files.

    Every method raises StorageError. After a failed write or sync the store is poisoned: each later mutator raises
    the same error, because nothing is known any more about what the disk holds.

    `recovered`: lines for the log about what opening it mended.
    """

    def __init__(
        self,
        directory: str,
        disk: Disk,
        lock: Lock,
        fsync: FsyncPolicy,
        segment_bytes: int,
        random32: Callable[[], int],
        clock: Callable[[], float],
        background: bool,
        mark_seconds: float,
        min_free_bytes: int,
    ) -> None:
        self.directory = directory
        self.recovered: list[str] = []
        self.identity: Identity | None = None
        self.hard_state = HardState()
        self._disk = disk
        self._lock = lock
        self._fsync = fsync
        self._segment_bytes = segment_bytes
        self._random32 = random32
        self._clock = clock
        # told once of what poisons the store, in whatever thread that happens: there may be no caller to raise it to
        self.on_failure: Callable[[StorageError], object] = lambda failure: None
        self._failure: StorageError | None = None
        self._failure_lock = threading.Lock()
        self._closed = False
        self._log: Log | None = None
        self._snapshots: Snapshots | None = None
        self._hard_state_file: HardStateFile | None = None
        self._watermark: WatermarkFile | None = None
        self._marked_at = clock()
        self._mark_seconds = mark_seconds
        self._min_free_bytes = min_free_bytes
        self._every_second = EverySecond(self._sync_late, clock, background) if fsync == "everysec" else None

    @classmethod
    def open(
        cls,
        directory: str,
        *,
        fsync: FsyncPolicy = "always",
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
        random32: Callable[[], int] = _random32,
        clock: Callable[[], float] = time.monotonic,
        background: bool = True,
        mark_seconds: float = MARK_SECONDS,
        min_free_bytes: int = 0,
    ) -> FileStore:
        """Lock the directory (created if missing) and recover what it holds.

        `random32` gives the salts, `clock` monotonic seconds; background=False keeps `everysec` in the writer's
        thread. Appending writes the watermark at most once in `mark_seconds`; mark() does when there is time.
        `min_free_bytes` of the disk are to stay free: see min_free().
        Raises DirectoryLocked, ForeignDirectory, CorruptStorage, StorageError: one line each.
        """
        directory = os.path.abspath(directory)
        disk = disk if disk is not None else RealDisk()
        if segment_bytes < MIN_SEGMENT_BYTES:
            raise StorageError(f"a segment of {segment_bytes} bytes is too small: at least {MIN_SEGMENT_BYTES}")
        lock_path = os.path.join(directory, LOCK)
        try:
            disk.make_directory(directory)
            lock = disk.lock(lock_path)
        except BlockingIOError:
            raise DirectoryLocked(
                f"{directory} is in use by another process (it holds {lock_path}): stop that one, or give this node"
                " a directory of its own"
            ) from None
        except OSError as error:
            raise describe(error, "open the data directory:") from error
        store = cls(
            directory, disk, lock, fsync, segment_bytes, random32, clock, background, mark_seconds, min_free_bytes
        )
        try:
            store._recover()
        except OSError as error:
            lock.release()
            raise describe(error, "start from") from error
        except BaseException:
            lock.release()
            raise
        return store

    # opening ------------------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _recover(self) -> None:
        path = self._path(identity.NAME)
        if not self._disk.exists(path):
            check_fresh(self._disk, self.directory, path)
            return
        file = self._disk.open(path)
        self.identity = identity.decode(file.read_at(0, 4096), path)
        file.close()
        self._open_files(Owner.of(self.identity))

    def _open_files(self, owner: Owner) -> None:
        disk, notes = self._disk, self.recovered
        for name in (LOG, SNAPSHOTS):
            if not disk.exists(self._path(name)):
                raise CorruptStorage(f"{self._path(name)} is missing; {RESTORE}")
        # A process that was killed may have left names in the page cache only: they count as durable from here on.
        for path in (self.directory, self._path(LOG), self._path(SNAPSHOTS)):
            disk.sync_directory(path)
        self._hard_state_file = HardStateFile(self._open_named(hard_state.NAME), owner)
        if self._hard_state_file.repaired:
            notes.append(f"{self._path(hard_state.NAME)}: one copy was torn or damaged; it was written anew")
        self._watermark = WatermarkFile(self._open_named(watermark.NAME), owner)
        mark = self._watermark.mark
        snapshots = Snapshots(
            disk, self._path(SNAPSHOTS), owner, self._token, self._fail, self._sync_log, self._min_free
        )
        snapshots.recover(notes)
        saved = self._hard_state_file.state
        base = snapshots.newest.index if snapshots.newest is not None else 0
        log = recover(
            disk,
            self._path(LOG),
            owner,
            mark,
            self._segment_bytes,
            self._random32,
            notes,
            saved.commit if saved.commit > base else 0,
        )
        join(log, self._path(LOG), snapshots, self._path(SNAPSHOTS), notes)
        snapshots.set_aside_damaged(notes)
        self._log, self._snapshots = log, snapshots
        last_term = log.index.run_terms[-1] if log.index.run_terms else 0
        if last_term > saved.term:
            raise CorruptStorage(
                f"{self._path(hard_state.NAME)}: the term {saved.term} is older than the log, whose last entry is of"
                f" term {last_term}: this is an old copy; {hard_state.RESTORE}"
            )
        commit = max(saved.commit, mark.commit, base)
        if commit > log.index.last:
            # committed entries that were never synced (everysec, no) are lost: the hint must not outlive them
            commit = log.index.last
            self._hard_state_file.save(HardState(saved.term, saved.vote, commit))
            self._watermark.replace(Mark(log.durable, log.index.last, commit))
        self.hard_state = HardState(saved.term, saved.vote, commit)

    def _token(self) -> int:
        return self._random32() << 32 | self._random32()

    def _open_named(self, name: str) -> File:
        path = self._path(name)
        if not self._disk.exists(path):
            raise CorruptStorage(f"{path} is missing; {RESTORE}")
        return self._disk.open(path)

    # the log's readers ---------------------------------------------------------------------------------

    @property
    def snapshot(self) -> SnapshotMeta | None:
        return self._snapshots.newest if self._snapshots is not None else None

    @property
    def first_index(self) -> int:
        return self._log.index.first if self._log is not None else 1

    @property
    def last_index(self) -> int:
        return self._log.index.last if self._log is not None else 0

    def term(self, index: int) -> int:
        """Raises Compacted, Unavailable."""
        meta = self.snapshot
        if meta is not None and index == meta.index:
            return meta.term
        if self._log is None:
            return _NO_ENTRIES.term(index)
        return self._log.index.term(index)

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        """Raises Compacted, Unavailable, CorruptStorage; reads the file."""
        if self._closed:
            raise StorageError(f"{self.directory} was closed")
        if self._log is None:
            if low < high:
                _NO_ENTRIES.term(max(low, 1))
            return []
        try:
            return self._log.entries(low, high, max_bytes)
        except OSError as error:
            raise self._fail(error, "read the log") from error

    def configurations(self) -> list[Entry]:
        return list(self._log.index.configurations) if self._log is not None else []

    def behind(self, index: int, max_bytes: int) -> int:
        return self._log.index.behind(index, max_bytes) if self._log is not None else index

    def log_bytes(self) -> int:
        return self._log.size() if self._log is not None else 0

    def space(self) -> DiskSpace:
        try:
            free, total = space = self._disk.space(self.directory)
        except OSError as error:
            raise describe(error, "ask how much room is left in") from error
        return DiskSpace(free, total, self._min_free(space))

    def _min_free(self, space: Space) -> int:
        return min(self._min_free_bytes, space.total // SMALL_DISK_SHARE)

    # mutators ------------------------------------------------------------------------------------------

    def identify(self, new: Identity) -> None:
        """Also raises ForeignDirectory."""
        self._check_usable()
        if self.identity is not None:
            if self.identity != new:
                raise ForeignDirectory(
                    f"{self.directory} belongs to server {self.identity.server_id!r} of cluster"
                    f" {self.identity.cluster_id}, not to {new.server_id!r} of {new.cluster_id}"
                )
            return
        text = identity.encode(new)
        owner = Owner.of(new)
        try:
            create_files(self._disk, self.directory, owner, self._segment_bytes, self._random32)
            reach("identify.files-created")
            write_whole(self._disk, self.directory, identity.NAME, text)
            reach("identify.done")
            self._open_files(owner)
        except OSError as error:
            raise self._fail(error, "write") from error
        self.identity = new

    def write(self, hard_state: HardState | None, entries: Sequence[Entry], sync: bool) -> None:
        log, file = self._log, self._hard_state_file
        if self._failure is not None or self._closed or log is None or file is None:
            self._refuse()
        assert log is not None and file is not None
        cuts = False
        if entries:
            index = log.index
            index.check(entries, (hard_state or self.hard_state).term)
            first = entries[0].index
            cuts = first < index.first + len(index.positions)
            meta = self.snapshot if cuts else None  # what a snapshot holds ends where the log does, or before
            if meta is not None and first <= meta.index:
                raise StorageError(f"entry {first} must not replace what the snapshot at {meta.index} holds")
        try:
            if hard_state is not None:
                self._save(file, hard_state)
            if entries:
                if ARMED:
                    reach("truncate.start" if cuts else "append.start")
                log.append(entries)
                if ARMED:
                    reach("truncate.written" if cuts else "append.written")
            if sync:
                if log.durable != log.written:
                    if self._fsync == "always":
                        log.sync()
                    elif self._every_second is not None:
                        self._every_second.written()
                if ARMED:
                    reach("truncate.synced" if cuts else "append.synced")
            if entries:
                log.publish()
            now = self._clock()
            if not entries or now - self._marked_at >= self._mark_seconds:
                self._note(log)
                self._marked_at = now
        except OSError as error:
            raise self._fail(error, "write") from error

    def mark(self) -> None:
        """Let the watermark tell of all that is durable: for the writer's thread when it has nothing else to do.

        Never raises: a failure poisons the store.
        """
        if self._log is not None and self._failure is None and not self._closed:
            try:
                self._note(self._log)
            except OSError as error:
                self._fail(error, "write")

    def _save(self, file: HardStateFile, new: HardState) -> None:
        saved = file.state
        if new.term != saved.term or new.vote != saved.vote:
            # before the entries: the log never holds a term that the node does not know of. The commit index in it is
            # evidence of what was durable, so it must not go beyond that.
            assert self._log is not None
            file.save(HardState(new.term, new.vote, min(new.commit, self._log.durable_index)))
        self.hard_state = new

    def _sync_late(self) -> None:
        """everysec's sync; in its own thread if it has one."""
        log = self._log
        if self._failure is not None or log is None:
            return
        try:
            if log.durable != log.written:
                log.sync()
        except OSError as error:
            self._fail(error, "sync")

    def _sync_log(self) -> None:
        """Raises StorageError."""
        try:
            if self._log is not None:
                self._log.sync()
        except OSError as error:  # the log's failure, whoever asked: also where it finds no room
            raise self._fail(error, "sync the log") from error

    def _note(self, log: Log) -> None:
        assert self._watermark is not None
        mark = Mark(log.durable, log.index.last, self.hard_state.commit)
        if mark != self._watermark.mark:
            self._watermark.note(mark)

    def rotates_with(self, count: int, payload_bytes: int) -> bool:
        log = self._log
        if log is None:
            return False
        segment = log.active
        size = max(1, count) * records.HEADER_BYTES + payload_bytes
        return segment.count > 0 and segment.end + size > segment.limit

    def create_snapshot(self, meta: SnapshotMeta) -> SnapshotSink:
        snapshots = self._usable_snapshots()
        if meta.index > self.last_index:
            raise StorageError(f"a snapshot at {meta.index} would be beyond the log's end at {self.last_index}")
        return snapshots.create(meta)

    def receive_snapshot(self, meta: SnapshotMeta, size: int, token: int = 0) -> SnapshotSink:
        """`token`: the source's (SnapshotSource.token), so that two leaders' snapshots are not mixed."""
        return self._usable_snapshots().receive(meta, size, token)

    def install_snapshot(self, meta: SnapshotMeta) -> None:
        snapshots, log = self._usable_snapshots(), self._log
        assert log is not None
        if snapshots.newest is not None and meta.index < snapshots.newest.index:
            raise StorageError(f"the snapshot at {meta.index} is older than the one at {snapshots.newest.index}")
        try:
            snapshots.received(meta)
            reach("install.start")
            self._sync_log()
            keep = log.index.leads_to(meta.index, meta.term)
            snapshots.install(meta)
            if not keep:
                log.reset(meta.index, meta.term)
            self._note(log)
            reach("install.done")
        except OSError as error:
            raise self._fail(error, "install the snapshot") from error

    def open_snapshot(self) -> SnapshotSource | None:
        """Also raises CorruptStorage."""
        if self._snapshots is None:
            return None
        try:
            return self._snapshots.open()
        except OSError as error:
            raise describe(error, "open the snapshot") from error

    def compact(self, index: int) -> None:
        snapshots, log = self._usable_snapshots(), self._log
        assert log is not None
        base = snapshots.newest.index if snapshots.newest is not None else 0
        if index > base:
            raise StorageError(f"the log must not be dropped up to {index}: the newest snapshot ends at {base}")
        try:
            log.compact(index, may_rotate=self._disk.space(self.directory).free > ROTATION_BYTES)
        except OSError as error:
            raise self._fail(error, "compact the log") from error

    def free_compacted(self) -> None:
        if self._log is None or self._snapshots is None:
            return
        self._log.free_dropped()
        try:
            if self._snapshots.newest is not None:
                self._snapshots.remove_useless(self._log.index.first)
        except OSError as error:
            raise self._fail(error, "remove an old snapshot") from error

    def close(self) -> None:
        """Fine to call twice. A poisoned store is only unlocked."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._every_second is not None:
                self._every_second.stop()
            if self._failure is None and self._log is not None and self._watermark is not None:
                self._log.sync()
                self._note(self._log)
                self._watermark.sync()
        except OSError as error:
            raise self._fail(error, "sync") from error
        finally:
            for part in (self._log, self._watermark, self._hard_state_file):
                if part is not None:
                    part.close()
            self._lock.release()

    # failing -------------------------------------------------------------------------------------------

    @property
    def failure(self) -> StorageError | None:
        """What poisoned the store."""
        return self._failure

    def _fail(self, error: OSError, doing: str) -> StorageError:
        failure = describe(error, doing)
        with self._failure_lock:
            is_first = self._failure is None
            if is_first:
                self._failure = failure
        if is_first:
            self.on_failure(failure)
        return failure

    def _check_usable(self) -> None:
        if self._closed:
            raise StorageError(f"{self.directory} was closed")
        if self._failure is not None:
            raise StorageError(f"{self._failure} (an earlier failure: nothing is written after it)")

    def _refuse(self) -> None:
        self._check_usable()
        raise StorageError(f"{self.directory} is nobody's yet: identify() must come first")

    def _usable_snapshots(self) -> Snapshots:
        self._check_usable()
        if self._snapshots is None:
            self._refuse()
        assert self._snapshots is not None
        return self._snapshots

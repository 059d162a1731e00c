"""The directory of snapshots: taking, receiving, installing and keeping them.

`leto-snapshots/` holds, named by index and term (20 digits each):

    <index>-<term>.snapshot   one that is this node's; the newest, and the one before while it is of use
    <index>-<term>.tmp        one being taken; removed at a start
    <index>-<term>.partial    one being received; kept for a resumed transfer
    <index>-<term>.received   one received wholly, durable, not installed yet
    <name>.damaged-<n>        one that failed its checksums at a start while an older one served

A snapshot becomes visible by a rename after it was synced and read back; the directory is synced after each rename.
"""

from __future__ import annotations

import errno
import os.path
import threading
from collections.abc import Callable

from leto.errors import CorruptStorage, NoRoom, NothingToSnapshot, StorageError
from leto.raft.messages import SnapshotMeta
from leto.storage.disk import Disk, File, Space
from leto.storage.faultpoints import reach
from leto.storage.identity import Owner
from leto.storage.snapshot_file import (
    OWN,
    RECEIVED,
    SnapshotHeader,
    SnapshotReader,
    SnapshotWriter,
    check_meta,
    keep_whole_frames,
    read_header,
)

SNAPSHOT, TEMPORARY, PARTIAL, COMPLETE = ".snapshot", ".tmp", ".partial", ".received"
DAMAGED = ".damaged-"
KEPT = 2
SHRUNK = 2  # times as large as the newest, at most, is the one before it kept
LOW_SHARE = 4  # a snapshot taken while the disk is low may leave so many times less free
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def stem_of(meta: SnapshotMeta) -> str:
    return f"{meta.index:020}-{meta.term:020}"


def parse_name(name: str, suffix: str) -> tuple[int, int] | None:
    """(index, term) that a file's name tells, or None."""
    stem = name.removesuffix(suffix)
    index, dash, term = stem.partition("-")
    if stem == name or not dash or len(index) != 20 or len(term) != 20:
        return None
    if not (index.isascii() and index.isdigit() and term.isascii() and term.isdigit()):
        return None
    return int(index), int(term)


def no_room(error: OSError) -> NoRoom:
    return NoRoom(f"there is no room for a snapshot, {error.filename}: {error.strerror}")


def require_room(disk: Disk, path: str, needed: int, kept: int) -> None:
    """Raises OSError (ENOSPC) unless so much is free where the file `path` is, of which `kept` is for the log. Where
    nothing is kept, the disk itself is to tell."""
    if not kept:
        return
    free = disk.space(os.path.dirname(path)).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{free} bytes are left on the disk, {kept} of which are kept for the log", path)


class Sink:
    """leto.interfaces.store.SnapshotSink over one file.

    A full disk ends only this snapshot: its file is removed and NoRoom raised; so does one that would be fuller than
    `floor` says: what is free beyond is the log's. Any other failure is handed to `failed`, which poisons the store.
    """

    def __init__(
        self,
        disk: Disk,
        path: str,
        file: File,
        header: SnapshotHeader,
        frames: int,
        complete: Callable[[str, SnapshotMeta], None],
        failed: Callable[[OSError, str], StorageError],
        floor: int = 0,
    ) -> None:
        self._disk = disk
        self._floor = floor
        self._path = path
        self._file = file
        self._header = header
        self._complete = complete
        self._failed = failed
        self._open = True
        try:
            self._writer = SnapshotWriter(file, header)
            if frames:
                self._writer.resume(frames)
        except OSError as error:
            raise self._give_up(error) from error
        self.offset = self._writer.size  # payload bytes taken: what a sender need not send again to this sink
        reach("snapshot.created")

    def write(self, data: bytes) -> None:
        self._check()
        announced = self._header.announced
        if self._header.origin == RECEIVED and self._writer.size + len(data) > announced:
            raise StorageError(f"{self._path}: more than the {announced} bytes that were announced")
        try:
            require_room(self._disk, self._path, self._floor + len(data), self._floor)
            synced = self._writer.write(data)
        except OSError as error:
            raise self._give_up(error) from error
        self.offset = self._writer.size
        reach("snapshot.written")
        if synced:
            reach("snapshot.partly-synced")

    def commit(self) -> None:
        """Also raises CorruptStorage if it does not read back as it was written."""
        self._check()
        if self._header.origin == RECEIVED and self._writer.size != self._header.announced:
            raise StorageError(
                f"{self._path}: {self._writer.size} bytes came of the {self._header.announced} that were announced"
            )
        try:
            self._writer.finish()
            reach("snapshot.completed")
            self._writer.sync()
            reach("snapshot.synced")
            self._file.forget_cache()
            SnapshotReader(self._file, self._header.cluster).verify()
            reach("snapshot.verified")
            self._open = False
            self._complete(self._path, self._header.meta)
        except OSError as error:
            raise self._give_up(error) from error
        except CorruptStorage:
            self._open = False
            raise self._failed(OSError(errno.EIO, "it does not read back as written", self._path), "verify") from None
        finally:
            if not self._open:
                self._file.close()

    def abort(self, keep_partial: bool = False) -> None:
        if not self._open:
            return
        self._open = False
        try:
            if keep_partial and self._header.origin == RECEIVED:
                self._writer.sync()
            else:
                self._disk.unlink(self._path)
        except OSError as error:
            raise self._failed(error, "give up the snapshot") from error
        finally:
            self._file.close()

    def _check(self) -> None:
        if not self._open:
            raise StorageError(f"{self._path}: this snapshot was committed or given up")

    def _give_up(self, error: OSError) -> StorageError:
        self._open = False
        try:
            if error.errno not in _NO_SPACE:
                return self._failed(error, "write the snapshot")
            try:
                if self._disk.exists(self._path):
                    self._disk.unlink(self._path)
            except OSError as another:
                return self._failed(another, "remove the snapshot that found no space:")
            return no_room(error)
        finally:
            self._file.close()


class Snapshots:
    """`newest` is the newest durable snapshot that is this node's. Raises OSError where not said otherwise."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        owner: Owner,
        token: Callable[[], int],
        failed: Callable[[OSError, str], StorageError],
        sync_log: Callable[[], None],
        min_free: Callable[[Space], int] = lambda space: 0,
    ) -> None:
        """`min_free`: bytes that are to stay free, of a disk with that space."""
        self._disk = disk
        self._min_free = min_free
        self._directory = directory
        self._owner = owner
        self._token = token
        self._failed = failed
        self._sync_log = sync_log
        self._change = threading.Lock()  # own snapshots are committed in another thread than received ones
        self.newest: SnapshotMeta | None = None
        self.origin = OWN  # of the newest
        self._failure: CorruptStorage | None = None
        self._damaged: list[str] = []

    def _path(self, meta: SnapshotMeta, suffix: str) -> str:
        return os.path.join(self._directory, stem_of(meta) + suffix)

    def _floor(self, size: int) -> int:
        """How much a snapshot that begins now, of about that size, must leave free. Where there is less than should be,
        it may be what gives the room back, and so may take some of it. Older ones go before it if they are in its way.
        """
        space = self._disk.space(self._directory)
        least = self._min_free(space)
        if least and space.free < least + size:
            with self._change:
                for _, name in self._stored()[1:]:
                    self._disk.unlink(os.path.join(self._directory, name))
            space = self._disk.space(self._directory)
        return least if space.free >= least else least // LOW_SHARE

    # taking and receiving ---------------------------------------------------------------------------

    def create(self, meta: SnapshotMeta) -> Sink:
        """Raises NothingToSnapshot where a later one is stored, StorageError."""
        check_meta(meta, 0)
        if self.newest is not None and meta.index < self.newest.index:
            raise NothingToSnapshot()
        header = SnapshotHeader(self._owner.cluster, meta, OWN, 0, self._token())
        path = self._path(meta, TEMPORARY)
        try:
            stored = self._stored()
            floor = self._floor(self._size(stored[0][1]) if stored else 0)
            if self._disk.exists(path):
                self._disk.unlink(path)
            file = self._disk.create(path)
        except OSError as error:
            raise self._refused(error, "create the snapshot") from error
        return Sink(self._disk, path, file, header, 0, self._taken, self._failed, floor)

    def _taken(self, path: str, meta: SnapshotMeta) -> None:
        self._sync_log()  # a snapshot of this node's own never reaches beyond its durable log
        with self._change:
            if self.newest is not None and self.newest.index > meta.index:
                self._disk.unlink(path)  # a received one overtook it
                return
            self._disk.rename(path, self._path(meta, SNAPSHOT))
            reach("snapshot.renamed")
            self._disk.sync_directory(self._directory)
            reach("snapshot.done")
            self.newest = meta
            self.origin = OWN
            self._remove_old()

    def receive(self, meta: SnapshotMeta, size: int, token: int) -> Sink:
        """Raises StorageError."""
        check_meta(meta, size)
        header = SnapshotHeader(self._owner.cluster, meta, RECEIVED, size, token)
        path = self._path(meta, PARTIAL)
        complete = self._path(meta, COMPLETE)
        try:
            self._remove([PARTIAL, COMPLETE], but=(path, complete))
            floor = self._floor(size)
            if self._disk.exists(complete):
                if self._disk.exists(path):
                    self._disk.unlink(path)
                self._disk.rename(complete, path)
            frames = 0
            if self._disk.exists(path):
                file = self._disk.open(path)
                frames = self._resumable(file, header)
                if not frames:
                    file.truncate(0)
            else:
                file = self._disk.create(path)
            held = file.size()
            if size > held:
                try:
                    require_room(self._disk, path, floor + size - held, floor)
                except OSError:
                    self._disk.unlink(path)
                    file.close()
                    raise
        except OSError as error:
            raise self._refused(error, "receive a snapshot into") from error
        return Sink(self._disk, path, file, header, frames, self._came, self._failed, floor)

    def _resumable(self, file: File, header: SnapshotHeader) -> int:
        try:
            found, start, seed = read_header(file, self._owner.cluster)
        except StorageError:
            return 0  # begin anew: nothing of it was promised
        return keep_whole_frames(file, found, start, seed) if found == header else 0

    def _came(self, path: str, meta: SnapshotMeta) -> None:
        self._disk.rename(path, self._path(meta, COMPLETE))
        reach("snapshot.renamed")
        self._disk.sync_directory(self._directory)
        reach("snapshot.done")

    def _refused(self, error: OSError, doing: str) -> StorageError:
        return no_room(error) if error.errno in _NO_SPACE else self._failed(error, doing)

    def received(self, meta: SnapshotMeta) -> None:
        """Raises StorageError unless that snapshot has come and waits to be installed."""
        path = self._path(meta, COMPLETE)
        if not self._disk.exists(path):
            raise StorageError(f"{path}: no such snapshot was received")
        file = self._disk.open(path)
        try:
            found = SnapshotReader(file, self._owner.cluster).meta
        finally:
            file.close()
        if found != meta:
            raise StorageError(f"{path}: the snapshot received is another one of that index")

    def install(self, meta: SnapshotMeta) -> None:
        """Make the received snapshot this node's."""
        with self._change:
            self._disk.rename(self._path(meta, COMPLETE), self._path(meta, SNAPSHOT))
            reach("install.renamed")
            self._disk.sync_directory(self._directory)
            self.newest = meta
            self.origin = RECEIVED
            self._remove_old()

    def _remove_old(self) -> None:
        stored = self._stored()
        for _, name in stored[KEPT:]:
            self._disk.unlink(os.path.join(self._directory, name))
        reach("snapshot.old-removed")

    def remove_useless(self, first_index: int) -> None:
        """Remove an older snapshot that is not worth its room: the log, which begins at `first_index`, does not lead on
        from it; or much was deleted since; or little room is left."""
        with self._change:
            (_, newest), *older = self._stored()
            space = self._disk.space(self._directory)
            is_low = space.free < self._min_free(space)
            for (index, _), name in older:
                if index + 1 < first_index or is_low or self._size(name) > SHRUNK * self._size(newest):
                    self._disk.unlink(os.path.join(self._directory, name))

    def _size(self, name: str) -> int:
        file = self._disk.open(os.path.join(self._directory, name), writable=False)
        try:
            return file.size()
        finally:
            file.close()

    def _stored(self) -> list[tuple[tuple[int, int], str]]:
        """((index, term), name), newest first."""
        found = [(at, name) for name in self._disk.names(self._directory) if (at := parse_name(name, SNAPSHOT))]
        return sorted(found, reverse=True)

    def _remove(self, suffixes: list[str], but: tuple[str, ...] = ()) -> list[str]:
        removed = []
        for name in self._disk.names(self._directory):
            path = os.path.join(self._directory, name)
            if path not in but and any(parse_name(name, suffix) for suffix in suffixes):
                self._disk.unlink(path)
                removed.append(path)
        return removed

    # reading ----------------------------------------------------------------------------------------

    def open(self) -> SnapshotReader | None:
        """The newest; may be called from any thread."""
        while (meta := self.newest) is not None:
            try:
                file = self._disk.open(self._path(meta, SNAPSHOT), writable=False)
            except FileNotFoundError:
                if self.newest is meta:
                    raise
                continue  # two newer ones have come meanwhile
            return SnapshotReader(file, self._owner.cluster)
        return None

    def recover(self, notes: list[str]) -> None:
        """Find the newest good snapshot. Raises CorruptStorage, ForeignDirectory."""
        for path in self._remove([TEMPORARY]):
            notes.append(f"removed {path}, an unfinished snapshot")
        for at, name in self._stored():
            path = os.path.join(self._directory, name)
            file = self._disk.open(path)
            try:
                reader = SnapshotReader(file, self._owner.cluster)
                if (reader.meta.index, reader.meta.term) != at:
                    raise CorruptStorage(f"{path}: holds the snapshot {stem_of(reader.meta)}: files were swapped")
                reader.verify()
                file.sync()
            except CorruptStorage as error:
                self._failure = self._failure or error
                self._damaged.append(path)
                continue
            finally:
                file.close()
            self.newest = reader.meta
            self.origin = reader.header.origin
            break
        if self._failure is not None and self.newest is None:
            raise self._failure
        self._remove_overtaken(notes)

    @property
    def failure(self) -> CorruptStorage | None:
        """Why a snapshot newer than `newest` cannot be used."""
        return self._failure

    def _remove_overtaken(self, notes: list[str]) -> None:
        newest = self.newest.index if self.newest is not None else 0
        for name in self._disk.names(self._directory):
            at = parse_name(name, PARTIAL) or parse_name(name, COMPLETE)
            if at is not None and at[0] <= newest:
                path = os.path.join(self._directory, name)
                self._disk.unlink(path)
                notes.append(f"removed {path}: a snapshot as new as that is installed")

    def set_aside_damaged(self, notes: list[str]) -> None:
        """Once an older snapshot and the log have proved to serve in their place."""
        for path in self._damaged:
            number = 1
            while self._disk.exists(f"{path}{DAMAGED}{number}"):
                number += 1
            self._disk.rename(path, f"{path}{DAMAGED}{number}")
            self._disk.sync_directory(self._directory)
            notes.append(f"{path} is damaged ({self._failure}): kept as {path}{DAMAGED}{number}, an older one serves")

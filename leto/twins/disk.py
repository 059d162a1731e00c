"""The memory twin of RealDisk: a disk that forgets what was not synced, and fails when told to.

A loss of power keeps of every unsynced write any of its 512-byte sectors, in any order, perhaps one of them torn;
of every unsynced change of names, any. That is what POSIX permits, and more than a journaling file system does.

A sync that fails follows Linux (mm/filemap.c, lib/errseq.c): what was dirty counts as clean from then on. It is read
as it was written while the page cache has it, and no later sync writes it: only writing it again does. Each open file
is told of the error once, by its next sync; one that is opened later, only if nobody was told yet.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from random import Random

from leto.storage.disk import File, Lock, Space

SECTOR = 512
_BOUNDLESS = 1 << 60
_Names = dict[str, "_Inode | None"]


class PowerLost(BaseException):
    """Raised by a simulated disk in place of an operation: the process is no more."""


class _Inode:
    __slots__ = ("content", "durable", "errors", "lost", "reported", "unsynced")

    def __init__(self) -> None:
        self.content = bytearray()
        self.durable = b""
        self.unsynced: list[tuple[int, bytes | None]] = []  # writes at an offset; None: truncate to the offset
        self.lost = False  # something of `content` counts as clean, and is not on the disk
        self.errors = 0  # how often writing back has failed
        self.reported = 0  # the last of them that some open file was told of

    def apply(self, offset: int, data: bytes | None) -> None:
        _apply(self.content, offset, data)
        self.unsynced.append((offset, data))

    def sync(self) -> None:
        if not self.unsynced:
            return
        if self.lost:
            self.durable = self._written_back()
            self.lost = self.durable != self.content
        else:
            self.durable = bytes(self.content)
        self.unsynced.clear()

    def fail(self) -> None:
        """Writing back fails: nothing that was dirty reaches the disk, and it is dirty no more."""
        self.errors += 1
        self.lost = self.lost or bool(self.unsynced)
        self.unsynced.clear()

    def drop_cache(self) -> None:
        """What is clean is read from the disk from now on."""
        if self.lost:
            self.content = bytearray(self._written_back())
            self.lost = False

    def _written_back(self) -> bytes:
        durable = bytearray(self.durable)
        for offset, data in self.unsynced:
            _apply(durable, offset, data)
        return bytes(durable)

    def lose_power(self, random: Random) -> None:
        content = bytearray(self.durable)
        keep = random.choice((0.0, 0.5, 0.9, 1.0))
        for offset, data in self.unsynced:
            if data is None:
                if random.random() < 0.5:
                    _apply(content, offset, None)
                continue
            at = 0
            while at < len(data):
                end = min(len(data), (offset + at) // SECTOR * SECTOR + SECTOR - offset)
                if random.random() < keep:
                    torn = random.random() < 0.05
                    _apply(content, offset + at, data[at : random.randint(at, end) if torn else end])
                at = end
        self.content = content
        self.durable = bytes(content)
        self.unsynced.clear()
        self.lost = False
        self.errors = self.reported = 0


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        if offset < len(content):
            del content[offset:]
        else:
            content.extend(bytes(offset - len(content)))
    elif data:
        if offset > len(content):
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data


class _Directory:
    __slots__ = ("changes", "durable", "names")

    def __init__(self) -> None:
        self.names: dict[str, _Inode] = {}
        self.durable: dict[str, _Inode] = {}
        self.changes: list[_Names] = []  # unsynced; each is kept or lost as a whole

    def change(self, change: _Names) -> None:
        _rename(self.names, change)
        self.changes.append(change)

    def sync(self) -> None:
        self.durable = dict(self.names)
        self.changes.clear()

    def lose_power(self, random: Random) -> None:
        names = dict(self.durable)
        keep = random.choice((0.0, 0.5, 1.0))
        for change in self.changes:
            if random.random() < keep:
                _rename(names, change)
        self.names = names
        self.sync()


def _rename(names: dict[str, _Inode], change: _Names) -> None:
    for name, inode in change.items():
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode


class SimulatedFile:
    """leto.storage.disk.File."""

    def __init__(self, disk: SimulatedDisk, path: str, inode: _Inode) -> None:
        self.path = path
        self._disk = disk
        self._inode = inode
        self._life = disk.life
        self._closed = False
        self._told = inode.reported  # the last error of writing back that this open file knows of

    def _check_open(self) -> None:
        if self._closed or self._life != self._disk.life:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self.path)

    def _operate(self, name: str) -> None:
        self._check_open()
        self._disk.operate(name, self.path)

    def write_at(self, offset: int, buffers: Sequence[bytes | memoryview]) -> None:
        data = b"".join(buffers)
        try:
            self._operate("write")
            room = self._disk.room_for(self._inode, offset + len(data))
        except PowerLost:
            self._inode.apply(offset, data)  # the kernel may have had it already
            raise
        if room < offset + len(data):
            self._inode.apply(offset, data[: max(0, room - offset)])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        self._inode.apply(offset, data)

    def read_at(self, offset: int, size: int) -> bytes:
        self._operate("read")
        return bytes(self._inode.content[offset : offset + size])

    def size(self) -> int:
        return len(self._inode.content)

    def truncate(self, size: int) -> None:
        self._operate("truncate")
        self._inode.apply(size, None)

    def sync(self) -> None:
        inode = self._inode
        self._check_open()
        try:
            self._disk.operate("sync", self.path)
        except OSError:
            inode.fail()
            self._told = inode.reported = inode.errors
            raise
        self._disk.synced += 1
        inode.sync()
        if inode.errors > self._told:
            self._told = inode.reported = inode.errors
            raise OSError(errno.EIO, os.strerror(errno.EIO), self.path)

    def forget_cache(self) -> None:
        """Nothing is cached."""

    def close(self) -> None:
        self._closed = True


class _SimulatedLock:
    def __init__(self, disk: SimulatedDisk, path: str) -> None:
        self._disk = disk
        self._path = path

    def release(self) -> None:
        self._disk.locks.discard(self._path)


class SimulatedDisk:
    """leto.storage.disk.Disk. One belongs to one simulated machine and survives its losses of power.

    `before(operation, path)` is called ahead of every operation and may raise OSError (the operation fails) or
    PowerLost; operations are counted in `operations`. `capacity`: bytes in all files together, None for no bound.
    """

    def __init__(self) -> None:
        self.before: Callable[[str, str], None] | None = None
        self.operations = 0
        self.capacity: int | None = None
        self.synced = 0  # grows whenever what is durable may have changed
        self.life = 0  # grows with every loss of power: open files of an earlier life are dead
        self.locks: set[str] = set()
        self._directories: dict[str, _Directory] = {"/": _Directory()}

    def lose_power(self, random: Random) -> None:
        """All processes end; what was not synced is kept in part, or not."""
        self.life += 1
        self.synced += 1
        self.locks.clear()
        for directory in self._directories.values():
            for inode in {id(i): i for names in (directory.names, directory.durable) for i in names.values()}.values():
                inode.lose_power(random)
            directory.lose_power(random)

    def flip(self, path: str, offset: int, bit: int) -> None:
        """A bit rots, in the file and in what is durable of it."""
        inode = self._inode(path)
        inode.content[offset] ^= 1 << bit
        if offset < len(inode.durable):
            durable = bytearray(inode.durable)
            durable[offset] = inode.content[offset]
            inode.durable = bytes(durable)
        self.synced += 1

    def fail_to_write_back(self, path: str) -> None:
        """The kernel, at a time of its own, could not write what is dirty of that file: the next sync tells."""
        self._inode(path).fail()

    def drop_caches(self) -> None:
        """The page cache lets go of what is clean, as it may at any time."""
        for directory in self._directories.values():
            for inode in directory.names.values():
                inode.drop_cache()

    def operate(self, name: str, path: str) -> None:
        self.operations += 1
        if self.before is not None:
            self.before(name, path)

    def room_for(self, inode: _Inode, size: int) -> int:
        """How large that file may become on the way to `size`."""
        if self.capacity is None:
            return size
        others = sum(
            len(other.content)
            for directory in self._directories.values()
            for other in directory.names.values()
            if other is not inode
        )
        return max(len(inode.content), min(size, self.capacity - others))

    def files(self) -> dict[str, bytes]:
        """Every file's bytes by path, as a running system sees them; b"" by `path/` for a directory."""
        found = {f"{path}/": b"" for path in self._directories if path != "/"}
        for path, directory in self._directories.items():
            found.update((os.path.join(path, name), bytes(inode.content)) for name, inode in directory.names.items())
        return found

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> SimulatedDisk:
        """A disk that holds these files, durably."""
        disk = cls()
        for path, data in files.items():
            disk.make_directory(os.path.dirname(path))
            if path.endswith("/"):
                continue
            directory, name = disk._split(path)
            inode = directory.names[name] = _Inode()
            inode.content = bytearray(data)
            inode.durable = bytes(data)
        for directory in disk._directories.values():
            directory.sync()
        disk.operations = 0
        return disk

    def _split(self, path: str) -> tuple[_Directory, str]:
        parent, name = os.path.split(path)
        directory = self._directories.get(parent)
        if directory is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return directory, name

    def _inode(self, path: str) -> _Inode:
        directory, name = self._split(path)
        inode = directory.names.get(name)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return inode

    def make_directory(self, path: str) -> None:
        if path in self._directories:
            return
        self.operate("mkdir", path)
        self.make_directory(os.path.dirname(path))
        self.synced += 1
        self._directories[path] = _Directory()

    def names(self, path: str) -> list[str]:
        self.operate("list", path)
        directory = self._directories.get(path)
        return sorted(directory.names) if directory is not None else []

    def exists(self, path: str) -> bool:
        self.operate("look", path)
        parent, name = os.path.split(path)
        directory = self._directories.get(parent)
        return path in self._directories or (directory is not None and name in directory.names)

    def create(self, path: str) -> File:
        self.operate("create", path)
        directory, name = self._split(path)
        if name in directory.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        inode = _Inode()
        directory.change({name: inode})
        return SimulatedFile(self, path, inode)

    def open(self, path: str, *, writable: bool = True) -> File:
        self.operate("open", path)
        return SimulatedFile(self, path, self._inode(path))

    def rename(self, old: str, new: str) -> None:
        self.operate("rename", new)
        inode = self._inode(old)
        directory, old_name = self._split(old)
        target, new_name = self._split(new)
        if directory is not target:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), new)
        directory.change({old_name: None, new_name: inode})

    def unlink(self, path: str) -> None:
        self.operate("unlink", path)
        self._inode(path)
        directory, name = self._split(path)
        directory.change({name: None})

    def sync_directory(self, path: str) -> None:
        self.operate("sync-directory", path)
        self.synced += 1
        self._directories[path].sync()

    def space(self, path: str) -> Space:
        if self.capacity is None:
            return Space(_BOUNDLESS, _BOUNDLESS)
        used = sum(len(inode.content) for names in self._directories.values() for inode in names.names.values())
        return Space(max(0, self.capacity - used), self.capacity)

    def lock(self, path: str) -> Lock:
        self.operate("lock", path)
        directory, name = self._split(path)
        if path in self.locks:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), path)
        if name not in directory.names:
            directory.change({name: _Inode()})
        self.locks.add(path)
        return _SimulatedLock(self, path)

"""The few operations on files that storage is made of: an interface, and its implementation by the operating system.

`leto.twins.disk` is the twin that forgets what was not synced. Every operation raises OSError with the
path in `filename`; nothing here retries, and nothing is durable before `File.sync` (or `sync_directory`, for the
names in a directory) has returned.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from leto.errors import StorageError

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_BUFFERS = 512  # a vectored write takes at most IOV_MAX (1024 on Linux)
_NOT_REGULAR = "not a regular file"

_sync_data = getattr(os, "fdatasync", os.fsync)


class File(Protocol):
    """An open regular file. Its descriptor lives as long as somebody holds the object."""

    path: str

    def write_at(self, offset: int, buffers: Sequence[bytes | memoryview]) -> None:
        """Write all the buffers, one after another, from `offset`."""

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; fewer only at the end of the file."""

    def size(self) -> int: ...

    def truncate(self, size: int) -> None: ...

    def sync(self) -> None:
        """Make content and size durable (fdatasync)."""

    def forget_cache(self) -> None:
        """Let the next reads come from the medium where the system can do that, and only what each asks for: what it
        reads ahead of them keeps the log's flushes waiting for 10 ms and more. Only a hint."""

    def close(self) -> None: ...


class Space(NamedTuple):
    """Bytes of a file system."""

    free: int  # that this process may still write
    total: int


class Lock(Protocol):
    def release(self) -> None: ...


class Disk(Protocol):
    def make_directory(self, path: str) -> None:
        """Create a private directory and its parents; one that exists is fine."""

    def names(self, path: str) -> list[str]:
        """What a directory holds, sorted; [] if it does not exist."""

    def exists(self, path: str) -> bool:
        """Whether anything has that name (a dangling symlink too)."""

    def create(self, path: str) -> File:
        """A new, empty, private file; the name must be free."""

    def open(self, path: str, *, writable: bool = True) -> File:
        """An existing regular file; never follows a symlink, never waits on a pipe."""

    def rename(self, old: str, new: str) -> None: ...

    def unlink(self, path: str) -> None: ...

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""

    def space(self, path: str) -> Space:
        """Of the file system on which that directory is."""

    def lock(self, path: str) -> Lock:
        """Hold `path` until released or the last process that inherited it ends. Raises BlockingIOError."""


def describe(error: OSError, doing: str) -> StorageError:
    """The StorageError for an OSError: what was being done, to which file, in the system's words."""
    words = error.strerror or str(error)
    where = f" {error.filename}" if error.filename else ""
    advice = _ADVICE.get(error.errno or 0, "")
    return StorageError(f"cannot {doing}{where}: {words}{advice}")


_ADVICE = {
    errno.EACCES: "; the data directory must belong to the user that runs Leto",
    errno.EPERM: "; the data directory must belong to the user that runs Leto",
    errno.EROFS: "; Leto must be able to write in its data directory",
    errno.ENOSPC: "; make space, then start again: nothing acknowledged is lost",
    errno.EDQUOT: "; raise the quota, then start again: nothing acknowledged is lost",
    errno.EFBIG: "; raise the limit on file sizes, then start again: nothing acknowledged is lost",
    errno.EIO: "; the disk failed: check it before starting again",
    errno.ELOOP: "; it is a symbolic link, where Leto keeps a regular file of its own: put the file back",
    errno.EISDIR: "; it is a directory, where Leto keeps a regular file of its own: move it away",
    errno.ENOTDIR: "; it is no directory: move it away, or name another directory",
}


class RealFile:
    __slots__ = ("_fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def write_at(self, offset: int, buffers: Sequence[bytes | memoryview]) -> None:
        try:
            for start in range(0, len(buffers), _BUFFERS):
                part = buffers[start : start + _BUFFERS]
                size = sum(map(len, part))
                written = os.pwritev(self._fd, part, offset)
                if written != size:
                    self._write_rest(offset + written, memoryview(b"".join(part))[written:])
                offset += size
        except OSError as error:
            error.filename = self.path
            raise

    def _write_rest(self, offset: int, rest: memoryview) -> None:
        while rest:  # a short write: the next one says why, or goes on
            written = os.pwrite(self._fd, rest, offset)
            if not written:
                raise OSError(errno.EIO, "the system wrote nothing and gave no reason")
            offset += written
            rest = rest[written:]

    def read_at(self, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._fd, size, offset)
            if len(data) == size or not data:
                return data
            parts = [data]
            got = len(data)
            while got < size:
                data = os.pread(self._fd, size - got, offset + got)
                if not data:
                    break
                parts.append(data)
                got += len(data)
        except OSError as error:
            error.filename = self.path
            raise
        return b"".join(parts)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            error.filename = self.path
            raise

    def sync(self) -> None:
        try:
            if self._fd < 0:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            _sync_data(self._fd)
        except OSError as error:
            error.filename = self.path
            raise

    def forget_cache(self) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_RANDOM)

    def close(self) -> None:
        fd, self._fd = self._fd, -1  # the number may soon be another file's
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        # when the last holder lets go, never under a reader's feet: a dropped segment is not closed by its dropper
        self.close()


class RealLock:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RealDisk:
    """The operating system's files."""

    def make_directory(self, path: str) -> None:
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        if parent and not os.path.isdir(parent):
            self.make_directory(parent)
        try:
            os.mkdir(path, DIRECTORY_MODE)
        except FileExistsError:
            if not os.path.isdir(path):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
        self.sync_directory(parent or ".")

    def names(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def create(self, path: str) -> File:
        return RealFile(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))

    def open(self, path: str, *, writable: bool = True) -> File:
        fd = self._open(path, os.O_RDWR if writable else os.O_RDONLY)
        return RealFile(path, fd)

    def _open(self, path: str, flags: int) -> int:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, FILE_MODE)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, _NOT_REGULAR, path)
        return fd

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            error.filename = path
            raise
        finally:
            os.close(fd)

    def space(self, path: str) -> Space:
        found = os.statvfs(path)
        return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)

    def lock(self, path: str) -> Lock:
        # flock, not fcntl locks: it belongs to the open file, so a daemon's fork keeps it and the parent's end
        # does not lose it; and a second open in the same process is refused too.
        fd = self._open(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return RealLock(fd)

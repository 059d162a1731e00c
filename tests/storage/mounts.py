"""File systems of a test's own, where root may mount some."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _runs(*command: object) -> bool:
    """Whether it is there and succeeds."""
    if shutil.which(str(command[0])) is None:
        return False
    return subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode == 0


def _run(*command: object) -> str:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


@contextmanager
def tiny_disk(path: Path, size: str) -> Iterator[bool]:
    """A file system of its own at `path`; False where none may be mounted."""
    path.mkdir(parents=True)
    options = f"size={size},mode=0700"
    if os.getuid() != 0 or not _runs("mount", "-t", "tmpfs", "-o", options, "leto-test", path):
        yield False
        return
    try:
        yield True
    finally:
        _run("umount", path)


class LossyDisk:
    """An ext4 on a loop device whose backing has no room: what is written to blocks that it does not have is lost, and
    the kernel reports it with the next sync."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "mounted"
        self._backing = directory / "backing"
        self._image = self._backing / "image"
        self._ballast = self._backing / "ballast"

    def lose_blocks_of(self, file: Path) -> None:
        """The medium forgets that file's blocks, and can take none until mend()."""
        os.sync()
        for line in _run("filefrag", "-v", "-b4096", file).splitlines():
            fields = line.replace(":", " ").replace("..", " ").split()
            if len(fields) >= 6 and fields[0].isdigit():
                start, end = int(fields[3]), int(fields[4])
                area = ("--offset", start * 4096, "--length", (end - start + 1) * 4096)
                _run("fallocate", "--punch-hole", *area, self._image)
        with self._ballast.open("wb", 0) as ballast:
            try:
                while True:
                    ballast.write(bytes([120]) * 4096)
            except OSError:
                return

    def mend(self) -> None:
        self._ballast.unlink()

    def forget_cache(self) -> None:
        """As a loss of power does, but that what is dirty is written."""
        _run("umount", self.path)
        _run("mount", "-o", "loop", self._image, self.path)


@contextmanager
def lossy_disk(directory: Path) -> Iterator[LossyDisk | None]:
    """None where none may be mounted."""
    disk = LossyDisk(directory)
    disk.path.mkdir(parents=True)
    with tiny_disk(disk._backing, "24m") as may_mount:
        if may_mount:
            with disk._image.open("wb") as image:
                image.truncate(64 << 20)
        made = may_mount and _runs(
            *("mkfs.ext4", "-q", "-b", 4096, "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
            disk._image,
        )
        if not made or not _runs("mount", "-o", "loop", disk._image, disk.path) or shutil.which("filefrag") is None:
            yield None
            return
        try:
            yield disk
        finally:
            _run("umount", disk.path)

"""Wall clocks that are wrong: each node's own, by libfaketime, set while it runs. Monotonic clocks stay right."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

PLACES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",  # Debian, multi-arch
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)
SHARED = ("faketime_shm_{}", "sem.faketime_sem_{}")  # what the library leaves in /dev/shm, by process


def library() -> str:
    """The path of libfaketime's library for programs with threads, "" where it is not installed."""
    for pattern in PLACES:
        for path in sorted(Path("/").glob(pattern.lstrip("/"))):
            return str(path)
    return ""


class Clock:
    """One node's wall clock: the machine's, and so many seconds more."""

    def __init__(self, path: Path, preload: str) -> None:
        self._path = path
        self._preload = preload
        self.offset = 0.0
        self.set(0.0)

    def set(self, offset: float) -> None:
        """A process that runs sees it within a second."""
        self.offset = offset
        fresh = self._path.with_suffix(".new")
        fresh.write_text(f"{offset:+.3f}\n")
        os.replace(fresh, self._path)

    def environment(self) -> dict[str, str]:
        """The environment variables that put a process on this clock."""
        return {
            "LD_PRELOAD": self._preload,
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    @staticmethod
    def forget(pid: int) -> None:
        """Remove what the library left of a process that has ended."""
        for name in SHARED:
            Path("/dev/shm", name.format(pid)).unlink(missing_ok=True)


class Offsets:
    """How far the nodes' clocks can be from one another and from the machine's, by all that was ever set."""

    def __init__(self) -> None:
        self._lowest = self._highest = 0.0
        self._began = time.time() - time.monotonic()

    def add(self, offsets: Iterable[float]) -> None:
        for offset in offsets:
            self._lowest = min(self._lowest, offset)
            self._highest = max(self._highest, offset)

    @property
    def are_alike(self) -> bool:
        return self._lowest == self._highest

    @property
    def spread(self) -> float:
        """Seconds, with what the machine's own wall clock was corrected by since this began."""
        return self._highest - self._lowest + abs(time.time() - time.monotonic() - self._began)

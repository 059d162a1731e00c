"""How long a thread was ready to run and had no core: what took long for that reason tells nothing of a disk."""

from __future__ import annotations

import os
import threading


class _Schedstat(threading.local):
    """The thread's own file of the kernel's scheduler (its sched-stats.rst tells the format); -1 where it has none."""

    def __init__(self) -> None:
        try:
            self.descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.descriptor = -1

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


_schedstat: _Schedstat | None = None


def seconds_without_a_core() -> float:
    """Of the calling thread, since it began; 0.0 where the kernel does not tell.

    The file is opened at the first call: a daemon's fork would have another thread's.
    """
    global _schedstat
    if _schedstat is None:
        _schedstat = _Schedstat()
    if _schedstat.descriptor < 0:
        return 0.0
    return int(os.pread(_schedstat.descriptor, 64, 0).split()[1]) / 1e9

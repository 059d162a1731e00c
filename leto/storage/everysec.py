"""The `everysec` policy: data is synced at most one second after it was written.

A thread of its own, as Redis has it, so that the last writes before a silence are synced too. It starts with the
first write, after a daemon's fork. Without a thread (tests with a simulated clock), the writer syncs when a second
has passed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

SECOND = 1.0


class EverySecond:
    def __init__(self, sync: Callable[[], None], clock: Callable[[], float], background: bool) -> None:
        self._sync = sync
        self._clock = clock
        self._background = background
        self._last = clock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def written(self) -> None:
        """Something was written that is not durable."""
        if not self._background:
            now = self._clock()
            if now - self._last >= SECOND:
                self._last = now
                self._sync()
        elif self._thread is None:
            self._thread = threading.Thread(target=self._run, name="leto-everysec", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(SECOND):
            self._sync()

    def stop(self) -> None:
        """The thread is gone once this returns."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

"""What the process does with signals: TERM and INT stop in order, a second one at once; HUP reopens the log."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


def last_words(message: str) -> None:
    """One line on stderr before the process ends. It ends all the same when nobody reads there any more, or the disk
    that stderr goes to is full."""
    with contextlib.suppress(OSError):
        os.write(2, f"leto: {message}\n".encode("utf-8", "backslashreplace"))


class Signals:
    """Installed once the reactor runs, in place of Twisted's own handlers."""

    def __init__(
        self,
        reactor: Any,
        stop: Callable[[], None],
        reopen: Callable[[], None],
        exit: Callable[[int], Any] = os._exit,
    ) -> None:
        self._reactor = reactor
        self._stop = stop
        self._reopen = reopen
        self._exit = exit
        self._asked = False

    def install(self) -> None:
        """Take TERM, INT and HUP over."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._terminated)
        signal.signal(signal.SIGHUP, self._hung_up)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            last_words("asked twice to stop: stopping at once")
            self._exit(128 + number)
        self._asked = True
        self._reactor.callFromThread(self._stop)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._reopen)

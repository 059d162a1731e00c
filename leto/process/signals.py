"""What the process does with signals: TERM and INT stop in order, a second one at once; HUP and USR1 reopen the log.

Imports nothing of weight: the process takes its signals before it loads anything else. As the first process of a
container it would else not hear them at all, and a TERM that came early would be lost.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from leto.process import journal


def last_words(message: str) -> None:
    """One line on stderr before the process ends. It ends all the same when nobody reads there any more, or the disk
    that stderr goes to is full."""
    line = f"leto: {message}\n"
    if journal.reads(2):
        line = journal.prefixed(line, "error")
    with contextlib.suppress(OSError):
        os.write(2, line.encode("utf-8", "backslashreplace"))


def hold_standard_descriptors() -> None:
    """Open /dev/null where the caller left stdin, stdout or stderr closed: else the next file or connection would have
    that number, and be written to by whatever speaks to stderr."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115


def take_signals_early(ignored: Iterable[signal.Signals] = (signal.SIGHUP, signal.SIGUSR1)) -> None:
    """Until Signals.install(): TERM and INT end the process, which serves nobody yet; there is no log to reopen."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_the_start)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


def _end_the_start(number: int, frame: FrameType | None) -> None:
    last_words(f"received {signal.Signals(number).name} while starting: stopping")
    os._exit(0)


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
        """Take TERM, INT, HUP and USR1 over; twistd's own log is rotated by USR1, and stays so."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._terminated)
        signal.signal(signal.SIGHUP, self._hung_up)
        if signal.getsignal(signal.SIGUSR1) in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(signal.SIGUSR1, self._hung_up)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            last_words("asked twice to stop: stopping at once")
            self._exit(128 + number)
        self._asked = True
        self._reactor.callFromThread(self._stop)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._reopen)

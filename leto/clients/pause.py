"""CLIENT PAUSE: commands of all clients, or their writes alone, are held back for a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

LONGEST_SECONDS: Final = 2_000_000.0  # 23 days: what a poll's timeout can hold


class Pause:
    """`over` is called when it ends, to go on with what was held back."""

    def __init__(self, reactor: Any, over: Callable[[], None]) -> None:
        self._reactor = reactor
        self._over = over
        self._holds_all = False
        self._timer: Any = None
        self.is_on = False

    def holds(self, is_write: bool) -> bool:
        """Whether a command must wait for its end."""
        return self.is_on and (self._holds_all or is_write)

    def begin(self, seconds: float, holds_all: bool) -> None:
        """Hold back all commands, or writes only. As in Redis one never makes a running one shorter or weaker."""
        timer = self._timer
        if timer is not None:
            seconds = max(seconds, timer.getTime() - self._reactor.seconds())
            holds_all = holds_all or self._holds_all
            timer.cancel()
        self.is_on = True
        self._holds_all = holds_all
        self._timer = self._reactor.callLater(min(seconds, LONGEST_SECONDS), self._ended)

    def end(self) -> None:
        """Now, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
            self._ended()

    def close(self) -> None:
        """The node stops: no timer stays behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.is_on = False

    def _ended(self) -> None:
        self.is_on = False
        self._timer = None
        self._over()

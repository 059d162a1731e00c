"""A timer whose deadline moves often and which fires seldom: moving it later costs a comparison, no callLater."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


class LazyTimer:
    """Calls `expired` at or before each deadline it was told to expect; `expired` says what to expect next.

    A deadline moved later leaves the delayed call where it is: it fires early, finds nothing due, and is armed
    again. So a heartbeat that puts off an election does no work here.
    """

    def __init__(self, clock: Any, expired: Callable[[], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._call: Any = None
        self.at = math.inf  # when it fires, seconds on the clock: an earlier deadline alone is worth an expect()

    def expect(self, deadline: float) -> None:
        """Fire by `deadline` (seconds on the clock; infinity: no need to)."""
        if self.at <= deadline:
            return
        if self._call is not None:
            self._call.cancel()
        self.at = deadline
        self._call = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), self._fire)

    def cancel(self) -> None:
        """Never fire again, until the next expect()."""
        if self._call is not None:
            self._call.cancel()
        self._call = None
        self.at = math.inf

    def _fire(self) -> None:
        self._call = None
        self.at = math.inf
        self._expired()

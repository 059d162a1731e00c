"""How long those whose leader was lost wait to hear what became of their requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from leto.replica.timers import LazyTimer


class Fate:
    """What was asked of the leader of a term is decided, or given up, within `timeout` seconds of that leader's loss.

    Each term has a deadline of its own: neither leading again nor losing that too puts off those that stand already.
    """

    def __init__(self, clock: Any, timeout: float, give_up: Callable[[int], None]) -> None:
        """`give_up(term)`: nobody waits any longer for what was asked in that term, or before it."""
        self._clock = clock
        self._timeout = timeout
        self._give_up = give_up
        self._lost: deque[tuple[float, int]] = deque()  # (deadline, term), both ascending
        self._timer = LazyTimer(clock, self._overdue)

    def lost(self, term: int) -> None:
        """The leader of `term`, this node or another, leads no more as far as this node knows."""
        deadline = self._clock.seconds() + self._timeout
        self._lost.append((deadline, term))
        self._timer.expect(deadline)

    def cancel(self) -> None:
        """Watch over nothing any more."""
        self._lost.clear()
        self._timer.cancel()

    def _overdue(self) -> None:
        lost, now = self._lost, self._clock.seconds()
        while lost and lost[0][0] <= now:
            self._give_up(lost.popleft()[1])
        if lost:
            self._timer.expect(lost[0][0])

"""Evaluating reads in slices, so that peers, timers and other clients have their turn however many reads are due."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from leto.reactor.stalls import SHORT, StallMeter

SLICE_SECONDS = 0.008


class Waiter(Protocol):
    """A client whose reads wait, or what else is done by the slice."""

    def proceed(self) -> None: ...


class Turns:
    """Counts the time that all clients' reads take. Once a slice is over, clients wait() for the next one, which comes
    when the reactor has seen to everything else."""

    def __init__(self, reactor: Any, meter: StallMeter) -> None:
        self._reactor = reactor
        self._meter = meter
        self.taken = 0.0  # seconds of the slice under way
        self.is_over = False  # nothing more is to be evaluated in this turn
        self.is_held = False  # nor in later ones
        self._waiting: deque[Waiter] = deque()
        self._call: Any = None

    def spent(self, seconds: float) -> None:
        """So long an evaluation took."""
        self.taken += seconds
        if seconds > SHORT:
            self._meter.spent("command", seconds)
        if self.taken > SLICE_SECONDS:
            self.is_over = True
            if self._call is None:
                self._call = self._reactor.callLater(0, self._next)

    def hold(self, is_held: bool) -> None:
        """Nothing is evaluated while the keyspace is half-way through an entry."""
        self.is_held = is_held
        if is_held:
            self.is_over = True
        elif self._call is None:
            self._call = self._reactor.callLater(0, self._next)

    def wait(self, client: Waiter) -> None:
        """Its proceed() is called in the next slice."""
        self._waiting.append(client)
        if self._call is None:
            self._call = self._reactor.callLater(0, self._next)

    def close(self) -> None:
        """No timer stays behind."""
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _next(self) -> None:
        self._call = None
        self.taken = 0.0
        if self.is_held:
            return
        self.is_over = False
        waiting, self._waiting = self._waiting, deque()
        while waiting and not self.is_over:
            waiting.popleft().proceed()
        self._waiting.extendleft(reversed(waiting))

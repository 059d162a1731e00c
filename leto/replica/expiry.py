"""Active expiry goes through the log: the leader proposes the deletions, every node decides them by the log's time."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from leto.errors import LetoError
from leto.interfaces.machine import StateMachine
from leto.reactor.stalls import StallMeter
from leto.replica.timers import LazyTimer

LOOK_SECONDS = 0.1  # how often the leader looks for expired keys
KEYS_AT_ONCE = 100  # how many it deletes by one command: a millisecond or two of every node, whatever else is due


class Writer(Protocol):
    """By whom the deletions are appended (leto.replica.replica.Replica)."""

    @property
    def takes_writes(self) -> bool: ...

    def read_local(self) -> int:
        """The cluster's clock as this node knows it, milliseconds since the epoch."""

    def write(self, payload: bytes, count: int) -> Deferred[list[Any]]: ...


class Expiry:
    """One deletion in flight; the next one is proposed as soon as it is applied."""

    def __init__(self, clock: Any, machine: StateMachine, meter: StallMeter, writer: Writer) -> None:
        self._clock = clock
        self._machine = machine
        self._meter = meter
        self._writer = writer
        self._timer = LazyTimer(clock, self._look)
        self._in_flight = False

    def start(self) -> None:
        """Begin to look."""
        self._timer.expect(self._clock.seconds() + LOOK_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        self._timer.expect(self._clock.seconds() + LOOK_SECONDS)
        writer = self._writer
        if self._in_flight or not writer.takes_writes:
            return
        began = self._clock.seconds()
        command = self._machine.expired(writer.read_local(), KEYS_AT_ONCE)
        self._meter.spent("expire-cycle", self._clock.seconds() - began)
        if command is not None:
            self._in_flight = True
            writer.write(command, 1).addBoth(self._done)

    def _done(self, result: Any) -> None:
        self._in_flight = False
        if isinstance(result, Failure):
            result.trap(LetoError)  # refused, or its fate unknown: this leader or the next looks again
        else:
            self._timer.expect(self._clock.seconds())

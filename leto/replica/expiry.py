"""Active expiry goes through the log: the leader proposes the deletions, every node decides them by the log's time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from leto.errors import LetoError
from leto.replica.timers import LazyTimer

if TYPE_CHECKING:
    from leto.replica.replica import Replica

LOOK_SECONDS = 0.1  # how often the leader looks for expired keys
KEYS_AT_ONCE = 100  # how many it deletes by one command: a millisecond or two of every node, whatever else is due


class Expiry:
    """One deletion in flight; the next one is proposed as soon as it is applied."""

    def __init__(self, clock: Any, replica: Replica) -> None:
        self._clock = clock
        self._replica = replica
        self._timer = LazyTimer(clock, self._look)
        self._in_flight = False

    def start(self) -> None:
        self._timer.expect(self._clock.seconds() + LOOK_SECONDS)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        self._timer.expect(self._clock.seconds() + LOOK_SECONDS)
        replica = self._replica
        if self._in_flight or not replica.takes_writes:
            return
        began = self._clock.seconds()
        command = replica.machine.expired(replica.read_local(), KEYS_AT_ONCE)
        replica.meter.spent("expire-cycle", self._clock.seconds() - began)
        if command is not None:
            self._in_flight = True
            replica.write(command, 1).addBoth(self._done)

    def _done(self, result: Any) -> None:
        self._in_flight = False
        if isinstance(result, Failure):
            result.trap(LetoError)  # refused, or its fate unknown: this leader or the next looks again
        else:
            self._timer.expect(self._clock.seconds())

"""Puts a reactor's timers on the monotonic clock.

Twisted's own clock is the wall clock: a jump of an hour would fire every timer at once, or stall them all for an
hour. Elections, heartbeats and leases must not see such a jump.
"""

from __future__ import annotations

import time
from typing import Any


def use_monotonic_clock(reactor: Any) -> None:
    """Let `callLater` and all that is built on it count by time.monotonic.

    ReactorBase asks `self.seconds` when it makes a delayed call and when it looks for due ones, so it can be
    replaced on the instance, as long as nothing is scheduled by the old clock. Raises RuntimeError otherwise.
    """
    if reactor.seconds is time.monotonic:
        return
    scheduled = reactor.getDelayedCalls()
    if scheduled:
        raise RuntimeError(f"the reactor's clock cannot change: {scheduled[0]} is scheduled already")
    reactor.seconds = time.monotonic

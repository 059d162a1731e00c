"""How late the reactor runs: the time that any event, a heartbeat included, waits behind other work."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

INTERVAL = 0.25  # seconds between two looks
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds; the last bucket is open


class ReactorLateness:
    """Measures, every `interval` seconds, how much later than asked the reactor calls back."""

    def __init__(self, reactor: Any, interval: float = INTERVAL) -> None:
        self._reactor = reactor
        self._interval = interval
        self._call: Any = None
        self._due = 0.0
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0  # seconds

    def start(self) -> None:
        """Begin to look; once started, more starts change nothing."""
        if self._call is None:
            self._schedule()

    def stop(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self) -> None:
        self._due = self._reactor.seconds() + self._interval
        self._call = self._reactor.callLater(self._interval, self._look)

    def _look(self) -> None:
        late = max(0.0, self._reactor.seconds() - self._due)
        self.counts[bisect_left(BOUNDS, late)] += 1
        self.total += late
        self._schedule()

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative histogram buckets as Prometheus wants them: (upper bound, count), the last bound "+Inf"."""
        running = 0
        result: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            running += count
            result.append((bound, float(running)))
        return result

"""Latency at a fixed rate, free of coordinated omission: requests fall due by an absolute timetable, whether or not the
server has answered earlier ones, and each one's latency counts from the instant at which it was due.
"""

from __future__ import annotations

import math
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from leto.bench.histogram import Histogram
from leto.bench.loop import STALL_SECONDS, Loop, pipelines, preload
from leto.bench.servers import Target, settle
from leto.bench.statistics import median
from leto.bench.workloads import BenchError, Workload

WORKLOADS = (Workload("SET, 50 clients", 50, 1, 100), Workload("GET, 50 clients", 50, 1, 0))
SHARES = (0.5, 0.8)  # of the capacity measured just before
PERCENTS = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}
LATE_SECONDS = 0.001
MOST_LATE = 0.01  # share of requests that the generator may send late without a mark
MOST_BUSY = 0.95  # of a core: a generator that takes more was the limit itself
PILOT_REQUESTS = 2_000
KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Timetable:
    """`count` requests, `rate` a second, evenly: seconds since the start."""

    rate: float
    count: int

    def at(self, number: int) -> float:
        """When request `number` (from 0) is due."""
        return number / self.rate

    def due(self, now: float) -> int:
        """How many are due at `now`: those with at(number) <= now."""
        if now < 0:
            return 0
        found = min(self.count, math.floor(now * self.rate) + 1)
        while found < self.count and self.at(found) <= now:  # now * rate was rounded down
            found += 1
        while found and self.at(found - 1) > now:
            found -= 1
        return found


@dataclass(slots=True)
class Paced:
    """One run by timetable. `late`: requests sent more than LATE_SECONDS after they could be, a client being free;
    `busy`: the share of a core that the generator took.
    """

    latencies: Histogram  # milliseconds
    requests: int
    seconds: float
    late: int
    busy: float


class OpenLoop(Loop):
    """A due request takes a client that is free, or the next one to become so: the wait for it counts."""

    def paced(self, timetable: Timetable) -> Paced:
        """Raises BenchError."""
        latencies = Histogram()
        free = deque(self._clients.values())
        freed = dict.fromkeys(self._clients, 0.0)
        scheduled = dict.fromkeys(self._clients, 0.0)
        for fd in self._clients:
            self._poll.register(fd, select.EPOLLIN)
        sent = answered = late = 0
        used = time.thread_time()
        start = time.perf_counter()
        while answered < timetable.count:
            now = time.perf_counter() - start
            due = timetable.due(now)
            while sent < due and free:
                client = free.popleft()
                fd = client.socket.fileno()
                scheduled[fd] = timetable.at(sent)
                self._send(fd, client)
                late += client.sent_at - start - max(scheduled[fd], freed[fd]) > LATE_SECONDS
                sent += 1
            wait = STALL_SECONDS
            if sent < timetable.count and free:
                wait = max(0.0, timetable.at(sent) - (time.perf_counter() - start))
            # epoll's own timeout counts whole milliseconds; select's, microseconds.
            select.select([self._poll], [], [], wait)
            events = self._poll.poll(0)
            if not events and wait == STALL_SECONDS:
                raise BenchError(f"{self._address} has not answered for {STALL_SECONDS:g} s")
            for fd, event in events:
                client = self._clients[fd]
                if event & select.EPOLLOUT:
                    self._flush(fd, client)
                if event & ~select.EPOLLOUT and self._receive(client):
                    freed[fd] = time.perf_counter() - start
                    latencies.add((freed[fd] - scheduled[fd]) * 1000)
                    free.append(client)
                    answered += 1
        seconds = time.perf_counter() - start
        busy = (time.thread_time() - used) / seconds
        for fd in self._clients:
            self._poll.unregister(fd)
        return Paced(latencies, timetable.count, seconds, late, busy)


@dataclass(slots=True)
class OpenLoopRow:
    """All runs of one workload on one target at one share of its capacity."""

    workload: Workload
    target: str
    share: float
    capacities: list[float] = field(default_factory=list)  # requests a second, closed loop, this generator's
    runs: list[Paced] = field(default_factory=list)

    @property
    def late(self) -> float:
        """Share of the requests that the generator sent late."""
        return sum(run.late for run in self.runs) / sum(run.requests for run in self.runs)

    @property
    def busy(self) -> float:
        return max(run.busy for run in self.runs)

    @property
    def kept(self) -> bool:
        """Whether the generator kept its timetable."""
        return self.late <= MOST_LATE and self.busy <= MOST_BUSY

    def as_json(self) -> dict[str, Any]:
        latencies = Histogram()
        for run in self.runs:
            latencies.merge(run.latencies)
        return {
            "workload": asdict(self.workload),
            "target": self.target,
            "share": self.share,
            "capacity": median(self.capacities),
            "rate": median([capacity * self.share for capacity in self.capacities]),
            "achieved": sum(run.requests for run in self.runs) / sum(run.seconds for run in self.runs),
            "requests": latencies.count,
            **{f"{name}_ms": latencies.percentile(percent) for name, percent in PERCENTS.items()},
            "max_ms": latencies.largest,
            "late": self.late,
            "generator_busy": self.busy,
            "kept_timetable": self.kept,
            "histogram_ms": latencies.as_json(),
        }


def open_loop(
    targets: Sequence[Target],
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
    workloads: Sequence[Workload] = WORKLOADS,
) -> list[OpenLoopRow]:
    """`rounds` times, on every target in turn: its capacity, then `seconds` at each share of it. Raises BenchError."""
    rows = []
    for workload in workloads:
        of_target: list[tuple[Target, str, list[OpenLoopRow]]] = []
        for target in targets:
            asked = target.leader()
            if workload.write_percent < 100:
                preload(target.nodes[asked], KEYS, workload.value_bytes, target.password)
            settle(target)
            of_target.append((target, asked, [OpenLoopRow(workload, target.name, share) for share in SHARES]))
        for _ in range(rounds):
            for target, asked, found in of_target:
                requests = pipelines(workload, KEYS)
                with OpenLoop(target.nodes[asked], workload.clients, 1, requests, target.password) as loop:
                    capacity = _capacity(loop, seconds)
                    for row in found:
                        rate = capacity * row.share
                        row.capacities.append(capacity)
                        row.runs.append(loop.paced(Timetable(rate, max(1, round(rate * seconds)))))
        for target, _, found in of_target:
            for row in found:
                say(f"{workload.name} on {target.name}, open loop at {row.share:.0%} of capacity: done")
                rows.append(row)
    return rows


def _capacity(loop: OpenLoop, seconds: float) -> float:
    """Requests a second with every client always waiting for an answer."""
    operations = PILOT_REQUESTS
    while True:
        started = time.perf_counter()
        loop.run(operations)
        took = time.perf_counter() - started
        if took >= seconds / 2:
            return operations / took
        operations = round(operations * min(20.0, seconds / took))

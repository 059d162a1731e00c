"""What is watched while a cluster is overloaded: an ordinary client's latency, memory, CPU, and who leads."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

import redis

from tests.integration.cluster import Cluster, Node

PAGE = 4096
TICKS = 100  # clock ticks a second in /proc (USER_HZ)


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB (10^6)."""
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * PAGE / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, user and system."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@dataclass
class Latency:
    """Of one kind of request, from one client that waits for each reply. Seconds."""

    samples: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def at(self, fraction: float) -> float:
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] if ordered else 0.0

    @property
    def longest(self) -> float:
        return max(self.samples, default=0.0)

    def text(self) -> str:
        return (
            f"p50 {self.at(0.5) * 1e3:.1f} ms, p99 {self.at(0.99) * 1e3:.0f} ms, longest {self.longest * 1e3:.0f} ms"
            f" ({len(self.samples)} requests{f', {len(self.errors)} errors' if self.errors else ''})"
        )


class Prober:
    """A client that asks, waits for the answer, rests, and asks again: what ordinary clients feel."""

    def __init__(self, node: Node, ask: Callable[[redis.Redis], object], rest: float = 0.02) -> None:
        self.latency = Latency()
        self._client = node.client(timeout=60.0)
        self._ask = ask
        self._rest = rest
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self._ask(self._client)
            except (redis.RedisError, OSError) as error:
                self.latency.errors.append(str(error))
            self.latency.samples.append(time.monotonic() - started)
            self._stop.wait(self._rest)

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(70.0)
        assert not self._thread.is_alive(), "a probing client hangs"


def writes(node: Node, key: str = "probe") -> Prober:
    return Prober(node, lambda client: client.set(key, "x"))


def reads(node: Node, key: str = "probe") -> Prober:
    return Prober(node, lambda client: client.get(key))


class Memory:
    """Resident memory of every node, sampled while it is a context."""

    def __init__(self, nodes: Sequence[Node], interval: float = 0.1) -> None:
        self.samples: dict[str, list[tuple[float, float]]] = {node.id: [] for node in nodes}
        self._nodes = nodes
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        started = time.monotonic()
        while not self._stop.is_set():
            for node in self._nodes:
                if node.is_running:
                    self.samples[node.id].append((time.monotonic() - started, resident_mb(node.pid)))
            self._stop.wait(self._interval)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10.0)

    def peak(self, node: Node) -> float:
        """MB."""
        return max((mb for _, mb in self.samples[node.id]), default=0.0)

    def first(self, node: Node) -> float:
        return self.samples[node.id][0][1]

    def growth(self, node: Node) -> float:
        """MB between the highest of the second third of the time and the highest of the last: what still grows."""
        samples = [mb for _, mb in self.samples[node.id]]
        third = max(1, len(samples) // 3)
        return max(samples[-third:]) - max(samples[third : 2 * third] or samples[-third:])

    def text(self) -> str:
        return ", ".join(
            f"{node.id} {self.first(node):.0f} -> peak {self.peak(node):.0f} MB (last third {self.growth(node):+.0f})"
            for node in self._nodes
        )


@dataclass(frozen=True)
class Leadership:
    """Who led, and in which term."""

    leader: str
    term: int

    @classmethod
    def of(cls, cluster: Cluster) -> Leadership:
        leader = cluster.wait_leader()
        return cls(leader.id, int(leader.info()["raft_term"]))


LOST = re.compile(r"lost its leader|no longer leads|leads term|stepping down")


def unrest(cluster: Cluster, since: dict[str, int]) -> list[str]:
    """Lines of the nodes' logs that tell of a leader lost or gained, from each log's offset `since` on."""
    return [
        f"{node.id}: {line.strip()}"
        for node in cluster
        for line in node.log()[since[node.id] :].splitlines()
        if LOST.search(line)
    ]


def log_offsets(cluster: Cluster) -> dict[str, int]:
    return {node.id: len(node.log()) for node in cluster}


BUCKET = re.compile(r'leto_reactor_iteration_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)')


def lateness(admin_port: int) -> dict[str, float]:
    """A node's histogram of its reactor's iterations: bound in seconds -> those at most so long."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/metrics", timeout=30) as page:
        return {bound: float(count) for bound, count in BUCKET.findall(page.read().decode())}


def later_than(before: dict[str, float], after: dict[str, float], bound: str) -> int:
    """How many iterations between the two were longer than `bound` seconds."""
    total = after["+Inf"] - before["+Inf"]
    return int(total - (after[bound] - before[bound]))

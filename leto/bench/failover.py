"""How long writes stop when the leader ends: killed, stopped in order, told to hand over, or silent. Under load."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from leto.bench.client import Connection
from leto.bench.loop import Loop, pipelines
from leto.bench.servers import LocalCluster
from leto.bench.statistics import median
from leto.bench.workloads import BenchError, Workload
from leto.config import Address

LOAD = Workload("load", 20, 1, 100)
KINDS = ("kill -9", "TERM", "transfer", "SIGSTOP")
BEFORE_SECONDS = 0.3  # writes flow for so long before the leader ends
PATIENCE = 30.0
TIMEOUT = 2.0  # of one write
SILENCE_TIMEOUT = 0.05  # of one write, where the leader falls silent: the client asks another then
BACKOFF = 0.002


@dataclass(frozen=True, slots=True)
class Failover:
    """Seconds between the last write acknowledged before and the first one after, one a trial."""

    kind: str
    gaps: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "gaps": list(self.gaps), "median": median(self.gaps), "worst": max(self.gaps)}


class Probe:
    """One client that writes all the time, to whichever node takes it."""

    def __init__(self, addresses: Sequence[Address], timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._addresses = list(addresses)
        self._turn = 0
        self._connection: Connection | None = None

    def write(self) -> bool:
        """One attempt; whether it was acknowledged. The next attempt asks another node if not."""
        try:
            if self._connection is None:
                self._connection = Connection(self._addresses[self._turn % len(self._addresses)], timeout=self._timeout)
            if self._connection.ask(b"SET", b"failover:probe", b"x") == b"OK":
                return True
        except OSError:
            pass  # down, or going down
        self._turn += 1
        self.close()
        time.sleep(BACKOFF)
        return False

    def until_acknowledged(self, patience: float = PATIENCE) -> float:
        """The moment of the first acknowledgement. Raises BenchError."""
        deadline = time.monotonic() + patience
        while not self.write():
            if time.monotonic() > deadline:
                raise BenchError(f"no node took a write for {patience:g} s")
        return time.monotonic()

    def gap(self, last: float, end: Callable[[], bool]) -> tuple[float, float]:
        """Write until `end` says so: the longest time between two acknowledgements on the way, and the moment of the
        last. `last` is that of the one before, so that an outage that begins at once is counted whole."""
        longest = 0.0
        while True:
            now = self.until_acknowledged()
            longest = max(longest, now - last)
            last = now
            if end():
                return longest, last

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def trial(cluster: LocalCluster, kind: str) -> float:
    """The gap in seconds when the leader ends so. The cluster is whole again afterwards. Raises BenchError."""
    leader = cluster.target.leader()
    server = cluster.servers[leader]
    load = threading.Thread(target=_load, args=(server.address,), daemon=True)
    load.start()
    addresses = [server.address, *(address for name, address in cluster.target.nodes.items() if name != leader)]
    probe = Probe(addresses, SILENCE_TIMEOUT if kind == "SIGSTOP" else TIMEOUT)
    try:
        flowing_until = time.monotonic() + BEFORE_SECONDS
        _, last = probe.gap(probe.until_acknowledged(), lambda: time.monotonic() >= flowing_until)
        ending = threading.Thread(target=_end, args=(server, kind), daemon=True)
        settled_at = time.monotonic() + BEFORE_SECONDS
        ending.start()

        def another_leads() -> bool:
            """Asked only between writes that were acknowledged: by then it is the new one that took them."""
            return not ending.is_alive() and time.monotonic() >= settled_at

        gap, _ = probe.gap(last, another_leads)
        ending.join()
    finally:
        probe.close()
        if kind == "SIGSTOP":
            server.signal(signal.SIGCONT)
    load.join(PATIENCE)
    if kind in ("kill -9", "TERM"):
        server.wait()
        server.start()
    cluster.wait_whole()
    return gap


def _end(server: Any, kind: str) -> None:
    if kind == "transfer":
        with Connection(server.address, timeout=PATIENCE) as connection:
            connection.ask(b"RAFT", b"TRANSFER")
    elif kind == "SIGSTOP":
        server.signal(signal.SIGSTOP)
    else:
        server.signal(signal.SIGKILL if kind == "kill -9" else signal.SIGTERM)
        server.wait()


def _load(address: Address) -> None:
    """Clients that write to the leader until it takes no more."""
    try:
        with Loop(address, LOAD.clients, LOAD.pipeline, pipelines(LOAD, 10_000)) as loop:
            loop.run(1 << 22)
    except BenchError:
        pass  # it ends, as is meant


def failovers(cluster: LocalCluster, trials: int, say: Callable[[str], None]) -> list[Failover]:
    """`trials` of each kind, in turns. Raises BenchError."""
    gaps: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(trials):
        for kind in KINDS:
            gaps[kind].append(trial(cluster, kind))
            say(f"{kind}: writes stopped for {gaps[kind][-1] * 1000:,.0f} ms")
    return [Failover(kind, tuple(found)) for kind, found in gaps.items()]

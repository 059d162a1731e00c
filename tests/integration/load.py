"""Clients that write while something happens to the cluster, and remember what they were told."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

import redis

from tests.integration.cluster import Cluster, Node, wait_for

BACKOFF = 0.01  # seconds a writer rests after a refusal
CHUNK = 500  # keys asked at once when the outcome is checked
EXPECTED_ERRORS = ("UNCERTAIN ", "SHUTDOWN ", "BUSY ")  # besides "not leader", what a write may be answered


def plain_client(node: Node, timeout: float) -> redis.Redis:
    """A client for one thread, with one connection and without retries."""
    return redis.Redis(
        host="127.0.0.1",
        port=node.client_port.number,
        protocol=2,
        socket_timeout=timeout,
        socket_connect_timeout=1.0,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    )


class Writers:
    """`count` threads, each with one connection, each writing a new key at every attempt.

    A context manager: leaving it stops the writers. `acknowledged` maps key to value; `refused` are the keys of
    writes answered `-not leader`; of all the others (connection lost, UNCERTAIN, ...) nothing is known.
    """

    def __init__(self, nodes: Sequence[Node], count: int = 4, prefix: str = "w") -> None:
        self._nodes = list(nodes)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(prefix, i), daemon=True) for i in range(count)]
        self.acknowledged: dict[str, str] = {}
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        self.unexpected: list[str] = []  # error replies that no client should get
        self.acknowledged_at: list[float] = []  # monotonic seconds
        self.longest_gap = 0.0  # seconds between two acknowledged writes, of all writers together

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads), "a writer hangs"
        times = sorted(self.acknowledged_at)
        self.longest_gap = max((b - a for a, b in zip(times, times[1:], strict=False)), default=0.0)

    @property
    def count(self) -> int:
        """Writes acknowledged so far."""
        return len(self.acknowledged)

    def _run(self, prefix: str, number: int) -> None:
        turn = number
        attempt = 0
        while not self._stop.is_set():
            client = plain_client(self._nodes[turn % len(self._nodes)], timeout=5.0)
            turn += 1
            try:
                while not self._stop.is_set():
                    attempt += 1
                    key = f"{prefix}:{number}:{attempt}"
                    if not self._write(client, key, f"value of {key}"):
                        break
            finally:
                client.close()
            self._stop.wait(BACKOFF)

    def _write(self, client: redis.Redis, key: str, value: str) -> bool:
        """One attempt; whether to go on with this node."""
        try:
            client.set(key, value)
        except redis.ResponseError as error:
            with self._lock:
                if str(error) == "not leader":
                    self.refused.add(key)
                else:
                    self.unknown.add(key)
                    if not str(error).startswith(EXPECTED_ERRORS):
                        self.unexpected.append(str(error))
            return False
        except (redis.RedisError, OSError):
            with self._lock:
                self.unknown.add(key)
            return False
        with self._lock:
            self.acknowledged[key] = value
            self.acknowledged_at.append(time.monotonic())
        return True

    def check(self, cluster: Cluster) -> None:
        """On every running node: all that was acknowledged is there, nothing that was refused is."""
        assert self.acknowledged, "no write was acknowledged: the test tests nothing"
        assert self.unexpected == []
        for node in cluster.running:
            client = node.client()
            lost = []
            for keys in chunks(sorted(self.acknowledged)):
                values = client.mget(keys)
                lost += [
                    key for key, value in zip(keys, values, strict=True) if value != self.acknowledged[key].encode()
                ]
            assert lost == [], f"{len(lost)} acknowledged writes are lost at {node.id}, the first {lost[:5]}"
            applied = [keys for keys in chunks(sorted(self.refused)) if client.exists(*keys)]
            assert applied == [], f"refused writes were applied at {node.id}, some of {applied[0][:5]}"


def chunks(items: list[str]) -> list[list[str]]:
    """`items` in lists of at most CHUNK."""
    return [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]


class Clock:
    """One client writes growing numbers; others read them at every node and must never see time go back.

    A context manager. A read that began after a number was acknowledged, or after another read saw it, must see
    that number or a later one (linearizability of a register that only grows). `violations` says where one did not.
    """

    KEY = "clock"

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = list(nodes)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._floor = 0
        self.violations: list[str] = []
        self.reads = dict.fromkeys((node.id for node in nodes), 0)  # answered, by node
        self.writes = 0
        self._threads = [threading.Thread(target=self._write, daemon=True)]
        self._threads += [threading.Thread(target=self._read, args=(node,), daemon=True) for node in nodes]

    def __enter__(self) -> Clock:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"

    def wait_ticks(self, more: int) -> None:
        """Wait until that many more writes are acknowledged and every running node has answered a read since."""
        writes = self.writes
        reads = dict(self.reads)
        nodes = [node for node in self._nodes if node.is_running]
        wait_for(lambda: self.writes >= writes + more, f"{more} more writes are acknowledged")
        wait_for(lambda: all(self.reads[node.id] > reads[node.id] for node in nodes), "every node answers reads")

    def _write(self) -> None:
        number = 0
        turn = 0
        while not self._stop.is_set():
            client = plain_client(self._nodes[turn % len(self._nodes)], timeout=2.0)
            turn += 1
            try:
                while not self._stop.is_set():
                    number += 1
                    client.set(self.KEY, number)
                    with self._lock:
                        self._floor = max(self._floor, number)
                        self.writes += 1
            except (redis.RedisError, OSError):
                self._stop.wait(BACKOFF)
            finally:
                client.close()

    def _read(self, node: Node) -> None:
        while not self._stop.is_set():
            client = plain_client(node, timeout=30.0)  # long: what a paused node answers when it wakes up counts
            try:
                while not self._stop.is_set():
                    with self._lock:
                        floor = self._floor
                    seen = int(client.get(self.KEY) or 0)
                    with self._lock:
                        self.reads[node.id] += 1
                        if seen < floor:
                            self.violations.append(f"{node.id} answered {seen} when {floor} was known")
                        self._floor = max(self._floor, seen)
            except (redis.RedisError, OSError):
                self._stop.wait(BACKOFF)
            finally:
                client.close()


class Increments:
    """`count` clients increment one counter wherever a leader may be. A context manager that stops them."""

    KEY = "increments"

    def __init__(self, nodes: Sequence[Node], count: int = 4) -> None:
        self._nodes = list(nodes)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged = 0
        self.refused = 0
        self.unknown = 0
        self.unexpected: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(count)]

    def __enter__(self) -> Increments:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"

    def _run(self, turn: int) -> None:
        while not self._stop.is_set():
            client = plain_client(self._nodes[turn % len(self._nodes)], timeout=3.0)
            turn += 1
            try:
                while not self._stop.is_set():
                    client.incr(self.KEY)
                    with self._lock:
                        self.acknowledged += 1
            except redis.ResponseError as error:
                with self._lock:
                    if str(error) == "not leader":
                        self.refused += 1
                    else:
                        self.unknown += 1
                        if not str(error).startswith(EXPECTED_ERRORS):
                            self.unexpected.append(str(error))
            except (redis.RedisError, OSError):
                with self._lock:
                    self.unknown += 1
            finally:
                client.close()
            self._stop.wait(BACKOFF)

    def check(self, cluster: Cluster) -> None:
        """Every acknowledged increment counted once, every refused one never, the others at most once."""
        assert self.unexpected == []
        values = {node.id: int(node.client().get(self.KEY)) for node in cluster.running}
        assert len(set(values.values())) == 1, values
        (value,) = set(values.values())
        assert self.acknowledged <= value <= self.acknowledged + self.unknown, (
            f"{self.acknowledged} increments were acknowledged, {self.unknown} have an unknown outcome, "
            f"{self.refused} were refused, yet the counter is {value}"
        )

"""Clients that write while something happens to the cluster, and remember what they were told."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

import redis

from tests.integration.cluster import Cluster, Node

BACKOFF = 0.01  # seconds a writer rests after a refusal
CHUNK = 500  # keys asked at once when the outcome is checked


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
            port = self._nodes[turn % len(self._nodes)].client_port.number
            turn += 1
            client = redis.Redis(
                host="127.0.0.1",
                port=port,
                protocol=2,
                socket_timeout=5.0,
                socket_connect_timeout=1.0,
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            )
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
                    if not str(error).startswith(("UNCERTAIN ", "SHUTDOWN ", "BUSY ")):
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

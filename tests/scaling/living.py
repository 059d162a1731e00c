"""What a cluster costs while it lives: memory a key, time a SET, bytes written, a snapshot's time and peak."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.integration.cluster import Cluster, Node, wait_for
from tests.overload.watching import cpu_seconds, resident_mb
from tests.scaling.directories import key, set_command, value

PIPELINE = 500


@dataclass(frozen=True)
class Loaded:
    """After loading `keys` keys; bytes a key are resident memory above the empty node's, less key and value."""

    keys: int
    node: str
    role: str
    bytes_a_key: float
    after_snapshot: float
    peak_in_snapshot: float
    snapshot_seconds: float
    cpu_us_a_set: float


def load(node: Node, start: int, count: int, value_bytes: int) -> None:
    """SET so many keys in pipelines, over one connection."""
    with socket.create_connection(("127.0.0.1", node.client_port.number), 60) as connection:
        for first in range(start, start + count, PIPELINE):
            numbers = range(first, min(first + PIPELINE, start + count))
            connection.sendall(b"".join(set_command(key(number), value(number, value_bytes)) for number in numbers))
            wanted, got = 5 * len(numbers), b""
            while len(got) < wanted:
                data = connection.recv(1 << 16)
                assert data, "the node closed the connection"
                got += data
            assert got == b"+OK\r\n" * len(numbers), got[:200]


class Peak:
    """The highest resident memory (bytes) of nodes while it is a context."""

    def __init__(self, nodes: list[Node]) -> None:
        self.of = {node.id: resident_mb(node.pid) * 1e6 for node in nodes}
        self._nodes = nodes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            for node in self._nodes:
                self.of[node.id] = max(self.of[node.id], resident_mb(node.pid) * 1e6)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5.0)


def loaded(directory: Path, *, nodes: int, keys: int, value_bytes: int, options: tuple[str, ...]) -> list[Loaded]:
    """Load a new cluster with keys, then have every node take a snapshot."""
    with Cluster(directory, nodes, *options) as cluster:
        leader = cluster.wait_leader()
        members = list(cluster)
        empty = {node.id: resident_mb(node.pid) * 1e6 for node in members}
        cpu = {node.id: cpu_seconds(node.pid) for node in members}
        load(leader, 0, keys, value_bytes)
        wait_for(lambda: len({node.applied() for node in members}) == 1, "all have applied the same", 60.0)
        spent = {node.id: cpu_seconds(node.pid) - cpu[node.id] for node in members}
        wait_for(lambda: all(int(n.info()["raft_snapshot_in_progress"]) == 0 for n in members), "no snapshot", 60.0)
        payload = 16 + value_bytes

        def per_key(node: Node, resident: float) -> float:
            return (resident - empty[node.id]) / keys - payload

        before = {node.id: per_key(node, resident_mb(node.pid) * 1e6) for node in members}
        found = []
        for node in members:
            node.asking.delete("nothing") if node is leader else None
            with Peak([node]) as peak:
                started = time.monotonic()
                node.client(timeout=120.0).execute_command("RAFT", "SNAPSHOT")
                seconds = time.monotonic() - started
            found.append(
                Loaded(
                    keys,
                    node.id,
                    "leader" if node is leader else "follower",
                    before[node.id],
                    per_key(node, resident_mb(node.pid) * 1e6),
                    per_key(node, peak.of[node.id]),
                    seconds,
                    spent[node.id] / keys * 1e6,
                )
            )
        return found


@dataclass(frozen=True)
class Amplification:
    """Bytes that the log's files grew by over the bytes of the requests, of one kind of load."""

    clients: int
    value_bytes: int
    requests: int
    ratio: float


def amplification(
    directory: Path, *, clients: int, value_bytes: int, requests: int, options: tuple[str, ...]
) -> Amplification:
    """SETs from so many clients that each wait for their answer; snapshots are put off."""
    with Cluster(directory, 1, "--snapshot-entries", "100000000", "--snapshot-bytes", "100GB", *options) as cluster:
        node = cluster.wait_leader()
        before = int(node.info()["raft_log_bytes"])
        sent = sum(len(set_command(key(0), value(0, value_bytes))) for _ in range(requests))

        def client(number: int) -> None:
            with socket.create_connection(("127.0.0.1", node.client_port.number), 60) as connection:
                for at in range(number, requests, clients):
                    connection.sendall(set_command(key(at), value(at, value_bytes)))
                    answer = connection.recv(100)
                    assert answer == b"+OK\r\n", answer

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return Amplification(clients, value_bytes, requests, (int(node.info()["raft_log_bytes"]) - before) / sent)

"""How long a node takes from its start until it answers a read, by the keys it holds and the log it must apply."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.integration.cluster import Cluster, Node, wait_for
from tests.overload.watching import cpu_seconds, resident_mb
from tests.scaling.directories import build, key

PATIENCE = 120.0  # seconds


@dataclass(frozen=True)
class Restart:
    """Seconds from exec to the first read that was answered; CPU seconds of the process until then, and its memory
    above an empty node's, less keys and values, bytes a key."""

    nodes: int
    keys: int
    entries: int
    seconds: float
    cpu: float
    bytes_a_key: float


def restart(
    directory: Path, *, nodes: int, keys: int, entries: int, value_bytes: int, options: tuple[str, ...]
) -> Restart:
    """Start a cluster of such directories, kill one of its followers (the only node, if it is alone) and start it."""
    with Cluster(directory / "empty", 1, *options) as alone:
        empty = resident_mb(alone.nodes[0].pid) * 1e6
    cluster = Cluster(directory, 0, *options)
    try:
        members = [cluster.new_node(server_id=f"id{number}") for number in range(1, nodes + 1)]
        build(members, keys=keys, entries=entries, value_bytes=value_bytes)
        os.sync()
        node = members[0]
        if nodes > 1:
            for member in members:
                member.start()
            for member in members:
                wait_for(member.follows, f"{member.id} knows a leader", PATIENCE)
                _first_read(member, keys)
            node = next(member for member in members if member.role() != "leader")
            node.kill()
        started = time.monotonic()
        node.start()
        _first_read(node, keys)
        seconds = time.monotonic() - started
        cpu, resident = cpu_seconds(node.pid), resident_mb(node.pid) * 1e6
        above = (resident - empty) / keys - 16 - value_bytes if keys else 0.0
        return Restart(nodes, keys, entries, seconds, cpu, above)
    finally:
        cluster.close()


def _first_read(node: Node, keys: int) -> None:
    """Until the node answers a read of a key that is there, with its value."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            found = node.client(timeout=PATIENCE).get(key(0))
        except (redis.RedisError, OSError):
            assert node.is_running, node.log()[-2000:]
            assert time.monotonic() < deadline, f"{node.id} serves no read"
            time.sleep(0.005)
            continue
        assert (found is not None) == (keys > 0), f"{node.id} answers with {found!r}"
        return

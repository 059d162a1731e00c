"""Nodes on small disks of their own: writes are refused before the disks are full, and what is deleted frees them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import redis

from tests.integration.cluster import Cluster, Node, wait_for
from tests.storage.mounts import tiny_disk

OPTIONS = (
    *("--segment-bytes", "256kb", "--snapshot-bytes", "1mb", "--trailing-bytes", "256kb"),
    *("--min-free-bytes", "2mb", "--election-timeout-ms", "1000"),
)
VALUE = "x" * 50_000


def disk_state(node: Node) -> str:
    return str(node.client().info("persistence")["disk_state"])


def write_until_refused(node: Node) -> int:
    """How many values it took."""
    client = node.client()
    for number in range(2000):
        try:
            client.set(f"filler:{number}", VALUE)
        except redis.ResponseError as error:
            assert str(error).startswith("MISCONF "), error
            return number
    raise AssertionError("nothing was ever refused")


def test_three_disks_that_fill_alike_take_nobody_down_and_are_freed_by_deletion(tmp_path: Path) -> None:
    with ExitStack() as stack:
        mounted = [stack.enter_context(tiny_disk(tmp_path / f"id{n}", "16m")) for n in (1, 2, 3)]
        cluster = stack.enter_context(Cluster(tmp_path, 3, *OPTIONS))
        leader = cluster.leader
        if not all(mounted):  # no disks of a test's own here: on the one that there is nothing is short
            assert leader.client().set("a", "b") and disk_state(leader) == "ok"
            return
        taken = write_until_refused(leader)
        assert taken * len(VALUE) > 2 << 20, "a good part of 16 MB"
        client = leader.client()
        assert client.get("filler:1") == VALUE.encode()
        assert client.delete("filler:1") == 1
        assert disk_state(leader) == "low"
        assert "min-free-bytes): this node, if it leads, refuses writes that add data" in leader.log()
        assert "with less than 2048 KB (min-free-bytes)" in leader.log(), "it was told before"
        client.flushall()
        wait_for(lambda: client.info("persistence")["writes_refused"] == 0, "its disk has room again")
        assert client.set("a", "b")
        assert all(node.is_running and "stopping at once" not in node.log() for node in cluster)
        cluster.wait_same_state()

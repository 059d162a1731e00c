"""A founder whose directory is lost, started by the command line that founded the cluster: there is never a second."""

from __future__ import annotations

from pathlib import Path

import redis

from leto.errors import EX_CONFIG
from tests.integration.cluster import Cluster, Node, wait_for


def test_a_founder_that_lost_its_directory_serves_nobody_beside_its_cluster(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.leader.client().set("a", "b")
        first = cluster.nodes[0]
        first.kill()
        survivor = cluster.wait_leader()
        first.forget_data()
        first.start()
        acknowledged = written_until_it_ends(first)
        assert acknowledged == 0
        assert first.wait_exit() == EX_CONFIG
        line = first.log().splitlines()[-1]
        assert f"takes this node for its member {first.id}" in line
        assert "start this node with --join" in line
        assert not any(first.raftdir.glob("leto.identity")), "it founded nothing"
        # What the line says to do brings it back.
        first.start(join=survivor.address)
        cluster.wait_settled({"id1", "id2", "id3"})
        assert first.client().get("a") == b"b"


def test_a_second_cluster_that_was_founded_out_of_sight_stops_once_it_is_seen(tmp_path: Path) -> None:
    """Its members were down, or cut off, when the founder came back empty."""
    with Cluster(tmp_path) as cluster:
        cluster.leader.client().set("a", "b")
        first, *others = cluster.nodes
        for node in cluster:
            node.kill()
        first.forget_data()
        first.start().wait_serving()
        for node in others:
            node.start()
        assert first.wait_exit() == EX_CONFIG
        assert f"first move {first.raftdir} away" in first.log().splitlines()[-1]
        assert cluster.wait_leader(others).client().get("a") == b"b"
        first.start()  # and again, as a supervisor would
        assert first.wait_exit() == EX_CONFIG
        # It was refused many times by now; its members still dial it as often as ever.
        first.forget_data()
        first.start()
        assert written_until_it_ends(first) == 0
        assert first.wait_exit() == EX_CONFIG
        first.start(join=others[0].address)
        cluster.wait_settled({"id1", "id2", "id3"})


def written_until_it_ends(node: Node) -> int:
    """How many writes it acknowledges before it ends."""
    acknowledged = 0

    def ended() -> bool:
        nonlocal acknowledged
        try:
            acknowledged += bool(node.client(timeout=2.0).set("x", "y"))
        except (redis.RedisError, OSError):
            pass
        return not node.is_running

    wait_for(ended, f"{node.id} ends")
    return acknowledged

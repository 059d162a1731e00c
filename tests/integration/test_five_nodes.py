"""Five nodes lose two of them, the leader among them, and go on."""

from __future__ import annotations

from pathlib import Path

from tests.integration.cluster import Cluster, wait_for
from tests.integration.load import Writers


def test_five_nodes_survive_two_kills(tmp_path: Path) -> None:
    with Cluster(tmp_path, 5) as cluster:
        with Writers(cluster.nodes) as writers:
            wait_for(lambda: writers.count > 100, "writes are acknowledged")
            leader = cluster.leader
            follower = next(node for node in cluster if node is not leader)
            leader.kill()
            follower.kill()
            survived = writers.count
            wait_for(lambda: writers.count > survived + 100, "writes go on with three of five")
        writers.check(cluster)
        leader.start()
        follower.start()
        cluster.wait_settled()
        writers.check(cluster)
        cluster.wait_same_state()

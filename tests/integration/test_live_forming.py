"""Three nodes with one and the same set of options form one cluster, whatever befalls them meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, Node, wait_for


@pytest.fixture
def alike(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes that know each other's addresses; none runs."""
    cluster = Cluster(tmp_path)
    addresses = ",".join(node.address for node in cluster)
    for node in cluster:
        node.options += ["--join", addresses, "--bootstrap-expect", "3"]
    yield cluster
    cluster.close()


def cluster_ids(cluster: Cluster) -> set[str]:
    """The clusters that the running nodes belong to; those that wait belong to none."""
    ids = {node.try_info().get("raft_cluster_id", "") for node in cluster.running}
    return ids - {""}


def identities(cluster: Cluster) -> set[str]:
    """The clusters that the disks tell of."""
    files = [node.raftdir / "leto.identity" for node in cluster]
    return {file.read_text().splitlines()[1] for file in files if file.exists()}


def test_three_nodes_started_alike_form_one_cluster(alike: Cluster) -> None:
    third, second, first = reversed(alike.nodes)
    third.start()
    second.start()
    wait_for(lambda: f"{first.address} must answer first" in second.log(), "it says whom it waits for")
    assert not identities(alike)
    first.start()
    assert alike.wait_settled({"id1", "id2", "id3"}) is first
    alike.leader.client().set("a", "b")
    # With its directory lost, each comes back by the very same command line, the founder too.
    for node in alike.nodes[:2]:
        node.kill()
        node.forget_data()
        alike.wait_leader()
        node.start()
        alike.wait_settled({"id1", "id2", "id3"})
    assert alike.leader.client().get("a") == b"b"
    assert len(identities(alike)) == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_and_lost_disks_while_they_form_one(alike: Cluster, seed: int) -> None:
    """Any one of them is killed at any moment, and may lose its disk as long as no other has anything of the cluster:
    the founder too, right after it has founded one."""
    source = random.Random(seed)
    for node in source.sample(alike.nodes, 3):
        node.start()
    for _ in range(6):
        let_pass(source.uniform(0.0, 0.9))
        node = source.choice(alike.nodes)
        node.kill()
        let_pass(0.1)  # whoever was answered just before has written it down
        others_hold = any((other.raftdir / "leto.identity").exists() for other in alike if other is not node)
        if not others_hold and node.raftdir.exists() and source.random() < 0.5:
            node.forget_data()
        assert len(identities(alike)) <= 1
        node.start()
    alike.wait_settled({"id1", "id2", "id3"})
    assert len(identities(alike)) == 1
    assert len(cluster_ids(alike)) == 1


def let_pass(seconds: float) -> None:
    """The nodes go on meanwhile: what they come to is for the test to find out."""
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end, "time passes")


def test_one_that_finds_a_cluster_joins_it_whatever_it_expects(alike: Cluster) -> None:
    first, second, third = alike.nodes
    lone = Node(alike.directory, "id0", ())
    alike.nodes.append(lone)
    lone.start().wait_serving()
    for node in (first, second, third):
        node.options[-3] += f",{lone.address}"
        node.options[-1] = "4"
        node.start()
    alike.wait_settled({"id0", "id1", "id2", "id3"})
    assert len(identities(alike)) == 1

"""Starts that must not succeed, joins that must wait, and peers that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, Node, logs_forgotten_afterwards, wait_for


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one that runs."""
    with logs_forgotten_afterwards(), Cluster(tmp_path_factory.mktemp("alone"), 1) as cluster:
        yield cluster


@pytest.fixture
def intruder(tmp_path: Path) -> Iterator[Node]:
    """A node that has not started."""
    node = Node(tmp_path, "id1")
    yield node
    node.close()


def refusal(node: Node) -> str:
    """The one line that a start refused with."""
    status = node.wait_exit()
    lines = [line for line in node.log().splitlines() if not line.startswith("--- ")]
    assert status not in (0, None)
    assert len(lines) == 1, node.log()
    return lines[0]


def test_a_directory_in_use_is_refused(alone: Cluster, intruder: Node) -> None:
    (owner,) = alone
    intruder.raftdir = owner.raftdir
    line = refusal(intruder.start())
    assert str(owner.raftdir) in line
    assert owner.cli("set", "a", "b") == "OK"


def test_another_nodes_directory_is_refused(tmp_path: Path, intruder: Node) -> None:
    with Cluster(tmp_path / "cluster", 1) as cluster:
        (owner,) = cluster
        assert owner.cli("set", "a", "b") == "OK"
        assert owner.terminate() == 0
        intruder.id = "id2"
        intruder.raftdir = owner.raftdir
        line = refusal(intruder.start())
        assert "id1" in line
        assert "id2" in line
        owner.start().wait_serving()
        assert owner.cli("get", "a") == '"b"'


def test_a_port_in_use_is_refused(alone: Cluster, intruder: Node) -> None:
    (owner,) = alone
    intruder.client_port.release()
    intruder.client_port = owner.client_port
    assert str(owner.client_port.number) in refusal(intruder.start())


def test_a_joining_node_waits_until_its_seed_is_up(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, 2)
    first, second = cluster
    try:
        second.start(join=first.address)
        wait_for(lambda: "waiting for the cluster to take this node" in second.log(), "it says that it waits")
        assert second.is_running
        first.start()
        cluster.wait_settled({"id1", "id2"})
        assert first.cli("set", "a", "b") == "OK"
        assert second.cli("get", "a") == '"b"'
    finally:
        cluster.close()


def test_a_node_of_another_cluster_is_refused(tmp_path: Path) -> None:
    """It sits at the address, and under the name, of a member, and is no founder that lost its way: its cluster has
    other members. Neither cluster may hear the other."""
    with Cluster(tmp_path / "ours", 3) as ours, Cluster(tmp_path / "theirs", 2) as theirs:
        ours.leader.client().set("whose", "ours")
        theirs.leader.client().set("whose", "theirs")
        absent, foreign = ours.nodes[1], theirs.nodes[1]
        assert absent.id == foreign.id
        absent.kill()
        foreign.kill()
        foreign.raft_port.release()
        foreign.raft_port = absent.raft_port
        foreign.start()
        others = ours.running
        wait_for(
            lambda: all("belongs to cluster" in node.log() for node in (foreign, *others)),
            "both sides say that it is another cluster",
        )
        theirs.wait_settled()
        assert ours.wait_leader(others).info()["raft_cluster_id"] != foreign.info()["raft_cluster_id"]
        before = (ours.leader.info()["raft_term"], theirs.leader.info()["raft_term"])
        assert [node.client().get("whose") for node in others] == [b"ours"] * 2
        assert [node.client().get("whose") for node in theirs] == [b"theirs"] * 2
        assert (ours.leader.info()["raft_term"], theirs.leader.info()["raft_term"]) == before

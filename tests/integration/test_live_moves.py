"""Members that come back at other addresses say so, and the cluster follows them."""

from __future__ import annotations

from pathlib import Path

from tests.integration.cluster import Cluster, Node, Port, wait_for


def moved(node: Node) -> None:
    """Its next start is at other ports; the old ones stay taken, as by somebody else."""
    node.client_port, node.raft_port = Port(), Port()
    node.disconnect()


def addresses(leader: Node) -> dict[str, tuple[str, str]]:
    """Where the configuration in force has the members: for peers, and for clients."""
    members = leader.status()["nodes"][leader.id]["configuration"]["members"]
    return {member["id"]: (member["address"], member["client_address"]) for member in members}


def test_a_member_and_the_founder_come_back_at_other_addresses(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.leader.client().set("a", "b")
        for node in (cluster.nodes[1], cluster.nodes[0]):
            node.kill()
            leader = cluster.wait_leader()
            moved(node)
            node.start()
            wait_for(
                lambda node=node, leader=leader: addresses(leader)[node.id] == (node.raft_address, node.address),
                f"the configuration has {node.id} at its new address",
            )
            cluster.wait_settled({"id1", "id2", "id3"})
            assert node.client().get("a") == b"b"
        cluster.wait_same_state()


def test_a_cluster_of_one_that_moves_can_be_joined(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        (node,) = cluster
        node.kill()
        moved(node)
        node.start().wait_serving()
        cluster.new_node().start(join=node.address)
        cluster.wait_settled({"id1", "id2"})
        wait_for(lambda: addresses(node)["id1"] == (node.raft_address, node.address), "it is where it is")


def test_a_member_that_cannot_be_reached_where_it_says_it_is_says_what_to_do(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        node = cluster.nodes[2]
        before = addresses(cluster.leader)[node.id]
        node.kill()
        nowhere = Port()
        node.options += ["--advertise", f"127.0.0.1:{nowhere.number}"]
        moved(node)
        node.start()
        wait_for(lambda: "RAFT MOVE id3 HOST:PORT on the leader" in node.log(), "it says what to do")
        assert "nobody listens there" in node.log()
        leader = cluster.wait_leader(cluster.nodes[:2])
        assert addresses(leader)[node.id] == before
        assert leader.cli("raft", "move", "id3", node.raft_address, node.address) == "OK"
        wait_for(lambda: node.follows() == leader.id, "it is back")
        nowhere.release()

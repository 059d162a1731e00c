"""Nodes join, leave, are replaced and catch up while the cluster serves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from leto.interfaces.store import Identity
from leto.storage import FileStore
from tests.integration.cluster import Cluster, Node, member_ids, wait_for
from tests.integration.load import Writers
from tests.integration.peer_stand_in import PeerStandIn


@pytest.fixture(scope="module")
def cluster_options() -> tuple[str, ...]:
    return ("--trailing-entries", "10", "--segment-bytes", "64kb")


@pytest.fixture
def newcomer(cluster: Cluster) -> Iterator[Node]:
    """A node that has not started; the cluster is without it again after the test."""
    node = cluster.new_node(server_id=f"new{len(list(cluster))}-{cluster.leader.info()['raft_configuration_index']}")
    yield node
    if node.id in member_ids(cluster.leader, voters=True) | member_ids(cluster.leader, voters=False):
        leave(cluster, node.id)
    node.close()
    cluster.nodes.remove(node)


def leave(cluster: Cluster, server_id: str) -> None:
    """Remove a member by LEAVE on whoever leads."""

    def gone() -> bool:
        try:
            return cluster.leader.asking.execute_command("LEAVE", server_id) == b"OK"
        except redis.RedisError:
            return False

    wait_for(gone, f"{server_id} leaves")


def configuration_index(cluster: Cluster) -> int:
    return int(cluster.leader.info()["raft_configuration_index"])


def test_join_twice_changes_nothing(cluster: Cluster) -> None:
    leader, follower = cluster.leader, cluster.followers[0]
    before = configuration_index(cluster)
    assert leader.cli("join", follower.raft_address, follower.id) == "OK"
    assert leader.cli("JOIN", follower.raft_address, follower.id) == "OK"
    assert configuration_index(cluster) == before


def test_join_on_a_follower_names_the_leader(cluster: Cluster) -> None:
    follower = cluster.followers[0]
    answer = follower.cli("join", "127.0.0.1:1", "whoever")
    assert answer == f"(error) node is not the leader {cluster.leader.address}"
    with follower.connect() as connection:
        connection.sendall(b"*3\r\n$4\r\nJOIN\r\n$11\r\n127.0.0.1:1\r\n$7\r\nwhoever\r\n")
        assert connection.recv(200) == f"-node is not the leader {cluster.leader.address}\r\n".encode()


def test_leave_of_an_unknown_id_says_so(cluster: Cluster) -> None:
    before = configuration_index(cluster)
    assert cluster.leader.cli("leave", "nobody") == "(error) ERR nobody is no member of the cluster"
    assert configuration_index(cluster) == before


def test_a_member_that_never_comes_is_a_learner_and_votes_on_nothing(cluster: Cluster, newcomer: Node) -> None:
    leader = cluster.leader
    assert leader.cli("raft", "add", newcomer.id, newcomer.raft_address) == "OK"
    assert member_ids(leader, voters=False) == {newcomer.id}
    assert leader.cli("set", "a", "b") == "OK"
    cluster.followers[0].kill()
    assert leader.cli("set", "a", "c") == "OK", "an absent learner was counted"


def test_a_node_that_its_peers_cannot_reach_is_not_taken_in_and_hears_why(cluster: Cluster, newcomer: Node) -> None:
    leader, before = cluster.leader, configuration_index(cluster)
    nowhere = newcomer.raft_address
    answer = leader.cli("join", nowhere, newcomer.id)
    assert answer == (
        f"(error) ERR {leader.id}, which leads, cannot reach {newcomer.id} at {nowhere}, its address for peers: "
        "nobody listens there"
    )
    other = cluster.followers[0]
    newcomer.options += ["--advertise", other.raft_address]
    newcomer.start(join=leader.address)
    wait_for(lambda: f"'{other.id}', not '{newcomer.id}'" in newcomer.log(), "it says why it waits")
    newcomer.kill()
    assert configuration_index(cluster) == before


def test_a_node_joins_through_any_of_several_addresses(cluster: Cluster, newcomer: Node) -> None:
    """Its own is among them, and one where nobody is."""
    nowhere = f"127.0.0.1:{newcomer.raft_port.number}"
    newcomer.options += ["--join", f"{newcomer.address},{nowhere}"]
    newcomer.start(join=cluster.followers[0].address)
    cluster.wait_settled()


def test_a_learner_that_was_added_as_one_joins_as_one(cluster: Cluster, newcomer: Node) -> None:
    assert cluster.leader.cli("raft", "add", newcomer.id, newcomer.raft_address, "learner") == "OK"
    newcomer.start(join=cluster.leader.address).wait_serving()
    applied = cluster.leader.applied()
    wait_for(lambda: int(newcomer.try_info().get("raft_applied_index", "0")) >= applied, "it has caught up")
    assert newcomer.role() == "learner"
    assert cluster.leader.cli("raft", "promote", newcomer.id) == "OK"
    cluster.wait_settled()


def test_a_node_joins_through_a_follower_and_becomes_a_voter(cluster: Cluster, newcomer: Node) -> None:
    cluster.leader.client().set("joined", "through a follower")
    newcomer.start(join=cluster.followers[0].address)
    cluster.wait_settled()
    assert newcomer.client().get("joined") == b"through a follower"
    cluster.wait_same_state()


def test_a_node_whose_id_was_given_away_before_it_got_a_log_asks_again(cluster: Cluster, newcomer: Node) -> None:
    """The late question of an earlier life of its, say, which died while it asked."""
    leader = cluster.leader
    store = FileStore.open(str(newcomer.raftdir))
    store.identify(Identity(leader.info()["raft_cluster_id"], newcomer.id, "taken"))
    store.close()
    port = newcomer.raft_port.number
    with PeerStandIn(leader.info()["raft_cluster_id"], newcomer.id, "another", port) as other:
        given_to = (other.address, newcomer.id, newcomer.address, "another")
        assert leader.asking.execute_command("JOIN", *given_to) == b"OK"
    newcomer.start(join=leader.address)
    wait_for(lambda: "asking again" in newcomer.log(), "it notices")
    cluster.wait_settled()
    leader.client().set("shut", "out no more")
    cluster.wait_same_state()
    assert newcomer.asking.execute_command("GET", "shut") == b"out no more"


def test_a_learner_catches_up_through_a_snapshot(cluster: Cluster, newcomer: Node) -> None:
    """The log that it would need was compacted before it came."""
    leader = cluster.leader
    client = leader.client()
    values = {f"compacted:{i}": (f"{i}:" * 1000).encode() for i in range(400)}
    for key, value in values.items():
        client.set(key, value)
    client.delete("compacted:0")
    values.pop("compacted:0")
    assert leader.cli("snapshot") == "OK"
    for i in range(50):
        client.set("compacted:tail", i)
    assert leader.cli("snapshot") == "OK"
    status = leader.status()["nodes"][leader.id]
    snapshot_index = status["snapshot_index"]
    assert snapshot_index > 400
    newcomer.start(join=leader.address)
    cluster.wait_settled()
    reader = newcomer.client()
    assert dict(zip(values, reader.mget(list(values)), strict=True)) == values
    assert reader.get("compacted:0") is None
    assert reader.get("compacted:tail") == b"49"
    assert int(newcomer.info()["raft_snapshot_index"]) >= snapshot_index
    cluster.wait_same_state()
    newcomer.kill()
    newcomer.start()
    cluster.wait_settled()
    assert newcomer.client().get("compacted:tail") == b"49"


def test_a_removed_node_ends_with_a_clear_line(cluster: Cluster, newcomer: Node) -> None:
    newcomer.start(join=cluster.leader.address)
    cluster.wait_settled()
    term = cluster.leader.info()["raft_term"]
    assert cluster.leader.cli("leave", newcomer.id) == "OK"
    newcomer.wait_exit()
    assert f"{newcomer.id} was removed from the cluster" in newcomer.log()
    assert "Traceback" not in newcomer.log()
    cluster.wait_settled()
    assert cluster.leader.info()["raft_term"] == term
    # Started again on its old data it must not disturb those that removed it.
    newcomer.start()
    newcomer.wait_exit()
    assert newcomer.log().count("was removed from the cluster") >= 2
    assert cluster.leader.info()["raft_term"] == term


def test_members_replaced_under_load(cluster: Cluster, newcomer: Node) -> None:
    """A newcomer takes the place of a follower, then that one comes back empty in place of the newcomer."""
    with Writers(cluster.nodes[:3], prefix="replace") as writers:
        wait_for(lambda: writers.count > 50, "writes are acknowledged")
        newcomer.start(join=cluster.leader.address)
        cluster.wait_settled()
        replaced = cluster.followers[0]
        if replaced is newcomer:
            replaced = cluster.followers[1]
        leave(cluster, replaced.id)
        replaced.wait_exit()
        cluster.wait_settled()
        before = writers.count
        wait_for(lambda: writers.count > before + 50, "writes go on")
        replaced.forget_data()
        replaced.start(join=cluster.leader.address)
        cluster.wait_settled()
    writers.check(cluster)
    cluster.wait_same_state()


def test_the_leader_leaves_after_handing_over(cluster: Cluster, newcomer: Node) -> None:
    newcomer.start(join=cluster.leader.address)
    cluster.wait_settled()
    leader = cluster.leader
    with Writers(cluster.nodes, prefix="leader-leaves") as writers:
        wait_for(lambda: writers.count > 50, "writes are acknowledged")
        assert leader.cli("leave", leader.id) == "OK"
        leader.wait_exit()
        after = cluster.wait_settled()
        before = writers.count
        wait_for(lambda: writers.count > before + 50, "writes go on")
    assert after is not leader
    assert f"{leader.id} was removed from the cluster" in leader.log()
    writers.check(cluster)
    leader.forget_data()
    leader.start(join=after.address)
    cluster.wait_settled()
    writers.check(cluster)


def test_a_snapshot_stream_survives_the_death_of_its_sender(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The newcomer is half fed when the leader dies: the next leader brings the rest."""
    options = ("--trailing-entries", "10", "--segment-bytes", "64kb", "--snapshot-rate", "1mb")
    with Cluster(tmp_path_factory.mktemp("stream"), 3, *options) as cluster:
        client = cluster.leader.client()
        values = {f"stream:{i}": (f"{i}:".encode() * 20_000)[:40_000] for i in range(50)}
        for key, value in values.items():
            client.set(key, value)
        cluster.wait_same_state()
        for node in cluster:
            assert node.cli("snapshot") == "OK"
        leader = cluster.leader
        newcomer = cluster.new_node()
        newcomer.start(join=leader.address)
        wait_for(lambda: "streaming the snapshot" in leader.log(), "the leader streams")
        wait_for(lambda: received_bytes(newcomer) > 400_000, "a part of it has come")
        assert int(newcomer.try_info().get("raft_applied_index", "0")) == 0
        leader.kill()
        cluster.wait_settled({"id1", "id2", "id3", "id4"})
        reader = newcomer.client()
        assert dict(zip(values, reader.mget(list(values)), strict=True)) == values
        leader.start()
        cluster.wait_settled()
        cluster.wait_same_state()


def received_bytes(node: Node) -> int:
    """Size of all that lies in the node's directory."""
    return sum(path.stat().st_size for path in node.raftdir.rglob("*") if path.is_file())

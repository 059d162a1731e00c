"""Nodes stopped, killed, paused and restarted while clients write: nothing acknowledged is lost, nobody lies."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from tests.integration.cluster import Cluster, Node, wait_for
from tests.integration.load import Writers

FAILOVER_SECONDS = 5.0  # the longest that writes may stand still while a leader is replaced
LIE_WINDOW = 100  # writes that must be acknowledged on each side of an event for a test to mean anything


@pytest.fixture(scope="module")
def cluster_options() -> tuple[str, ...]:
    return ("--read-timeout-ms", "1000", "--write-timeout-ms", "1500")


def wait_acknowledged(writers: Writers, more: int = LIE_WINDOW) -> None:
    """Wait until that many more writes are acknowledged."""
    wanted = writers.count + more
    wait_for(lambda: writers.count >= wanted, f"{more} more writes are acknowledged")


@pytest.mark.parametrize("event", [Node.kill, Node.terminate], ids=["KILL", "TERM"])
def test_a_leader_lost_under_load(cluster: Cluster, event: Callable[[Node], object]) -> None:
    leader = cluster.leader
    with Writers(cluster.nodes, prefix=f"lost-{event.__name__}") as writers:
        wait_acknowledged(writers)
        event(leader)
        wait_acknowledged(writers)
    assert writers.longest_gap < FAILOVER_SECONDS
    assert writers.refused, "nobody asked a follower: refusals are not tested"
    writers.check(cluster)
    leader.start()
    cluster.wait_settled()
    writers.check(cluster)
    cluster.wait_same_state()


def test_every_node_restarted_in_turn(cluster: Cluster) -> None:
    written = {}
    for node in list(cluster):
        assert node.terminate() == 0
        leader = cluster.wait_leader()
        written[f"turn:{node.id}"] = node.id.encode()
        assert leader.client().set(f"turn:{node.id}", node.id) is True
        node.start()
        cluster.wait_settled()
    for node in cluster:
        assert dict(zip(written, node.client().mget(list(written)), strict=True)) == written


def test_all_nodes_killed_at_once_under_load(cluster: Cluster) -> None:
    with Writers(cluster.nodes, prefix="all-killed") as writers:
        wait_acknowledged(writers)
        for node in cluster:
            node.kill()
    for node in cluster:
        node.start()
    cluster.wait_settled()
    writers.check(cluster)
    cluster.wait_same_state()


def test_snapshots_and_restart(cluster: Cluster) -> None:
    values = {f"snapshot:{i}": str(i).encode() for i in range(1000)}
    client = cluster.leader.client()
    client.mset(values)
    client.delete("snapshot:7")
    values.pop("snapshot:7")
    cluster.wait_same_state()
    for node in cluster:
        assert node.cli("snapshot") == "OK"
        assert node.cli("snapshot") == "(error) nothing new to snapshot"
        assert int(node.info()["raft_snapshot_index"]) > 0
    client.set("snapshot:8", "after")
    values["snapshot:8"] = b"after"
    for node in cluster:
        node.kill()
    for node in cluster:
        node.start()
    cluster.wait_settled()
    for node in cluster:
        answers = node.client().mget([*values, "snapshot:7"])
        assert dict(zip(values, answers, strict=False)) == values
        assert answers[-1] is None
    cluster.wait_same_state()


def test_leadership_handed_around_under_load(cluster: Cluster) -> None:
    with Writers(cluster.nodes, prefix="transfer") as writers:
        for _ in range(3):
            wait_acknowledged(writers)
            leader, target = cluster.leader, cluster.followers[0]
            assert target.id in leader.cli("raft", "transfer", target.id)
            wait_for(lambda target=target: target.role() == "leader", f"{target.id} leads")
        wait_acknowledged(writers)
    assert writers.longest_gap < FAILOVER_SECONDS
    writers.check(cluster)


def test_an_idle_cluster_keeps_its_leader_and_term(cluster: Cluster) -> None:
    before = [(info["raft_term"], info["raft_leader_id"]) for info in (node.info() for node in cluster)]
    assert len(set(before)) == 1
    until = time.monotonic() + 3.0  # several election timeouts
    wait_for(lambda: time.monotonic() > until, "three seconds pass")
    assert [(info["raft_term"], info["raft_leader_id"]) for info in (node.info() for node in cluster)] == before


def test_a_minority_refuses_reads_and_writes(cluster: Cluster) -> None:
    leader, followers = cluster.leader, cluster.followers
    client = leader.client()
    assert client.set("minority", "before") is True
    for follower in followers:
        follower.pause()
    with pytest.raises(redis.ResponseError, match="^NOQUORUM "):
        leader.client().get("minority")
    with pytest.raises(redis.ResponseError, match="^(UNCERTAIN .*|not leader)$"):
        client.set("minority", "during")
    with pytest.raises(redis.ResponseError, match="^not leader$"):
        leader.client().set("minority", "later")
    with pytest.raises(redis.ResponseError, match="^NOQUORUM "):
        leader.client().get("minority")
    for follower in followers:
        follower.resume()
    cluster.wait_settled()
    values = {node.client().get("minority") for node in cluster}
    assert len(values) == 1
    assert values <= {b"before", b"during"}


def test_a_leader_that_wakes_up_after_its_reign_does_not_lie(cluster: Cluster) -> None:
    """The questions lie in its socket while it sleeps: it must not answer them from its old state."""
    sleeper = cluster.leader
    others = [node for node in cluster if node is not sleeper]
    assert sleeper.client().set("awake", "old") is True
    with sleeper.connect(timeout=20) as reader, sleeper.connect(timeout=20) as writer:
        sleeper.pause()
        reader.sendall(b"*2\r\n$3\r\nGET\r\n$5\r\nawake\r\n")
        writer.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nawake\r\n$5\r\nstale\r\n")
        leader = cluster.wait_leader(others)
        assert leader.client().set("awake", "new") is True
        sleeper.resume()
        read, wrote = reader.recv(1000), writer.recv(1000)
    assert read == b"$3\r\nnew\r\n" or read.startswith(b"-NOQUORUM ")
    assert wrote == b"-not leader\r\n" or wrote.startswith(b"-UNCERTAIN ")
    cluster.wait_settled()
    assert {node.client().get("awake") for node in cluster} == {b"new"}

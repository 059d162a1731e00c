"""Writes that reach a follower: refused, redirected or forwarded, as each node was told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.integration.cluster import Cluster, Node, logs_forgotten_afterwards, wait_for
from tests.integration.load import Increments

POLICIES = {"id1": "proxy", "id2": "moved", "id3": "proxy"}
SLOT_OF_A = 15495  # CRC16 of "a" modulo 16384, as CLUSTER KEYSLOT tells


@pytest.fixture(scope="module")
def module_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with logs_forgotten_afterwards():
        # On a machine whose cores are busy a node may be away for longer than the default timeout.
        cluster = Cluster(tmp_path_factory.mktemp("redirects"), 3, "--election-timeout-ms", "3000")
        for node in cluster:
            node.options += ["--on-follower", POLICIES[node.id]]
        with cluster:
            yield cluster


def make_leader(cluster: Cluster, node: Node) -> None:
    """Have `node` lead."""
    if cluster.leader is not node:
        assert node.id in cluster.leader.cli("raft", "transfer", node.id)
        wait_for(lambda: cluster.agreed_leader(cluster.nodes) is node, f"{node.id} leads")


def test_moved_names_the_slot_and_the_leader(cluster: Cluster) -> None:
    leader, follower = cluster.node("id1"), cluster.node("id2")
    make_leader(cluster, leader)
    assert follower.cli("set", "a", "b") == f"(error) MOVED {SLOT_OF_A} {leader.address}"
    assert follower.cli("get", "nothing") == "(nil)", "a follower reads by itself"


def test_proxy_forwards_and_shows_what_it_wrote(cluster: Cluster) -> None:
    leader, follower = cluster.node("id1"), cluster.node("id3")
    make_leader(cluster, leader)
    client = follower.client()
    for i in range(50):
        assert client.set("proxied", i) is True
        assert client.get("proxied") == str(i).encode()
    assert client.transaction(lambda pipe: pipe.incr("proxied").incr("proxied")) == [50, 51]
    with pytest.raises(redis.ResponseError, match="^WRONGTYPE|^value is not an integer"):
        client.set("proxied", "text")
        client.incr("proxied")
    assert leader.client().get("proxied") == b"text"


def test_a_pipeline_that_is_sent_whole_before_it_is_read(cluster: Cluster) -> None:
    """redis-py sends all of it first; 20 MB of replies fill every buffer on the way meanwhile."""
    leader, follower = cluster.node("id1"), cluster.node("id3")
    make_leader(cluster, leader)
    leader.client().set("kilo", "k" * 1000)
    for node in (leader, follower):
        pipeline = node.client(timeout=60).pipeline(transaction=False)
        for _ in range(20_000):
            pipeline.get("kilo")
        for _ in range(5_000):
            pipeline.incr("counted")
        replies = pipeline.execute()
        assert replies[:20_000] == [b"k" * 1000] * 20_000
        last = replies[-1]
        assert replies[20_000:] == list(range(last - 4_999, last + 1))
    assert last == 10_000


def test_a_forwarded_increment_counts_once_or_not_at_all(cluster: Cluster) -> None:
    """The leader dies while followers forward to it: nothing is sent a second time."""
    proxies = [cluster.node("id1"), cluster.node("id3")]
    make_leader(cluster, cluster.node("id2"))
    with Increments(proxies) as increments:
        wait_for(lambda: increments.acknowledged > 50, "increments are forwarded")
        cluster.node("id2").kill()
        before = increments.acknowledged
        wait_for(lambda: increments.acknowledged > before + 50, "increments go on at the new leader")
    increments.check(cluster)

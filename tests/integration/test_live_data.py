"""What clients do all day, on three real nodes, through the leader and through followers."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
import pytest_twisted
import redis
import txredisapi

from tests.integration.cluster import Cluster, wait_for

ALL_BYTES = bytes(range(256))


def test_a_follower_reads_what_was_just_acknowledged(cluster: Cluster) -> None:
    writer = cluster.leader.client()
    readers = [node.client() for node in cluster.followers]
    for i in range(150):
        writer.set("fresh", i)
        assert [int(reader.get("fresh") or -1) for reader in readers] == [i, i]


def test_states_are_equal_at_equal_index(cluster: Cluster) -> None:
    client = cluster.leader.client()
    client.mset({f"digest:{i}": i for i in range(100)})
    client.delete(*(f"digest:{i}" for i in range(0, 100, 3)))
    _, before = cluster.wait_same_state()
    client.set("digest:1", "another")
    assert cluster.wait_same_state()[1] != before


@pytest.mark.parametrize("protocol", [2, 3])
def test_values_and_keys_are_arbitrary_bytes(cluster: Cluster, protocol: int) -> None:
    leader = cluster.leader.client(protocol=protocol)
    values = {
        b"": b"empty key",
        ALL_BYTES: ALL_BYTES,
        b"crlf\r\n": b"\r\n$5\r\n",
        b"empty value": b"",
        b"\xff\xfe": b"\x80",
    }
    for key, value in values.items():
        assert leader.set(key, value) is True
    for node in cluster:
        reader = node.client(protocol=protocol)
        assert reader.mget(list(values)) == list(values.values())
        assert {key: reader.get(key) for key in values} == values


def test_a_pipeline_of_reads_and_writes_keeps_its_order(cluster: Cluster) -> None:
    pipeline = cluster.leader.client().pipeline(transaction=False)
    expected: list[Any] = []
    for i in range(500):
        pipeline.set("order", i)
        pipeline.get("order")
        pipeline.incr("order:count")
        pipeline.get("order:count")
        expected += [True, str(i).encode(), i + 1, str(i + 1).encode()]
    assert pipeline.execute() == expected


def test_a_pipeline_on_a_follower_reads_and_is_refused_in_order(cluster: Cluster) -> None:
    cluster.leader.client().set("here", "1")
    pipeline = cluster.followers[0].client().pipeline(transaction=False)
    for _ in range(50):
        pipeline.get("here").set("here", "2").get("here").ping()
    answers = pipeline.execute(raise_on_error=False)
    for i in range(0, 200, 4):
        first, refused, again, pong = answers[i : i + 4]
        assert (first, again, pong) == (b"1", b"1", True)
        assert isinstance(refused, redis.ResponseError)
        assert str(refused) == "not leader"


def test_a_value_of_twenty_megabytes(cluster: Cluster) -> None:
    leader = cluster.leader
    term = leader.info()["raft_term"]
    value = random.Random(1).randbytes(20 << 20)
    assert leader.client(timeout=30).set("big", value) is True
    for node in cluster:
        assert node.client(timeout=30).get("big") == value
    assert leader.info()["raft_term"] == term, "a big value cost the leader its term"
    assert leader.client().delete("big") == 1


def test_watch_loops_keep_a_counter_exact(cluster: Cluster) -> None:
    """Clients that read, think and write under WATCH lose no increment and make none twice."""
    node, clients, rounds = cluster.leader, 4, 20
    aborted = []
    failures: list[BaseException] = []

    def increment(client: redis.Redis) -> None:
        try:
            for _ in range(rounds):
                while True:
                    with client.pipeline() as pipeline:
                        try:
                            pipeline.watch("watched")
                            seen = int(pipeline.get("watched") or 0)
                            pipeline.multi()
                            pipeline.set("watched", seen + 1)
                            pipeline.incr("watched:plain")
                            pipeline.execute()
                            break
                        except redis.WatchError:
                            aborted.append(1)
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=increment, args=(node.client(),)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert aborted, "the clients never met: this proves nothing"
    for other in cluster:
        assert other.client().mget("watched", "watched:plain") == [str(clients * rounds).encode()] * 2


def test_a_transaction_sees_one_instant_on_a_follower(cluster: Cluster) -> None:
    """Two keys that are always written together are always read together."""
    writer = cluster.leader.client()
    reader = cluster.followers[0].client()
    stop = threading.Event()

    def write() -> None:
        i = 0
        while not stop.is_set():
            i += 1
            writer.mset({"twin:a": i, "twin:b": i})

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_for(lambda: reader.get("twin:a"), "the first pair is written")
        for _ in range(100):
            a, b = reader.pipeline(transaction=True).get("twin:a").get("twin:b").execute()
            assert a == b
    finally:
        stop.set()
        thread.join(20)


def test_scan_finds_ten_thousand_keys_on_leader_and_follower(cluster: Cluster) -> None:
    client = cluster.leader.client()
    expected = {f"scan:{i}".encode() for i in range(10_000)}
    names = sorted(expected)
    for start in range(0, len(names), 1000):
        client.mset(dict.fromkeys(names[start : start + 1000], b"x"))
    for node in (cluster.leader, cluster.followers[0]):
        assert set(node.client().scan_iter(match="scan:*", count=500)) == expected
    assert client.unlink(*names) == 10_000


def test_keys_expire_at_one_time_everywhere(cluster: Cluster) -> None:
    leader = cluster.leader.client()
    nodes = [node.client() for node in cluster]
    leader.set("stays", "1")
    leader.set("goes", "1", px=400)
    assert 0 < leader.pttl("goes") <= 400
    assert [client.get("goes") for client in nodes] == [b"1"] * 3
    wait_for(lambda: nodes[0].get("goes") is None, "the key expires")
    assert [client.get("goes") for client in nodes] == [None] * 3
    assert [client.exists("goes", "stays") for client in nodes] == [1] * 3
    assert leader.set("goes", "again", nx=True) is True
    assert leader.ttl("goes") == -1
    cluster.wait_same_state()


@pytest_twisted.ensureDeferred
async def test_txredisapi(cluster: Cluster) -> None:
    leader = await txredisapi.Connection("127.0.0.1", cluster.leader.client_port.number, reconnect=False)
    follower = await txredisapi.Connection("127.0.0.1", cluster.followers[0].client_port.number, reconnect=False)
    try:
        assert await leader.set("tx", "value") == "OK"
        assert await follower.get("tx") == "value"
        with pytest.raises(txredisapi.ResponseError, match="^not leader$"):
            await follower.set("tx", "other")
        pipeline = await leader.pipeline()
        pipeline.incr("tx:count")
        pipeline.incr("tx:count")
        assert await pipeline.execute_pipeline() == [1, 2]
        transaction = await leader.multi()
        await transaction.set("tx:a", "1")
        await transaction.get("tx:a")
        assert await transaction.commit() == ["OK", 1]  # txredisapi reads digits as numbers
    finally:
        await leader.disconnect()
        await follower.disconnect()

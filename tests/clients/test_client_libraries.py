"""The public clients, over loopback: redis-py with RESP2 and RESP3, and redis-py's idea of a cluster."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.clients.processes_of_resp import lone_node


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with lone_node() as (port, _):
        yield port


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(port: int, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    with redis.Redis(port=port, protocol=request.param, socket_timeout=20) as client:
        client.flushall()
        yield client


def test_values(client: redis.Redis) -> None:
    assert client.set("a", b"\x00\r\n\xff") is True
    assert client.get("a") == b"\x00\r\n\xff"
    assert client.get("missing") is None
    assert client.mset({"x": 1, "y": 2})
    assert client.mget("x", "y", "z") == [b"1", b"2", None]
    assert client.incrby("x", 5) == 6
    assert client.incrbyfloat("x", 0.5) == 6.5
    assert client.set("b", 1, ex=100, nx=True) is True
    assert client.set("b", 1, nx=True) is None
    assert client.ttl("b") == 100
    assert client.delete("a", "b", "c") == 2
    assert sorted(client.keys("*")) == [b"x", b"y"]
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.set("t", "x")
        client.incr("t")


def test_a_value_of_twenty_megabytes(client: redis.Redis) -> None:
    value = bytes(range(256)) * (20 << 12)
    assert client.set("big", value)
    assert client.get("big") == value


def test_a_pipeline_of_ten_thousand(client: redis.Redis) -> None:
    pipeline = client.pipeline(transaction=False)
    for number in range(5000):
        pipeline.set(f"k{number}", number)
        pipeline.get(f"k{number}")
    replies = pipeline.execute()
    assert replies[::2] == [True] * 5000
    assert replies[1::2] == [b"%d" % number for number in range(5000)]
    assert len(list(client.scan_iter("k*", count=500))) == 5000


def test_a_pipeline_whose_replies_exceed_every_buffer_before_they_are_read(client: redis.Redis) -> None:
    """redis-py sends all of it before it reads the first reply."""
    client.set("v", b"v" * 1000)
    client.set("mega", b"m" * (1 << 20))
    reads = client.pipeline(transaction=False)
    for _ in range(30_000):
        reads.get("v")
    assert reads.execute() == [b"v" * 1000] * 30_000
    mixed = client.pipeline(transaction=False)
    for _ in range(12):
        mixed.get("mega")
    for number in range(12):
        mixed.set("mega", b"%d" % number * (1 << 20))
    assert mixed.execute() == [b"m" * (1 << 20)] * 12 + [True] * 12


def test_replies_larger_than_every_buffer(client: redis.Redis) -> None:
    client.set("v", b"v" * 100_000)
    pipeline = client.pipeline(transaction=False)
    for _ in range(200):
        pipeline.get("v")
    assert [len(reply) for reply in pipeline.execute()] == [100_000] * 200


def test_transactions_and_watch(client: redis.Redis) -> None:
    def increment(pipeline: redis.client.Pipeline) -> None:
        value = int(pipeline.get("n") or 0)
        pipeline.multi()
        pipeline.set("n", value + 1)

    threads = [
        threading.Thread(target=lambda: [client.transaction(increment, "n") for _ in range(20)]) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert client.get("n") == b"60"


def test_what_clients_ask_of_a_server(client: redis.Redis) -> None:
    assert client.ping() is True
    assert client.info("raft")["raft_id"] == "lone"
    assert client.info()["redis_version"] == "7.0.15"
    assert client.client_setname("bob")
    assert client.client_getname() in ("bob", b"bob")
    assert any(entry["name"] == "bob" for entry in client.client_list())
    assert client.client_info()["lib-name"] == "redis-py"
    assert client.config_get("port")["port"] == str(client.connection_pool.connection_kwargs["port"])
    assert client.config_set("slowlog-max-len", 64)
    assert client.dbsize() == 0
    assert client.time()[0] > 1_600_000_000
    assert client.role()[0] in ("master", b"master")
    assert isinstance(client.slowlog_get(), list)
    assert client.command_count() > 70
    assert "get" in client.command()
    assert client.command_getkeys("MSET", "a", 1, "b", 2) in (["a", "b"], [b"a", b"b"])
    assert client.memory_usage("missing") is None
    assert client.echo("x") == b"x"
    assert client.object("ENCODING", "missing") is None
    assert client.execute_command("RAFT", "LEADER")[0] == b"lone"


def test_a_cluster_client_finds_its_way() -> None:
    with lone_node("on_follower=moved") as (port, _), socket.create_connection(("127.0.0.1", port)) as wire:
        wire.sendall(b"JOIN 127.0.0.1:15379 lone 127.0.0.1:%d\r\n" % port)
        assert wire.recv(100) == b"+OK\r\n"
        cluster = redis.cluster.RedisCluster(host="127.0.0.1", port=port)
        assert cluster.set("a", 1)
        assert cluster.get("a") == b"1"
        assert cluster.get_node_from_key("a").port == port
        cluster.close()


def test_a_password_with_redis_py() -> None:
    with lone_node("password=secret") as (port, _):
        once = Retry(NoBackoff(), 0)
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port, retry=once).ping()
        assert redis.Redis(port=port, password="secret").ping()
        assert redis.Redis(port=port, password="secret", protocol=3, username="default").ping()
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port, password="wrong", retry=once).ping()

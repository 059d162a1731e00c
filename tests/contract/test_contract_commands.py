"""The commands of the original, row by row, byte for byte."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract import wire
from tests.integration.cluster import Cluster, Node, member_ids
from tests.integration.peer_stand_in import PeerStandIn

# (on the leader or on a follower, requests sent before, request, reply)
ROWS: list[tuple[str, list[list[str]], list[str], bytes]] = [
    # GET key: bulk, nil for a missing key
    ("leader", [["SET", "k", "v"]], ["GET", "k"], b"$1\r\nv\r\n"),
    ("leader", [["DEL", "none"]], ["GET", "none"], b"$-1\r\n"),
    ("follower", [], ["GET", "none"], b"$-1\r\n"),
    ("leader", [["SET", "e", ""]], ["GET", "e"], b"$0\r\n\r\n"),
    # SET key value: +OK on the leader, -not leader elsewhere, with Redis's options
    ("leader", [], ["SET", "k", "v"], b"+OK\r\n"),
    ("follower", [], ["SET", "k", "v"], b"-not leader\r\n"),
    ("leader", [["SET", "k", "v"]], ["SET", "k", "w", "NX"], b"$-1\r\n"),
    ("leader", [["SET", "k", "v"]], ["SET", "k", "w", "XX", "GET"], b"$1\r\nv\r\n"),
    ("leader", [], ["SET", "k", "v", "EX", "0"], b"-ERR invalid expire time in 'set' command\r\n"),
    ("leader", [], ["SET", "k", "v", "nonsense"], b"-ERR syntax error\r\n"),
    # a key may be empty: acknowledged means stored
    ("leader", [["SET", "", "v"]], ["GET", ""], b"$1\r\nv\r\n"),
    # DEL: the integer count, many keys
    ("leader", [["SET", "k", "v"]], ["DEL", "k"], b":1\r\n"),
    ("leader", [["DEL", "k"]], ["DEL", "k"], b":0\r\n"),
    ("leader", [["MSET", "k1", "v", "k2", "v"]], ["DEL", "k1", "k2", "k3"], b":2\r\n"),
    ("follower", [], ["DEL", "k"], b"-not leader\r\n"),
    # LEAVE
    ("leader", [], ["LEAVE", "unknown"], b"-ERR unknown is no member of the cluster\r\n"),
    # PING
    ("leader", [], ["PING"], b"+PONG\r\n"),
    ("follower", [], ["PING"], b"+PONG\r\n"),
    ("leader", [], ["PING", "message"], b"$7\r\nmessage\r\n"),
    # anything else: Redis's unknown-command error
    ("leader", [], ["FOO"], b"-ERR unknown command 'FOO', with args beginning with: \r\n"),
    ("follower", [], ["FOO", "a", "b"], b"-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n"),
    # names are case-insensitive
    ("leader", [], ["sEt", "k", "v"], b"+OK\r\n"),
    ("leader", [["SET", "k", "v"]], ["gEt", "k"], b"$1\r\nv\r\n"),
    ("leader", [], ["lEaVe", "unknown"], b"-ERR unknown is no member of the cluster\r\n"),
    # arity is checked before leadership, with Redis's error
    ("leader", [], ["GET"], b"-ERR wrong number of arguments for 'get' command\r\n"),
    ("leader", [], ["SET", "k"], b"-ERR wrong number of arguments for 'set' command\r\n"),
    ("follower", [], ["SET", "k"], b"-ERR wrong number of arguments for 'set' command\r\n"),
    ("follower", [], ["DEL"], b"-ERR wrong number of arguments for 'del' command\r\n"),
    ("follower", [], ["JOIN", "127.0.0.1:1"], b"-ERR wrong number of arguments for 'join' command\r\n"),
    ("follower", [], ["LEAVE"], b"-ERR wrong number of arguments for 'leave' command\r\n"),
    ("leader", [], ["SNAPSHOT", "now"], b"-ERR wrong number of arguments for 'snapshot' command\r\n"),
    ("leader", [], ["PING", "a", "b"], b"-ERR wrong number of arguments for 'ping' command\r\n"),
]

COMPAT_ROWS: list[tuple[list[list[str]], list[str], bytes]] = [
    ([["DEL", "none"]], ["GET", "none"], b"$0\r\n\r\n"),
    ([["SET", "k", "v"]], ["GET", "k"], b"$1\r\nv\r\n"),
    ([["SET", "k", "v"]], ["DEL", "k"], b"+OK\r\n"),
    ([["DEL", "k"]], ["DEL", "k"], b"+OK\r\n"),
    ([], ["PING", "a", "b"], b"+PONG\r\n"),
    ([], ["LEAVE", "unknown"], b"+OK\r\n"),
    ([], ["SET", "k", "v"], b"+OK\r\n"),
]


def name_of(row: object) -> str:
    return " ".join(row) if isinstance(row, list) and row and isinstance(row[0], str) else ""


@pytest.mark.parametrize(("where", "before", "request_words", "reply"), ROWS, ids=name_of)
def test_command(cluster: Cluster, where: str, before: list[list[str]], request_words: list[str], reply: bytes) -> None:
    for words in before:
        wire.ask(cluster.leader, *words)
    node = cluster.leader if where == "leader" else cluster.followers[0]
    with node.connect() as connection:
        assert wire.exchange(connection, wire.packed(*request_words), len(reply)) == reply
        assert wire.exchange(connection, wire.packed("PING")) == b"+PONG\r\n", "the connection must stay"


def test_the_replies_of_compat_leto(make_node: Callable[..., Node]) -> None:
    node = make_node("--compat", "leto").start().wait_serving()
    for before, words, reply in COMPAT_ROWS:
        for earlier in before:
            wire.ask(node, *earlier)
        assert wire.ask(node, *words, size=len(reply)) == reply, words


def test_join_leave_and_moving_a_known_id(cluster: Cluster) -> None:
    leader = cluster.leader
    cluster_id = leader.info()["raft_cluster_id"]
    try:
        with PeerStandIn(cluster_id, "wanderer") as here, PeerStandIn(cluster_id, "wanderer") as there:
            assert wire.ask(leader, "JOIN", here.address, "wanderer") == b"+OK\r\n"
            index = leader.info()["raft_configuration_index"]
            assert wire.ask(leader, "JOIN", here.address, "wanderer") == b"+OK\r\n"
            assert leader.info()["raft_configuration_index"] == index, "joining twice changed something"
            assert wire.ask(leader, "JOIN", there.address, "wanderer") == b"+OK\r\n"
        members = leader.status()["nodes"][leader.id]["configuration"]["members"]
        assert {member["id"]: member["address"] for member in members}["wanderer"] == there.address
    finally:
        assert wire.ask(leader, "LEAVE", "wanderer") == b"+OK\r\n"
    assert "wanderer" not in member_ids(leader, voters=True) | member_ids(leader, voters=False)


def test_join_on_a_follower_says_who_leads(cluster: Cluster) -> None:
    expected = f"-node is not the leader {cluster.leader.address}\r\n".encode()
    assert wire.ask(cluster.followers[0], "JOIN", "127.0.0.1:1", "whoever") == expected


def test_leave_on_a_follower_changes_nothing(cluster: Cluster) -> None:
    before = member_ids(cluster.leader, voters=True)
    reply = wire.ask(cluster.followers[0], "LEAVE", cluster.followers[1].id)
    assert reply.startswith((b"-not leader", b"-node is not the leader"))
    assert member_ids(cluster.leader, voters=True) == before


def test_snapshot_is_local_and_says_when_there_is_nothing_new(cluster: Cluster) -> None:
    assert wire.ask(cluster.leader, "SET", "snapshot", "me") == b"+OK\r\n"
    cluster.wait_same_state()
    for node in (cluster.followers[0], cluster.leader):
        assert wire.ask(node, "SNAPSHOT") == b"+OK\r\n"
        assert wire.ask(node, "SNAPSHOT") == b"-nothing new to snapshot\r\n"


def test_the_last_voter_cannot_be_removed(make_node: Callable[..., Node]) -> None:
    node = make_node().start().wait_serving()
    reply = wire.ask(node, "LEAVE", node.id)
    assert reply.startswith(b"-")
    assert b"voter" in reply
    assert wire.ask(node, "SET", "k", "v") == b"+OK\r\n"
    assert member_ids(node, voters=True) == {node.id}


def test_a_protocol_error_ends_that_connection_alone(cluster: Cluster) -> None:
    with cluster.leader.connect() as bystander:
        with cluster.leader.connect() as connection:
            assert wire.exchange(connection, b"*1\r\n+PING\r\n") == b"-ERR Protocol error: expected '$', got '+'\r\n"
            assert connection.recv(100) == b""
        assert wire.exchange(bystander, wire.packed("PING")) == b"+PONG\r\n"


def test_neither_requests_nor_values_are_logged(cluster: Cluster) -> None:
    leader = cluster.leader
    lines = leader.log().count("\n")
    with leader.connect() as connection:
        for i in range(50):
            assert wire.exchange(connection, wire.packed("SET", f"unlogged:{i}", "confidential")) == b"+OK\r\n"
    assert "confidential" not in leader.log()
    assert "unlogged" not in leader.log()
    assert leader.log().count("\n") - lines < 10


def test_a_pipeline_is_answered_in_few_writes(cluster: Cluster) -> None:
    """A hundred pipelined requests come back in one piece, not in a hundred."""
    expected = b"+PONG\r\n" * 100
    with cluster.leader.connect() as connection:
        connection.sendall(wire.packed("PING") * 100)
        pieces = []
        while sum(map(len, pieces)) < len(expected):
            pieces.append(connection.recv(65536))
            assert pieces[-1]
    assert b"".join(pieces) == expected
    assert len(pieces) <= 5

"""JOIN, LEAVE, SNAPSHOT, RAFT and CLUSTER."""

from __future__ import annotations

import json

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import fail

from leto.errors import ConfigurationRefused, OutcomeUnknown
from leto.raft.configuration import Member
from tests.clients.conversation import Client, Node, error

FAR = IPv4Address("TCP", "10.1.2.3", 40000)


def open_node(**config: object) -> Node:
    return Node(protected_mode=False, **config)


NO_ID = "ERR a server id is 1 to 128 letters, digits and _ . : @ - (the first a letter, a digit or _)"


@pytest.mark.parametrize(
    ("request_", "call"),
    [
        ("JOIN 10.0.0.9:15379 id2", ("id2", "10.0.0.9:15379", None, "")),
        ("join :15379 id2", ("id2", "10.1.2.3:15379", None, "")),
        ("JOIN 0.0.0.0:15379 id2 0.0.0.0:6379", ("id2", "10.1.2.3:15379", None, "10.1.2.3:6379")),
        ("JOIN :15379 id2 :6379 abc", ("id2", "10.1.2.3:15379", None, "10.1.2.3:6379")),
        ("JOIN db.example:15379 id2 db.example:6379", ("id2", "db.example:15379", None, "db.example:6379")),
        ("JOIN [fe80::1]:15379 id2", ("id2", "[fe80::1]:15379", None, "")),
        ("RAFT ADD id2 :15379", ("id2", "10.1.2.3:15379", True, "")),
        ("RAFT ADD id2 h:1 LEARNER", ("id2", "h:1", False, "")),
    ],
)
def test_adding_a_member(request_: str, call: tuple[object, ...]) -> None:
    node = open_node()
    client = node.client(FAR)
    assert client.call(*request_.split()) == b"OK"
    assert node.replica.calls == [("add_member", *call, "127.0.0.1")]
    assert client.call(*request_.split()) == b"OK"


@pytest.mark.parametrize(
    ("host", "request_", "words"),
    [
        ("10.1.2.3", "JOIN [::]:15379 id2", "[::]:15379 cannot be reached at 10.1.2.3"),
        ("fd00::2", "JOIN 0.0.0.0:15379 id2", "0.0.0.0:15379 cannot be reached at fd00::2"),
        ("fd00::2", "RAFT ADD id2 0.0.0.0:15379", "0.0.0.0:15379 cannot be reached at fd00::2"),
        ("fd00::2", "JOIN :15379 id2 0.0.0.0:6379", "0.0.0.0:6379 cannot be reached at fd00::2"),
    ],
)
def test_a_node_is_not_taken_in_where_it_does_not_listen(host: str, request_: str, words: str) -> None:
    node = open_node()
    address = IPv6Address if ":" in host else IPv4Address
    reply = error(node.client(address("TCP", host, 40000)).call(*request_.split()))
    option = "--advertise-client" if "6379" in words.split()[0] and "15379" not in words else "--advertise"
    assert reply == (
        f"ERR {words}, where this request came from: "
        f"start the node with {option}, or bind it to an address of the other family"
    )
    assert node.replica.calls == []


@pytest.mark.parametrize("request_", ["JOIN [::]:15379 id2 [::]:6379", "JOIN :15379 id2 :6379"])
def test_a_node_that_joins_over_ipv6(request_: str) -> None:
    node = open_node()
    assert node.client(IPv6Address("TCP", "fd00::2", 40000)).call(*request_.split()) == b"OK"
    assert node.replica.calls == [("add_member", "id2", "[fd00::2]:15379", None, "[fd00::2]:6379", "127.0.0.1")]


@pytest.mark.parametrize(
    ("request_", "call"),
    [
        ("RAFT MOVE lone 10.0.0.9:15379", ("lone", "10.0.0.9:15379", "", None)),
        ("RAFT MOVE lone :15379 :6379 abc", ("lone", "10.1.2.3:15379", "10.1.2.3:6379", "abc")),
    ],
)
def test_moving_a_member(request_: str, call: tuple[object, ...]) -> None:
    node = open_node()
    assert node.client(FAR).call(*request_.split()) == b"OK"
    assert node.replica.calls == [("move_member", *call)]


def test_joining_passes_the_incarnation_on(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    seen = {}

    def add_member(*args: object, **options: object):
        seen.update(options)
        return fail(ConfigurationRefused("a change is in flight"))

    monkeypatch.setattr(node.replica, "add_member", add_member)
    assert error(node.client().call("JOIN", "h:1", "id2", "h:2", "abc")) == "ERR a change is in flight"
    assert seen["incarnation"] == "abc"


@pytest.mark.parametrize(
    "request_", ["JOIN h:1 id2", "LEAVE id2", "RAFT ADD id2 h:1", "RAFT REMOVE id2", "RAFT TRANSFER"]
)
def test_on_a_follower_the_leader_is_named(request_: str) -> None:
    node = Node()
    node.replica.is_leader = False
    client = node.client()
    assert client.say(request_.encode() + b"\r\n") == b"-node is not the leader\r\n"
    node.replica.leader_address = "10.0.0.2:6379"
    assert client.say(request_.encode() + b"\r\n") == b"-node is not the leader 10.0.0.2:6379\r\n"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("JOIN nonsense id2", "ERR 'nonsense' is not an address: it has no :port"),
        ("JOIN h:99999 id2", "ERR 'h:99999' is not an address: the port must be a number from 0 to 65535"),
        ("JOIN h:1", "ERR wrong number of arguments for 'join' command"),
        ("JOIN h:1 a b:1 c d", "ERR syntax error"),
        (f"JOIN {'h' * 300}:1 id2", f"ERR '{'h' * 32}'... is not an address: it has 302 characters"),
        (f"JOIN h:1 id2 {'h' * 100_000}:1", f"ERR '{'h' * 32}'... is not an address: it has 100002 characters"),
        (f"JOIN h:1 {'x' * 100_000}", "ERR a server id is 1 to 255 bytes of printable text without a slash"),
        (f"JOIN h:1 {'x' * 129}", NO_ID),
        (f"JOIN h:1 id2 h:2 {'a' * 65}", "ERR an incarnation is at most 64 letters, digits, _ and -"),
        ("JOIN h:1 id2 h:2 a/b", "ERR an incarnation is at most 64 letters, digits, _ and -"),
        (f"RAFT ADD id2 {'h' * 300}:1", f"ERR '{'h' * 32}'... is not an address: it has 302 characters"),
        ("JOIN h:1 ../x", "ERR a server id is 1 to 255 bytes of printable text without a slash"),
        ('JOIN h:1 "a b"', NO_ID),
        ("JOIN h:1 -a", NO_ID),
        ("JOIN h:1 a,b=c", NO_ID),
        ("RAFT ADD a,b=c h:1", NO_ID),
        ("JOIN h:1 " + 129 * "a", NO_ID),
        ("LEAVE", "ERR wrong number of arguments for 'leave' command"),
        ("LEAVE lone", "ERR the last voter cannot be removed"),
        ("RAFT", "ERR wrong number of arguments for 'raft' command"),
        ("RAFT ADD a h:1 VOTER", "ERR syntax error"),
        ("RAFT PROMOTE nobody", "ERR nobody is no member"),
        ("RAFT MOVE nobody h:1", "ERR nobody is no member of the cluster"),
        ("RAFT MOVE lone h", "ERR 'h' is not an address: it has no :port"),
        ("RAFT MOVE lone h:1 h:2 abc more", "ERR syntax error"),
        ("RAFT REMOVE nobody", "ERR nobody is no member of the cluster"),
        ("LEAVE nobody", "ERR nobody is no member of the cluster"),
        ("RAFT TRANSFER nobody", "ERR there is no such voter to lead"),
        ("RAFT TRANSFER a b", "ERR syntax error"),
        ("RAFT foo", "ERR unknown subcommand 'foo'. Try RAFT HELP."),
    ],
)
def test_refusals(client: Client, request_: str, words: str) -> None:
    assert error(client.call(*request_.split())) == words


def test_an_unknown_fate_is_told_as_such(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.replica, "remove_member", lambda _: fail(OutcomeUnknown("who knows")))
    assert error(node.client().call("LEAVE", "id2")) == "UNCERTAIN who knows"


def test_leave_of_an_unknown_id_is_fine_to_the_originals_users() -> None:
    node = Node(compat="leto")
    client = node.client()
    assert client.call("LEAVE", "nobody") == b"OK"
    assert error(client.call("LEAVE", "lone")) == "ERR the last voter cannot be removed"
    assert error(client.call("RAFT", "REMOVE", "nobody")) == "ERR nobody is no member of the cluster"
    node.replica.is_leader = False
    assert error(client.call("LEAVE", "nobody")) == "node is not the leader"


def test_snapshot_and_nothing_new(client: Client) -> None:
    assert client.say(b"SNAPSHOT\r\n") == b"-nothing new to snapshot\r\n"
    client.call("SET", "a", 1)
    assert client.say(b"SNAPSHOT\r\n") == b"+OK\r\n"
    assert client.say(b"RAFT SNAPSHOT\r\n") == b"-nothing new to snapshot\r\n"


def test_raft_tells_of_the_cluster(node: Node) -> None:
    client = node.client()
    node.replica.members["id2"] = Member("id2", "10.0.0.2:15379", False, client_address="10.0.0.2:6379")
    assert client.call("RAFT", "LEADER") == [b"lone", b""]
    assert [m[:4] for m in client.call("RAFT", "MEMBERS")] == [
        [b"id", b"id2", b"role", b"learner"],
        [b"id", b"lone", b"role", b"voter"],
    ]
    view = json.loads(client.call("RAFT", "STATUS"))
    assert set(view) == {"id", "nodes", "unreachable"}
    assert view["nodes"]["lone"]["role"] == "leader"
    assert client.call("RAFT", "PROMOTE", "id2") == b"OK"
    assert client.call("RAFT", "DEMOTE", "id2") == b"OK"
    assert client.call("RAFT", "TRANSFER", "id2") == b"id2"
    assert client.call("RAFT", "LEADER") == [b"id2", b""]
    node.replica.leader_id = None
    assert client.call("RAFT", "LEADER") is None


def test_cluster_support_is_disabled_by_default(client: Client) -> None:
    for request_ in (("INFO",), ("SLOTS",), ("SHARDS",), ("NODES",), ("MYID",), ("KEYSLOT", "a")):
        assert error(client.call("CLUSTER", *request_)) == "ERR This instance has cluster support disabled"


def test_cluster_to_a_client_that_follows_moved() -> None:
    node = Node(on_follower="moved")
    node.replica.members = {
        "id2": Member("id2", "10.0.0.2:15379", True, client_address="10.0.0.2:6379"),
        "lone": Member("lone", "10.0.0.1:15379", True, client_address="10.0.0.1:5379"),
    }
    client = node.client()
    assert client.call("CLUSTER", "KEYSLOT", "foo") == 12182
    assert client.call("CLUSTER", "KEYSLOT", "x{foo}y") == 12182
    assert client.call("CLUSTER", "KEYSLOT", "123456789") == 12739
    ((first, last, leader, replica),) = client.call("CLUSTER", "SLOTS")
    assert (first, last) == (0, 16383)
    assert leader[:2] == [b"10.0.0.1", 5379]
    assert replica[:2] == [b"10.0.0.2", 6379]
    assert leader[2] == client.call("CLUSTER", "MYID")
    assert len(leader[2]) == 40
    assert b"cluster_state:ok" in client.call("CLUSTER", "INFO")
    assert b"10.0.0.1:5379@0 myself,master - 0 0 1 connected 0-16383\n" in client.call("CLUSTER", "NODES")
    (shard,) = client.call("CLUSTER", "SHARDS")
    assert shard[1] == [0, 16383]
    node.replica.is_leader = False
    assert client.call("CLUSTER", "SLOTS") == []
    assert b"cluster_state:fail" in client.call("CLUSTER", "INFO")
    assert b"cluster_enabled:1" in client.call("INFO", "cluster")

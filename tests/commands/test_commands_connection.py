"""PING to HELLO, AUTH and CLIENT: texts and effects as Redis 7 has them."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from tests.clients.conversation import Client, Node, error

STRANGER = IPv4Address("TCP", "203.0.113.9", 40000)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"PING", b"+PONG"),
        (b"PING hi", b"$2\r\nhi"),
        (b"PING a b", b"-ERR wrong number of arguments for 'ping' command"),
        (b"ECHO hi", b"$2\r\nhi"),
        (b"SELECT 0", b"+OK"),
        (b"SELECT 1", b"-ERR DB index is out of range"),
        (b"SELECT -1", b"-ERR DB index is out of range"),
        (b"SELECT a", b"-ERR value is not an integer or out of range"),
        (b"RESET", b"+RESET"),
        (b"HELLO 4", b"-NOPROTO unsupported protocol version"),
        (b"HELLO 1", b"-NOPROTO unsupported protocol version"),
        (b"HELLO x", b"-ERR Protocol version is not an integer or out of range"),
        (b"HELLO 2 foo", b"-ERR Syntax error in HELLO option 'foo'"),
        (b"HELLO 3 setname", b"-ERR Syntax error in HELLO option 'setname'"),
        (b"HELLO 3 AUTH a b", b"-WRONGPASS invalid username-password pair or user is disabled."),
        (
            b"HELLO 3 SETNAME 'a b'",
            b"-ERR Client names cannot contain spaces, newlines or special characters.",
        ),
        (
            b"AUTH x",
            b"-ERR AUTH <password> called without any password configured for the default user."
            b" Are you sure your configuration is correct?",
        ),
        (b"AUTH a b", b"-WRONGPASS invalid username-password pair or user is disabled."),
        (b"AUTH default b", b"+OK"),
        (b"AUTH a b c", b"-ERR syntax error"),
        (b"CLIENT GETNAME", b"$-1"),
        (b"CLIENT SETNAME 'a b'", b"-ERR Client names cannot contain spaces, newlines or special characters."),
        (b'CLIENT SETNAME ""', b"+OK"),
        (b"CLIENT SETINFO lib-name redis-py", b"+OK"),
        (b"CLIENT SETINFO foo bar", b"-ERR Unrecognized option 'foo'"),
        (
            b"CLIENT SETINFO lib-ver '1 2'",
            b"-ERR lib-ver cannot contain spaces, newlines or special characters.",
        ),
        (b"CLIENT KILL foo", b"-ERR No such client"),
        (b"CLIENT KILL ID 77", b":0"),
        (b"CLIENT KILL ID x", b"-ERR client-id should be greater than 0"),
        (b"CLIENT KILL TYPE x", b"-ERR Unknown client type 'x'"),
        (b"CLIENT KILL USER foo", b"-ERR No such user 'foo'"),
        (b"CLIENT KILL SKIPME x", b"-ERR syntax error"),
        (b"CLIENT KILL foo bar", b"-ERR syntax error"),
        (b"CLIENT KILL ID 1 TYPE", b"-ERR syntax error"),
        (b"CLIENT LIST TYPE x", b"-ERR Unknown client type 'x'"),
        (b"CLIENT LIST ID 1 x", b"-ERR Invalid client ID"),
        (b"CLIENT LIST ID", b"-ERR syntax error"),
        (b"CLIENT LIST foo", b"-ERR syntax error"),
        (b"CLIENT NO-EVICT x", b"-ERR syntax error"),
        (b"CLIENT NO-EVICT on", b"+OK"),
        (b"CLIENT NO-TOUCH off", b"+OK"),
        (b"CLIENT REPLY x", b"-ERR syntax error"),
        (b"CLIENT REPLY on", b"+OK"),
        (b"CLIENT PAUSE x", b"-ERR timeout is not an integer or out of range"),
        (b"CLIENT PAUSE -1", b"-ERR timeout is negative"),
        (b"CLIENT PAUSE 1 x", b"-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        (b"CLIENT UNPAUSE", b"+OK"),
        (b"READONLY", b"+OK"),
        (b"READWRITE", b"+OK"),
    ],
)
def test_texts(client: Client, request_: bytes, reply: bytes) -> None:
    assert client.say(request_ + b"\r\n") == reply + b"\r\n"


def test_hello_tells_of_the_server_and_switches_the_protocol(client: Client) -> None:
    assert client.say(b"HELLO\r\n").startswith(
        b"*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n"
    )
    assert client.say(b"HELLO 3 SETNAME bob\r\n").startswith(b"%7\r\n")
    assert client.say(b"GET a\r\nCLIENT GETNAME\r\n") == b"_\r\n$3\r\nbob\r\n"
    assert client.say(b"HELLO 2\r\n").startswith(b"*14\r\n")
    assert client.say(b"GET a\r\n") == b"$-1\r\n"


def test_reset_takes_everything_back(node: Node) -> None:
    client = node.client()
    client.say(b"HELLO 3 SETNAME bob\r\nREADONLY\r\nWATCH a\r\nMULTI\r\nSET a 1\r\n")
    assert client.say(b"RESET\r\n") == b"+RESET\r\n"
    assert client.say(b"GET a\r\nCLIENT GETNAME\r\nEXEC\r\n") == b"$-1\r\n$-1\r\n-ERR EXEC without MULTI\r\n"
    assert not client.session.queue.readonly


def test_without_the_password_nothing_is_served() -> None:
    client = Node(password="secret").client()
    assert error(client.call("GET", "a")) == "NOAUTH Authentication required."
    assert error(client.call("PING")) == "NOAUTH Authentication required."
    assert error(client.call("HELLO", 3)).startswith(
        "NOAUTH HELLO must be called with the client already authenticated"
    )
    assert error(client.call("foo")).startswith("ERR unknown command 'foo'")
    assert error(client.call("GET")) == "ERR wrong number of arguments for 'get' command"
    assert error(client.call("AUTH", "wrong")).startswith("WRONGPASS ")
    assert error(client.call("AUTH", "bob", "secret")).startswith("WRONGPASS ")
    assert client.call("AUTH", "secret") == b"OK"
    assert client.call("GET", "a") is None
    assert client.node.factory.counters["authentication_failures"] == 2
    assert client.say(b"RESET\r\nGET a\r\n") == b"+RESET\r\n-NOAUTH Authentication required.\r\n"


def test_hello_authenticates_and_names() -> None:
    client = Node(password="secret").client()
    assert client.say(b"HELLO 3 AUTH default secret SETNAME bob\r\nCLIENT GETNAME\r\n").endswith(b"$3\r\nbob\r\n")


def test_quit_before_authentication() -> None:
    client = Node(password="secret").client()
    assert client.say(b"QUIT\r\n") == b"+OK\r\n"
    assert client.is_closed


def test_config_set_requirepass_holds_for_new_connections(node: Node) -> None:
    old = node.client()
    assert old.call("CONFIG", "SET", "requirepass", "secret") == b"OK"
    assert old.call("PING") == b"PONG"
    new = node.client()
    assert error(new.call("PING")) == "NOAUTH Authentication required."
    assert old.call("CONFIG", "SET", "requirepass", "") == b"OK"
    assert new.call("PING") == b"PONG"


def test_client_list_and_info(node: Node) -> None:
    first, second = node.client(), node.client(IPv6Address("TCP", "::1", 7))
    first.call("CLIENT", "SETNAME", "bob")
    first.call("CLIENT", "SETINFO", "LIB-NAME", "redis-py")
    first.pipeline(("MULTI",), ("GET", "a"))
    node.clock.advance(5)
    lines = second.call("CLIENT", "LIST").decode().splitlines()
    fields = [dict(part.split("=", 1) for part in line.split(" ")) for line in lines]
    assert [f["id"] for f in fields] == ["1", "2"]
    assert (fields[0]["name"], fields[0]["multi"], fields[0]["flags"], fields[0]["age"]) == ("bob", "1", "x", "5")
    assert (fields[0]["cmd"], fields[0]["lib-name"], fields[0]["addr"]) == ("get", "redis-py", "127.0.0.1:50000")
    assert (fields[1]["addr"], fields[1]["laddr"], fields[1]["cmd"]) == ("[::1]:7", "127.0.0.1:5379", "client|list")
    assert second.call("CLIENT", "LIST", "ID", 2, 9).decode().startswith("id=2 ")
    assert second.call("CLIENT", "INFO").decode().startswith("id=2 ")
    assert second.call("CLIENT", "ID") == 2
    assert second.call("CLIENT", "LIST", "TYPE", "pubsub") == b""


def test_client_kill_by_filters(node: Node) -> None:
    me, first, second = node.client(), node.client(), node.client(IPv4Address("TCP", "127.0.0.2", 9))
    assert me.call("CLIENT", "KILL", "ADDR", "127.0.0.2:9") == 1
    assert second.is_closed
    assert not first.is_closed
    assert me.call("CLIENT", "KILL", "TYPE", "normal", "ID", 2, "USER", "default", "LADDR", "127.0.0.1:5379") == 1
    assert first.is_closed
    third = node.client()
    node.clock.advance(10)
    fourth = node.client()
    assert me.call("CLIENT", "KILL", "MAXAGE", 10) == 1
    assert third.is_closed
    assert not fourth.is_closed
    assert me.call("CLIENT", "KILL", "127.0.0.1:50000") == b"OK"


def test_a_client_that_kills_itself_hears_the_answer(node: Node) -> None:
    client = node.client()
    assert client.say(b"CLIENT KILL ID 1 SKIPME no\r\nPING\r\n") == b":1\r\n"
    assert client.is_closed


def test_too_many_clients(node: Node) -> None:
    admin = node.client()
    assert admin.call("CONFIG", "SET", "maxclients", 2) == b"OK"
    second = node.client()
    refused = node.client()
    assert refused.hear() == b"-ERR max number of clients reached\r\n"
    assert refused.is_closed
    second.lose()
    assert node.client().call("PING") == b"PONG"
    assert node.factory.counters["rejected_connections"] == 1


def test_protected_mode_refuses_strangers_and_says_how_to_open() -> None:
    node = Node()
    refused = node.client(STRANGER)
    words = refused.hear()
    assert words.startswith(b"-DENIED Leto is running in protected mode")
    assert b"--requirepass-file" in words
    assert words.endswith(b"\r\n")
    assert words.count(b"\r\n") == 1
    assert refused.is_closed
    for welcome in (
        IPv4Address("TCP", "127.8.8.8", 1),
        IPv6Address("TCP", "::1", 1),
        IPv6Address("TCP", "::ffff:127.0.0.1", 1),
        UNIXAddress(b"/tmp/x"),
    ):
        assert node.client(welcome).call("PING") == b"PONG"
    assert Node(protected_mode=False).client(STRANGER).call("PING") == b"PONG"
    assert Node(password="secret").client(STRANGER).call("AUTH", "secret") == b"OK"


def test_the_factory_closes_every_connection(node: Node) -> None:
    clients = [node.client() for _ in range(3)]
    clients[0].send(b"CLIENT PAUSE 100000\r\n")
    assert node.factory.unanswered >= 0
    node.factory.close()
    assert all(client.is_closed for client in clients)
    assert not node.clock.getDelayedCalls()


def test_unanswered_counts_clients_that_wait(node: Node) -> None:
    node.replica.hold_writes = True
    client, _ = node.client(), node.client()
    client.send(b"SET a 1\r\n")
    assert node.factory.unanswered == 1
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n"
    assert node.factory.unanswered == 0

"""Malformed requests end as they end in Redis 7, delivered at once and a byte at a time."""

from __future__ import annotations

import pytest

from tests.clients.conversation import Node

LONG = b"1" * 65_540
PREFIX = b"SET k v\r\nGET k\r\n"  # what comes before is answered

# The words are those of redis-server 7.0.15: `python -m tests.clients.against_redis` compares.
CASES = [
    (b"*x\r\n", "invalid multibulk length"),
    (b"*\r\n", "invalid multibulk length"),
    (b"*01\r\n", "invalid multibulk length"),
    (b"*+1\r\n", "invalid multibulk length"),
    (b"* 1\r\n", "invalid multibulk length"),
    (b"*1_0\r\n", "invalid multibulk length"),
    ("*\u0661\r\n".encode(), "invalid multibulk length"),
    (b"*3000000000\r\n", "invalid multibulk length"),
    (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*99999999999999999999\r\n", "invalid multibulk length"),
    (b"*" + LONG, "too big mbulk count string"),
    (b"*1\r\n:1\r\n", "expected '$', got ':'"),
    (b"*1\r\nx\r\n", "expected '$', got 'x'"),
    (b"*1\r\n\r\n", "expected '$', got ' '"),
    (b"*1\r\n\xff\r\n", "expected '$', got '\xff'"),
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$x\r\n", "invalid bulk length"),
    (b"*1\r\n$0004\r\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    (b"*1\r\n$" + LONG, "too big bulk count string"),
    (b"x" * 65_537, "too big inline request"),
    (b'SET a "b\r\n', "unbalanced quotes in request"),
    (b"SET a 'b'c\r\n", "unbalanced quotes in request"),
    (b"PING\0" + LONG, "too big inline request"),
    (b"*1\0\r\n" + LONG, "too big mbulk count string"),
    (b"*1\r\n$4\0\r\n" + LONG, "too big bulk count string"),
]


@pytest.mark.parametrize(("data", "words"), CASES, ids=[repr(data[:20]) for data, _ in CASES])
@pytest.mark.parametrize("step", [0, 1], ids=["at once", "a byte at a time"])
def test_a_protocol_error_is_answered_and_closes(data: bytes, words: str, step: int) -> None:
    client = Node().client()
    if step:
        for i in range(len(PREFIX + data)):
            client.send((PREFIX + data)[i : i + 1])
    else:
        client.send(PREFIX + data)
    assert client.hear() == b"+OK\r\n$1\r\nv\r\n-ERR Protocol error: %b\r\n" % words.encode("latin-1")
    assert client.is_closed
    client.send(b"PING\r\n")
    assert client.hear() == b""
    assert client.node.factory.counters["protocol_errors"] == 1


def test_what_is_still_to_come_is_waited_for_as_redis_does() -> None:
    """Beyond a NUL there is no line's end; an array may promise two thousand million arguments."""
    for data in (b"PING\0\r\n", b"*1\0\r\n", b"*2147483647\r\n$1\r\na\r\n", b"*1\r\n$536870912\r\n"):
        client = Node().client()
        assert client.say(b"PING\r\n" + data) == b"+PONG\r\n"
        assert not client.is_closed
        assert client.session.reader.buffered < 200


def test_a_request_that_never_ends_is_bounded() -> None:
    client = Node(client_query_buffer_limit=1 << 20).client()
    client.send(b"*2147483647\r\n")
    sent = 0
    while not client.is_closed and sent < 2 << 20:
        client.send(b"$1000\r\n" + b"x" * 1000 + b"\r\n")
        sent += 1000
    assert 900_000 < sent < 1_100_000
    assert client.hear() == b"-ERR Protocol error: too big request\r\n"


def test_a_transaction_that_never_ends_is_bounded() -> None:
    client = Node(client_query_buffer_limit=1 << 20).client()
    client.send(b"MULTI\r\n")
    queued = 0
    while not client.is_closed and queued < 2000:
        client.send(b"SET k " + b"x" * 1000 + b"\r\n")
        queued += 1
    assert 700 < queued < 1100
    heard = client.hear()
    assert heard == b"+OK\r\n" + b"+QUEUED\r\n" * queued + b"-ERR Protocol error: too big transaction\r\n"
    assert client.node.client().call("GET", "k") is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"*11\r\n", b"unauthenticated multibulk length"),
        (b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", b"unauthenticated bulk length"),
    ],
)
def test_small_limits_before_authentication(data: bytes, words: bytes) -> None:
    client = Node(password="secret").client()
    assert client.say(data) == b"-ERR Protocol error: %b\r\n" % words
    assert client.is_closed


def test_the_limits_go_with_authentication_in_the_same_chunk() -> None:
    client = Node(password="secret").client()
    value = b"v" * 20_000
    client.send(
        b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000\r\n" + value + b"\r\nGET k\r\n"
    )
    assert client.hear() == b"+OK\r\n+OK\r\n$20000\r\n" + value + b"\r\n"


def test_what_redis_takes_is_taken() -> None:
    client = Node().client()
    data = b"*0\r\n*-1\r\n\r\n*1\rX$4\rXPINGzzPING\nping 'a b'\r\n*1\r\n$4\r\nPING\r\n"
    assert client.say(data) == b"+PONG\r\n+PONG\r\n$3\r\na b\r\n+PONG\r\n"


@pytest.mark.parametrize("word", [b"POST / HTTP/1.1\r\n", b"Host: localhost\r\n", b"host: x\r\n"])
def test_a_browser_is_shown_the_door(word: bytes) -> None:
    client = Node().client()
    assert client.say(b"PING\r\n" + word + b"SET k v\r\n") == b"+PONG\r\n"
    assert client.is_closed
    assert client.node.client().call("GET", "k") is None


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"foo\r\n", b"-ERR unknown command 'foo', with args beginning with: \r\n"),
        (b"foo a b\r\n", b"-ERR unknown command 'foo', with args beginning with: 'a' 'b' \r\n"),
        (b'""\r\n', b"-ERR unknown command '', with args beginning with: \r\n"),
        (
            b"foo " + b"a" * 200 + b" b\r\n",
            b"-ERR unknown command 'foo', with args beginning with: '%b' \r\n" % (b"a" * 128),
        ),
        (b"*2\r\n$3\r\nf\no\r\n$3\r\na\rb\r\n", b"-ERR unknown command 'f o', with args beginning with: 'a b' \r\n"),
        (b"client foo\r\n", b"-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n"),
        (b"client\r\n", b"-ERR wrong number of arguments for 'client' command\r\n"),
        (b"client kill\r\n", b"-ERR wrong number of arguments for 'client|kill' command\r\n"),
        (b"get\r\n", b"-ERR wrong number of arguments for 'get' command\r\n"),
        (b"GET a b\r\n", b"-ERR wrong number of arguments for 'get' command\r\n"),
        (b"EXPIRED a\r\n", b"-ERR unknown command 'EXPIRED', with args beginning with: 'a' \r\n"),
    ],
)
def test_refused_requests_keep_the_connection(data: bytes, reply: bytes) -> None:
    client = Node().client()
    assert client.say(data + b"PING\r\n") == reply + b"+PONG\r\n"
    assert not client.is_closed

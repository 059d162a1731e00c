"""`timeout` and `tcp-keepalive`: clients that ask nothing, and clients that are gone."""

from __future__ import annotations

import gc
import socket
import weakref

import pytest
import pytest_twisted

import leto.clients.connected
from leto.clients.idle import probe_when_silent
from tests.clients.conversation import Client, Node
from tests.clients.test_clients_sockets import place, until  # noqa: F401 - a fixture


def probes(sock: socket.socket) -> tuple[int, int, int, int]:
    return (
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    )


@pytest.mark.parametrize(
    ("seconds", "expected"), [(300, (1, 300, 100, 3)), (2, (1, 2, 1, 3)), (1_000_000, (1, 32767, 10922, 3))]
)
def test_the_kernel_is_told_when_to_probe(seconds: int, expected: tuple[int, ...]) -> None:
    with socket.socket() as sock:
        probe_when_silent(sock, seconds)
        assert probes(sock) == expected


def test_no_probes_at_0() -> None:
    with socket.socket() as sock:
        probe_when_silent(sock, 0)
        assert probes(sock)[0] == 0


@pytest_twisted.ensureDeferred
async def test_a_clients_connection_is_probed_as_config_get_says(place) -> None:  # noqa: F811
    await place.connect()
    place.factory.state.settings.tcp_keepalive = 60  # CONFIG SET: from the next connection on
    await place.connect()
    first, second = (
        socket.socket(fileno=socket.dup(session.identity.descriptor)) for session in place.factory.state.clients
    )
    with first, second:
        assert probes(first) == (1, 300, 100, 3)
        assert probes(second) == (1, 60, 20, 3)


def pass_seconds(node: Node, seconds: int) -> None:
    node.clock.pump([1.0] * seconds)


def test_a_client_that_asks_nothing_is_closed_after_timeout() -> None:
    node = Node(timeout=10)
    idle, busy = node.client(), node.client()
    for _ in range(4):
        pass_seconds(node, 5)
        if not busy.is_closed:
            assert busy.call("PING") == b"PONG"
    assert idle.is_closed
    assert not busy.is_closed
    node.factory.close()
    assert node.clock.getDelayedCalls() == []


def test_nobody_is_closed_by_default(node: Node, client: Client) -> None:
    assert client.call("CONFIG", "GET", "timeout") == [b"timeout", b"0"]
    assert node.clock.getDelayedCalls() == []  # and it costs nothing
    pass_seconds(node, 100_000)
    assert not client.is_closed


def test_timeout_can_be_set_and_switched_off(node: Node, client: Client) -> None:
    other = node.client()
    assert client.call("CONFIG", "SET", "timeout", 5, "tcp-keepalive", 0) == b"OK"
    assert client.call("CONFIG", "GET", "timeout") == [b"timeout", b"5"]
    pass_seconds(node, 4)
    assert client.call("CONFIG", "SET", "timeout", 0) == b"OK"
    pass_seconds(node, 100)
    assert not other.is_closed
    client.call("CONFIG", "SET", "timeout", 5)
    pass_seconds(node, 2)
    assert other.is_closed


def test_one_that_waits_for_an_answer_is_not_idle(node: Node, client: Client) -> None:
    waiting = node.client()
    client.call("CONFIG", "SET", "timeout", 5)
    client.call("CLIENT", "PAUSE", 60_000)
    assert waiting.say(b"SET a b\r\n") == b""
    pass_seconds(node, 30)
    assert not waiting.is_closed
    pass_seconds(node, 31)
    assert waiting.hear() == b"+OK\r\n"


def test_many_idle_ones_are_closed_in_slices() -> None:
    node = Node(timeout=1)
    clients = [node.client() for _ in range(250)]
    node.clock.advance(2)
    assert sum(client.is_closed for client in clients) == 100
    for client in clients:
        if client.is_closed:
            client.lose()
    node.clock.pump([0.05] * 4)
    for client in clients:
        if client.is_closed and not client.session.closed:
            client.lose()
    node.clock.pump([0.05] * 4)
    assert all(client.is_closed for client in clients)


def test_a_value_out_of_bounds_is_refused(client: Client) -> None:
    for name in ("timeout", "tcp-keepalive"):
        reply = client.call("CONFIG", "SET", name, 1 << 31)
        assert "argument must be between 0 and 2147483647 inclusive" in str(reply)


def test_maxclients_beyond_the_systems_limit_is_refused_in_redis_words(client: Client) -> None:
    reply = client.call("CONFIG", "SET", "maxclients", 4_000_000_000)
    assert "The operating system is not able to handle the specified number of clients, try with " in str(reply)


@pytest_twisted.ensureDeferred
async def test_a_connection_that_is_gone_leaves_nothing_to_collect(place) -> None:  # noqa: F811
    client = await place.connect()
    client.transport.write(b"PING\r\n")
    await until(lambda: client.heard, "an answer")
    gc.disable()
    try:
        (session,) = place.factory.state.clients
        kept = weakref.ref(session.queue._set_reading.__self__)
        del session
        client.transport.abortConnection()
        place.clients.clear()
        await until(lambda: not place.factory.state.clients and kept() is None, "its memory back")
    finally:
        gc.enable()


def is_tracked(thing: object) -> bool:
    """Whether the collector looks at it. Compared by identity: other objects' == is anything."""
    return any(other is thing for other in gc.get_objects())


def test_the_collector_leaves_many_clients_alone(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leto.clients.connected, "_FREEZE_EVERY", 10)
    clients = [node.client() for _ in range(9)]
    session = clients[0].session
    assert is_tracked(session)
    clients.append(node.client())
    assert not is_tracked(session)
    assert gc.get_freeze_count() > 0
    frozen = gc.get_freeze_count()
    for client in clients:
        client.lose()
    newcomers = [node.client() for _ in range(12)]  # not more than ever by so many
    assert is_tracked(newcomers[0].session)
    assert gc.get_freeze_count() <= frozen

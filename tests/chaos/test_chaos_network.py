"""The proxies: what they carry, hold, delay, cut and reset, by direction."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from tests.chaos.network import FRAME_HEAD, HELLO, Network, dialler_of

PATIENCE = 5.0


def hello(server_id: str) -> bytes:
    body = msgspec.msgpack.encode([1, "cluster", server_id, "b"])
    return FRAME_HEAD.pack(len(body) + 1, 0, HELLO) + body


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network(1)
    yield network
    network.close()


class Pair:
    """A connection that `a` dialled to `b`, both ends in our hands."""

    def __init__(self, network: Network) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port = network.proxy("b", self._listener.getsockname()[1])
        self.dial()

    def dial(self) -> None:
        self.a = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.a.sendall(hello("a"))
        self.b, _ = self._listener.accept()
        self.b.settimeout(PATIENCE)
        assert self.b.recv(1000) == hello("a")

    def close(self) -> None:
        for end in (self.a, self.b, self._listener):
            end.close()


@pytest.fixture
def pair(network: Network) -> Iterator[Pair]:
    pair = Pair(network)
    yield pair
    pair.close()


def silent(end: socket.socket, seconds: float = 0.15) -> bool:
    """Nothing arrives for that long, and the connection stands."""
    end.settimeout(seconds)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(PATIENCE)
    return False


def take(end: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = end.recv(count - len(data))
        assert more, "the connection ended"
        data += more
    return data


def is_reset(end: socket.socket) -> bool:
    try:
        return end.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_first_frame_names_who_dials() -> None:
    assert dialler_of(hello("id7")) == "id7"
    with pytest.raises(ConnectionError):
        dialler_of(FRAME_HEAD.pack(1, 0, 11))


def test_bytes_pass_both_ways(pair: Pair) -> None:
    data = bytes(range(256)) * 20_000
    sender = threading.Thread(target=pair.a.sendall, args=(data,))
    sender.start()
    assert take(pair.b, len(data)) == data
    sender.join(PATIENCE)
    pair.b.sendall(b"back")
    assert take(pair.a, 4) == b"back"


def test_one_direction_held_the_other_not(network: Network, pair: Pair) -> None:
    network.change([("a", "b")], held=True)
    pair.a.sendall(b"late")
    assert silent(pair.b)
    pair.b.sendall(b"back")
    assert take(pair.a, 4) == b"back"
    network.heal()
    assert take(pair.b, 4) == b"late"


def test_what_is_held_is_lost_by_a_reset(network: Network, pair: Pair) -> None:
    network.change([("a", "b")], held=True)
    pair.a.sendall(b"lost")
    assert silent(pair.b)
    network.reset("b", "a")
    assert is_reset(pair.b)
    assert is_reset(pair.a)
    assert network.resets == 1
    network.heal()
    pair.dial()
    pair.a.sendall(b"new")
    assert take(pair.b, 3) == b"new"


def test_a_cut_resets_and_lets_nobody_in(network: Network, pair: Pair) -> None:
    network.change([("b", "a")], cut=True)
    assert is_reset(pair.a)
    assert is_reset(pair.b)
    again = socket.create_connection(("127.0.0.1", pair.port), PATIENCE)
    again.sendall(hello("a"))
    assert is_reset(again)
    again.close()


def test_delay_keeps_the_order(network: Network, pair: Pair) -> None:
    network.change([("a", "b")], delay=0.2, jitter=0.05)
    began = time.monotonic()
    pair.a.sendall(b"one")
    pair.a.sendall(b"two")
    assert take(pair.b, 6) == b"onetwo"
    assert time.monotonic() - began >= 0.2


def test_a_rate_is_kept(network: Network, pair: Pair) -> None:
    network.change([("a", "b")], rate=20_000.0)
    began = time.monotonic()
    pair.a.sendall(bytes(6_000))
    take(pair.b, 6_000)
    assert time.monotonic() - began >= 0.25


def test_the_end_of_one_side_is_the_end_of_the_other(pair: Pair) -> None:
    pair.a.close()
    assert is_reset(pair.b)

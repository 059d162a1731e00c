"""Listening sockets are taken before anything runs, and a port that cannot be had is one clear line."""

from __future__ import annotations

import socket

import pytest

from leto.config import Address
from leto.errors import ConfigError
from leto.reactor.listening import Listener


def connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_address_without_a_host_is_reached_over_ipv4_and_ipv6() -> None:
    listener = Listener.bind(Address("", 0), "--listen")
    port = listener.address.port
    assert port != 0
    assert connects("127.0.0.1", port)
    assert connects("::1", port)
    listener.close()
    assert not connects("127.0.0.1", port)
    assert not connects("::1", port)


def test_a_host_name_is_resolved() -> None:
    listener = Listener.bind(Address("localhost", 0), "--listen")
    assert connects("localhost", listener.address.port)
    listener.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "", "::1"])
def test_a_port_in_use_is_one_line_with_the_option(host: str) -> None:
    first = Listener.bind(Address(host, 0), "--listen")
    taken = Address(host, first.address.port)
    with pytest.raises(ConfigError) as caught:
        Listener.bind(taken, "--raftbind")
    assert str(caught.value) == f"cannot listen on {taken} (--raftbind): the port is in use"
    first.close()
    Listener.bind(taken, "--raftbind").close()  # nothing was left behind


def test_a_port_held_on_ipv6_alone_is_in_use_too() -> None:
    holder = Listener.bind(Address("::1", 0), "--listen")
    with pytest.raises(ConfigError, match="the port is in use"):
        Listener.bind(Address("", holder.address.port), "--listen")
    assert not connects("127.0.0.1", holder.address.port)
    holder.close()


@pytest.mark.parametrize(
    ("host", "reason"), [("192.0.2.1", "Cannot assign requested address"), ("no.such.host.invalid", "")]
)
def test_an_address_that_is_not_ours_is_one_line(host: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Listener.bind(Address(host, 0), "--listen")
    line = str(caught.value)
    assert line.startswith(f"cannot listen on {host}:0 (--listen): ")
    assert reason in line
    assert "\n" not in line

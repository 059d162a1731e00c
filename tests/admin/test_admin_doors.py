"""Whom the admin port answers: by which names, how many, for how long, and from the node's first second on."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from leto.admin.channel import REQUEST_SECONDS
from leto.admin.early import LOADING, EarlyAnswers, answer
from leto.admin.hosts import is_answered_to
from leto.admin.site import MOST_CONNECTIONS, answered_names
from leto.config import Address, Config
from leto.config.sources import load
from leto.errors import ConfigError
from leto.process.service import LetoService
from leto.reactor.listening import Listener
from tests.admin.admin_http import Admin, ScriptedReplica, parse_answer

NAMES = frozenset({"leto.example"})


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9100", "10.0.0.7", "[::1]:9100", "[fe80::1]", "localhost", "LocalHost:80", "leto.example:9100",
     "Leto.Example.", "localhost."],
)  # fmt: skip
def test_addresses_localhost_and_its_own_names_are_answered_to(host: str) -> None:
    assert is_answered_to([host.encode()], NAMES)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "leto.example.evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example", "[evil]",
     "xleto.example", "1.2.3.4@evil.example", "\xff"],
)  # fmt: skip
def test_other_names_are_not(host: str) -> None:
    assert not is_answered_to([host.encode("latin-1")], NAMES)


def test_two_hosts_are_one_too_many_and_none_is_no_browser() -> None:
    assert not is_answered_to([b"localhost", b"localhost"], NAMES)
    assert is_answered_to([], NAMES)


def test_the_names_are_the_listen_addresss_and_the_options() -> None:
    config = Config(id="a", admin_listen=Address("Admin.Example", 9100), admin_hosts=("leto-0.leto.svc",))
    assert answered_names(config) == {"admin.example", "leto-0.leto.svc"}
    loaded, _ = load({"id": "a", "admin-hosts": "one.example, two"}, {})
    assert loaded.admin_hosts == ("one.example", "two")
    with pytest.raises(ConfigError, match="is no host name"):
        load({"id": "a", "admin-hosts": "one,,two"}, {})


@pytest.mark.parametrize("path", ["/", "/status", "/livez", "/readyz", "/metrics", "/nowhere"])
def test_nothing_is_shown_to_one_who_asks_by_another_name(admin: Admin, path: str) -> None:
    found = parse_answer(admin.begin(path, host="evil.example:9100").value())
    assert found.status == 421
    assert list(found.json()) == ["error"]
    assert "evil.example" in found.json()["error"]


# how many and how long ------------------------------------------------------------------------------------


def test_of_one_connection_too_many_the_oldest_is_closed(admin: Admin) -> None:
    idle = [admin.connect() for _ in range(MOST_CONNECTIONS)]
    assert admin.get("/livez").status == 200
    assert [transport.disconnected for transport in idle] == [True] + [False] * (MOST_CONNECTIONS - 1)
    for transport in idle:
        transport.channel.connectionLost(Failure(ConnectionLost()))


def test_a_request_that_trickles_is_given_no_more_time_for_it(admin: Admin) -> None:
    transport = admin.connect()
    transport.channel.dataReceived(b"GET /livez HTTP/1.1\r\n")
    for number in range(int(REQUEST_SECONDS) - 1):
        admin.clock.advance(1)
        transport.channel.dataReceived(b"X-%d: y\r\n" % number)
        assert not transport.disconnected
    admin.clock.advance(1)
    assert transport.disconnected
    transport.channel.connectionLost(Failure(ConnectionLost()))


def test_a_connection_that_is_kept_is_answered_again_and_again(admin: Admin) -> None:
    transport = admin.connect()
    for _ in range(5):
        transport.clear()
        transport.channel.dataReceived(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert parse_answer(transport.value()).status == 200
        admin.clock.advance(REQUEST_SECONDS - 1)
    assert not transport.disconnected
    transport.channel.connectionLost(Failure(ConnectionLost()))


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_large_heads_and_bodies_close_the_connection(admin: Admin, head: bytes) -> None:
    transport = admin.connect()
    transport.channel.dataReceived(head)
    assert transport.disconnected or transport.disconnecting
    assert b"200 OK" not in transport.value()
    transport.channel.connectionLost(Failure(ConnectionLost()))


# before there is anything to show --------------------------------------------------------------------------


def test_a_node_that_joins_is_live_and_not_ready_and_says_why() -> None:
    admin = Admin.waiting("this node waits for the cluster to take it: 10.0.0.1:5379 cannot be reached")
    assert admin.get("/livez").status == 200
    ready = admin.get("/readyz")
    assert ready.status == 503
    assert ready.json() == {
        "ready": False,
        "reason": "this node waits for the cluster to take it: 10.0.0.1:5379 cannot be reached",
    }
    assert admin.get("/status").status == 503
    metrics = admin.get("/metrics")
    assert metrics.status == 200
    assert b"leto_process_open_fds" in metrics.body
    assert b"leto_raft_term" not in metrics.body
    admin.site.attach(ScriptedReplica(), None)
    assert admin.get("/readyz").status == 200
    assert b"leto_raft_term" in admin.get("/metrics").body
    admin.stop()


def ask(port: int, path: str, host: str = "localhost") -> tuple[int, object]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        found = parse_answer(connection.makefile("rb").read())
        return found.status, json.loads(found.body)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener.bind(Address("127.0.0.1", 0), "test")
    yield listener
    listener.close()


def test_while_the_data_is_read_probes_are_answered_whoever_dawdles(listener: Listener) -> None:
    threads = threading.active_count()
    port = listener.address.port
    with EarlyAnswers(listener.sockets, frozenset()):
        dawdling = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(40)]
        for _ in range(3):
            assert ask(port, "/livez") == (200, {"live": True})
        assert ask(port, "/readyz") == (503, {"ready": False, "reason": LOADING})
        assert ask(port, "/status")[0] == 503
        assert ask(port, "/livez", "evil.example")[0] == 421
    assert threading.active_count() == threads
    for connection in dawdling:
        connection.close()


@pytest.mark.parametrize(
    "head", [b"POST /livez HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"GET\r\n\r\n", b"\xff \xff \xff\r\n\r\n"]
)
def test_what_is_no_question_is_answered_by_400(head: bytes) -> None:
    assert answer(head + b"\r\n\r\n", frozenset()).startswith(b"HTTP/1.1 400 ")


def test_a_node_answers_while_it_opens_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    heard = []

    def reads_its_data(*given: object) -> None:
        heard.append(ask(port, "/livez"))
        heard.append(ask(port, "/readyz"))
        raise ConfigError("that is far enough")

    monkeypatch.setattr("leto.process.service.open_store", reads_its_data)
    config = Config(id="a", raftdir=str(tmp_path), admin_listen=Address("127.0.0.1", port))
    with pytest.raises(ConfigError, match="that is far enough"):
        LetoService.open(config, Clock())
    assert [status for status, _ in heard] == [200, 503]
    Listener.bind(Address("127.0.0.1", port), "test").close()  # the port is free again

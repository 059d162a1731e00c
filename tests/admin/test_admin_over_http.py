"""The admin pages on a real socket, and the client that `leto status --admin` asks them with."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
import treq
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import Factory, Protocol

from leto.admin.site import AdminSite
from leto.config import Address, Config
from leto.ctl.admin_client import ask
from leto.ctl.resp_client import AskFailed
from tests.admin.admin_http import ScriptedReplica, cluster_of, status_of

WHOLE = cluster_of(status_of("id1"), status_of("id2"), status_of("id3"))


class Served:
    """A listening port and what stands behind it."""

    def __init__(self, factory: Any) -> None:
        self.port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.address = Address("127.0.0.1", self.port.getHost().port)

    def url(self, page: str) -> str:
        return f"http://{self.address}{page}"


@pytest_twisted.async_yield_fixture
async def served() -> AsyncIterator[Served]:
    replica: Any = ScriptedReplica(cluster=WHOLE)
    site = Served(AdminSite(replica, Config(id="id1"), reactor=reactor))
    yield site
    await site.port.stopListening()


@pytest_twisted.inlineCallbacks
def test_the_cluster_is_told_with_how_many_losses_it_survives(served: Served) -> Any:
    response = yield treq.get(served.url("/status"), persistent=False)
    report = yield treq.json_content(response)
    assert (report["leader"], report["healthy"], report["losses_survived"]) == ("id1", True, 1)
    assert set(report["nodes"]) == {"id1", "id2", "id3"}


@pytest_twisted.inlineCallbacks
def test_the_client_reads_what_the_page_says(served: Served) -> Any:
    cluster = yield ensureDeferred(ask(reactor, served.address, timeout=5.0))
    assert cluster["nodes"]["id2"]["commit"] == 100


@pytest_twisted.inlineCallbacks
def test_a_port_where_nobody_listens() -> Any:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", held.getsockname()[1])
        with pytest.raises(AskFailed, match=f"{address} cannot be reached: Connection refused"):
            yield ensureDeferred(ask(reactor, address, timeout=5.0))


class Says(Protocol):
    """A server that says `factory.words` to whatever it is asked, and hangs up if there were any."""

    def dataReceived(self, data: bytes) -> None:
        words: bytes = self.factory.words  # type: ignore[attr-defined]
        self.factory.heard = data  # type: ignore[attr-defined]
        if words:
            self.transport.write(words)
            self.transport.loseConnection()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (b"-ERR unknown command\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 503 no\r\nContent-Length: 5\r\n\r\nlater", "answered HTTP status 503: later"),
        (b'HTTP/1.1 503 no\r\nContent-Length: 21\r\n\r\n{\n "error": "joins"\n}', "HTTP status 503: joins$"),
        (b"HTTP/1.1 502 no\r\nContent-Length: 7\r\n\r\n[a\r\n b]", r"HTTP status 502: \[a b\]$"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "in another shape than this version reads"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "something that is no JSON"),
        (b"", "did not answer within 0.2 s"),
    ],
)
@pytest_twisted.inlineCallbacks
def test_a_server_that_is_no_admin_port(words: bytes, sentence: str) -> Any:
    factory = Factory.forProtocol(Says)
    factory.words = words
    server = Served(factory)
    with pytest.raises(AskFailed, match=sentence):
        yield ensureDeferred(ask(reactor, server.address, timeout=5.0 if words else 0.2))
    yield server.port.stopListening()


@pytest_twisted.inlineCallbacks
def test_a_node_is_asked_by_any_name_of_its_host() -> Any:
    factory = Factory.forProtocol(Says)
    factory.words = b"HTTP/1.1 503 no\r\nContent-Length: 5\r\n\r\nlater"
    server = Served(factory)
    with pytest.raises(AskFailed, match="later"):
        yield ensureDeferred(ask(reactor, server.address, timeout=5.0))
    assert b"\r\nHost: localhost\r\n" in factory.heard  # whatever it was called: the site answers to that alone
    yield server.port.stopListening()

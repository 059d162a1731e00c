"""Asking who is at an address: what is no node, or another one, is told apart, in words for the operator."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from leto.peer.frames import Kind, frame
from leto.peer.greetings import Refusal, RefusalCode, encode
from tests.peer.peer_fixtures import TcpWorld


@pytest_twisted.async_yield_fixture
async def world():
    world = TcpWorld()
    yield world
    await world.stop()


class Answers(Protocol):
    """Says one thing to whoever says anything, and closes if told so."""

    says = b""
    closes = False

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.says)
        if self.closes:
            self.transport.loseConnection()


@pytest.mark.parametrize(
    ("says", "closes", "words"),
    [
        (b"+PONG\r\n", False, "what answers there is no node"),
        (b"", True, "it closed the connection"),
        (
            frame(Kind.REFUSED, encode(Refusal(RefusalCode.MET, "b").as_frame_value())),
            False,
            "it says that it is met, and not who it is",
        ),
        (
            frame(Kind.REFUSED, encode(Refusal(RefusalCode.PROTECTED, "no").as_frame_value())),
            False,
            r"\(protected\): no",
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_node_is_not_met(world: TcpWorld, says: bytes, closes: bool, words: str) -> None:
    factory = Factory.forProtocol(type("Says", (Answers,), {"says": says, "closes": closes}))
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    a = world.node("a")
    try:
        with pytest.raises(ConnectionError, match=words):
            await a.transport.meet("b", f"127.0.0.1:{port.getHost().port}", "", 5.0)
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_one_that_says_nothing_is_waited_for_no_longer_than_asked(world: TcpWorld) -> None:
    factory = Factory.forProtocol(Protocol)
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    a = world.node("a")
    try:
        with pytest.raises(TimeoutError, match="no answer"):
            await a.transport.meet("b", f"127.0.0.1:{port.getHost().port}", "", 0.2)
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_meeting_that_is_given_up_found_nobody_however_far_it_had_come(world: TcpWorld) -> None:
    factory = Factory.forProtocol(Protocol)
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    a = world.node("a")
    try:
        for seconds in (0.0, 0.05):
            meeting = a.transport.meet("b", f"127.0.0.1:{port.getHost().port}", "", 5.0)
            if seconds:
                await deferLater(reactor, seconds)
            meeting.cancel()
            with pytest.raises(TimeoutError, match="no answer"):
                await meeting
    finally:
        await port.stopListening()


@pytest.mark.parametrize(
    ("own", "others", "words"),
    [
        (b"one", b"another", "the cluster secrets differ"),
        (b"one", None, "no cluster secret, the other side has one"),
        (None, b"another", "a cluster secret, the other side has none"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_one_with_another_secret_is_not_met(
    world: TcpWorld, own: bytes | None, others: bytes | None, words: str
) -> None:
    a, b = world.node("a", secret=own), world.node("b", secret=others)
    with pytest.raises(ConnectionError, match=words):
        await a.transport.meet("b", b.address, "", 5.0)

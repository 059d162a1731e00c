"""Without a secret: nobody is let in whom the member at its own address does not vouch for."""

from __future__ import annotations

import socket

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from leto.peer.frames import FrameReader, Kind, frame
from leto.peer.greetings import Proof, RefusalCode, Refused, Vouch, Vouched, decode, encode
from tests.peer.peer_fixtures import CLUSTER
from tests.peer.test_peer_tcp import Raw, hello, vote

ASKS = {"confirm_peers": True}


async def pair(world, **options):
    a, b = world.node("a", members={"b"}, **ASKS, **options), world.node("b", members={"a"}, **ASKS, **options)
    a.transport.set_peers({"b": b.address})
    b.transport.set_peers({"a": a.address})
    return a, b


async def knock(world, node, greeting):
    """What a stranger is told that says `greeting`: the code of the refusal."""
    raw = Raw(world, node)
    raw.send(frame(Kind.HELLO, encode(greeting)) + frame(Kind.PROOF, encode(Proof(b""))))
    frames = await raw.until_frames(2)
    await raw.until_closed()
    assert [kind for kind, _ in frames] == [Kind.CHALLENGE, Kind.REFUSED]
    return RefusalCode(decode(frames[1][1], Refused).code)


@pytest_twisted.ensureDeferred
async def test_members_are_confirmed_and_connect(tcp):
    a, b = await pair(tcp)
    await tcp.until(lambda: a.transport.is_connected("b") and b.transport.is_connected("a"))
    a.transport.send([vote("a", "b")])
    await tcp.until(lambda: b.listener.messages == [vote("a", "b")])


@pytest_twisted.ensureDeferred
async def test_a_stranger_is_not_taken_for_a_member_that_is_up(tcp, lines):
    a, b = await pair(tcp)
    assert await knock(tcp, a, hello("a", "b")) == RefusalCode.UNCONFIRMED
    told = await knock(tcp, a, hello("a", "b", address=b.address))
    assert told in (RefusalCode.UNCONFIRMED, RefusalCode.DUPLICATE_ID)  # as b's own connection is up by now, or not
    assert any("has not made this connection" in line for line in lines)
    assert a.listener.messages == []


@pytest_twisted.ensureDeferred
async def test_a_stranger_is_not_taken_for_a_member_that_is_down(tcp):
    a = tcp.node("a", members={"b"}, **ASKS)
    a.transport.set_peers({"b": "127.0.0.1:1"})
    accomplice = tcp.node("c", **ASKS)  # listens, and would vouch for nothing that it has not sent
    for address in ("", accomplice.address):
        assert await knock(tcp, a, hello("a", "b", address=address)) == RefusalCode.UNCONFIRMED


@pytest_twisted.ensureDeferred
async def test_a_stranger_of_a_newer_configuration_is_not_let_in(tcp):
    a, b = await pair(tcp)
    await tcp.until(lambda: a.transport.is_connected("b"))
    stranger = tcp.node("x", index=99, members={"a"}, **ASKS)
    assert await knock(tcp, a, hello("a", "x", address=stranger.address)) == RefusalCode.UNCONFIRMED
    stranger.transport.set_peers({"a": a.address})
    await tcp.settle()
    assert not stranger.transport.is_connected("a")
    assert a.transport.incoming() == {"b"}


@pytest_twisted.ensureDeferred
async def test_a_member_that_only_others_know_yet_is_confirmed_through_them(tcp):
    """A node that lags hears a leader that it has not heard of (dissertation 4.1)."""
    lagging, known = await pair(tcp)
    leader = tcp.node("x", index=99, members={"a", "b"}, **ASKS)
    known.listener.members.add("x")
    known.transport.set_peers({"a": lagging.address, "x": leader.address})
    leader.transport.set_peers({"a": lagging.address})
    await tcp.until(lambda: leader.transport.is_connected("a"))


@pytest_twisted.ensureDeferred
async def test_a_node_without_any_configuration_is_found_by_a_leader(tcp):
    joining, leader = tcp.node("a", **ASKS), tcp.node("b", members={"a"}, **ASKS)
    leader.transport.set_peers({"a": joining.address})
    await tcp.until(lambda: leader.transport.is_connected("a") and joining.transport.is_connected("b"))


@pytest_twisted.ensureDeferred
async def test_a_member_of_a_known_incarnation_may_have_moved(tcp):
    node = tcp.node("a", members={"b"}, **ASKS)
    node.transport.set_peers({"b": "127.0.0.1:1"})
    moved = tcp.node("b", members={"a"}, incarnation="i1", **ASKS)
    moved.transport.set_peers({"a": node.address})
    await tcp.until(lambda: moved.transport.is_connected("a") and node.transport.is_connected("b"))


@pytest_twisted.ensureDeferred
async def test_one_without_an_incarnation_cannot_have_moved(tcp):
    node = tcp.node("a", members={"b"}, **ASKS)
    node.transport.set_peers({"b": "127.0.0.1:1"})
    moved = tcp.node("b", members={"a"}, **ASKS)
    moved.transport.set_peers({"a": node.address})
    await tcp.settle()
    assert node.transport.incoming() == frozenset()


@pytest_twisted.ensureDeferred
async def test_with_a_secret_nobody_is_asked(tcp):
    a, b = await pair(tcp, secret=b"s")
    a.transport.set_peers({"b": b.address})
    await tcp.until(lambda: a.transport.is_connected("b") and b.transport.is_connected("a"))
    assert await ask(tcp, a, Vouch(1, CLUSTER, "b", "a", "", b"n" * 32)) == Vouched(False)


async def ask(world, node, question):
    raw = Raw(world, node)
    raw.send(frame(Kind.VOUCH, encode(question)))
    await raw.until_closed()
    [(kind, body)] = FrameReader().feed(raw.received)
    assert kind == Kind.VOUCHED
    return decode(body, Vouched)


@pytest_twisted.ensureDeferred
async def test_a_nonce_is_vouched_for_that_was_sent_to_the_asker_alone(tcp):
    a, b = await pair(tcp)
    await tcp.until(lambda: a.transport.is_connected("b"))
    nonce = a.transport._links["b"].connection._handshake.nonce
    assert await ask(tcp, a, Vouch(1, CLUSTER, "b", "a", "", nonce)) == Vouched(True)
    for question in (
        Vouch(1, CLUSTER, "b", "a", "", b"n" * 32),
        Vouch(1, CLUSTER, "c", "a", "", nonce),
        Vouch(1, "f" * 32, "b", "a", "", nonce),
        Vouch(1, CLUSTER, "b", "nobody", "", nonce),
    ):
        assert await ask(tcp, a, question) == Vouched(False)
    assert await ask(tcp, a, Vouch(1, CLUSTER, "c", "b", "", nonce)) == Vouched(False, b.address)


@pytest.mark.parametrize("answer", [b"", b"x" * 20, frame(Kind.PING, b""), frame(Kind.VOUCHED, b"\xc1")])
@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_none_confirms_nobody(tcp, answer):
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory, Protocol

    class Odd(Protocol):
        def dataReceived(self, data):
            self.transport.write(answer)
            self.transport.loseConnection()

    port = reactor.listenTCP(0, Factory.forProtocol(Odd), interface="127.0.0.1")
    node = tcp.node("a", members={"b"}, **ASKS)
    node.transport.set_peers({"b": f"127.0.0.1:{port.getHost().port}"})
    assert await knock(tcp, node, hello("a", "b")) == RefusalCode.UNCONFIRMED
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_who_waits_to_be_confirmed_and_says_more_is_closed(tcp, lines):
    a, _ = await pair(tcp)
    raw = Raw(tcp, a)
    raw.send(frame(Kind.HELLO, encode(hello("a", "b"))) + frame(Kind.PROOF, encode(Proof(b""))) * 2)
    await raw.until_closed()
    assert any("has no place in the handshake" in line for line in lines)


@pytest_twisted.ensureDeferred
async def test_stopping_waits_for_no_answer(tcp):
    node = tcp.node("a", members={"b"}, **ASKS)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections, and never says a word
        node.transport.set_peers({"b": f"127.0.0.1:{mute.getsockname()[1]}"})
        raw = Raw(tcp, node)
        raw.send(frame(Kind.HELLO, encode(hello("a", "b"))) + frame(Kind.PROOF, encode(Proof(b""))))
        await raw.until_frames(1)
        await node.transport.stop()
        await raw.until_closed()


class OfAnEarlierVersion(Protocol):
    """Knows no question, and closes the connection."""

    def dataReceived(self, data):
        self.transport.loseConnection()


@pytest_twisted.ensureDeferred
async def test_it_is_told_that_who_knows_no_question_may_be_of_an_earlier_version(tcp, lines):
    port = reactor.listenTCP(0, Factory.forProtocol(OfAnEarlierVersion), interface="127.0.0.1")
    try:
        a = tcp.node("a", members={"b"}, **ASKS)
        a.transport.set_peers({"b": f"127.0.0.1:{port.getHost().port}"})
        assert await knock(tcp, a, hello("a", "b")) == RefusalCode.UNCONFIRMED
        assert any("start this node with --confirm-peers no until all are replaced" in line for line in lines)
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_who_is_down_is_not_held_for_one_of_an_earlier_version(tcp, lines):
    a = tcp.node("a", members={"b"}, **ASKS)
    a.transport.set_peers({"b": "127.0.0.1:1"})
    assert await knock(tcp, a, hello("a", "b")) == RefusalCode.UNCONFIRMED
    assert any("nobody at 127.0.0.1:1, the address of 'b', answers" in line for line in lines)
    assert not any("--confirm-peers" in line for line in lines)

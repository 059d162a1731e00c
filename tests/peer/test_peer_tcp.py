"""TcpTransport on real loopback sockets: hostile bytes, floods, refusals, slow and dead peers."""

from __future__ import annotations

import gc
import os
import random
import socket
import struct
import time
import weakref

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from leto.config import Address
from leto.errors import ConfigError, ProtocolError
from leto.interfaces.store import Identity
from leto.peer.frames import FRAGMENT_HEADER, FrameReader, Kind, Lane, frame
from leto.peer.greetings import Challenge, Hello, Proof, RefusalCode, Refused, decode, encode
from leto.peer.transport import TcpTransport
from leto.peer.wire_messages import encode_message
from leto.raft.messages import AppendEntries, Entry, RequestVote
from tests.peer.peer_fixtures import CLUSTER, Recorder


class Raw:
    """A plain socket to a node's peers' port, driven while the reactor runs."""

    def __init__(self, world, node):
        host, _, port = node.address.rpartition(":")
        self.world = world
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setblocking(False)
        self.received = b""
        self.closed = False

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            self.closed = True

    def poll(self):
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
        self.received += data

    def frames(self):
        self.poll()
        return list(FrameReader().feed(self.received))

    async def until_closed(self):
        def closed():
            if not self.closed:
                self.poll()
            return self.closed

        await self.world.until(closed, "the close")
        self.socket.close()

    async def until_frames(self, count):
        await self.world.until(lambda: len(self.frames()) >= count, f"{count} frames")
        return self.frames()

    async def shake_hands(self, node, name="x", instance=b"i" * 16):
        self.send(frame(Kind.HELLO, encode(hello(node.listener.name, name, instance))))
        await self.until_frames(1)
        self.send(frame(Kind.PROOF, encode(Proof(b""))))
        assert (await self.until_frames(2))[1][0] == Kind.ACCEPTED


def hello(dialled, name="x", instance=b"i" * 16, address="", cluster=CLUSTER):
    return Hello(1, cluster, name, dialled, instance, os.urandom(32), False, address, "", 5)


def vote(sender="x", to="a", term=1):
    return RequestVote(sender, to, term, 0, 0)


async def connected(world, **options):
    a, b = world.node("a", **options), world.node("b", **options)
    a.transport.set_peers({"b": b.address})
    b.transport.set_peers({"a": a.address})
    await world.until(lambda: a.transport.is_connected("b") and b.transport.is_connected("a"))
    return a, b


HOSTILE = [
    b"PING\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"\xff" * 8,
    b"\x80" + b"\0" * 7,
    b"\0" * 9,
    random.Random(1).randbytes(5000),
    frame(Kind.HELLO, b"x" * 5000),
    frame(Kind.HELLO, b"\xc1"),
    frame(Kind.HELLO, encode(hello("a", "../../etc/passwd"))),
    frame(Kind.HELLO, encode(hello("a", "a\r\nFAKE LOG LINE"))),
    frame(Kind.HELLO, encode(hello("a", address="not an address"))),
    frame(Kind.MESSAGE, encode_message(vote())),
    frame(Kind.PROOF, encode(Proof(b""))),
    frame(Kind.HELLO, encode(hello("a"))) * 2,
    frame(Kind.HELLO, encode(hello("a"))) + frame(Kind.MESSAGE, encode_message(vote())),
]


@pytest.mark.parametrize("data", HOSTILE, ids=map(str, range(len(HOSTILE))))
@pytest_twisted.ensureDeferred
async def test_hostile_bytes_close_that_connection_with_one_line_and_change_nothing_else(tcp, lines, data):
    a, b = await connected(tcp)
    before = list(a.listener.events)
    lines.clear()
    raw = Raw(tcp, a)
    raw.send(data)
    await raw.until_closed()
    assert len([line for line in lines if "closed the connection with 127.0.0.1" in line]) == 1, lines
    assert len(lines) == 1
    assert "\n" not in lines[0] and "\r" not in lines[0]
    assert a.listener.events == before
    assert a.listener.messages == a.listener.requests == []
    assert a.transport.is_connected("b") and b.transport.is_connected("a")


AFTER = [
    frame(Kind.MESSAGE, b"\xc1"),
    frame(Kind.MESSAGE, encode_message(vote("somebody-else"))),
    frame(Kind.MESSAGE, encode_message(vote(to="not-a"))),
    frame(Kind.MESSAGE, encode_message(RequestVote("x", "a", 1 << 63, 0, 0))),
    frame(Kind.REQUEST, b"short"),
    frame(Kind.ANSWER, b"\0" * 9),
    frame(Kind.PONG, b""),
    frame(Kind.HELLO, encode(hello("a"))),
    frame(Kind.CHALLENGE, b""),
    frame(99, b"what"),
    frame(0, b""),
    frame(Kind.MORE, b"\x01x"),
    frame(Kind.FIRST, FRAGMENT_HEADER.pack(Lane.APPENDS, Kind.MESSAGE, 1 << 63) + b"x"),
    frame(Kind.FIRST, FRAGMENT_HEADER.pack(Lane.APPENDS, Kind.MESSAGE, (1 << 30) + 1) + b"x"),
    frame(Kind.FIRST, FRAGMENT_HEADER.pack(Lane.APPENDS, Kind.HELLO, 10) + b"x"),
    frame(Kind.FIRST, FRAGMENT_HEADER.pack(Lane.APPENDS, Kind.MESSAGE, 2) + b"x") + frame(Kind.MORE, b"\x01\xc1"),
    struct.pack(">IIB", 1 << 20, 0, Kind.MESSAGE),
    frame(Kind.PING, b"")[:-1] + b"\xff",
]


@pytest.mark.parametrize("data", AFTER, ids=map(str, range(len(AFTER))))
@pytest_twisted.ensureDeferred
async def test_after_the_handshake_hostile_frames_close_that_connection_alone(tcp, lines, data):
    a, b = await connected(tcp)
    raw = Raw(tcp, a)
    await raw.shake_hands(a)
    lines.clear()
    raw.send(frame(Kind.MESSAGE, encode_message(vote(term=7))) + data)
    await raw.until_closed()
    assert a.listener.messages == [vote(term=7)], "what came before is good"
    assert len([line for line in lines if line.startswith("closed the connection with x at 127.0.0.1:")]) == 1, lines
    await tcp.until(lambda: ("down", "x") in a.listener.events)
    assert a.transport.is_connected("b") and b.transport.is_connected("a")


@pytest_twisted.ensureDeferred
async def test_a_message_that_the_listener_refuses_closes_the_connection(tcp, lines):
    a = tcp.node("a")

    def refuse(message):
        raise ProtocolError("a gap between entries")

    a.listener.on_message = refuse
    raw = Raw(tcp, a)
    await raw.shake_hands(a)
    raw.send(frame(Kind.MESSAGE, encode_message(vote())))
    await raw.until_closed()
    assert [line for line in lines if "a gap between entries" in line]


@pytest_twisted.ensureDeferred
async def test_random_bytes_after_the_handshake(tcp):
    a = tcp.node("a")
    source = random.Random(7)
    for _ in range(20):
        raw = Raw(tcp, a)
        await raw.shake_hands(a)
        raw.send(source.randbytes(source.randrange(9, 3000)))
        raw.socket.shutdown(socket.SHUT_WR)
        await raw.until_closed()
    assert a.listener.messages == []


@pytest_twisted.ensureDeferred
async def test_a_handshake_byte_by_byte_is_taken(tcp):
    a = tcp.node("a")
    raw = Raw(tcp, a)
    data = frame(Kind.HELLO, encode(hello("a")))
    for position in range(len(data)):
        raw.send(data[position : position + 1])
        if position % 10 == 0:
            await tcp.until(lambda: True)
    assert (await raw.until_frames(1))[0][0] == Kind.CHALLENGE
    raw.socket.close()


@pytest_twisted.ensureDeferred
async def test_a_silent_or_slow_handshake_is_closed_after_its_deadline(tcp, lines):
    a = tcp.node("a", handshake_timeout=0.3)
    silent, slow = Raw(tcp, a), Raw(tcp, a)
    began = time.monotonic()
    data = frame(Kind.HELLO, encode(hello("a")))
    while not slow.closed and time.monotonic() - began < 5:
        slow.send(data[:1])
        data = data[1:]
        slow.poll()
        await tcp.settle()
    assert slow.closed
    await silent.until_closed()
    assert any("no handshake within 0.3 s" in line for line in lines)


@pytest_twisted.ensureDeferred
async def test_a_flood_of_half_open_connections_drops_the_oldest_and_locks_nobody_out(tcp, lines):
    a = tcp.node("a", max_unauthenticated=16)
    flood = []
    for _ in range(100):
        flood.append(Raw(tcp, a))
        if len(flood) % 10 == 0:
            await tcp.until(lambda: True)

    def closed():
        for raw in flood:
            if not raw.closed:
                raw.poll()
        return sum(raw.closed for raw in flood)

    await tcp.until(lambda: closed() >= 98, "the oldest to be closed")
    await tcp.settle()
    assert closed() == 98  # what says nothing has a quarter, one address of it half of that
    assert [raw.closed for raw in flood] == [True] * 98 + [False] * 2
    assert len(lines) == 1, "one line for all of them"
    b = tcp.node("b")
    b.transport.set_peers({"a": a.address})
    await tcp.until(lambda: b.transport.is_connected("a"), "a real peer gets through")
    for raw in flood:
        raw.socket.close()


@pytest_twisted.ensureDeferred
async def test_a_flood_from_a_members_own_address_does_not_keep_the_members_apart(tcp):
    a = tcp.node("a", members={"a", "b"})
    b = tcp.node("b", members={"a", "b"})
    a.transport.set_peers({"b": b.address})
    flood = []
    for number in range(300):  # some say nothing, some say a name and prove nothing
        flood.append(Raw(tcp, a))
        if number % 2:
            flood[-1].send(frame(Kind.HELLO, encode(hello("a", "b"))))
        if number == 150:
            b.transport.set_peers({"a": a.address})
        if number % 15 == 14:
            await tcp.until(lambda: True)
    await tcp.until(lambda: b.transport.is_connected("a") and a.transport.is_connected("b"), "the members' connections")
    for raw in flood:
        raw.socket.close()


@pytest_twisted.ensureDeferred
async def test_the_log_says_when_a_peer_is_lost_and_when_it_is_back(tcp, lines):
    a, b = await connected(tcp)
    address = b.address
    await b.transport.stop()
    await tcp.until(lambda: not a.transport.is_connected("b"))
    again = tcp.node("b", address=address)
    again.transport.set_peers({"a": a.address})
    await tcp.until(lambda: a.transport.is_connected("b"))
    told = [line for line in lines if line.startswith(("lost the connection to b", "connected to b"))]
    assert told == [f"connected to b at {address}", "lost the connection to b", f"connected to b at {address}"]


@pytest_twisted.ensureDeferred
async def test_a_stranger_that_is_gone_leaves_nothing_to_collect(tcp):
    a = tcp.node("a")
    gc.disable()
    try:
        raw = Raw(tcp, a)
        await tcp.until(lambda: a.transport._connections, "the connection")
        kept = weakref.ref(next(iter(a.transport._connections)))
        raw.socket.close()
        await tcp.until(lambda: kept() is None, "its memory back")
    finally:
        gc.enable()


@pytest_twisted.ensureDeferred
async def test_strangers_cannot_fill_the_log_with_names(tcp, lines):
    a = tcp.node("a", members={"a"}, index=9)
    for number in range(60):
        stranger = Raw(tcp, a)
        stranger.send(
            frame(Kind.HELLO, encode(hello("a", f"stranger{number}"))) + frame(Kind.PROOF, encode(Proof(b"")))
        )
        await stranger.until_closed()
    assert [line for line in lines if "stranger" in line] == lines[:1]


@pytest_twisted.ensureDeferred
async def test_both_sides_log_a_refusal_once_however_often_it_repeats(tcp, lines):
    a = tcp.node("a", members={"a"}, index=12)
    b = tcp.node("b", index=3)
    b.transport.set_peers({"a": a.address})
    await tcp.until(lambda: len(b.listener.removals) >= 3, "three refusals")
    theirs = [line for line in lines if line.startswith("refused b at 127.0.0.1:")]
    ours = [line for line in lines if line.startswith("a at 127.0.0.1:")]
    assert len(theirs) == len(ours) == 1, lines
    assert "unknown member" in theirs[0] and "configuration 12" in ours[0]


@pytest_twisted.ensureDeferred
async def test_a_second_node_of_an_id_is_refused_while_the_first_is_there(tcp, lines):
    a, b = await connected(tcp)
    twin = tcp.node("b")
    twin.transport.set_peers({"a": a.address})
    await tcp.until(lambda: any("duplicate id" in line for line in lines), "the refusal")
    await tcp.settle()
    assert not twin.transport.is_connected("a")
    assert b.transport.is_connected("a")
    await b.transport.stop()
    await tcp.until(lambda: twin.transport.is_connected("a"), "the successor")


@pytest_twisted.ensureDeferred
async def test_a_restarted_node_replaces_its_dead_connection(tcp, lines):
    """Its machine lost power: the old connection was never closed, and says nothing any more."""
    a = tcp.node("a", election_timeout=0.4)
    dead = Raw(tcp, a)
    await dead.shake_hands(a, "b", b"1" * 16)
    again = tcp.node("b", election_timeout=0.4)
    again.transport.set_peers({"a": a.address})
    await tcp.until(lambda: again.transport.is_connected("a"), "the restarted node")
    assert not any("nothing heard" in line for line in lines), "before the old one is given up"
    await dead.until_closed()


@pytest_twisted.ensureDeferred
async def test_a_reconnection_of_the_same_process_replaces_the_one_before(tcp):
    a = tcp.node("a", election_timeout=30.0)
    one = Raw(tcp, a)
    await one.shake_hands(a)
    two = Raw(tcp, a)
    await two.shake_hands(a)
    await one.until_closed()
    assert a.listener.events == [], "that is no loss of the peer"
    two.send(frame(Kind.MESSAGE, encode_message(vote())))
    await tcp.until(lambda: a.listener.messages == [vote()])
    two.socket.close()


@pytest_twisted.ensureDeferred
async def test_a_node_that_dials_itself_is_told_so(tcp, lines):
    a = tcp.node("a")
    a.transport.set_peers({"b": a.address})
    await tcp.until(lambda: any("dialled itself" in line for line in lines))
    assert not a.transport.is_connected("b")


@pytest.mark.parametrize(("one", "other"), [(b"one", b"other"), (b"one", None), (None, b"one")])
@pytest_twisted.ensureDeferred
async def test_different_secrets_never_connect(tcp, lines, one, other):
    a, b = tcp.node("a", secret=one), tcp.node("b", secret=other)
    a.transport.set_peers({"b": b.address})
    await tcp.until(lambda: any("authentication" in line for line in lines))
    await tcp.settle()
    assert not a.transport.is_connected("b")
    assert a.listener.events == b.listener.events == []


@pytest_twisted.ensureDeferred
async def test_a_starting_node_refuses_and_is_asked_again(tcp):
    box = []
    transport = TcpTransport(
        reactor,
        identity=Identity(CLUSTER, "late"),
        bind=Address("127.0.0.1", 0),
        advertised=lambda: str(box[0].bind),
        election_timeout=0.2,
    )
    box.append(transport)
    transport.listen()
    a = tcp.node("a")
    a.transport.set_peers({"late": str(transport.bind)})
    await tcp.settle()
    assert not a.transport.is_connected("late")
    transport.start(Recorder("late"))
    await tcp.until(lambda: a.transport.is_connected("late"))
    await transport.stop()


def test_a_port_in_use_is_one_clear_error():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    transport = TcpTransport(
        reactor,
        identity=Identity(CLUSTER, "a"),
        bind=Address("127.0.0.1", taken.getsockname()[1]),
        advertised=lambda: "",
    )
    with pytest.raises(ConfigError, match=r"cannot listen on 127.0.0.1:\d+ .*in use"):
        transport.listen()
    taken.close()


def from_afar(world, node, host):
    """A connection to the node that seems to come from another host."""
    connection = node.transport.acceptor()
    written = []

    class Remote:
        TLS = False

        def getPeer(self):
            return type("Peer", (), {"host": host, "port": 999})()

        def write(self, data):
            written.append(data)

        def registerProducer(self, producer, streaming):
            producer.resumeProducing()

        def unregisterProducer(self):
            pass

        def loseConnection(self):
            reactor.callLater(0, connection.connectionLost)

        abortConnection = loseConnection

    connection.makeConnection(Remote())
    return connection, written


@pytest.mark.parametrize(
    ("options", "host", "let_in"),
    [
        ({}, "10.1.2.3", False),
        ({}, "::ffff:10.1.2.3", False),
        ({}, "2001:db8::1", False),
        ({}, "127.0.0.1", True),
        ({}, "127.8.8.8", True),
        ({}, "::1", True),
        ({}, "::ffff:127.0.0.1", True),
        ({"protected_mode": False}, "10.1.2.3", True),
    ],
)
@pytest_twisted.ensureDeferred
async def test_protected_mode_takes_peers_from_this_host_alone(tcp, lines, options, host, let_in):
    node = tcp.node("a", address=":0", **options)
    connection, written = from_afar(tcp, node, host)
    connection.dataReceived(frame(Kind.HELLO, encode(hello("a"))))
    ((kind, body),) = FrameReader().feed(b"".join(written))
    if let_in:
        assert kind == Kind.CHALLENGE
        assert decode(body, Challenge).server_id == "a"
        connection.abort()
    else:
        assert kind == Kind.REFUSED
        refused = decode(body, Refused)
        assert refused.code == RefusalCode.PROTECTED
        assert "--cluster-secret-file" in refused.reason
        assert any("protected mode" in line for line in lines)
    await tcp.settle()


@pytest_twisted.ensureDeferred
async def test_a_secret_opens_protected_mode(tcp):
    node = tcp.node("a", address=":0", secret=b"s")
    connection, written = from_afar(tcp, node, "10.1.2.3")
    greeting = msgspec.structs.replace(hello("a"), authenticates=True)
    connection.dataReceived(frame(Kind.HELLO, encode(greeting)))
    assert next(FrameReader().feed(b"".join(written)))[0] == Kind.CHALLENGE
    connection.abort()
    await tcp.settle()


# slow, large, dead -------------------------------------------------------------------------------


def append(index, payload, term=1):
    return AppendEntries("a", "b", term, index - 1, term, 0, (Entry(index, term, 1, payload),))


@pytest_twisted.ensureDeferred
async def test_heartbeats_overtake_a_large_append_that_arrives_whole(tcp):
    a, b = await connected(tcp)
    payload = random.Random(3).randbytes(12 << 20)
    large, heartbeat = append(1, payload), AppendEntries("a", "b", 1, 1, 1, 0)
    a.transport.send([large])
    a.transport.send([heartbeat, vote("a", "b")])
    a.transport.send([large])  # the leader, refused meanwhile, sends it again
    await tcp.until(lambda: any(getattr(m, "entries", ()) for m in b.listener.messages), "the large append")
    await tcp.settle()
    kinds = [m for m in b.listener.messages if m is not heartbeat]
    assert [m for m in kinds if m != large] == [heartbeat, vote("a", "b")]
    assert kinds.index(large) == 2, "it came last"
    assert kinds.count(large) == 1, "it was not queued twice"


@pytest_twisted.ensureDeferred
async def test_without_a_large_one_appends_and_heartbeats_keep_their_order(tcp):
    a, b = await connected(tcp)
    sent = []
    for index in range(1, 200):
        sent += [append(index, b"x" * 20_000), AppendEntries("a", "b", 1, index, 1, 0)]
    for message in sent:
        a.transport.send([message])
    await tcp.until(lambda: len(b.listener.messages) == len(sent))
    assert b.listener.messages == sent


@pytest_twisted.ensureDeferred
async def test_an_append_that_no_peer_takes_is_not_sent_and_said_so(tcp, lines):
    a, b = await connected(tcp, max_message_bytes=1 << 20)
    a.transport.send([append(1, b"x" * (1 << 20)), vote("a", "b")])
    await tcp.until(lambda: b.listener.messages == [vote("a", "b")])
    assert any("cannot send 10486" in line and "to b at once" in line for line in lines)
    with pytest.raises(ConnectionError):
        await a.transport.request("b", b"x" * (1 << 20), 5.0)
    assert a.transport.is_connected("b")


class Deaf(Protocol):
    """A peer that shakes hands, then reads nothing."""

    def connectionMade(self):
        self.reader = FrameReader()
        self.factory.connections.append(self)

    def dataReceived(self, data):
        for kind, _ in self.reader.feed(data):
            if kind == Kind.HELLO:
                challenge = Challenge("deaf", b"d" * 16, b"n" * 32, False, "", 0)
                self.transport.write(frame(Kind.CHALLENGE, encode(challenge)))
            elif kind == Kind.PROOF:
                self.transport.write(frame(Kind.ACCEPTED, b"\x91\xc4\x00"))
                if self.factory.deaf:
                    self.transport.pauseProducing()


@pytest_twisted.async_yield_fixture
async def deaf(tcp):
    factory = Factory.forProtocol(Deaf)
    factory.connections, factory.deaf = [], True
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    factory.address = f"127.0.0.1:{port.getHost().port}"
    yield factory
    for connection in factory.connections:
        connection.transport.abortConnection()
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_nothing_piles_up_for_a_peer_that_does_not_read(tcp, deaf):
    a = tcp.node("a", queue_bytes=1 << 20, election_timeout=5.0)
    a.transport.set_peers({"deaf": deaf.address})
    await tcp.until(lambda: a.transport.is_connected("deaf"))
    message = AppendEntries("a", "deaf", 1, 0, 0, 0, (Entry(1, 1, 1, b"x" * 50_000),))
    for _ in range(400):
        a.transport.send([message] * 5)
    assert a.transport.dropped("deaf") > 1000
    assert a.transport.queued_bytes("deaf") <= 1 << 20
    assert a.transport.is_connected("deaf")


@pytest_twisted.ensureDeferred
async def test_a_peer_that_falls_silent_is_given_up_and_dialled_again(tcp, deaf, lines):
    a = tcp.node("a", election_timeout=0.05)
    a.transport.set_peers({"deaf": deaf.address})
    await tcp.until(lambda: ("down", "deaf") in a.listener.events, "the loss")
    assert any("nothing heard for too long" in line for line in lines)
    await tcp.until(lambda: len(deaf.connections) >= 2, "another attempt")


@pytest_twisted.ensureDeferred
async def test_an_idle_connection_stays(tcp):
    a, b = await connected(tcp, election_timeout=0.05)
    for _ in range(5):
        await tcp.settle()  # much longer than a silent peer would be borne
    assert a.listener.events == [("up", "b")]
    assert b.listener.events == [("up", "a")]


@pytest_twisted.ensureDeferred
async def test_a_dead_leader_is_noticed_within_milliseconds(tcp):
    a, b = await connected(tcp)
    (from_a,) = [c for c in b.transport._connections if c.session.server_id == "a" and c is b.transport._incoming["a"]]
    began = time.monotonic()
    from_a.transport.abortConnection()
    await tcp.until(lambda: ("down", "b") in a.listener.events and ("down", "a") in b.listener.events)
    assert time.monotonic() - began < 0.1


@pytest_twisted.ensureDeferred
async def test_dialling_goes_on_with_growing_delays_capped_at_half_the_election_timeout(tcp):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))  # bound, not listening: every attempt is refused
    attempts = []
    a = tcp.node("a", random=lambda: 1.0)
    make = a.transport._connector
    a.transport._connector = lambda *where: attempts.append(time.monotonic()) or make(*where)
    a.transport.set_peers({"b": f"127.0.0.1:{taken.getsockname()[1]}"})
    await tcp.until(lambda: len(attempts) == 9)
    gaps = [later - earlier for earlier, later in zip(attempts, attempts[1:], strict=False)]
    assert gaps[0] < 0.08
    assert all(gap < 0.1 + 0.08 for gap in gaps), gaps
    assert gaps[-1] > 0.09
    taken.close()


@pytest_twisted.ensureDeferred
async def test_a_peer_that_closes_every_connection_at_once_is_not_dialled_in_a_frenzy(tcp, deaf):
    deaf.deaf = False
    a = tcp.node("a", election_timeout=0.4)
    a.listener.peer_connected = lambda peer: deaf.connections[-1].transport.abortConnection()
    a.transport.set_peers({"deaf": deaf.address})
    await tcp.until(lambda: deaf.connections)
    for _ in range(6):
        await tcp.settle()
    assert 3 < len(deaf.connections) < 16


@pytest_twisted.ensureDeferred
async def test_two_nodes_that_close_every_connection_do_not_drive_each_other(tcp):
    a, b = tcp.node("a", election_timeout=0.4), tcp.node("b", election_timeout=0.4)
    ups = []
    for node, other in ((a, "b"), (b, "a")):

        def hang_up(peer, node=node, other=other):
            ups.append(peer)
            node.transport._links[other].connection.abort()

        node.listener.peer_connected = hang_up
    a.transport.set_peers({"b": b.address})
    b.transport.set_peers({"a": a.address})
    await tcp.until(lambda: ups)
    for _ in range(6):
        await tcp.settle()
    assert 3 < len(ups) < 32


@pytest.mark.parametrize("address", ["nonsense", ":0", "a b:1", "[::", "0.0.0.0:15379", ""])
@pytest_twisted.ensureDeferred
async def test_an_address_that_cannot_be_dialled_waits_for_a_better_one(tcp, address):
    a, b = tcp.node("a"), tcp.node("b")
    a.transport.set_peers({"b": address})
    await tcp.settle()
    assert not a.transport.is_connected("b")
    a.transport.set_peers({"b": b.address})
    await tcp.until(lambda: a.transport.is_connected("b"))


@pytest_twisted.ensureDeferred
async def test_host_names_are_resolved_at_every_dial(tcp):
    asked = []
    a, b = tcp.node("a"), tcp.node("b")
    make = a.transport._connector
    port = b.address.rpartition(":")[2]

    def resolve(host, port, timeout):
        asked.append(host)
        return make("127.0.0.1", port, timeout)

    a.transport._connector = resolve
    a.transport.set_peers({"b": f"b.example:{port}"})
    await tcp.until(lambda: a.transport.is_connected("b"))
    b.transport._incoming["a"].abort()
    await tcp.until(lambda: ("down", "b") in a.listener.events and a.transport.is_connected("b"))
    assert asked == ["b.example"] * 2


@pytest_twisted.ensureDeferred
async def test_the_address_that_a_moved_peer_gives_is_tried_in_turn(tcp):
    """A follower whose configuration is old dials the leader where it is now, not where it was."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    leader, follower = tcp.node("l", index=9), tcp.node("f", members={"f", "l"}, index=2)
    follower.transport.set_peers({"l": f"127.0.0.1:{taken.getsockname()[1]}"})
    leader.transport.set_peers({"f": follower.address})
    await tcp.until(lambda: follower.transport.is_connected("l"), "the way back")
    taken.close()


@pytest_twisted.ensureDeferred
async def test_a_large_request_and_a_large_answer(tcp):
    a, _ = await connected(tcp)
    body = random.Random(5).randbytes(3 << 20)
    assert await a.transport.request("b", body, 10.0) == body[::-1]


@pytest_twisted.ensureDeferred
async def test_a_request_whose_answer_fails_unexpectedly_is_logged_there(tcp, lines):
    a, b = await connected(tcp)

    def crash(sender, body):
        broken = Deferred()
        reactor.callLater(0, broken.errback, ZeroDivisionError("oh"))
        return broken

    b.listener.respond = crash
    with pytest.raises(ConnectionError, match="its log says why"):
        await a.transport.request("b", b"x", 5.0)
    assert any("a request from" in line for line in lines)


@pytest_twisted.ensureDeferred
async def test_answers_that_nobody_asked_for_close_the_connection(tcp, deaf, lines):
    deaf.deaf = False
    a = tcp.node("a")
    a.transport.set_peers({"deaf": deaf.address})
    await tcp.until(lambda: a.transport.is_connected("deaf"))
    deaf.connections[0].transport.write(frame(Kind.ANSWER, struct.pack(">QB", 5, 0)))
    await tcp.until(lambda: ("down", "deaf") in a.listener.events)
    assert any("an answer 0 to request 5" in line for line in lines)

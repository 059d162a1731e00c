"""What peers tell of what they understand, and who is refused for it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest_twisted

from leto.peer.frames import Kind
from leto.peer.greetings import Hello, RefusalCode, decode
from leto.peer.handshake import Refusal, Session, level_refusal
from tests.peer.test_peer_handshake import A, B, shake, sides


def test_both_sides_tell_what_they_understand():
    dialler, acceptor = sides(own=replace(A, level=3, release="1.3"), acceptor=replace(B, level=2, release="1.2"))
    shake(dialler, acceptor)
    ours, theirs = dialler.result, acceptor.result
    assert isinstance(ours, Session) and isinstance(theirs, Session)
    assert (ours.level, ours.release) == (2, "1.2")
    assert (theirs.level, theirs.release) == (3, "1.3")


def test_a_version_that_tells_no_level_is_of_the_first():
    dialler, _ = sides()
    hello = decode(dialler.open()[9:], Hello)
    before = msgspec.msgpack.encode(list(msgspec.structs.asdict(hello).values())[:12])
    assert (decode(before, Hello).level, decode(before, Hello).release) == (1, "")


def test_a_dialler_turns_away_from_one_that_understands_less_than_the_cluster():
    dialler, acceptor = sides(own=replace(A, level=3, cluster_level=3), acceptor=replace(B, level=2))
    wire = shake(dialler, acceptor)
    assert isinstance(dialler.result, Refusal)
    assert dialler.result.code == RefusalCode.LEVEL
    assert dialler.result.reason == (
        "'id2' understands level 2, this cluster is at level 3: start a newer version of Leto there"
    )
    assert wire[-1][0] == Kind.REFUSED


def test_one_of_the_clusters_level_or_more_is_welcome():
    assert level_refusal("a", 2, 2) is level_refusal("a", 3, 2) is None


@pytest_twisted.ensureDeferred
async def test_members_know_each_others_levels_while_connected(tcp):
    a, b = tcp.node("a", level=2, release="1.2"), tcp.node("b", level=3, release="1.3")
    assert a.transport.level_of("b") == 0
    a.transport.set_peers({"b": b.address})
    b.transport.set_peers({"a": a.address})
    await tcp.until(lambda: a.transport.is_connected("b") and b.transport.is_connected("a"))
    assert (a.transport.level_of("b"), a.transport.release_of("b")) == (3, "1.3")
    assert (b.transport.level_of("a"), b.transport.release_of("a")) == (2, "1.2")
    await b.transport.stop()
    await tcp.until(lambda: not a.transport.is_connected("b"))
    assert (a.transport.level_of("b"), a.transport.release_of("b")) == (0, "1.3")


@pytest_twisted.ensureDeferred
async def test_a_peer_below_the_level_is_refused_and_told_why(tcp, lines):
    a, b = tcp.node("a", level=2), tcp.node("b", level=1)
    a.listener.level = 2
    a.transport.set_peers({"b": b.address})
    b.transport.set_peers({"a": a.address})
    await tcp.until(lambda: sum("understands level 1, this cluster is at level 2" in line for line in lines) >= 2)
    assert not a.transport.is_connected("b") and not b.transport.is_connected("a")


@pytest_twisted.ensureDeferred
async def test_a_connection_from_below_ends_once_the_level_has_risen(tcp):
    a, b = tcp.node("a", level=2), tcp.node("b", level=1)
    a.transport.set_peers({"b": b.address})
    b.transport.set_peers({"a": a.address})
    await tcp.until(lambda: a.transport.incoming() == {"b"})
    a.listener.level = 2
    a.transport.set_peers({"b": b.address})  # as whenever the configuration changes
    await tcp.until(lambda: a.transport.incoming() == frozenset())

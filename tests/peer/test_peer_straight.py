"""The short ways of the peers' wire, beside the long ones: a lone message out, a lone frame in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from leto.errors import ProtocolError
from leto.peer.connection import Limits
from leto.peer.dialled import DialledConnection
from leto.peer.frames import CHECKSUM, FRAGMENT_BYTES, FrameReader, Kind, frame
from leto.peer.secrecy import AuthenticatedSeal
from leto.raft.messages import AppendEntries, AppendEntriesReply, Entry, Message, TimeoutNow

LIMITS = Limits(queue_bytes=1 << 20, max_message_bytes=1 << 30, user_timeout=1.0)


class Wire:
    """A socket that takes so many bytes at once, and what Twisted's transport was given of the rest."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.sent = b""
        self.left = b""

    def send(self, data: bytes) -> int:
        if not self.takes:
            raise BlockingIOError
        self.sent += data[: self.takes]
        return min(len(data), self.takes)

    def write(self, data: bytes) -> None:
        self.left += data


def connection(takes: int, seal: Any, limits: Limits = LIMITS) -> tuple[DialledConnection, Wire]:
    owner: Any = SimpleNamespace(oversized=lambda connection, size: None)
    made = DialledConnection(owner, limits, Clock(), "b", lambda: None)  # type: ignore[arg-type, return-value]
    wire: Any = Wire(takes)
    made._socket = made.transport = wire
    made._lanes.seal = seal
    return made, wire


def append(size: int, index: int = 7) -> AppendEntries:
    return AppendEntries("a", "b", 3, index - 1, 3, 5, (Entry(index, 3, 1, b"x" * size),), 2, False, 1_700_000)


MESSAGES: list[Message] = [
    append(0),
    append(100, 8),
    append(FRAGMENT_BYTES + 5, 9),
    append(2000, 10),
    AppendEntries("a", "b", 3, 6, 3, 5),
    AppendEntriesReply("a", "b", 3, True, 7),
    TimeoutNow("a", "b", 3),
]


@given(
    messages=st.lists(st.sampled_from(MESSAGES), max_size=6),
    takes=st.sampled_from([0, 1, 50, 1 << 30]),
    sealed=st.booleans(),
)
def test_a_lone_message_leaves_as_the_same_bytes(messages: list[Message], takes: int, sealed: bool) -> None:
    """Whatever the kernel takes, and whatever waits already."""
    ends = []
    for straight in (True, False):
        seal = AuthenticatedSeal(b"k" * 32) if sealed else CHECKSUM
        made, wire = connection(takes, seal)
        for message in messages:
            if straight:
                made.send_message(message)
            else:
                made.put_message(message)
                made.flush()
        ends.append((wire.sent, wire.left, made._busy, made._spoke, made.queued_bytes, made._large_appends))
    assert ends[0] == ends[1]


def test_an_append_that_no_peer_takes_is_not_sent() -> None:
    made, wire = connection(1 << 30, CHECKSUM, Limits(1 << 20, 500, 1.0))
    made.send_message(append(600))
    made.send_message(append(100))
    ((kind, _),) = opened(CHECKSUM).feed(wire.sent)
    assert kind == Kind.MESSAGE


def opened(seal: Any) -> FrameReader:
    reader = FrameReader()
    reader.open(seal)
    return reader


@given(sizes=st.lists(st.sampled_from([0, 1, 100, 5000]), min_size=1, max_size=3), cut=st.integers(0, 30))
def test_a_lone_frame_is_read_as_the_same(sizes: list[int], cut: int) -> None:
    """Only where the data is that frame and nothing else, whole: other data is left untouched."""
    seals = [AuthenticatedSeal(b"k" * 32) for _ in range(3)]
    frames = [frame(Kind.MESSAGE, b"x" * size, seals[0]) for size in sizes]
    reader, other = opened(seals[1]), opened(seals[2])
    data = b"".join(frames)
    for piece in [data[: len(data) - cut], data[len(data) - cut :]] if cut else [data]:
        whole = reader.whole(piece)
        found = [whole] if whole is not None else list(reader.feed(piece))
        assert [(kind, bytes(body)) for kind, body in found] == list(other.feed(piece))
        if len(sizes) == 1 and not cut:
            assert whole is not None


def test_a_lone_frame_that_fails_its_check_is_refused() -> None:
    good = frame(Kind.MESSAGE, b"abc")
    for at in range(4, len(good)):
        bad = bytearray(good)
        bad[at] ^= 1
        with pytest.raises(ProtocolError, match="fails its check"):
            opened(CHECKSUM).whole(bytes(bad))
    assert FrameReader().whole(frame(Kind.HELLO, b"x" * 4096)) is None  # over the limit: feed() says so

"""Frames: cut, checked, bounded; fragments put together again."""

from __future__ import annotations

import hmac
import struct
import tracemalloc
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.errors import ProtocolError
from leto.peer.frames import (
    CHECKSUM,
    FRAGMENT_BYTES,
    FRAGMENT_HEADER,
    HANDSHAKE_BYTES,
    Assembler,
    FrameReader,
    Kind,
    Lane,
    frame,
)
from leto.peer.secrecy import ACCEPTOR, DIALLER, AuthenticatedSeal, Transcript


def opened(seal=CHECKSUM):
    reader = FrameReader()
    reader.open(seal)
    return reader


def test_a_frame_byte_by_byte():
    assert frame(Kind.PING, b"") == bytes.fromhex("00000001 45d03605 0b")
    assert frame(Kind.REQUEST, b"abc") == bytes.fromhex("00000004 96290846 09 616263")
    assert crc32(b"\x09abc") == 0x96290846


frames_of = st.lists(st.tuples(st.sampled_from(list(Kind)), st.binary(max_size=300)), max_size=8)


@settings(max_examples=80, deadline=None)
@given(frames_of, st.lists(st.integers(1, 40), min_size=1, max_size=30), st.booleans())
def test_however_the_bytes_are_cut_the_frames_are_the_same(frames, cuts, authenticated):
    def seal():
        return AuthenticatedSeal(b"k" * 32) if authenticated else CHECKSUM

    sender = seal()
    stream = b"".join(frame(kind, body, sender) for kind, body in frames)
    whole = list(opened(seal()).feed(stream))
    assert whole == [(int(kind), body) for kind, body in frames]
    reader, found, position, step = opened(seal()), [], 0, 0
    while position < len(stream):
        size = cuts[step % len(cuts)]
        found += reader.feed(stream[position : position + size])
        position += size
        step += 1
    assert found == whole


@pytest.mark.parametrize(
    "start",
    [
        b"PING\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01",  # a TLS client
        b"\xff" * 8,  # lengths of 2^32 and 2^63
        b"\x80" + b"\0" * 8,
        b"\0" * 9,  # an empty frame
        (HANDSHAKE_BYTES + 1).to_bytes(4, "big"),
    ],
)
def test_what_is_no_frame_is_refused_as_soon_as_its_length_is_there(start):
    with pytest.raises(ProtocolError, match="not within"):
        list(FrameReader().feed(start))
    reader = FrameReader()
    with pytest.raises(ProtocolError, match="not within"):
        for byte in start:
            list(reader.feed(bytes((byte,))))


def test_a_handshake_takes_4096_bytes_and_a_connection_what_a_fragment_needs():
    assert list(FrameReader().feed(frame(Kind.HELLO, b"x" * (HANDSHAKE_BYTES - 1))))
    with pytest.raises(ProtocolError):
        list(FrameReader().feed(frame(Kind.HELLO, b"x" * HANDSHAKE_BYTES)))
    largest = frame(Kind.FIRST, b"x" * (FRAGMENT_HEADER.size + FRAGMENT_BYTES))
    assert list(opened().feed(largest))
    with pytest.raises(ProtocolError):
        list(opened().feed(frame(Kind.FIRST, b"x" * (FRAGMENT_HEADER.size + FRAGMENT_BYTES + 1))))


@settings(max_examples=80, deadline=None)
@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_flipped_bit_is_noticed(body, data):
    good = frame(Kind.MESSAGE, body)
    bit = data.draw(st.integers(32, len(good) * 8 - 1))  # behind the length, whose lies show as others' bytes
    bad = bytearray(good)
    bad[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError, match="fails its check"):
        list(opened().feed(bytes(bad)))


def test_frames_before_a_bad_one_are_still_good():
    reader = opened()
    taken = []
    with pytest.raises(ProtocolError):
        taken.extend(reader.feed(frame(Kind.PING, b"") + b"\xff" * 9))
    found = []
    with pytest.raises(ProtocolError):
        for one in opened().feed(frame(Kind.PING, b"") + b"\xff" * 9):
            found.append(one)  # what came before the error
    assert found == [(Kind.PING, b"")]


def test_nothing_is_allocated_for_a_promised_length():
    tracemalloc.start()
    readers = [opened() for _ in range(100)]
    for reader in readers:
        assert list(reader.feed(struct.pack(">IIB", FRAGMENT_BYTES, 0, Kind.MESSAGE))) == []
    assemblers = [Assembler() for _ in range(100)]
    for assembler in assemblers:
        assembler.first(FRAGMENT_HEADER.pack(Lane.APPENDS, Kind.MESSAGE, 1 << 30) + b"x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_slow_byte_after_byte_costs_linear_time():
    reader = opened()
    stream = frame(Kind.MESSAGE, b"x" * 200_000)
    found = []
    for position in range(len(stream)):
        found += reader.feed(stream[position : position + 1])
    assert [len(body) for _, body in found] == [200_000]


# fragments ---------------------------------------------------------------------------------------


def first(lane=Lane.APPENDS, kind=Kind.MESSAGE, length=10, content=b"01234"):
    return FRAGMENT_HEADER.pack(lane, kind, length) + content


def test_fragments_of_both_lanes_are_put_together():
    assembler = Assembler()
    assembler.first(first(Lane.APPENDS, Kind.MESSAGE, 10, b"01234"))
    assembler.first(first(Lane.REQUESTS, Kind.REQUEST, 4, b"ab"))
    assert assembler.more(bytes((Lane.APPENDS,)) + b"567") is None
    assert assembler.more(bytes((Lane.REQUESTS,)) + b"cd") == (Kind.REQUEST, b"abcd")
    assert assembler.more(bytes((Lane.APPENDS,)) + b"89") == (Kind.MESSAGE, b"0123456789")
    assembler.first(first())  # the lane is free again


@pytest.mark.parametrize(
    "body",
    [
        b"",
        first(content=b""),
        first(lane=Lane.URGENT),
        first(lane=3),
        first(kind=Kind.HELLO),
        first(kind=Kind.FIRST),
        first(kind=99),
        first(length=5),  # it would be whole already
        first(length=3),
        first(length=1001),
        first(length=1 << 63),
    ],
)
def test_a_first_fragment_that_makes_no_sense(body):
    with pytest.raises(ProtocolError):
        Assembler(1000).first(body)


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x02x", b"\x00x", b"\x01toolong", b"\xffx"])
def test_a_later_fragment_that_makes_no_sense(body):
    assembler = Assembler()
    assembler.first(first())
    with pytest.raises(ProtocolError):
        assembler.more(body)


def test_a_second_message_on_a_lane_before_the_first_is_whole():
    assembler = Assembler()
    assembler.first(first())
    with pytest.raises(ProtocolError, match="unfinished"):
        assembler.first(first())


# the seal of an authenticated session --------------------------------------------------------------


def test_the_seal_is_hmac_sha256_over_number_length_kind_and_body():
    seal = AuthenticatedSeal(b"k" * 32)
    for number, body in enumerate([b"", b"abc", b"x" * 1000]):
        expected = hmac.digest(b"k" * 32, struct.pack(">QIB", number, len(body) + 1, Kind.MESSAGE) + body, "sha256")
        assert seal.head(Kind.MESSAGE, body) == struct.pack(">I16sB", len(body) + 1, expected[:16], Kind.MESSAGE)


def sealed(count=4):
    seal = AuthenticatedSeal(b"k" * 32)
    return [frame(Kind.MESSAGE, b"message %d" % number, seal) for number in range(count)]


@pytest.mark.parametrize("order", [(1,), (0, 0), (0, 2), (1, 0), (0, 1, 1)])
def test_a_frame_repeated_left_out_or_moved_fails(order):
    frames = sealed()
    with pytest.raises(ProtocolError, match="fails its check"):
        list(opened(AuthenticatedSeal(b"k" * 32)).feed(b"".join(frames[number] for number in order)))


def test_a_frame_of_the_other_direction_or_another_session_fails():
    ours = Transcript(b"secret", b"hello", b"challenge")
    for other in (
        ours.seal(ACCEPTOR),
        Transcript(b"secret", b"hello", b"another challenge").seal(DIALLER),
        Transcript(b"other", b"hello", b"challenge").seal(DIALLER),
    ):
        with pytest.raises(ProtocolError):
            list(opened(ours.seal(DIALLER)).feed(frame(Kind.PING, b"", other)))
    again = Transcript(b"secret", b"hello", b"challenge").seal(DIALLER)
    assert list(opened(again).feed(frame(Kind.PING, b"", ours.seal(DIALLER)))) == [(Kind.PING, b"")]

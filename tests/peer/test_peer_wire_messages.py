"""Raft messages on the wire: golden bytes, and nothing taken that no node sends."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.errors import ProtocolError
from leto.peer.rope import Rope
from leto.peer.wire_messages import decode_message, encode_append, encode_message
from leto.raft.configuration import Configuration
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    InstallSnapshot,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    SnapshotMeta,
    TimeoutNow,
)

GOLDEN = [
    (
        AppendEntries("a", "b", 3, 8, 2, 7, (Entry(9, 3, 1, b"xyz"),), 5, True, 1_700_000_000_000, False, 800),
        "9d01a161a162030802079194090301c40378797a05c3cf0000018bcfe56800c2cd0320",
    ),
    (AppendEntriesReply("a", "b", 3, False, 0, 8, 6, 2, 5, 300, 9), "9c02a161a16203c20008060205cd012c09"),
    (RequestVote("a", "b", 3, 8, 2, True, False), "9803a161a162030802c3c2"),
    (RequestVoteReply("a", "b", 3, True, False, 300, 9), "9804a161a16203c3c2cd012c09"),
    (TimeoutNow("a", "b", 3), "9406a161a16203"),
    (ReadIndex("a", "b", 3, 4), "9507a161a1620304"),
    (ReadIndexReply("a", "b", 3, 4, 8, 1), "9708a161a16203040801"),
]


@pytest.mark.parametrize(("message", "expected"), GOLDEN, ids=[type(m).__name__ for m, _ in GOLDEN])
def test_messages_byte_by_byte(message, expected):
    assert encode_message(message).hex() == expected
    assert decode_message(bytes.fromhex(expected)) == message
    assert decode_message(bytearray.fromhex(expected)) == message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "9c01a161a162030802079194090301c40378797a05c3cf0000018bcfe56800c2",
            AppendEntries("a", "b", 3, 8, 2, 7, (Entry(9, 3, 1, b"xyz"),), 5, True, 1_700_000_000_000),
        ),
        ("9a02a161a16203c20008060205", AppendEntriesReply("a", "b", 3, False, 0, 8, 6, 2, 5)),
        ("9704a161a16203c3c2cd012c", RequestVoteReply("a", "b", 3, True, False, 300)),
    ],
)
def test_messages_of_an_earlier_version_promise_nothing_and_tell_no_time(body, expected):
    assert decode_message(bytes.fromhex(body)) == expected
    assert not any(getattr(expected, name, 0) for name in ("lease_ms", "promised_ms", "wall_ms"))


def packed(*values):
    return msgspec.msgpack.encode(list(values))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"hello",
        packed(),
        packed(99, "a", "b", 1),
        packed(3, "a", "b"),
        packed(3, "a", "b", 1 << 63, 0, 0),
        packed(3, "a", "b", (1 << 62) + 1, 0, 0),
        packed(3, "a", "b", -1, 0, 0),
        packed(3, "a", "b", 1, -1, 0),
        packed(3, "a", "b", 1.0, 0, 0),
        packed(3, b"a", "b", 1, 0, 0),
        packed(3, "a", "b", "1", 0, 0),
        packed(3, None, "b", 1, 0, 0),
        packed(1, "a", "b", 1, 0, 0, 0, [[1, 1, 3, b""]]),  # a kind of entry nobody knows
        packed(1, "a", "b", 1, 0, 0, 0, [[1, 1, -1, b""]]),
        packed(1, "a", "b", 1, 0, 0, 0, [[0, 1, 1, b""]]),
        packed(1, "a", "b", 1, 0, 0, 0, [[1, 0, 1, b""]]),
        packed(1, "a", "b", 1, 0, 0, 0, [[1 << 63, 1, 1, b""]]),
        packed(1, "a", "b", 1, 0, 0, 0, [[1, 1, 1, "text"]]),
        packed(1, "a", "b", 1, 0, 0, 0, [5]),
        packed(1, "a", "b", 1, 0, 0, 0, [], 0, 0, 0),
        packed(8, "a", "b", 1, 2, 3, -5),
        b"\x96\x03\xa2\xff\xff\xa1b\x01\x00\x00",  # not UTF-8
        b"\x91" * 100_000,  # nested deeper than any stack
        packed(1, "a", "b", 1, 0, 0, 0) + b"trailing",
    ],
    ids=repr,
)
def test_what_no_node_sends_is_refused(body):
    with pytest.raises(ProtocolError):
        decode_message(body)


def test_an_install_snapshot_is_never_taken_for_a_message():
    message = InstallSnapshot("a", "b", 1, SnapshotMeta(5, 1, Configuration()))
    with pytest.raises(ProtocolError):
        decode_message(msgspec.msgpack.encode(message))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=100))
def test_random_bytes_raise_protocol_errors_alone(body):
    try:
        message = decode_message(body)
    except ProtocolError:
        return
    assert decode_message(encode_message(message)) == message


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(GOLDEN), st.integers(0, 60), st.binary(min_size=1, max_size=3))
def test_damaged_messages_are_messages_or_protocol_errors(golden, position, patch):
    body = bytearray.fromhex(golden[1])
    body[position : position + len(patch)] = patch
    try:
        message = decode_message(bytes(body))
    except ProtocolError:
        return
    assert 0 <= message.term <= 1 << 62


@pytest.mark.parametrize("numbers", [(0, False, 0), (5, True, 1_700_000_000_000), (300, False, 1 << 40)])
@pytest.mark.parametrize("size", [0, 1000, (1 << 18) - 1, 1 << 18, 5_000_001])
def test_an_append_is_the_same_bytes_with_and_without_copies(size, numbers):
    entry = Entry(1 << 33, 70_000, 1, bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    message = AppendEntries("node-a", "b", 70_000, 1 << 33, 3, 7, (entry,), *numbers)
    assert bytes(encode_append(message)) == encode_message(message)
    several = AppendEntries("node-a", "b", 70_000, 1 << 33, 3, 7, (entry, Entry((1 << 33) + 1, 70_000, 1, b"y")))
    assert bytes(encode_append(several)) == encode_message(several)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5), st.integers(0, 100), st.integers(0, 100))
def test_a_rope_is_cut_like_its_bytes(parts, start, length):
    rope, whole = Rope(parts), b"".join(parts)
    assert (len(rope), bytes(rope)) == (len(whole), whole)
    assert b"".join(rope.cut(start, start + length)) == whole[start : start + length]

"""Bodies of requests and answers; the keyspace's replies carried exactly."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.errors import ProtocolError
from leto.peer.requests import (
    Forward,
    ForwardInTerm,
    ForwardReply,
    Outcome,
    SnapshotChunk,
    SnapshotFinish,
    SnapshotOffer,
    SnapshotProgress,
    StatusQuery,
    StatusReply,
    decode_answer,
    decode_replies,
    decode_request,
    encode,
    encode_replies,
)
from leto.raft.configuration import Configuration, Member
from leto.raft.messages import InstallSnapshot, SnapshotMeta
from leto.vocabulary.replies import NULL_ARRAY, OK, Error, Pairs, Push, Set, Status, Verbatim

META = SnapshotMeta(9, 2, Configuration((Member("a", "h:1", True),)), 3)
REQUESTS = [
    (Forward(b"*1", 1), "9301c4022a3101"),
    (ForwardInTerm(b"*1", 1, 7), "9406c4022a310107"),
    (StatusQuery(), "9102"),
    (SnapshotOffer(InstallSnapshot("a", "b", 2, META), 100, 7), None),
    (SnapshotChunk(1, 64, b"xyz"), "94040140c40378797a"),
    (SnapshotFinish(1), "920501"),
]
ANSWERS = [
    (ForwardReply(Outcome.NOT_LEADER, b"", "not leader", "b", "h:2"), None),
    (StatusReply(b"{}"), "9242c4027b7d"),
    (SnapshotProgress(1, 64, True, ""), "96430140c3a0c2"),
]


@pytest.mark.parametrize(("value", "expected"), REQUESTS, ids=[type(v).__name__ for v, _ in REQUESTS])
def test_requests_byte_by_byte(value, expected):
    assert expected in (None, encode(value).hex())
    assert decode_request(encode(value)) == value
    with pytest.raises(ProtocolError):
        decode_answer(encode(value))


@pytest.mark.parametrize(("value", "expected"), ANSWERS, ids=[type(v).__name__ for v, _ in ANSWERS])
def test_answers_byte_by_byte(value, expected):
    assert expected in (None, encode(value).hex())
    assert decode_answer(encode(value)) == value
    with pytest.raises(ProtocolError):
        decode_request(encode(value))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([1, "text", 1]),
        msgspec.msgpack.encode([1, b"x", -1]),
        msgspec.msgpack.encode([4, 1, -1, b""]),
        msgspec.msgpack.encode([4, 1, 1 << 63, b""]),
        msgspec.msgpack.encode([3, [5, "a", "b", 1, None], 10, 1]),
        msgspec.msgpack.encode([3, [6, "a", "b", 1], 10, 1]),
        b"\x91" * 50_000,
    ],
    ids=repr,
)
def test_what_is_no_request(body):
    with pytest.raises(ProtocolError):
        decode_request(body)


# replies -----------------------------------------------------------------------------------------

plain = st.one_of(
    st.binary(max_size=20),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.binary(max_size=20).map(Status),
    st.binary(max_size=20).map(Error),
    st.just(NULL_ARRAY),
    st.binary(max_size=20).map(Verbatim),
    st.builds(Verbatim, st.binary(max_size=5), st.just(b"mkd")),
)
replies = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(Set),
        st.lists(inner, max_size=4).map(Push),
        st.lists(inner, max_size=2).map(lambda items: Pairs(2 * items)),
        st.dictionaries(st.one_of(st.binary(max_size=5), st.integers(0, 9)), inner, max_size=4),
    ),
    max_leaves=12,
)


def same(a, b):
    """Equal and of the same types, all the way down (1 == True == 1.0 in Python)."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (Set, Push, Pairs)):
        return same(a.items, b.items)
    if isinstance(a, float):
        return math.copysign(1, a) == math.copysign(1, b) and a == b
    return a == b


@settings(max_examples=80, deadline=None)
@given(st.lists(replies, max_size=6))
def test_replies_come_back_exactly(values):
    assert same(decode_replies(encode_replies(values)), values)


def test_not_a_number_is_carried_too():
    (value,) = decode_replies(encode_replies([float("nan")]))
    assert math.isnan(value)


def test_plain_replies_are_small():
    assert len(encode_replies([OK] * 100)) <= 3 + 100 * 4


@pytest.mark.parametrize(
    "value",
    [1 << 64, "text", object(), {1, 2}, [object()]],
    ids=["beyond 64 bits", "text", "object", "set", "nested object"],
)
def test_what_is_no_reply_is_not_encoded(value):
    with pytest.raises(ValueError, match="no repl"):
        encode_replies([value])


Ext = msgspec.msgpack.Ext


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(5),
        msgspec.msgpack.encode([Ext(99, b"")]),
        msgspec.msgpack.encode([Ext(4, b"\xc1")]),
        msgspec.msgpack.encode([Ext(4, msgspec.msgpack.encode(1))]),
        msgspec.msgpack.encode([Ext(7, msgspec.msgpack.encode([1]))]),
        msgspec.msgpack.encode([Ext(7, msgspec.msgpack.encode([[], 1]))]),  # a list is no key
        msgspec.msgpack.encode([Ext(5, msgspec.msgpack.encode([1, 2]))]),
        b"\x91" * 50_000,
    ],
    ids=repr,
)
def test_what_are_no_replies(body):
    with pytest.raises(ProtocolError):
        decode_replies(body)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_are_replies_or_protocol_errors(body):
    for decode in (decode_replies, decode_request, decode_answer):
        try:
            value = decode(body)
        except ProtocolError:
            continue
        assert value is not None


def test_an_answer_without_the_field_that_a_later_version_added_is_read():
    assert decode_answer(bytes.fromhex("95430140c3a0")) == SnapshotProgress(1, 64, True, "")
    assert decode_answer(bytes.fromhex("97430140c3a0c2c3")) == SnapshotProgress(1, 64, True, ""), "and one with more"


def test_a_snapshot_has_no_token_that_its_file_could_not_hold():
    offer = SnapshotOffer(InstallSnapshot("a", "b", 2, META), 100, (1 << 64) - 1)
    assert decode_request(encode(offer)) == offer
    with pytest.raises(ProtocolError, match="token|>= 0"):
        decode_request(encode(msgspec.structs.replace(offer, token=-1)))

"""The bodies of requests between members and of their answers: typed, tagged, so that replica routes by type.

Bodies are msgpack arrays whose first item is the tag. Replies of the keyspace travel exactly: what is encoded
comes back equal, of the same types.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from leto.errors import ProtocolError
from leto.raft.messages import InstallSnapshot
from leto.vocabulary.replies import Error, NullArray, Pairs, Push, Reply, Set, Status, Verbatim

TERM_LEVEL: Final = 2  # members of this level and above take a ForwardInTerm (leto.vocabulary.levels)
Size = Annotated[int, Meta(ge=0, le=1 << 62)]


class Forward(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Writes that a client sent to a follower: for Replica.write on the leader. Answered by a ForwardReply."""

    payload: bytes
    count: Size


class ForwardInTerm(Forward, frozen=True, array_like=True, gc=False, tag=6):
    """The same for the leader of that term alone: a later one answers NOT_LEADER, were it the same node. So no write is
    appended behind one that its client sent after it, to another leader meanwhile.

    For members of level TERM_LEVEL or above; others do not know it."""

    term: Size


class StatusQuery(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """What do you know of yourself? Answered by a StatusReply."""


class SnapshotOffer(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A leader has a snapshot of `size` payload bytes; `token` tells its file from another of the same index.
    Answered, like the next two, by a SnapshotProgress."""

    message: InstallSnapshot
    size: Size
    token: Annotated[int, Meta(ge=0)]  # 64 bits, as msgpack has them


class SnapshotChunk(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Payload bytes from `offset` on, of the transfer with that number."""

    transfer: Size
    offset: Size
    data: bytes


class SnapshotFinish(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """All of it was sent: make it durable."""

    transfer: Size


class ForwardReply(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=65):
    """`error` is an Outcome; `replies` is what encode_replies made when it is DONE; else `reason` says more."""

    error: int
    replies: bytes = b""
    reason: str = ""
    leader_id: str = ""
    leader_address: str = ""


class StatusReply(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=66):
    """A JSON object (leto.status.status_data)."""

    json: bytes


class SnapshotProgress(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=67):
    """Where the receiver is: it wants `offset` next. `done`: durable, nothing more is wanted. `refused` is a sentence
    when it wants nothing of this (an older leader, another transfer), `has_no_room` if that is for its disk."""

    transfer: Size = 0
    offset: Size = 0
    done: bool = False
    refused: str = ""
    has_no_room: bool = False


class Outcome:
    """What became of forwarded writes: the errors of Replica.write as numbers."""

    DONE: Final = 0
    NOT_LEADER: Final = 1  # never appended
    OVERLOADED: Final = 2  # never appended
    STOPPING: Final = 3  # never appended
    UNKNOWN: Final = 4  # appended, fate unknown
    REFUSED: Final = 5  # never appended, and never will be as it is
    DISK_FULL: Final = 6  # never appended


Request = Forward | ForwardInTerm | StatusQuery | SnapshotOffer | SnapshotChunk | SnapshotFinish
Answer = ForwardReply | StatusReply | SnapshotProgress

_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final = msgspec.msgpack.Decoder(Request)
_answers: Final = msgspec.msgpack.Decoder(Answer)
_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError, ValueError, TypeError)


def encode(body: Request | Answer) -> bytes:
    """Its bytes."""
    return _encoder.encode(body)


def decode_request(body: bytes) -> Request:
    """Raises ProtocolError."""
    try:
        request: Request = _requests.decode(body)
    except _MALFORMED as error:
        raise ProtocolError(f"no request: {error}") from None
    return request


def decode_answer(body: bytes) -> Answer:
    """Raises ProtocolError."""
    try:
        answer: Answer = _answers.decode(body)
    except _MALFORMED as error:
        raise ProtocolError(f"no answer: {error}") from None
    return answer


# The keyspace's replies -----------------------------------------------------------------------------

_STATUS, _ERROR, _NULL_ARRAY, _SET, _VERBATIM, _PUSH, _MAP, _TUPLE, _PAIRS = range(1, 10)
_PLAIN: Final = frozenset((bytes, int, float, bool, type(None)))
Ext = msgspec.msgpack.Ext


def encode_replies(replies: list[Reply]) -> bytes:
    """Raises ValueError for what is no reply, or an integer beyond 64 bits."""
    try:
        return _encoder.encode([reply if type(reply) in _PLAIN else _packed(reply) for reply in replies])
    except (OverflowError, RecursionError) as error:
        raise ValueError(f"no replies: {error}") from None


def decode_replies(data: bytes) -> list[Reply]:
    """What encode_replies was given. Raises ProtocolError."""
    try:
        replies = _replies.decode(data)
    except _MALFORMED as error:
        raise ProtocolError(f"no replies: {error}") from None
    if not isinstance(replies, list):
        raise ProtocolError("no replies: not a list")
    return replies


def _packed(reply: Reply) -> Any:
    kind = type(reply)
    if kind in _PLAIN:
        return reply
    pack = _PACKERS.get(kind)
    if pack is None:
        raise ValueError(f"a {kind.__name__} is no reply")
    return pack(reply)


def _packed_list(items: Any) -> list[Any]:
    return [_packed(item) for item in items]


def _nested(code: int, items: Any) -> Any:
    return Ext(code, _encoder.encode(_packed_list(items)))


def _flat(pairs: dict[Any, Any]) -> list[Any]:
    return [part for pair in pairs.items() for part in pair]


_PACKERS: Final[dict[type, Callable[[Any], Any]]] = {
    list: _packed_list,
    tuple: lambda reply: _nested(_TUPLE, reply),
    dict: lambda reply: _nested(_MAP, _flat(reply)),
    Status: lambda reply: Ext(_STATUS, reply.text),
    Error: lambda reply: Ext(_ERROR, reply.text),
    NullArray: lambda reply: Ext(_NULL_ARRAY, b""),
    Set: lambda reply: _nested(_SET, reply.items),
    Verbatim: lambda reply: _nested(_VERBATIM, (reply.format, reply.text)),
    Push: lambda reply: _nested(_PUSH, reply.items),
    Pairs: lambda reply: _nested(_PAIRS, reply.items),
}


def _unpacked(code: int, data: memoryview) -> Any:
    if code == _STATUS:
        return Status(bytes(data))
    if code == _ERROR:
        return Error(bytes(data))
    if code == _NULL_ARRAY:
        return NullArray()
    items = _replies.decode(data)
    if not isinstance(items, list):
        raise ValueError(f"a reply of kind {code} without items")
    if code == _SET:
        return Set(items)
    if code == _PUSH:
        return Push(items)
    if code == _PAIRS and len(items) % 2 == 0:
        return Pairs(items)
    if code == _TUPLE:
        return tuple(items)
    if code == _VERBATIM and len(items) == 2 and type(items[0]) is type(items[1]) is bytes:
        return Verbatim(items[1], items[0])
    if code == _MAP and len(items) % 2 == 0:
        return dict(zip(items[::2], items[1::2], strict=True))
    raise ValueError(f"a reply of the unknown kind {code}")


_replies: Final = msgspec.msgpack.Decoder(Any, ext_hook=_unpacked)

"""Raft messages as bytes: msgpack, decoded into their types and ranges or refused. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

import msgspec

from leto.errors import ProtocolError
from leto.peer.rope import Rope
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    Message,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)

# InstallSnapshot is not among them: a snapshot counts only once its bytes are here (leto.replica.catchup).
WireMessage = (
    AppendEntries | AppendEntriesReply | RequestVote | RequestVoteReply | TimeoutNow | ReadIndex | ReadIndexReply
)

LARGEST: Final = 1 << 62  # no term, index, round or clock is beyond it
_LAST_KIND: Final = max(EntryKind)
_NUMBERS: Final[dict[type, Any]] = {
    AppendEntries: attrgetter("term", "prev_index", "prev_term", "commit", "round", "clock_ms", "lease_ms"),
    AppendEntriesReply: attrgetter(
        "term", "match_index", "prev_index", "conflict_index", "conflict_term", "round", "promised_ms", "wall_ms"
    ),
    RequestVote: attrgetter("term", "last_index", "last_term"),
    RequestVoteReply: attrgetter("term", "clock_ms", "wall_ms"),
    TimeoutNow: attrgetter("term", "term"),
    ReadIndex: attrgetter("term", "context"),
    ReadIndexReply: attrgetter("term", "context", "index", "clock_ms"),
}
LARGE: Final = 1 << 18  # bytes of a payload that is not copied
_BIN32: Final = struct.Struct(">BI")  # msgpack's head of so many bytes
_FIELDS: Final = AppendEntries.__struct_fields__
_BEHIND_ENTRIES: Final = _FIELDS[_FIELDS.index("entries") + 1 :]
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(WireMessage)


encode_message: Final[Callable[[Message], bytes]] = _encoder.encode  # a message's body


def encode_append(message: AppendEntries) -> bytes | Rope:
    """encode_message() of an append; that of one large entry (they travel alone) without copies of its payload."""
    entries = message.entries
    if len(entries) != 1 or len(entries[0].payload) < LARGE:
        return encode_message(message)
    entry = entries[0]
    empty = msgspec.structs.replace(message, entries=(Entry(entry.index, entry.term, entry.kind, b""),))
    tail = b"".join([_encoder.encode(getattr(message, name)) for name in _BEHIND_ENTRIES])
    head = _encoder.encode(empty)[: -len(tail) - 2]  # without the empty payload, two bytes
    return Rope((head, _BIN32.pack(0xC6, len(entry.payload)), entry.payload, tail))


def decode_message(body: bytes | bytearray | memoryview) -> WireMessage:
    """Raises ProtocolError for anything that is no Raft message, or has a number that none can have."""
    try:
        message: WireMessage = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise ProtocolError(f"no Raft message: {error}") from None
    numbers = _NUMBERS[type(message)](message)
    if min(numbers) < 0 or max(numbers) > LARGEST:  # a tuple's min and max: no loop in Python
        raise ProtocolError(f"a {type(message).__name__} with a number below 0 or above 2^62")
    if type(message) is AppendEntries:
        for entry in message.entries:
            if not (0 < entry.index <= LARGEST and 0 < entry.term <= LARGEST):
                raise ProtocolError("an entry whose index or term none can have")
            if not 0 <= entry.kind <= _LAST_KIND:
                raise ProtocolError(f"entry {entry.index} is of kind {entry.kind}, unknown to this version of Leto")
    return message

"""Data types: what a value is, how it is stored in a snapshot, and how a new type is registered.

A string (type code 0) is plain `bytes`, or a LongString once it was changed while it was long: two forms of the same
value. Every other type is one class with the methods of `Value`, registered
with `@register(code)` in its own file; nothing else has to know it. A value may be mutable: its commands
call `Database.announce(key)` before they change it and `Database.store(key, value)` after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol, Self, TypeVar, runtime_checkable

import msgspec

from leto.checksums import adler32, crc32
from leto.keyspace.types.long_string import LongString

STRING_CODE = 0
MASK = (1 << 64) - 1  # what the sum of all checksums is cut to where it leaves the database
KEY_OFFSET = 0x5BD1E995  # makes a key's part of its checksum another than an equal value's, and never zero
LONG_STRING = 32  # bytes from which a string's content sum is Adler-32, three times cheaper there than CRC-32


@runtime_checkable
class Value(Protocol):
    """A value that is not a plain string."""

    type_name: ClassVar[bytes]  # what TYPE answers: b"list"
    type_code: ClassVar[int]  # set by register(); its number in snapshots, for ever

    def encode(self) -> bytes:
        """The value as bytes for the snapshot: equal values of equal history give equal bytes."""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """What encode() wrote. Raises ValueError for anything else."""

    def digest(self) -> int:
        """A 32-bit checksum of the content, the same in every process (never built on hash())."""

    def copy(self) -> Self:
        """An independent value with the same content (COPY)."""

    def encoding(self) -> bytes:
        """What OBJECT ENCODING answers."""

    def size(self) -> int:
        """Estimated bytes of memory."""

    def __len__(self) -> int:
        """Number of elements; an empty value's key is deleted."""


TYPES: dict[int, type[Value]] = {}

V = TypeVar("V", bound=type)


def register(code: int) -> Callable[[V], V]:
    """Make the decorated class a data type with that number (1 to 255) in snapshots."""

    def add(cls: V) -> V:
        if not 1 <= code <= 255:
            raise ValueError(f"type code {code} of {cls.__name__} is not within 1 and 255")
        if code in TYPES:
            raise ValueError(f"type code {code} is {TYPES[code].__name__}'s, not {cls.__name__}'s")
        cls.type_code = code  # type: ignore[attr-defined]
        TYPES[code] = cls
        return cls

    return add


class Record(msgspec.Struct, frozen=True, gc=False):
    """What the database holds under a key that does not expire. 32 bytes, outside the cyclic garbage collector."""

    expire_at: ClassVar[int] = 0  # milliseconds since the epoch; 0: never

    value: bytes | LongString | Value
    version: int  # index of the log entry that last modified the key


class Expiring(Record, frozen=True, gc=False):
    """A record with an expiry, which few keys have. 48 bytes."""

    expire_at: int  # type: ignore[misc]


def record_of(value: bytes | LongString | Value, version: int, expire_at: int) -> Record:
    """The record of either kind."""
    return Expiring(value, version, expire_at) if expire_at else Record(value, version)


def content_sum(value: bytes | LongString | Value, expire_at: int) -> int:
    """32 bits of value and expiry. Independent of PYTHONHASHSEED.

    It is computed anew when a record goes: remembering it would take 48 bytes a key.
    """
    if value.__class__ is bytes:
        content = crc32(value) if len(value) < LONG_STRING else adler32(value)
    elif value.__class__ is LongString:
        content = value.adler
    else:
        content = crc32(b"%d" % value.type_code, value.digest())  # type: ignore[union-attr]
    return crc32(b"%d" % expire_at, content) if expire_at else content


def checksum(key: bytes, value: bytes | LongString | Value, expire_at: int) -> int:
    """The record's share of the state digest, below 2^65.

    A product, so that a record which takes another's place adds (crc32(key) + KEY_OFFSET) * (new content sum - old
    content sum), and two keys' exchange of values shows, as it would not in a sum of sums. Neither factor is zero.
    """
    return (crc32(key) + KEY_OFFSET) * (content_sum(value, expire_at) + 1)


def type_name(value: bytes | LongString | Value) -> bytes:
    """What TYPE answers for this value."""
    return b"string" if is_string(value) else value.type_name  # type: ignore[union-attr]


def is_string(value: bytes | LongString | Value) -> bool:
    """Whether the commands on strings take it."""
    return value.__class__ is bytes or value.__class__ is LongString


def encode(value: bytes | LongString | Value) -> tuple[int, bytes | LongString]:
    """(type code, bytes) as a snapshot holds them."""
    if is_string(value):
        return STRING_CODE, value  # type: ignore[return-value]
    return value.type_code, value.encode()  # type: ignore[union-attr]


def decode(code: int, data: bytes) -> bytes | LongString | Value:
    """The value that encode() described. Raises ValueError for an unknown type or damaged content."""
    if code == STRING_CODE:
        return data
    cls = TYPES.get(code)
    if cls is None:
        raise ValueError(f"data type {code} is unknown to this version")
    return cls.decode(data)


def copy(value: bytes | LongString | Value) -> bytes | LongString | Value:
    """An independent value with the same content."""
    return value if is_string(value) else value.copy()  # type: ignore[union-attr]


def size(key: bytes, record: Record) -> int:
    """Estimated bytes of memory that a key takes: objects, their padding, and the tables' share."""
    value = record.value
    content = 33 + len(value) if is_string(value) else value.size()  # type: ignore[union-attr]
    rounded = (33 + len(key) + 15 & ~15) + (content + 15 & ~15)
    return rounded + 32 + 32 + 64 + (112 if record.expire_at else 0)

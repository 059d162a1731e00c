"""Data types: what a value is, how it is stored in a snapshot, and how a new type is registered.

A string (type code 0) is plain `bytes`, or a LongString once it was changed while it was long: two forms of the same
value. Every other type is one class derived from Value, registered with `@register(code)` in its own file; nothing else
has to know it. Most derive from a container that is made already (leto.keyspace.types.crc_map).

A value is small, and then one compact `bytes`, or large, and then in parts (leto.keyspace.types.parts). It changes
within Database.edit() alone, where `edit` tells who keeps the account of the change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, Protocol, Self, TypeVar

import msgspec

from leto.checksums import adler32, crc32
from leto.keyspace.types.long_string import LongString
from leto.keyspace.types.parts import Loaded, Part, Parts

STRING_CODE = 0
MASK = (1 << 64) - 1  # what the sum of all checksums is cut to where it leaves the database
KEY_OFFSET = 0x5BD1E995  # makes a key's part of its checksum another than an equal value's, and never zero
LONG_STRING = 32  # bytes from which a string's content sum is Adler-32, three times cheaper there than CRC-32
TABLE_SHARE: Final = 26  # bytes of a segment and the directory for each record, at a million keys
SMALL_ELEMENTS: Final = 128  # that a value in one piece has at most
SMALL_BYTES: Final = 8 << 10  # that they have


class Change(Protocol):
    """The account of a value that is being edited: Database.edit() keeps it."""

    index: int  # the entry that is applied
    delta: int  # what was added to the value's digest so far
    packed: bytes  # the content as it was, of a value that was small
    begun: bool  # whether begin() was called

    def begin(self) -> None:
        """The value changes now: whoever needs it as it was is told."""

    def discard(self, parts: list[Part]) -> None:
        """Free these, which the value has no more, in pieces."""


class Value(msgspec.Struct, gc=False, eq=False):
    """A value that is not a string: what the database, its snapshots and the commands on any key ask of it.

    Outside the cyclic garbage collector while it is small: 32 bytes beside its content.
    """

    type_name: ClassVar[bytes]  # what TYPE answers: b"list"
    type_code: ClassVar[int]  # set by register(); its number in snapshots, for ever

    sorts: ClassVar[bool] = False  # whether SORT takes it
    is_ordered: ClassVar[bool] = True  # whether its own order means something: what SORT does not sort keeps it

    content: Any = b""  # packed in `bytes` while it is small, and Parts from then on; within an edit, unpacked
    edit: Change | None = None

    def __len__(self) -> int:
        """Number of elements. The key of a value that ends an edit empty is deleted (a type that may stay empty says
        so by __bool__)."""
        raise NotImplementedError

    def encoding(self) -> bytes:
        """What OBJECT ENCODING answers."""
        raise NotImplementedError

    def members(self) -> Iterator[bytes]:
        """What SORT sorts, in the value's own order: of a type that says so by `sorts`."""
        raise NotImplementedError

    def field(self, name: bytes) -> bytes | None:
        """What is under that name in it, where SORT's patterns look for it: nothing in most types."""
        return None

    def digest(self) -> int:
        """The sum of its elements' checksums, the same in every process (never built on hash()). Constant work for a
        large value."""
        raise NotImplementedError

    def size(self) -> int:
        """Estimated bytes of memory. Constant work for a large value."""
        raise NotImplementedError

    def close(self) -> None:
        """The edit ends: a content that was unpacked is packed again, or goes on in parts."""
        raise NotImplementedError

    def complaints(self) -> Iterator[str | None]:
        """What is wrong with it: nothing, ever (leto.keyspace.invariants). None after each step's work."""
        raise NotImplementedError

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The small value that encode() wrote. Raises ValueError, or msgspec's errors, for anything else."""
        raise NotImplementedError

    @classmethod
    def encode_part(cls, part: Part) -> bytes:
        """A part for the snapshot: parts of equal elements give equal bytes."""
        raise NotImplementedError

    @classmethod
    def decode_part(cls, low: Any, data: bytes) -> Loaded:
        """The part that encode_part() wrote, which begins at `low`. Raises ValueError, or msgspec's errors, for
        anything else."""
        raise NotImplementedError

    def encode_head(self) -> Any:
        """What a large value has beside its parts, for the snapshot."""
        return None

    @classmethod
    def assembled(cls, head: Any, content: Parts) -> Self:
        """The large value with that head and these parts. Raises ValueError for a head that is none."""
        if head is not None:
            raise ValueError(f"a {cls.type_name.decode()} has a head that it cannot have")
        return cls(content)

    @property
    def is_large(self) -> bool:
        """Whether it is in parts. It stays so."""
        return isinstance(self.content, Parts)

    def encode(self) -> bytes:
        """A small value as bytes for the snapshot: as it was before the edit under way. Raises TypeError for a large
        one."""
        content = self.content if self.edit is None else self.edit.packed
        if content.__class__ is not bytes:
            raise TypeError(f"a large {self.type_name.decode()} is written in parts")
        return content

    def changing(self) -> Change:
        """For the methods that change it, before they do. Raises RuntimeError outside of an edit."""
        change = self.edit
        if change is None:
            raise RuntimeError(f"a {self.type_name.decode()} is changed within Database.edit() alone")
        if not change.begun:
            change.begin()
        return change

    def copy(self, index: int) -> Self:
        """An independent value with the same content, made while the entry at `index` is applied. Parts are shared
        until one of the two changes them."""
        twin: Self = self.__copy__()  # type: ignore[attr-defined]
        if isinstance(self.content, Parts):
            twin.content = self.content.fork(index)
        return twin


TYPES: dict[int, type[Value]] = {}

V = TypeVar("V", bound=type[Value])


def register(code: int) -> Callable[[V], V]:
    """Make the decorated class a data type with that number (1 to 255) in snapshots."""

    def add(cls: V) -> V:
        if not 1 <= code <= 255:
            raise ValueError(f"type code {code} of {cls.__name__} is not within 1 and 255")
        if code in TYPES:
            raise ValueError(f"type code {code} is {TYPES[code].__name__}'s, not {cls.__name__}'s")
        cls.type_code = code
        TYPES[code] = cls
        return cls

    return add


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is under a key, as everybody but the table of records sees it (leto.keyspace.packing)."""

    expire_at: ClassVar[int] = 0  # milliseconds since the epoch; 0: never

    value: bytes | LongString | Value
    version: int  # index of the log entry that last modified the key


def content_sum(value: bytes | LongString | Value, expire_at: int) -> int:
    """32 bits of value and expiry. Independent of PYTHONHASHSEED.

    It is computed anew when a record goes: remembering it would take 48 bytes a key.
    """
    if value.__class__ is bytes:
        content = crc32(value) if len(value) < LONG_STRING else adler32(value)
    elif value.__class__ is LongString:
        content = value.adler
    else:
        return constant_sum(value.type_code, expire_at) + value.digest()  # type: ignore[union-attr]
    return crc32(b"%d" % expire_at, content) if expire_at else content


def constant_sum(code: int, expire_at: int) -> int:
    """The content sum of a value without elements. Another type's than a string's is this and its elements' sum, so
    that an element that changes changes it by the difference, whatever the others are."""
    return crc32(b"%d" % expire_at, code)


def element_sum(crc: int, value: bytes) -> int:
    """The checksum of an element: a field, or member, with that CRC-32, and what is under it (b"" for nothing).

    A product as in checksum(), with the field in both factors: sums of CRC-32s alone are equal for many sets.
    """
    content = crc32(value) if len(value) < LONG_STRING else adler32(value)
    return (crc + KEY_OFFSET) * (crc + content + 1)


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
    """(type code, bytes) as a snapshot holds them. Raises TypeError for a large value."""
    if is_string(value):
        return STRING_CODE, value  # type: ignore[return-value]
    return value.type_code, value.encode()  # type: ignore[union-attr]


def decode(code: int, data: bytes) -> bytes | LongString | Value:
    """The value that encode() described. Raises ValueError for an unknown type or damaged content."""
    if code == STRING_CODE:
        return data
    return type_of(code).decode(data)


def type_of(code: int) -> type[Value]:
    """The class of that type code. Raises ValueError for an unknown type."""
    found = TYPES.get(code)
    if found is None:
        raise ValueError(f"data type {code} is unknown to this version")
    return found


def copy(value: bytes | LongString | Value, index: int) -> bytes | LongString | Value:
    """An independent value with the same content, made while the entry at `index` is applied."""
    return value if is_string(value) else value.copy(index)  # type: ignore[union-attr]


def size(key: bytes, record: Record) -> int:
    """Estimated bytes of memory that a key takes: objects, their padding, and the table's share."""
    value = record.value
    if record.__class__ is Record:  # it is packed
        return (33 + len(key) + len(value) + 9 + 15 & ~15) + TABLE_SHARE
    content = 33 + len(value) if is_string(value) else value.size()  # type: ignore[union-attr]
    rounded = (33 + len(key) + 15 & ~15) + (content + 15 & ~15)
    return rounded + 48 + 32 + TABLE_SHARE + (112 if record.expire_at else 0)

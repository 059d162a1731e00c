"""What the table of records holds under a key: one `bytes` with all of a plain short string, or an object.

A string of bytes that does not expire, below PACKED bytes, under a key of LONGEST_KEY bytes at most, is packed:

    key | value | version, 8 bytes, big-endian unsigned | length of the key, 1 byte

So `held[: held[-1]] == key` compares the key exactly, and `held[held[-1] : -9]` is the value. One object per key
instead of four halves what a key takes, and what never changes needs no care of a snapshot's. Everything else is
Unpacked.
"""

from __future__ import annotations

from typing import ClassVar, Final, TypeAlias

import msgspec

from leto.keyspace.types.long_string import LongString
from leto.keyspace.types.value import Record, Value

PACKED: Final = 448  # bytes of a value from which it is an object of its own: the allocator keeps no pools above 512
LONGEST_KEY: Final = 255


class Unpacked(Record, frozen=True, gc=False):
    """A record that is not packed. 48 bytes, outside the cyclic garbage collector."""

    key: bytes
    expire_at: int = 0  # type: ignore[misc]


class Crowded(msgspec.Struct, gc=False):
    """In the place of a record where several keys have one name: how many of them are under names of their own."""

    key: ClassVar[None] = None  # so that who compares an Unpacked's key needs not ask for this first

    keys: int


Held: TypeAlias = bytes | Unpacked


def hold(key: bytes, value: bytes | LongString | Value, version: int, expire_at: int) -> Held:
    """What is held for such a record."""
    if value.__class__ is bytes and not expire_at and len(value) < PACKED and len(key) <= LONGEST_KEY:
        return key + value + version.to_bytes(8, "big") + bytes((len(key),))
    return Unpacked(value, version, key, expire_at)


def key_of(held: Held) -> bytes:
    """The key of what is held."""
    return held[: held[-1]] if isinstance(held, bytes) else held.key


def record_of(held: Held) -> Record:
    """The record that is held."""
    if isinstance(held, bytes):
        return Record(held[held[-1] : -9], int.from_bytes(held[-9:-1], "big"))
    return held

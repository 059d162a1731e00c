"""Strings as arrays of bits, the first of which is the highest of the first byte: what the commands on bits share."""

from __future__ import annotations

from typing import Final

from leto.keyspace.database import Database
from leto.keyspace.types.long_string import LONG_STRING, LongString
from leto.keyspace.types.value import Record
from leto.vocabulary.numbers import parse_integer
from leto.vocabulary.replies import Error, Refused

MAX_BITS: Final = 512 << 23  # of a string; a constant of the database, so that nodes agree
BAD_OFFSET: Final = Error(b"ERR bit offset is not an integer or out of range")

Bits = bytes | LongString


def bit_offset(text: bytes, width: int = 0) -> int:
    """A place in a string; `#n` is that of the n-th integer of such a width. Raises Refused."""
    number = parse_integer(text[1:]) if width and text[:1] == b"#" else parse_integer(text)
    if number is None:
        raise Refused(BAD_OFFSET)
    if width and text[:1] == b"#":
        number *= width
    if not 0 <= number < MAX_BITS:
        raise Refused(BAD_OFFSET)
    return number


def part_of(value: Bits, start: int, stop: int) -> bytes:
    """The bytes from `start` up to `stop`, which are within the string or behind its end."""
    return value[start:stop] if isinstance(value, bytes) else value.range(start, min(stop, len(value)))


def patched(value: Bits, at: int, patch: bytes) -> Bits:
    """With `patch` at that byte, zeros in between if that is behind its end."""
    if max(len(value), at + len(patch)) < LONG_STRING and isinstance(value, bytes):
        return value[:at].ljust(at, b"\0") + patch + value[at + len(patch) :]
    return (value if isinstance(value, LongString) else LongString.of(value)).patched(at, patch)


def to_change(db: Database, key: bytes) -> tuple[Bits, int]:
    """The string under the key, empty if it is missing, and its expiry. Raises Refused (WRONGTYPE)."""
    record: Record | None = db.touch_string(key)
    return (b"", 0) if record is None else (record.value, record.expire_at)  # type: ignore[return-value]

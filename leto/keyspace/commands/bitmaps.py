"""Strings as bits: SETBIT GETBIT BITCOUNT BITPOS BITOP. Integers of any width are in bitfields.py."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import reduce
from operator import and_, or_, xor
from typing import Final

from leto.keyspace.bits import Bits, bit_offset, part_of, patched, to_change
from leto.keyspace.database import Database
from leto.keyspace.types.long_string import LONG_STRING, PART, LongString
from leto.vocabulary.numbers import integer, parse_integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import SYNTAX_ERROR, Error, Refused, Reply
from leto.vocabulary.steps import STEP, Steps, exhaust

NO_BIT: Final = Error(b"ERR bit is not an integer or out of range")
NO_BIT_TO_FIND: Final = Error(b"ERR The bit argument must be 1 or 0.")
NOT_OF_MANY: Final = Error(b"ERR BITOP NOT must be called with a single source key.")
STEP_BYTES: Final = 16 * PART  # that one step looks at

_OPERATIONS: Final[dict[bytes, Callable[[int, int], int]]] = {b"AND": and_, b"OR": or_, b"XOR": xor}


@KEYSPACE.add(
    "SETBIT",
    4,
    "write denyoom",
    keys=(1, 1, 1),
    group="bitmap",
    since="2.2.0",
    summary="Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.",
    syntax="key offset value",
    categories="write bitmap slow",
    key_flags="RW access update",
    level=2,
)
def setbit(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/setbit"""
    offset = bit_offset(argv[2])
    bit = parse_integer(argv[3])
    if bit not in (0, 1):
        return NO_BIT
    value, expire_at = to_change(db, argv[1])
    at, mask = offset >> 3, 0x80 >> (offset & 7)
    old = int.from_bytes(part_of(value, at, at + 1), "big")
    if at >= len(value) or (old & mask > 0) != bit:
        new = old | mask if bit else old & ~mask
        db.store(argv[1], patched(value, at, bytes((new,))), expire_at, b"setbit")
    return int(old & mask > 0)


@KEYSPACE.add(
    "GETBIT",
    3,
    "readonly fast",
    keys=(1, 1, 1),
    group="bitmap",
    since="2.2.0",
    summary="Returns a bit value by offset.",
    syntax="key offset",
    categories="read bitmap fast",
    key_flags="RO access",
    level=2,
)
def getbit(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/getbit"""
    offset = bit_offset(argv[2])
    at = offset >> 3
    byte = part_of(db.find_string(argv[1]) or b"", at, at + 1)
    return int(bool(byte) and byte[0] & 0x80 >> (offset & 7) > 0)


@KEYSPACE.add(
    "BITCOUNT",
    -2,
    "readonly",
    keys=(1, 1, 1),
    group="bitmap",
    since="2.6.0",
    summary="Counts the number of set bits (population counting) in a string.",
    complexity="O(N)",
    syntax="key [start end [BYTE | BIT]]",
    categories="read bitmap slow",
    key_flags="RO access",
    level=2,
)
def bitcount(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/bitcount"""
    value = db.find_string(argv[1])
    if value is None:
        return 0
    start, last = 0, 8 * len(value) - 1
    if len(argv) > 2:
        if len(argv) not in (4, 5):
            return SYNTAX_ERROR
        start, last = integer(argv[2]), integer(argv[3])
        if start < 0 and last < 0 and start > last:
            return 0
        start, last = _bits(start, last, len(value), _is_bit(argv, 4))
    steps = _counted(value, start, last)
    return Steps(steps, holds=True) if last - start > 8 * STEP_BYTES else exhaust(steps)


def _is_bit(argv: Sequence[bytes], at: int) -> bool:
    """Whether a range is one of bits and not of bytes. Raises Refused."""
    unit = argv[at].upper() if at < len(argv) else b"BYTE"
    if unit not in (b"BIT", b"BYTE"):
        raise Refused(SYNTAX_ERROR)
    return unit == b"BIT"


def _bits(start: int, last: int, length: int, is_bit: bool) -> tuple[int, int]:
    """The first bit and the last one of a range whose ends may count from the end of so many bytes."""
    total = 8 * length if is_bit else length
    if start < 0:
        start = max(start + total, 0)
    if last < 0:
        last = max(last + total, 0)
    last = min(last, total - 1)
    return (start, last) if is_bit else (8 * start, 8 * last + 7)


def _counted(value: Bits, start: int, last: int) -> Generator[None, None, int]:
    """How many of these bits are set."""
    if start > last:
        return 0
    first, stop = start >> 3, (last >> 3) + 1
    count = 0
    for at in range(first, stop, PART):
        some = part_of(value, at, min(at + PART, stop))
        count += int.from_bytes(some, "big").bit_count()
        if (at - first) % STEP_BYTES == STEP_BYTES - PART:
            yield
    head, tail = part_of(value, first, first + 1)[0], part_of(value, stop - 1, stop)[0]
    return count - (head >> 8 - (start & 7)).bit_count() - (tail & (0x7F >> (last & 7))).bit_count()


@KEYSPACE.add(
    "BITPOS",
    -3,
    "readonly",
    keys=(1, 1, 1),
    group="bitmap",
    since="2.8.7",
    summary="Finds the first set (1) or clear (0) bit in a string.",
    complexity="O(N)",
    syntax="key bit [start [end [BYTE | BIT]]]",
    categories="read bitmap slow",
    key_flags="RO access",
    level=2,
)
def bitpos(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/bitpos"""
    bit = integer(argv[2])
    if bit not in (0, 1):
        return NO_BIT_TO_FIND
    value = db.find_string(argv[1])
    if value is None:
        return -bit
    start, last = 0, 8 * len(value) - 1
    if len(argv) > 3:
        if len(argv) > 6:
            return SYNTAX_ERROR
        start, last = integer(argv[3]), len(value) - 1
        is_bit = _is_bit(argv, 5)
        if len(argv) > 4:
            last = integer(argv[4])
        start, last = _bits(start, last, len(value), is_bit)
    elsewhere = 8 * len(value) if not bit and len(argv) < 5 else -1  # zeros follow on a string without an end
    steps = _found(value, bit, start, last, elsewhere)
    return Steps(steps, holds=True) if last - start > 8 * STEP_BYTES else exhaust(steps)


def _found(value: Bits, bit: int, start: int, last: int, elsewhere: int) -> Generator[None, None, int]:
    """The first of these bits that is like that one; `elsewhere` if none is, and -1 if there are none."""
    if start > last:
        return -1
    first, stop = start >> 3, (last >> 3) + 1
    other = b"\0" if bit else b"\xff"
    for at in range(first, stop, PART):
        some = bytearray(part_of(value, at, min(at + PART, stop)))
        if at == first:
            some[0] = _masked(some[0], 0xFF >> (start & 7), bit)
        if at + len(some) == stop:
            some[-1] = _masked(some[-1], 0xFF & ~(0x7F >> (last & 7)), bit)
        rest = some.lstrip(other)
        if rest:
            byte = rest[0] if bit else rest[0] ^ 0xFF
            return 8 * (at + len(some) - len(rest) + 1) - byte.bit_length()
        if (at - first) % STEP_BYTES == STEP_BYTES - PART:
            yield
    return elsewhere


def _masked(byte: int, mask: int, bit: int) -> int:
    """The byte with bits like the one that is looked for within the mask alone."""
    return byte & mask if bit else byte | 0xFF ^ mask


@KEYSPACE.add(
    "BITOP",
    -4,
    "write denyoom",
    keys=(2, -1, 1),
    group="bitmap",
    since="2.6.0",
    summary="Performs bitwise operations on multiple strings, and stores the result.",
    complexity="O(N)",
    syntax="<AND | OR | XOR | NOT> destkey key [key ...]",
    categories="write bitmap slow",
    key_flags="OW update; RO access",
    level=2,
)
def bitop(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/bitop"""
    name = argv[1].upper()
    if name != b"NOT" and name not in _OPERATIONS:
        return SYNTAX_ERROR
    if name == b"NOT" and len(argv) != 4:
        return NOT_OF_MANY
    if len(argv) > STEP:
        return Steps(_combined(db, name, argv[2], argv[3:]))
    values = [db.find_string(key) or b"" for key in argv[3:]]
    steps = _stored(db, name, argv[2], values)
    return Steps(steps) if sum(map(len, values)) > STEP_BYTES else exhaust(steps)


def _combined(db: Database, name: bytes, target: bytes, keys: list[bytes]) -> Generator[None, None, Reply]:
    values: list[Bits] = []
    for at in range(0, len(keys), STEP):
        values += [db.find_string(key) or b"" for key in keys[at : at + STEP]]
        yield
    return (yield from _stored(db, name, target, values))


def _stored(db: Database, name: bytes, target: bytes, values: list[Bits]) -> Generator[None, None, Reply]:
    """Have the values' combination under the key: how long it is."""
    length = max(map(len, values))
    if not length:
        if db.touch(target) is not None:
            db.delete(target)
        return 0
    parts: list[bytes | memoryview] = []
    for at in range(0, length, PART):
        size = min(PART, length - at)
        parts.append((yield from _part(name, values, at, size)))
        if len(parts) % max(1, STEP_BYTES // PART // len(values)) == 0:
            yield
    if length < LONG_STRING:
        db.store(target, b"".join(parts))
    else:
        db.store(target, (yield from LongString.joining(parts)))
    return length


def _part(name: bytes, values: list[Bits], at: int, size: int) -> Generator[None, None, bytes]:
    """So many bytes of the combination. Bytes behind a string's end are zeros."""
    if name == b"NOT":
        return (_number(values[0], at, size) ^ (1 << 8 * size) - 1).to_bytes(size, "big")
    operation = _OPERATIONS[name]
    total = _number(values[0], at, size)
    for start in range(1, len(values), STEP_BYTES // PART):
        if start > 1:
            yield
        some = values[start : start + STEP_BYTES // PART]
        total = reduce(operation, (_number(value, at, size) for value in some), total)
    return total.to_bytes(size, "big")


def _number(value: Bits, at: int, size: int) -> int:
    return int.from_bytes(part_of(value, at, at + size).ljust(size, b"\0"), "big")

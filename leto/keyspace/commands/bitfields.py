"""BITFIELD and BITFIELD_RO: integers of 1 to 64 bits anywhere in a string."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final, NamedTuple

from leto.keyspace.bits import Bits, bit_offset, part_of, patched, to_change
from leto.keyspace.database import Database
from leto.vocabulary.numbers import INT64_MAX, integer, parse_integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import SYNTAX_ERROR, Error, Refused, Reply
from leto.vocabulary.steps import LONG, Steps, exhaust

NO_OVERFLOW: Final = Error(b"ERR Invalid OVERFLOW type specified")
NO_TYPE: Final = Error(
    b"ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
)
ONLY_GET: Final = Error(b"ERR BITFIELD_RO only supports the GET subcommand")
SOME: Final = 256  # operations that one step carries out
SOME_IN_PARTS: Final = 16  # on a long string
WINDOW: Final = 9  # bytes that hold any integer

_WORDS: Final = {b"GET": 3, b"SET": 4, b"INCRBY": 4, b"OVERFLOW": 2}
_OVERFLOWS: Final = (b"WRAP", b"SAT", b"FAIL")
_ONE: Final = (
    "GET encoding offset |"
    " [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset increment>"
)


class Operation(NamedTuple):
    """One of GET, SET and INCRBY."""

    name: bytes
    offset: int  # of the first bit
    width: int
    is_signed: bool
    number: int  # that is set or added
    overflow: bytes

    def get(self, value: Bits) -> int:
        """The integer in the string. Behind its end are zeros."""
        at, shift = self.offset >> 3, 8 * WINDOW - (self.offset & 7) - self.width
        window = int.from_bytes(part_of(value, at, at + WINDOW).ljust(WINDOW, b"\0"), "big")
        return self._wrapped(window >> shift)

    def put(self, value: Bits, number: int) -> Bits:
        """The string, which is long enough, with that integer in it."""
        at, stop = self.offset >> 3, (self.offset + self.width + 7) >> 3
        shift = 8 * stop - self.offset - self.width
        mask = (1 << self.width) - 1
        window = int.from_bytes(part_of(value, at, stop), "big") & ~(mask << shift) | (number & mask) << shift
        return patched(value, at, window.to_bytes(stop - at, "big"))

    def result(self, old: int) -> int | None:
        """What takes the place of that one; None where it would overflow and must not."""
        number = self.number + old if self.name == b"INCRBY" else self.number
        low, high = -1 << self.width - 1, (1 << self.width - 1) - 1
        if not self.is_signed:
            low, high = 0, (1 << self.width) - 1
            if self.name == b"SET" and number < 0:  # it is taken for an unsigned one of 64 bits
                number += 1 << 64
        if low <= number <= high:
            return number
        if self.overflow == b"FAIL":
            return None
        if self.overflow == b"SAT":
            # Redis's subtraction overflows for a SET far below, which it takes for one above
            overflows = self.name == b"SET" and self.is_signed and high - number > INT64_MAX
            return high if number > high or overflows else low
        return self._wrapped(number)

    def _wrapped(self, number: int) -> int:
        number &= (1 << self.width) - 1
        return number - (1 << self.width) if self.is_signed and number >> self.width - 1 else number


def _parsed(argv: Sequence[bytes]) -> Generator[None, None, list[Operation]]:
    """Raises Refused."""
    operations: list[Operation] = []
    overflow = b"WRAP"
    at = 2
    while at < len(argv):
        name = argv[at].upper()
        words = _WORDS.get(name)
        if words is None or at + words > len(argv):
            raise Refused(SYNTAX_ERROR)
        if name == b"OVERFLOW":
            overflow = argv[at + 1].upper()
            if overflow not in _OVERFLOWS:
                raise Refused(NO_OVERFLOW)
        else:
            sign, width = argv[at + 1][:1], parse_integer(argv[at + 1][1:]) or 0
            if sign not in (b"i", b"u") or not 0 < width <= (64 if sign == b"i" else 63):
                raise Refused(NO_TYPE)
            offset = bit_offset(argv[at + 2], width)
            number = 0 if name == b"GET" else integer(argv[at + 3])
            operations.append(Operation(name, offset, width, sign == b"i", number, overflow))
            if len(operations) % SOME == 0:
                yield
        at += words
    return operations


@KEYSPACE.add(
    "BITFIELD",
    -2,
    "write denyoom",
    keys=(1, 1, 1),
    group="bitmap",
    since="3.2.0",
    summary="Performs arbitrary bitfield integer operations on strings.",
    complexity="O(1) for each subcommand specified",
    syntax=f"key [{_ONE} [{_ONE} ...]]",
    categories="write bitmap slow",
    key_flags="RW access update variable_flags",
    level=2,
)
def bitfield(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/bitfield"""
    return Steps(_changed(db, argv)) if len(argv) > SOME_IN_PARTS else exhaust(_changed(db, argv))


def _changed(db: Database, argv: list[bytes]) -> Generator[None, None, Reply]:
    operations = yield from _parsed(argv)
    ends = [one.offset + one.width for one in operations if one.name != b"GET"]
    if not ends:
        return (yield from _read(db.find_string(argv[1]) or b"", operations))
    value, expire_at = to_change(db, argv[1])
    length = max(ends) + 7 >> 3
    has_changed = length > len(value)
    if has_changed:
        value = patched(value, length - 1, b"\0")
    found: list[Reply] = []
    for number, one in enumerate(operations, 1):
        old = one.get(value)
        new = None if one.name == b"GET" else one.result(old)
        if new is not None and new != old:
            value = one.put(value, new)
            has_changed = True
        found.append(new if one.name == b"INCRBY" else None if one.name == b"SET" and new is None else old)
        if number % SOME_IN_PARTS == 0:
            yield
    if has_changed:
        db.store(argv[1], value, expire_at, b"setbit")
    return found


def _read(value: Bits, operations: list[Operation]) -> Generator[None, None, Reply]:
    found: list[Reply] = []
    for at in range(0, len(operations), SOME):
        found += [one.get(value) for one in operations[at : at + SOME]]
        yield
    return found


@KEYSPACE.add(
    "BITFIELD_RO",
    -2,
    "readonly fast",
    keys=(1, 1, 1),
    group="bitmap",
    since="6.0.0",
    summary="Performs arbitrary read-only bitfield integer operations on strings.",
    complexity="O(1) for each subcommand specified",
    syntax="key [GET encoding offset [GET encoding offset ...]]",
    categories="read bitmap fast",
    key_flags="RO access",
    level=2,
)
def bitfield_ro(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/bitfield_ro"""
    steps = _only_read(db, argv)
    return Steps(steps, holds=True) if len(argv) > LONG else exhaust(steps)


def _only_read(db: Database, argv: list[bytes]) -> Generator[None, None, Reply]:
    now = db.now
    operations = yield from _parsed(argv)
    if any(one.name != b"GET" for one in operations):
        return ONLY_GET
    db.now = now
    return (yield from _read(db.find_string(argv[1]) or b"", operations))

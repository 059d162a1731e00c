"""A map from bytes to bytes in which nothing is long, however large it is: what hashes, sets and their kin are made of.

Small, it is one MessagePack map, in the order in which its fields came. Large, it is in parts, ordered by the CRC-32 of
the fields and then by the fields themselves: an order that no process's hash() decides, which no change of others
moves, and which splits whatever fields a client chooses. A cursor is the CRC-32 that a walk has come to, so it holds
while the map grows, shrinks, or becomes large.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Self

import msgspec

from leto.checksums import crc32
from leto.keyspace.types.parts import FEW_ELEMENTS, PART_BYTES, PART_ELEMENTS, Loaded, Part, Parts
from leto.keyspace.types.value import SMALL_BYTES, SMALL_ELEMENTS, Change, Value, element_sum

END: Final = 1 << 32  # above every CRC-32
ELEMENT: Final = 170  # bytes of memory that an element of a part takes beside its own
PART_ROOM: Final = 300  # bytes that a part does

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(dict[bytes, bytes]).decode
_pairs: Final = msgspec.msgpack.Decoder(list[bytes]).decode


class Fields(Part, gc=False):
    """Some fields that follow each other."""

    order: list[bytes] | None = None  # all of them, once one was drawn here

    def copy(self, version: int) -> Fields:
        return Fields(self.low, self.items.copy(), version, self.sum, self.weight)

    def at(self, place: int) -> bytes:
        """The field at that place of an order that is no dictionary's."""
        if self.order is None:
            self.order = sorted(self.items)
        return self.order[place]


class CrcMap(Value):
    """Fields and what is under each. A type of elements without values keeps b"" under them."""

    # reading --------------------------------------------------------------------------------------

    def __len__(self) -> int:
        content = self.content
        if isinstance(content, Parts):
            return content.count
        return len(self._items())

    def __contains__(self, field: bytes) -> bool:
        return self.get(field) is not None

    def __bool__(self) -> bool:
        content = self.content
        return content.count > 0 if isinstance(content, Parts) else bool(content)

    def get(self, field: bytes) -> bytes | None:
        """What is under the field, None for nothing."""
        content = self.content
        if isinstance(content, Parts):
            return _found(content, _find(content, crc32(field), field), field)
        return self._items().get(field)

    def get_all(self, fields: Sequence[bytes]) -> list[bytes | None]:
        """get() of each: a small map is taken apart once."""
        content = self.content
        return list(map(self.get if isinstance(content, Parts) else self._items().get, fields))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every field with what is under it, in the order that is the map's: to the end before anything changes. What
        goes on between entries walks by scan()."""
        content = self.content
        if not isinstance(content, Parts):
            yield from self._items().items()
            return
        for part in content.parts:
            items = part.items
            for _, field in _ordered(items):
                yield field, items[field]

    def scan(self, cursor: int, count: int) -> tuple[int, list[tuple[bytes, bytes]]]:
        """From `cursor` (0: the beginning) at least `count` elements, if so many are left: (next cursor, elements).

        The next cursor is 0 when the walk is complete. What is in the map from the walk's beginning to its end is met
        once. A small map is met in one go, whatever the cursor.
        """
        content = self.content
        if not isinstance(content, Parts):
            return 0, list(self._items().items())
        found: list[tuple[bytes, bytes]] = []
        last = -1
        for part in islice(content.parts, _find(content, cursor, b""), None):
            items = part.items
            for crc, field in _ordered(items):
                if crc < cursor:
                    continue
                if len(found) >= count and crc != last:
                    return crc, found
                found.append((field, items[field]))
                last = crc
        return 0, found

    def choose(self, random: Callable[[], float]) -> bytes:
        """A field, each exactly as likely; random() is in [0, 1). Depends on the map and random() alone. Raises
        LookupError if it is empty."""
        content = self.content
        if not isinstance(content, Parts):
            fields = list(self._items())
            return fields[int(random() * len(fields))]
        parts = content.parts
        while parts:
            part: Any = parts[int(random() * len(parts))]
            place = int(random() * PART_ELEMENTS)
            if place < len(part.items):  # else this part would be chosen more often than its elements are worth
                field: bytes = part.at(place)
                return field
        raise LookupError("the map is empty")

    def members(self) -> Iterator[bytes]:
        """Every field, as items()."""
        return (field for field, _ in self.items())

    def digest(self) -> int:
        content = self.content
        return content.sum if isinstance(content, Parts) else _sum_of(self._items())

    def size(self) -> int:
        content = self.content
        if isinstance(content, Parts):
            return 200 + content.weight + ELEMENT * content.count + PART_ROOM * len(content.parts)
        return 32 + 33 + len(content)

    # changing, within Database.edit() ----------------------------------------------------------------

    def put(self, field: bytes, value: bytes) -> bytes | None:
        """Have `value` under the field: what was there, None for nothing. The same again is no change."""
        content = self._opened()
        if isinstance(content, Parts):
            return self._put_in_part(content, field, value)
        old = content.get(field)
        if old is not None:
            if old == value:
                return old
            crc = crc32(field)
            self.changing().delta += element_sum(crc, value) - element_sum(crc, old)
            content[field] = value
            return old
        self.changing().delta += element_sum(crc32(field), value)
        content[field] = value
        if len(content) > SMALL_ELEMENTS:
            self._grow()
        return None

    def pop(self, field: bytes) -> bytes | None:
        """Have nothing under the field: what was there, None for nothing."""
        content = self._opened()
        if isinstance(content, Parts):
            return self._pop_of_part(content, field)
        old = content.get(field)
        if old is not None:
            self.changing().delta -= element_sum(crc32(field), old)
            del content[field]
        return old

    def close(self) -> None:
        content, change = self.content, self.edit
        assert change is not None
        if content.__class__ is not dict:
            return
        if not change.begun:
            self.content = change.packed
            return
        if not content:
            self.content = b""
            return
        packed = _pack(content)
        if len(packed) > SMALL_BYTES and sum(map(len, content)) + sum(map(len, content.values())) > SMALL_BYTES:
            self._grow()
        else:
            self.content = packed

    def _items(self) -> dict[bytes, bytes]:
        """Of a small map."""
        content = self.content
        if content.__class__ is dict:
            return content
        return _unpack(content) if content else {}

    def _opened(self) -> dict[bytes, bytes] | Parts:
        """The content, unpacked if it is small."""
        content: Any = self.content
        if content.__class__ is bytes:
            change = self.edit
            if change is None:
                self.changing()  # raises
            else:
                change.packed = content
            content = self.content = _unpack(content) if content else {}
        return content  # type: ignore[no-any-return]

    def _grow(self) -> None:
        """The small map is a large one from now on."""
        items: dict[bytes, bytes] = self.content
        index = self.changing().index
        weight = sum(map(len, items)) + sum(map(len, items.values()))
        self.content = content = Parts([Fields((0, b""), items, index, _sum_of(items), weight)], len(items))
        _split(content, 0, index)

    def _put_in_part(self, content: Parts, field: bytes, value: bytes) -> bytes | None:
        crc = crc32(field)
        number = _find(content, crc, field)
        old = _found(content, number, field)
        if old == value and old is not None:
            return old
        change = self.changing()
        delta, weight = element_sum(crc, value), len(value)
        if old is not None:
            delta -= element_sum(crc, old)
            weight -= len(old)
        else:
            weight += len(field)
            content.count += 1
        if content.parts:
            part: Any = content.own(number, change.index)
        else:
            part = Fields((0, b""), {}, change.index, 0, 0)
            content.insert(0, part)
        if old is None and part.order is not None:
            insort(part.order, field)
        part.items[field] = value
        _account(content, part, change, delta, weight)
        if part.weight > PART_BYTES or len(part.items) > PART_ELEMENTS:
            _split(content, number, change.index)
        return old

    def _pop_of_part(self, content: Parts, field: bytes) -> bytes | None:
        crc = crc32(field)
        number = _find(content, crc, field)
        old = _found(content, number, field)
        if old is None:
            return None
        change = self.changing()
        part: Any = content.own(number, change.index)
        del part.items[field]
        if part.order is not None:
            del part.order[bisect_left(part.order, field)]
        content.count -= 1
        _account(content, part, change, -element_sum(crc, old), -len(field) - len(old))
        if not part.items:
            content.remove(number)
        elif len(part.items) < FEW_ELEMENTS:
            _join(content, number, change.index)
        return old

    # snapshots and invariants -------------------------------------------------------------------------

    @classmethod
    def decode(cls, data: bytes) -> Self:
        items = _unpack(data)
        if not items or _pack(items) != data:
            raise ValueError(f"a {cls.type_name.decode()} is not as it is written")
        return cls(data)

    @classmethod
    def encode_part(cls, part: Part) -> bytes:
        items = part.items
        return _pack([each for _, field in _ordered(items) for each in (field, items[field])])

    @classmethod
    def decode_part(cls, low: Any, data: bytes) -> Loaded:
        match low:
            case [int(crc), bytes(field)]:
                begin = crc, field
            case _:
                raise ValueError("a part begins nowhere")
        pairs = _pairs(data)
        items = dict(zip(pairs[::2], pairs[1::2], strict=True))
        order = _ordered(items)
        if not order or [field for _, field in order] != pairs[::2]:
            raise ValueError("a part is empty, or its elements are out of order")
        total = sum(element_sum(crc, items[field]) for crc, field in order)
        part = Fields(begin, items, 0, total, sum(map(len, pairs)))
        return Loaded(part, order[0], order[-1])

    def complaints(self) -> Iterator[str | None]:
        content = self.content
        if self.edit is not None or content.__class__ is dict:
            yield "is left open"
        elif not isinstance(content, Parts):
            items = self._items()
            weight = sum(map(len, items)) + sum(map(len, items.values()))
            if len(items) > SMALL_ELEMENTS or weight > SMALL_BYTES:
                yield f"has {len(items)} elements of {weight} bytes in one piece"
        else:
            yield from _complaints(content)


def _find(content: Parts, crc: int, field: bytes) -> int:
    """The number of the part that has the field, if any has it."""
    return max(0, bisect_right(content.lows, (crc, field)) - 1)


def _found(content: Parts, number: int, field: bytes) -> bytes | None:
    """What is under the field in the part of that number."""
    return content.parts[number].items.get(field) if content.parts else None  # empty ones there are within an edit


def _ordered(items: dict[bytes, bytes]) -> list[tuple[int, bytes]]:
    """The fields with their CRC-32, in the order of large maps."""
    return sorted((crc32(field), field) for field in items)


def _sum_of(items: dict[bytes, bytes]) -> int:
    return sum(element_sum(crc32(field), value) for field, value in items.items())


def _account(content: Parts, part: Part, change: Change, delta: int, weight: int) -> None:
    part.sum += delta
    content.sum += delta
    change.delta += delta
    part.weight += weight
    content.weight += weight


def _split(content: Parts, number: int, index: int) -> None:
    """Make two of a part that is too large, and of each of these that is. It is the value's own."""
    part: Any = content.parts[number]
    items = part.items
    if len(items) <= PART_ELEMENTS and (part.weight <= PART_BYTES or len(items) == 1):
        return
    part.order = None
    order = _ordered(items)
    middle = len(order) // 2
    upper = {field: items[field] for _, field in order[middle:]}
    total = sum(element_sum(crc, items[field]) for crc, field in order[middle:])
    weight = sum(map(len, upper)) + sum(map(len, upper.values()))
    part.items = {field: items[field] for _, field in order[:middle]}
    part.sum -= total
    part.weight -= weight
    content.insert(number + 1, Fields(order[middle], upper, index, total, weight))
    _split(content, number + 1, index)
    _split(content, number, index)


def _join(content: Parts, number: int, index: int) -> None:
    """Make one of a part of few elements and one beside it, if that is a small one then."""
    for left in (number, number - 1):
        if not 0 <= left < len(content.parts) - 1:
            continue
        one, other = content.parts[left : left + 2]
        if len(one.items) + len(other.items) <= PART_ELEMENTS // 2 and one.weight + other.weight <= PART_BYTES // 2:
            part: Any = content.own(left, index)
            part.order = None
            part.items.update(other.items)
            part.sum += other.sum
            part.weight += other.weight
            content.remove(left + 1)
            return


def _complaints(content: Parts) -> Iterator[str | None]:
    count = total = weight = 0
    before: tuple[int, bytes] | None = None
    if content.lows != [part.low for part in content.parts]:
        yield "has parts that begin elsewhere than it says"
    for number, part in enumerate(content.parts):
        items = part.items
        order = _ordered(items)
        if not order or len(order) > PART_ELEMENTS or (part.weight > PART_BYTES and len(order) > 1):
            yield f"has a part of {len(order)} elements and {part.weight} bytes"
        if order and ((number and order[0] < part.low) or (before is not None and before >= part.low)):
            yield "has an element in the wrong part"
        if isinstance(part, Fields) and part.order is not None and part.order != sorted(items):
            yield "has a part whose order is not its elements'"
        if part.sum != _sum_of(items):
            yield "has a part whose sum is not its elements'"
        if part.weight != sum(map(len, items)) + sum(map(len, items.values())):
            yield "has a part whose bytes are counted wrong"
        before = order[-1] if order else before
        count, total, weight = count + len(items), total + part.sum, weight + part.weight
        yield None
    if (count, total, weight) != (content.count, content.sum, content.weight):
        yield "has counts that are not its parts'"

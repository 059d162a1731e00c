"""A sequence of bytes in which nothing is long, however long it is: what lists are made of.

Small, it is one MessagePack array. Large, it is in blocks of up to 512 elements: both ends take and give elements in
constant time, and a change in the middle makes anew what belongs to one block.

Order is part of the value, so it enters the digest: each element's checksum has its block's number (`low`) and its own
number within the block, which do not change when others come and go at either end. Numbers of blocks have gaps, so
that a block that is split finds one between. Digests depend on how a list came to be, like the log that made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Self

import msgspec

from leto.checksums import adler32, crc32
from leto.keyspace.types.parts import FEW_ELEMENTS, PART_BYTES, PART_ELEMENTS, Loaded, Part, Parts
from leto.keyspace.types.value import KEY_OFFSET, LONG_STRING, SMALL_BYTES, SMALL_ELEMENTS, Change, Value

GAP: Final = 1 << 32  # between the numbers of blocks that come at the ends
ROOMY: Final = 1 << 10  # between those of blocks that are numbered anew
ELEMENT: Final = 48  # bytes of memory that an element of a block takes beside its own
BLOCK_ROOM: Final = 300  # bytes that a block does

pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(tuple[int, list[bytes]]).decode


class Block(Part, gc=False):
    """Elements that follow each other."""

    start: int  # the number of its first element, counted within the block

    def copy(self, version: int) -> Block:
        return Block(self.low, self.items.copy(), version, self.sum, self.weight, self.start)


class Blocks(Value):
    """Bytes in order, by index from 0. Indexes must be within the list: callers know its length. A walk comes to its
    end before anything changes."""

    # reading --------------------------------------------------------------------------------------

    def __len__(self) -> int:
        content = self.content
        return content.count if isinstance(content, Parts) else len(self._block().items)

    def __bool__(self) -> bool:
        content = self.content
        if content.__class__ is bytes:  # which need not be taken apart for this
            return bool(content)
        return content.count > 0 if isinstance(content, Parts) else bool(content.items)

    def __iter__(self) -> Iterator[bytes]:
        content = self.content
        for block in content.parts if isinstance(content, Parts) else (self._block(),):
            yield from block.items

    def get(self, index: int) -> bytes:
        """The element there."""
        content = self.content
        if not isinstance(content, Parts):
            return self._block().items[index]  # type: ignore[no-any-return]
        number, place = _locate(content, index)
        return content.parts[number].items[place]  # type: ignore[no-any-return]

    def range(self, start: int, stop: int) -> list[bytes]:
        """The elements from `start` up to `stop`: a list of the caller's own."""
        content = self.content
        if not isinstance(content, Parts):
            return self._block().items[start:stop]  # type: ignore[no-any-return]
        found: list[bytes] = []
        if start >= stop:
            return found
        number, place = _locate(content, start)
        for block in islice(content.parts, number, None):
            found += block.items[place : place + stop - start - len(found)]
            if len(found) == stop - start:
                break
            place = 0
        return found

    def digest(self) -> int:
        content = self.content
        return content.sum if isinstance(content, Parts) else sum_of(self._block())

    def size(self) -> int:
        content = self.content
        if isinstance(content, Parts):
            return 200 + content.weight + ELEMENT * content.count + BLOCK_ROOM * len(content.parts)
        return 32 + 33 + len(content)

    # changing, within Database.edit() ----------------------------------------------------------------

    def push(self, value: bytes, *, left: bool) -> None:
        """Put it before the first element, or behind the last one."""
        content = self.content
        if content.__class__ is not Block:
            content = self._opened()
        change = self.changing()
        block = self._end_for(content, len(value), left, change) if isinstance(content, Parts) else content
        items: list[bytes] = block.items
        if left:
            block.start = number = block.start - 1
            items.insert(0, value)
        else:
            number = block.start + len(items)
            items.append(value)
        delta = _element_sum(block.low, number, value)
        if block is not content:
            self._account(block, change, 1, delta, len(value))
            return
        change.delta += delta
        if len(items) > SMALL_ELEMENTS:
            self._grow()

    def pop(self, *, left: bool) -> bytes:
        """Take the first element away, or the last one."""
        content = self._opened()
        change = self.changing()
        block: Any = content
        if isinstance(content, Parts):
            block = content.own(0 if left else len(content.parts) - 1, change.index)
        items: list[bytes] = block.items
        if left:
            number = block.start
            value: bytes = items.pop(0)
            block.start = number + 1
        else:
            value = items.pop()
            number = block.start + len(items)
        delta = -_element_sum(block.low, number, value)
        if block is content:
            change.delta += delta
            return value
        self._account(block, change, -1, delta, -len(value))
        if isinstance(content, Parts) and not items:
            content.remove(0 if left else len(content.parts) - 1)
        return value

    def put(self, index: int, value: bytes) -> None:
        """Have it in the place of the element there. The same again is no change."""
        content = self._opened()
        number, place = _locate(content, index) if isinstance(content, Parts) else (0, index)
        block: Any = content.parts[number] if isinstance(content, Parts) else content
        old: bytes = block.items[place]
        if old == value:
            return
        change = self.changing()
        if isinstance(content, Parts):
            block = content.own(number, change.index)
        block.items[place] = value
        at = block.start + place
        delta = _element_sum(block.low, at, value) - _element_sum(block.low, at, old)
        self._account(block, change, 0, delta, len(value) - len(old))
        if isinstance(content, Parts):
            self._split(content, number, change)

    def insert(self, index: int, value: bytes) -> None:
        """Put it before the element there, which is not the first: push() is for the ends."""
        self._exchange(index, 0, [value])

    def remove(self, index: int) -> bytes:
        """Take the element there away."""
        return self._exchange(index, 1, [])

    def trim(self, start: int, stop: int) -> None:
        """Keep the elements from `start` up to `stop` alone; they are not all. What goes of a large list is freed in
        pieces."""
        content = self._opened()
        change = self.changing()
        if not isinstance(content, Parts):
            self._cut(content, start, stop, change)
            return
        behind = content.count - stop if start < stop else 0
        self._cut_end(content, start if start < stop else content.count, True, change)
        self._cut_end(content, behind, False, change)

    def close(self) -> None:
        content, change = self.content, self.edit
        assert change is not None
        if not isinstance(content, Block):
            return
        if not change.begun:
            self.content = change.packed
        elif not content.items:
            self.content = b""
        else:
            packed = pack((content.start, content.items))
            if len(packed) > SMALL_BYTES and sum(map(len, content.items)) > SMALL_BYTES:
                self._grow()
            else:
                self.content = packed

    def _block(self) -> Block:
        """A small list's only one, with what it says of itself left out."""
        content = self.content
        if isinstance(content, Block):
            return content
        start, items = _unpack(content) if content else (0, [])
        return Block(0, items, 0, 0, 0, start)

    def _opened(self) -> Block | Parts:
        content: Any = self.content
        if content.__class__ is bytes:
            change = self.edit
            if change is None:
                self.changing()  # raises
            else:
                change.packed = content
            content = self.content = self._block()
        return content  # type: ignore[no-any-return]

    def _grow(self) -> None:
        """The small list is a large one from now on."""
        block: Block = self.content
        change = self.changing()
        block.version = change.index
        block.sum = sum_of(block)
        block.weight = sum(map(len, block.items))
        self.content = content = Parts([block], len(block.items))
        self._split(content, 0, change)

    def _account(self, block: Block, change: Change, count: int, delta: int, weight: int) -> None:
        content = self.content
        change.delta += delta
        if isinstance(content, Parts):
            block.sum += delta
            block.weight += weight
            content.count += count
            content.sum += delta
            content.weight += weight

    def _end_for(self, content: Parts, weight: int, left: bool, change: Change) -> Block:
        """The block that takes an element at that end."""
        number = 0 if left else len(content.parts) - 1
        low = 0
        if content.parts:
            block = content.parts[number]
            if len(block.items) < PART_ELEMENTS and block.weight + weight <= PART_BYTES:
                return content.own(number, change.index)  # type: ignore[return-value]
            low = block.low - GAP if left else block.low + GAP
        new = Block(low, [], change.index, 0, 0, 0)
        content.insert(0 if left else number + 1, new)
        return new

    def _exchange(self, index: int, count: int, values: list[bytes]) -> bytes:
        """Put the values in the place of so many elements: the first of these, b"" for none."""
        content = self._opened()
        number, place = _locate(content, index) if isinstance(content, Parts) else (0, index)
        change = self.changing()
        block: Any = content.own(number, change.index) if isinstance(content, Parts) else content
        before = sum_of(block)
        gone: list[bytes] = block.items[place : place + count]
        block.items[place : place + count] = values
        weight = sum(map(len, values)) - sum(map(len, gone))
        self._account(block, change, len(values) - count, sum_of(block) - before, weight)
        if not isinstance(content, Parts):
            if len(block.items) > SMALL_ELEMENTS:
                self._grow()
        elif not block.items:
            content.remove(number)
        else:
            self._split(content, number, change)
            self._join(content, number, change)
        return gone[0] if gone else b""

    def _cut_end(self, content: Parts, count: int, left: bool, change: Change) -> None:
        """Take so many elements away at that end."""
        rest = _drop(content, count, left, change)
        if rest:
            number = 0 if left else len(content.parts) - 1
            block: Any = content.own(number, change.index)
            size = len(block.items)
            self._cut(block, *((rest, size) if left else (0, size - rest)), change)

    def _cut(self, block: Block, start: int, stop: int, change: Change) -> None:
        """Keep these elements of the block alone."""
        before, count = sum_of(block), len(block.items)
        weight = sum(map(len, block.items))
        block.items = block.items[start:stop]
        block.start += start
        weight = sum(map(len, block.items)) - weight
        self._account(block, change, len(block.items) - count, sum_of(block) - before, weight)

    def _renumber(self, block: Block, change: Change, low: int, items: list[bytes], start: int) -> None:
        """Have these elements in the block, which is the value's own, and that number."""
        block.low, block.items, block.start = low, items, start
        self._account(block, change, 0, sum_of(block) - block.sum, sum(map(len, items)) - block.weight)

    def _split(self, content: Parts, number: int, change: Change) -> None:
        """Make two of a block that is too large, and of each of these that is."""
        block: Any = content.parts[number]
        items = block.items
        if len(items) <= PART_ELEMENTS and (block.weight <= PART_BYTES or len(items) == 1):
            return
        if number + 1 < len(content.parts) and content.lows[number + 1] - block.low < 2:
            self._spread(content, number, change)
        above = content.lows[number + 1] if number + 1 < len(content.parts) else block.low + 2 * GAP
        middle = len(items) // 2
        upper = Block(0, [], change.index, 0, 0, 0)
        low = (block.low + above) // 2
        self._renumber(block, change, block.low, items[:middle], block.start)
        self._renumber(upper, change, low, items[middle:], 0)
        content.insert(number + 1, upper)
        self._split(content, number + 1, change)
        self._split(content, number, change)

    def _spread(self, content: Parts, number: int, change: Change) -> None:
        """Number blocks behind that one anew, as few as leave room between them."""
        low = content.lows[number]
        width = 2
        while number + width < len(content.parts) and content.lows[number + width] - low < width * ROOMY:
            width *= 2
        stop = number + width
        step = (content.lows[stop] - low) // width if stop < len(content.parts) else GAP
        for at in range(number + 1, min(stop, len(content.parts))):
            block: Any = content.own(at, change.index)
            content.lows[at] = low + step * (at - number)
            self._renumber(block, change, content.lows[at], block.items, block.start)

    def _join(self, content: Parts, number: int, change: Change) -> None:
        """Make one of a block of few elements and one beside it, if that is a small one then."""
        if len(content.parts[number].items) >= FEW_ELEMENTS:
            return
        for left in (number, number - 1):
            if not 0 <= left < len(content.parts) - 1:
                continue
            one, other = content.parts[left : left + 2]
            if len(one.items) + len(other.items) <= PART_ELEMENTS // 2 and one.weight + other.weight <= PART_BYTES // 2:
                block: Any = content.own(left, change.index)
                content.sum -= other.sum
                content.weight -= other.weight
                change.delta -= other.sum
                self._renumber(block, change, block.low, block.items + other.items, block.start)
                content.remove(left + 1)
                return

    # snapshots and invariants -------------------------------------------------------------------------

    @classmethod
    def decode(cls, data: bytes) -> Self:
        start, items = _unpack(data)
        if not items or pack((start, items)) != data:
            raise ValueError(f"a {cls.type_name.decode()} is not as it is written")
        return cls(data)

    @classmethod
    def encode_part(cls, part: Part) -> bytes:
        assert isinstance(part, Block)
        return pack((part.start, part.items))

    @classmethod
    def decode_part(cls, low: Any, data: bytes) -> Loaded:
        start, items = _unpack(data)
        if not isinstance(low, int) or not items:
            raise ValueError("a part is empty, or has no number")
        block = Block(low, items, 0, 0, sum(map(len, items)), start)
        block.sum = sum_of(block)
        return Loaded(block, low, low)

    def complaints(self) -> Iterator[str | None]:
        content = self.content
        if self.edit is not None or isinstance(content, Block):
            yield "is left open"
        elif not isinstance(content, Parts):
            items = self._block().items
            weight = sum(map(len, items))
            if len(items) > SMALL_ELEMENTS or weight > SMALL_BYTES:
                yield f"has {len(items)} elements of {weight} bytes in one piece"
        else:
            yield from _complaints(content)


def _element_sum(low: int, number: int, value: bytes) -> int:
    content = crc32(value) if len(value) < LONG_STRING else adler32(value)
    return (content + KEY_OFFSET) * (crc32(b"%d %d" % (low, number)) + KEY_OFFSET)


def sum_of(block: Block) -> int:
    low = block.low
    return sum(_element_sum(low, number, value) for number, value in enumerate(block.items, block.start))


def _locate(content: Parts, index: int) -> tuple[int, int]:
    """The number of the block that has the element, and the place in it: from the nearer end."""
    parts = content.parts
    if index < content.count // 2:
        for number, block in enumerate(parts):
            if index < len(block.items):
                return number, index
            index -= len(block.items)
    else:
        index -= content.count
        for number in range(len(parts) - 1, -1, -1):
            index += len(parts[number].items)
            if index >= 0:
                return number, index
    raise IndexError("the list is shorter")


def _drop(content: Parts, count: int, left: bool, change: Change) -> int:
    """Take away the blocks at that end that have no more than so many elements together: how many are left of these."""
    dropped: list[Part] = []
    for block in content.parts if left else reversed(content.parts):
        if len(block.items) > count:
            break
        count -= len(block.items)
        dropped.append(block)
    if not dropped:
        return count
    keep = slice(len(dropped), None) if left else slice(None, len(content.parts) - len(dropped))
    content.parts, content.lows = content.parts[keep], content.lows[keep]
    total = sum(block.sum for block in dropped)
    content.count -= sum(len(block.items) for block in dropped)
    content.weight -= sum(block.weight for block in dropped)
    content.sum -= total
    change.delta -= total
    change.discard(dropped)
    return count


def _complaints(content: Parts) -> Iterator[str | None]:
    count = total = weight = 0
    before: int | None = None
    if content.lows != [part.low for part in content.parts]:
        yield "has parts that begin elsewhere than it says"
    for part in content.parts:
        size = len(part.items)
        if not size or size > PART_ELEMENTS or (part.weight > PART_BYTES and size > 1):
            yield f"has a part of {size} elements and {part.weight} bytes"
        if before is not None and before >= part.low:
            yield "has parts that are out of order"
        if not isinstance(part, Block) or part.sum != sum_of(part):
            yield "has a part whose sum is not its elements'"
        if part.weight != sum(map(len, part.items)):
            yield "has a part whose bytes are counted wrong"
        before = part.low
        count, total, weight = count + size, total + part.sum, weight + part.weight
        yield None
    if (count, total, weight) != (content.count, content.sum, content.weight):
        yield "has counts that are not its parts'"

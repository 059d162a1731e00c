"""Lists: a sequence with two ends, in blocks."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import chain, islice
from typing import Any, ClassVar, Final

from leto.keyspace.types.blocks import GAP, Block, Blocks, pack, sum_of
from leto.keyspace.types.parts import PART_BYTES, PART_ELEMENTS, Part, Parts
from leto.keyspace.types.value import SMALL_BYTES, SMALL_ELEMENTS, Change, register
from leto.vocabulary.numbers import parse_integer

LISTPACK_BYTES: Final = 8 << 10  # Redis's list-max-listpack-size -2
LISTPACK_ENDS: Final = 7  # bytes of an empty listpack
PAGE: Final = 1 << 13  # elements that a step copies
SCANNED: Final = 16  # blocks that a step looks through, about
CHANGE: Final = 4  # blocks that are looked through while one is changed


@register(1)
class List(Blocks):
    """Elements by index from 0."""

    type_name: ClassVar[bytes] = b"list"
    sorts: ClassVar[bool] = True

    def members(self) -> Iterator[bytes]:
        return iter(self)

    def encoding(self) -> bytes:
        """What Redis has of a list that grew to this content: one listpack of up to 8 KiB, or a quicklist."""
        content = self.content
        count = len(self)
        if isinstance(content, Parts) and (2 * count > LISTPACK_BYTES or content.weight > 3 * LISTPACK_BYTES):
            return b"quicklist"  # two bytes an element at least, and half its own
        last = len(self.get(count - 1))  # its own overhead is not counted when it is added
        packed = LISTPACK_ENDS + sum(map(_entry_bytes, islice(self, count - 1))) + last
        return b"quicklist" if packed > LISTPACK_BYTES else b"listpack"

    def find(self, element: bytes, *, left: bool, most: int) -> Iterator[int | None]:
        """The indexes at which the element is, from that end on, among the first `most` that are met. None after each
        step's work."""
        content = self.content
        blocks: list[Any] = content.parts if isinstance(content, Parts) else [self._block()]
        seen = 0
        for number, block in enumerate(blocks if left else reversed(blocks)):
            if seen >= most:
                return
            if number % SCANNED == SCANNED - 1:
                yield None
            items: list[bytes] = block.items
            if element in items:
                yield from self._found(items, element, left, seen, most)
            seen += len(items)

    def _found(self, items: list[bytes], element: bytes, left: bool, seen: int, most: int) -> Iterator[int]:
        """Its indexes in a block that so many elements are before, from that end on."""
        first = seen if left else len(self) - seen - 1
        for place, item in enumerate(items if left else reversed(items)):
            if place + seen >= most:
                return
            if item == element:
                yield first + place if left else first - place

    def remove_equal(self, element: bytes, *, left: bool, most: int) -> Generator[None, None, int]:
        """Take away the first `most` elements that are this one, from that end on: how many there were. A step changes
        a few blocks, and for the whole of it the edit of a large list stays open."""
        content = self._opened()
        if not isinstance(content, Parts):
            if element not in content.items:
                return 0
            return self._remove_from(content, element, left, most, self.changing())
        removed = 0
        number = 0 if left else len(content.parts) - 1
        work = 0
        while 0 <= number < len(content.parts) and removed < most:
            if work >= SCANNED:
                work = 0
                yield
            work += 1
            before = len(content.parts)
            if element in content.parts[number].items:
                work += CHANGE
                change = self.changing()
                block: Any = content.own(number, change.index)
                removed += self._remove_from(block, element, left, most - removed, change)
                if block.items:
                    self._join(content, number, change)
                else:
                    content.remove(number)
            if len(content.parts) == before:
                number += 1 if left else -1
            elif left:  # another's elements are behind the block's now, or in its place: it is looked through again
                number = max(number - 1, 0)
            else:
                number = min(number, len(content.parts) - 1)
        return removed

    def _remove_from(self, block: Block, element: bytes, left: bool, most: int, change: Change) -> int:
        """As many of them as there are in the block, up to `most`."""
        items: list[bytes] = block.items
        count = min(items.count(element), most)
        before = sum_of(block)
        if count == items.count(element):
            block.items = [item for item in items if item != element]
        else:
            ordered: Iterable[bytes] = items if left else reversed(items)
            kept = list(_without_first(ordered, element, count))
            block.items = kept if left else kept[::-1]
        self._account(block, change, -count, sum_of(block) - before, -count * len(element))
        return count


def _without_first(items: Iterable[bytes], element: bytes, count: int) -> Iterator[bytes]:
    rest = iter(items)
    while count:
        item = next(rest)
        if item == element:
            count -= 1
        else:
            yield item
    yield from chain(rest)


def _entry_bytes(element: bytes) -> int:
    """Bytes of the element in a listpack."""
    size = len(element)
    if size <= 20 and (number := parse_integer(element)) is not None:
        if 0 <= number <= 127:
            return 2
        magnitude = number if number >= 0 else ~number
        for limit, taken in ((12, 2), (15, 3), (23, 4), (31, 5)):
            if magnitude < 1 << limit:
                return taken + 1
        return 10
    size += 1 if size < 64 else 2 if size < 4096 else 5
    return size + (1 if size < 128 else 2 if size < 16383 else 3)


def pages(value: List, start: int, stop: int) -> Generator[None, None, list[bytes]]:
    """value.range() in steps."""
    found: list[bytes] = []
    for at in range(start, stop, PAGE):
        found += value.range(at, min(at + PAGE, stop))
        yield
    return found


def built(elements: list[bytes], index: int) -> Generator[None, None, List]:
    """A list of these, which are some, made in steps while the entry at `index` is applied."""
    if len(elements) <= SMALL_ELEMENTS and sum(map(len, elements)) <= SMALL_BYTES:
        return List(pack((0, elements)))
    parts: list[Part] = []
    items: list[bytes] = []
    weight = 0
    for element in elements:
        if items and (len(items) == PART_ELEMENTS or weight + len(element) > PART_BYTES):
            parts.append(_block(len(parts) * GAP, items, weight, index))
            items, weight = [], 0
            if len(parts) % CHANGE == 0:
                yield
        items.append(element)
        weight += len(element)
    parts.append(_block(len(parts) * GAP, items, weight, index))
    return List(Parts(parts, len(elements)))


def _block(low: int, items: list[bytes], weight: int, index: int) -> Block:
    block = Block(low, items, index, 0, weight, 0)
    block.sum = sum_of(block)
    return block

"""Large values in parts of a few hundred elements each, so that whatever is done to such a value is done part by part.

Each part knows the index of the entry that last changed it. A part that somebody else may still hold (a snapshot being
taken, a copy) is never changed: the value goes on with a copy of that part alone, some microseconds' work. So a
snapshot of an instant, or COPY, only takes a list of the parts.

Parts are in order, each beginning at its `low`; what orders them is the container's.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final, NamedTuple, Self

import msgspec

PART_ELEMENTS: Final = 512  # a part with more is split in two
PART_BYTES: Final = 64 << 10  # so is one with more, unless it is a single element's
FEW_ELEMENTS: Final = 128  # a part with fewer is joined with one beside it, if both together are half a part's
UNSHARED: Final = -1  # no entry's index: nobody else has any of the parts


class Part(msgspec.Struct, gc=False):
    """Some elements that follow each other. No part is empty."""

    low: Any  # where it begins; all parts before it are below
    items: Any  # a dictionary or a list, of what the garbage collector need not see
    version: int  # index of the entry that last changed it
    sum: int  # of its elements' checksums
    weight: int  # bytes of its elements

    def copy(self, version: int) -> Part:
        """The same elements, to be changed by the entry at that index."""
        return Part(self.low, self.items.copy(), version, self.sum, self.weight)


class Loaded(NamedTuple):
    """A part out of a snapshot, and the order of its first and last element."""

    part: Part
    first: Any
    last: Any


class Parts:
    """All parts of a value, with what their elements sum up to."""

    __slots__ = ("count", "lows", "parts", "shared", "sum", "weight")

    def __init__(self, parts: list[Part], count: int) -> None:
        self.parts = parts
        self.lows = [part.low for part in parts]
        self.count = count  # of elements
        self.sum = sum(part.sum for part in parts)
        self.weight = sum(part.weight for part in parts)
        self.shared = UNSHARED  # parts that no entry after this one changed may be somebody else's too

    def own(self, number: int, index: int) -> Part:
        """The part of that number, to be changed by the entry at `index`."""
        part = self.parts[number]
        if part.version <= self.shared:
            part = self.parts[number] = part.copy(index)
        elif part.version != index:
            part.version = index
        return part

    def share(self, index: int) -> list[Part]:
        """The parts as they are now, which stay so: `index` is that of the last entry that may have changed one."""
        if index > self.shared:
            self.shared = index
        return self.parts.copy()

    def fork(self, index: int) -> Self:
        """The same parts for another value."""
        other = self.__class__.__new__(self.__class__)
        other.parts, other.lows = self.share(index), self.lows.copy()
        other.count, other.sum, other.weight, other.shared = self.count, self.sum, self.weight, self.shared
        return other

    def insert(self, number: int, part: Part) -> None:
        """Put in a part of elements that are counted already."""
        self.parts.insert(number, part)
        self.lows.insert(number, part.low)

    def remove(self, number: int) -> None:
        """Take out a part whose elements are counted no more, or are elsewhere."""
        del self.parts[number], self.lows[number]


class Loader:
    """The parts of one value out of a snapshot: in any order, and some of them twice."""

    __slots__ = ("_count", "_firsts", "_lasts", "_lows", "_parts")

    def __init__(self) -> None:
        self._lows: list[Any] = []
        self._parts: list[Part] = []
        self._firsts: list[Any] = []
        self._lasts: list[Any] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, loaded: Loaded) -> None:
        """One more; one that was there already is passed over."""
        part, lows = loaded.part, self._lows
        at = len(lows) if not lows or lows[-1] < part.low else bisect_left(lows, part.low)
        if at < len(lows) and lows[at] == part.low:
            return
        lows.insert(at, part.low)
        self._parts.insert(at, part)
        self._firsts.insert(at, loaded.first)
        self._lasts.insert(at, loaded.last)
        self._count += len(part.items)

    def parts(self) -> Parts:
        """All of them. Raises ValueError if a part has an element that is another's."""
        for low, first, last in zip(self._lows[1:], self._firsts[1:], self._lasts, strict=False):
            if not last < low <= first:
                raise ValueError("a part has elements that are another's")
        return Parts(self._parts, self._count)

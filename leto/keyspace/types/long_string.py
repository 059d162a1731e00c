"""Long strings that were changed, in parts: a change makes one part anew, and a list of all of them.

A part is never changed, nor is a list of parts: a value that is replaced stays what it was, so that a snapshot, a copy
or a reply may keep it without a copy of its bytes. Strings that are only set stay plain bytes, however long they are;
their parts, once they are changed, are views of them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Final

from leto.checksums import adler32

PART: Final = 1 << 16  # bytes of every part but the last
LONG_STRING: Final = 2 * PART  # bytes from which a string is changed in parts
SUMMED: Final = 16  # parts whose checksum one step computes
MODULUS: Final = 65521  # of Adler-32 (RFC 1950)

Part = bytes | memoryview

_ZEROS: Final = bytes(PART)


class LongString:
    """Bytes, in parts of PART. `adler`: the Adler-32 of all of them, which a change does not compute anew."""

    __slots__ = ("_length", "_parts", "adler")

    def __init__(self, parts: list[Part], length: int, adler: int) -> None:
        self._parts = parts
        self._length = length
        self.adler = adler

    @classmethod
    def of(cls, value: bytes) -> LongString:
        """The same bytes, in parts: no copy is made."""
        view = memoryview(value)
        return cls([view[at : at + PART] for at in range(0, len(value), PART)], len(value), adler32(value))

    @classmethod
    def joining(cls, parts: list[Part]) -> Generator[None, None, LongString]:
        """Made of parts of PART bytes, but for the last one, in steps."""
        adler = 1
        for number, part in enumerate(parts, 1):
            adler = adler32(part, adler)
            if number % SUMMED == 0:
                yield
        return cls(parts, (len(parts) - 1) * PART + len(parts[-1]), adler)

    def __len__(self) -> int:
        return self._length

    def __bytes__(self) -> bytes:
        return b"".join(self._parts)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LongString | bytes):
            return len(self) == len(other) and bytes(self) == bytes(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # no key

    def parts(self) -> Iterator[Part]:
        """All its bytes, in order."""
        return iter(self._parts)

    def range(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`, both within the string."""
        if stop <= start:
            return b""
        first, last = start // PART, (stop - 1) // PART
        pieces = self._parts[first : last + 1]
        if len(pieces) == 1:
            return bytes(pieces[0][start - first * PART : stop - first * PART])
        pieces[0] = pieces[0][start - first * PART :]
        pieces[-1] = pieces[-1][: stop - last * PART]
        return b"".join(pieces)

    def patched(self, offset: int, patch: bytes) -> LongString:
        """With `patch` at `offset`; zeros in between if that is behind its end."""
        if offset > self._length:
            return self._extended(offset - self._length).appended(patch)
        inside = min(len(patch), self._length - offset)
        changed = self._overwritten(offset, patch[:inside]) if inside else self
        return changed.appended(patch[inside:]) if inside < len(patch) else changed

    def appended(self, more: bytes) -> LongString:
        """With that at its end."""
        parts = self._parts.copy()
        rest = memoryview(more)
        if parts and len(parts[-1]) < PART:
            room = PART - len(parts[-1])
            parts[-1] = b"".join((parts[-1], rest[:room]))
            rest = rest[room:]
        parts += [bytes(rest[at : at + PART]) for at in range(0, len(rest), PART)]
        return LongString(parts, self._length + len(more), _combined(self.adler, adler32(more), len(more)))

    def _extended(self, count: int) -> LongString:
        """With so many zeros at its end, which take no room to speak of."""
        parts, left = self._parts.copy(), count
        if parts and (room := PART - len(parts[-1])):
            parts[-1] = b"".join((parts[-1], bytes(min(room, left))))
            left -= min(room, left)
        parts += [_ZEROS] * (left // PART)
        if left % PART:
            parts.append(bytes(left % PART))
        return LongString(parts, self._length + count, _combined(self.adler, count % MODULUS << 16 | 1, count))

    def _overwritten(self, offset: int, patch: bytes) -> LongString:
        """All of `patch` is within it."""
        parts = self._parts.copy()
        old = self.range(offset, offset + len(patch))
        at, rest = offset, memoryview(patch)
        while rest:
            number, start = divmod(at, PART)
            part = parts[number]
            some = rest[: len(part) - start]
            parts[number] = b"".join((part[:start], some, part[start + len(some) :]))
            at += len(some)
            rest = rest[len(some) :]
        behind = self._length - offset - len(patch)
        return LongString(parts, self._length, _exchanged(self.adler, adler32(old), adler32(patch), behind))


def _combined(first: int, second: int, length: int) -> int:
    """The Adler-32 of two strings one after the other, the second being so long."""
    low, high = first & 0xFFFF, first >> 16
    sum_, weighted = second & 0xFFFF, second >> 16
    high = (high + weighted + length * (low - 1)) % MODULUS
    return high << 16 | (low + sum_ - 1) % MODULUS


def _exchanged(whole: int, old: int, new: int, behind: int) -> int:
    """The Adler-32 of a string in which bytes of one sum took the place of as many with another, so many before its
    end."""
    change = (new & 0xFFFF) - (old & 0xFFFF)
    high = ((whole >> 16) + (new >> 16) - (old >> 16) + behind * change) % MODULUS
    return high << 16 | ((whole & 0xFFFF) + change) % MODULUS


def plain(reply: Any) -> Any:
    """A reply with plain bytes in the place of long strings, those in lists included."""
    if type(reply) is LongString:
        return bytes(reply)
    if type(reply) is list and not {LongString, list}.isdisjoint(map(type, reply)):
        return [plain(item) for item in reply]
    return reply

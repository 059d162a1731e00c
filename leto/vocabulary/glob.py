"""Glob patterns as Redis matches them (KEYS, SCAN MATCH, CONFIG GET), byte for byte, in linear time.

`*` any bytes, `?` one byte, `[abc]` `[a-z]` `[^a]` one of a class, `\\x` that byte. An unclosed class ends with
the pattern; a trailing backslash is itself; a range's ends are signed chars, as on x86. A pattern with more than
1,000 stars that something follows matches nothing (Redis's limit of nesting).

The stars cut a pattern into segments of fixed length. The first must be where the text begins, the last where it ends,
each other one at the first place behind the one before it: none is ever tried again. So a text is walked through once,
by bytes.find for a literal segment, by `re` for a short one with classes, by Shift-And (Baeza-Yates and Gonnet 1992)
for a long one.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from functools import lru_cache
from typing import Final

LONGEST: Final = 1 << 14  # bytes of a pattern with anything but literals and stars: taking it apart takes its time
MOST_STARS: Final = 1000
WINDOW: Final = 1 << 14  # bytes of a text that are searched in one go
_CACHED: Final = 1 << 10  # bytes of a pattern that is kept compiled
_SHORT: Final = 64  # bytes that a segment searched by `re` matches at most ...
_FEW: Final = 512  # ... and all segments of the pattern together: to compile them takes long

_ANY: Final = (1 << 256) - 1
_LOWER: Final = ((1 << 26) - 1) << 0x61
_UPPER: Final = ((1 << 26) - 1) << 0x41
_TOKENS: Final = re.compile(rb"\*+|\?|\[|\\.|\\\Z|[^*?\[\\]+", re.DOTALL)
_SPECIAL: Final = re.compile(rb"[?\[\\]")

Mask = int  # a set of bytes: bit b is set where b is in it


class PatternTooLong(ValueError):
    """A pattern with classes, escapes or `?` of more than LONGEST bytes."""


class _Literal:
    """A segment that is these very bytes."""

    __slots__ = ("length", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.length = len(text)

    def fits(self, text: bytes, start: int) -> bool:
        """Whether it is at `start`, and all of it before the text's end."""
        return text.startswith(self.text, start)

    def find(self, text: bytes, start: int, end: int) -> int:
        """Where it is first, all of it between the two; -1 if it is not."""
        return text.find(self.text, start, end)


class _Classes:
    """A short segment with classes in it."""

    __slots__ = ("_regex", "length")

    def __init__(self, masks: list[Mask]) -> None:
        self.length = len(masks)
        self._regex = re.compile(b"".join(map(_as_regex, masks)), re.DOTALL)

    def fits(self, text: bytes, start: int) -> bool:
        return self._regex.match(text, start) is not None

    def find(self, text: bytes, start: int, end: int) -> int:
        found = self._regex.search(text, start, end)
        return -1 if found is None else found.start()


class _ManyClasses:
    """A long one, by Shift-And: bit i of the state tells whether its first i + 1 bytes match up to here."""

    __slots__ = ("_masks", "_places", "length")

    def __init__(self, masks: list[Mask]) -> None:
        self.length = len(masks)
        self._masks = masks
        self._places: list[int | None] = [None] * 256  # by byte: bit i is set where place i takes it

    def fits(self, text: bytes, start: int) -> bool:
        piece = text[start : start + self.length]
        return len(piece) == self.length and all(
            mask >> byte & 1 for mask, byte in zip(self._masks, piece, strict=True)
        )

    def find(self, text: bytes, start: int, end: int) -> int:
        places, state, last = self._places, 0, 1 << self.length - 1
        for position, byte in enumerate(text[start:end], start):
            taken = places[byte]
            if taken is None:
                bits = bytes([0x30 + (mask >> byte & 1) for mask in reversed(self._masks)])
                taken = places[byte] = int(bits, 2)
            state = (state << 1 | 1) & taken
            if state & last:
                return position + 1 - self.length
        return -1


_Segment = _Literal | _Classes | _ManyClasses


class Pattern:
    """A compiled pattern with a star in it, or with classes. `match` is for texts up to WINDOW bytes."""

    __slots__ = ("_closed", "_head", "_least", "_middle", "_tail")

    def __init__(self, segments: list[_Segment]) -> None:
        """The segments between the stars, the first and the last maybe empty; one alone has no star."""
        self._head = segments[0]
        self._closed = len(segments) == 1  # no star: the head is all there may be
        self._tail = segments[-1]
        self._middle = segments[1:-1]
        self._least = sum(segment.length for segment in segments)

    def match(self, text: bytes) -> bool:
        """Whether the whole text matches."""
        end = self._bounds(text)
        if end < 0:
            return False
        start = self._head.length
        for segment in self._middle:
            start = segment.find(text, start, end)
            if start < 0:
                return False
            start += segment.length
        return True

    def matching(self, text: bytes) -> Generator[None, None, bool]:
        """match() in steps of WINDOW bytes."""
        end = self._bounds(text)
        if end < 0:
            return False
        start = self._head.length
        for segment in self._middle:
            found = -1
            while found < 0 and start + segment.length <= end:
                reach = start + segment.length - 1 + WINDOW
                found = segment.find(text, start, min(end, reach))
                start += WINDOW
                yield
            if found < 0:
                return False
            start = found + segment.length
        return True

    def _bounds(self, text: bytes) -> int:
        """Where the tail begins, if head and tail are where they must be; else -1."""
        length = len(text)
        if length < self._least or not text:  # Redis: only KEYS * itself, or nothing, matches the empty key
            return -1
        if not self._head.fits(text, 0) or (self._closed and length > self._least):
            return -1
        end = length - self._tail.length
        return end if self._closed or self._tail.fits(text, end) else -1


class Anything:
    """`*` itself."""

    def match(self, text: bytes) -> bool:
        """Always."""
        return True

    def matching(self, text: bytes) -> Generator[None, None, bool]:
        """Always."""
        yield
        return True


class Literally:
    """A pattern that is a text. `nothing`: one that no text matches."""

    __slots__ = ("_text",)

    def __init__(self, text: bytes | None) -> None:
        self._text = text

    def match(self, text: bytes) -> bool:
        """Whether it is that text."""
        return text == self._text

    def matching(self, text: bytes) -> Generator[None, None, bool]:
        """The same."""
        yield
        return text == self._text


Compiled = Pattern | Anything | Literally


def compile_pattern(pattern: bytes, nocase: bool = False) -> Compiled:
    """Ready to be matched. `nocase`: letters of ASCII match whatever their case. Raises PatternTooLong."""
    return _kept(pattern, nocase) if len(pattern) <= _CACHED else _compile(pattern, nocase)


def matches(pattern: bytes, text: bytes, nocase: bool = False) -> bool:
    """Whether the whole text matches. Raises PatternTooLong."""
    return compile_pattern(pattern, nocase).match(text)


def _compile(pattern: bytes, nocase: bool) -> Compiled:
    if pattern == b"*":
        return Anything()
    if nocase or _SPECIAL.search(pattern):
        if len(pattern) > LONGEST:
            raise PatternTooLong(f"a pattern of {len(pattern)} bytes is too long")
        cut = _parse(pattern, nocase)
    else:
        cut = [[text] if text else [] for text in _split(pattern)]
    inner = len(cut) - 1 - (not cut[-1])  # stars that something follows
    if inner > MOST_STARS:
        return Literally(None)
    classes = sum(len(parts) for parts in cut if any(type(part) is int for part in parts))
    segments = [_segment(parts, classes) for parts in cut]
    if len(segments) == 1 and isinstance(segments[0], _Literal):
        return Literally(segments[0].text)
    return Pattern(segments)


_kept = lru_cache(maxsize=64)(_compile)


def _split(pattern: bytes) -> list[bytes]:
    """A pattern of literals and stars at its stars, neighbouring ones being one."""
    texts = pattern.split(b"*")
    return [text for place, text in enumerate(texts) if text or place in (0, len(texts) - 1)]


def _segment(parts: list[bytes | Mask], classes: int) -> _Segment:
    """`classes`: bytes that the pattern's segments with classes match."""
    if not any(type(part) is int for part in parts):
        return _Literal(b"".join(parts))  # type: ignore[arg-type]
    masks: list[Mask] = []
    for part in parts:
        if isinstance(part, bytes):
            masks += [1 << byte for byte in part]
        else:
            masks.append(part)
    return _Classes(masks) if len(masks) <= _SHORT and classes <= _FEW else _ManyClasses(masks)


def _parse(pattern: bytes, nocase: bool) -> list[list[bytes | Mask]]:
    """What is between the stars: literals, and the sets of bytes that one byte is of."""
    segments: list[list[bytes | Mask]] = [[]]
    at = 0
    while at < len(pattern):
        token = _TOKENS.match(pattern, at)
        assert token is not None  # they cover every byte
        text = token[0]
        at = token.end()
        first = text[0]
        if first == 0x2A:  # *
            segments.append([])
        elif first == 0x3F:  # ?
            segments[-1].append(_ANY)
        elif first == 0x5B:  # [
            mask, at = _parse_class(pattern, at, nocase)
            segments[-1].append(mask)
        else:
            if first == 0x5C and len(text) == 2:  # backslash
                text = text[1:]
            segments[-1] += [_either_case(1 << byte) for byte in text] if nocase else [text]
    return segments


def _parse_class(pattern: bytes, i: int, nocase: bool) -> tuple[Mask, int]:
    """The class that begins after its bracket at `i`: (its bytes, where it has ended)."""
    negated = pattern[i : i + 1] == b"^"
    if negated:
        i += 1
    exact = mask = 0
    while i < len(pattern) and pattern[i] != 0x5D:  # ]
        if pattern[i] == 0x5C and i + 1 < len(pattern):
            i += 1
            exact |= 1 << pattern[i]  # Redis minds the case of these always
        elif pattern[i + 1 : i + 2] == b"-" and i + 2 < len(pattern):
            mask |= _range(pattern[i], pattern[i + 2], nocase)
            i += 2
        else:
            mask |= _either_case(1 << pattern[i]) if nocase else 1 << pattern[i]
        i += 1
    mask |= exact
    return (_ANY & ~mask if negated else mask), min(i + 1, len(pattern))


def _range(first: int, last: int, nocase: bool) -> Mask:
    """The bytes from one to the other, in the order of signed chars."""
    low, high = sorted((first ^ 0x80, last ^ 0x80))
    if nocase:
        low, high = (ord(chr(end ^ 0x80).lower()) ^ 0x80 if end & 0x80 else end for end in (low, high))
        if low > high:
            return 0
    mask = ((1 << high - low + 1) - 1) << low
    mask = mask >> 128 | (mask & ((1 << 128) - 1)) << 128  # where signed chars begin is the middle of bytes
    if nocase:  # a byte is in it if its lower case is
        return mask & ~_UPPER | (mask & _LOWER) >> 32
    return mask


def _either_case(mask: Mask) -> Mask:
    """With the other case of its letters."""
    return mask | (mask & _UPPER) << 32 | (mask & _LOWER) >> 32


def _as_regex(mask: Mask) -> bytes:
    """What matches one byte of the set, for `re`."""
    if mask == _ANY:
        return b"."
    if not mask:
        return rb"[^\x00-\xff]"
    members = [byte for byte in range(256) if mask >> byte & 1]
    if len(members) == 1:
        return b"\\x%02x" % members[0]
    ranges: list[list[int]] = []
    for byte in members:
        if ranges and ranges[-1][1] == byte - 1:
            ranges[-1][1] = byte
        else:
            ranges.append([byte, byte])
    return b"[%b]" % b"".join([b"\\x%02x-\\x%02x" % (low, high) for low, high in ranges])

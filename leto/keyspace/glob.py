"""Glob patterns as Redis matches them (KEYS, SCAN MATCH, CONFIG GET): on bytes, without backtracking without end.

`*` any bytes, `?` one byte, `[abc]` `[a-z]` `[^a]` one of a class, `\\x` that byte. An unclosed class ends with
the pattern; a trailing backslash is itself. Only the last `*` is ever retried, so a match takes at most
len(pattern) * len(text) steps.
"""

from __future__ import annotations

from collections.abc import Callable

STAR = -1
ANY = frozenset(range(256))


def compile_pattern(pattern: bytes) -> Callable[[bytes], bool]:
    """A function that tells whether a text matches the whole pattern."""
    if pattern == b"*":
        return lambda text: True
    parts = _parse(pattern)
    if STAR not in parts and all(len(part) == 1 for part in parts):  # type: ignore[arg-type]
        literal = bytes(next(iter(part)) for part in parts)  # type: ignore[arg-type]
        return lambda text: text == literal
    prefix = bytearray()  # most patterns are `prefix*`
    for part in parts:
        if part == STAR or len(part) != 1:  # type: ignore[arg-type]
            break
        prefix += bytes(part)
    head = bytes(prefix)
    if head and parts[len(head) :] == [STAR]:
        return lambda text: text.startswith(head)
    return lambda text: text.startswith(head) and _match(parts, text)


def matches(pattern: bytes, text: bytes) -> bool:
    """Whether the whole text matches."""
    return compile_pattern(pattern)(text)


def _match(parts: list[frozenset[int] | int], text: bytes) -> bool:
    if not text:  # Redis: only KEYS * itself, or nothing, matches the empty key
        return not parts
    place = position = 0
    star = retry = -1
    while position < len(text):
        part = parts[place] if place < len(parts) else None
        if part == STAR:
            star, retry = place, position
            place += 1
        elif part is not None and text[position] in part:  # type: ignore[operator]
            place += 1
            position += 1
        elif star >= 0:
            retry += 1
            place, position = star + 1, retry
        else:
            return False
    return all(part == STAR for part in parts[place:])


def _parse(pattern: bytes) -> list[frozenset[int] | int]:
    """The pattern as a list of byte classes and STARs."""
    parts: list[frozenset[int] | int] = []
    i = 0
    while i < len(pattern):
        byte = pattern[i]
        if byte == 0x2A:  # *
            if not parts or parts[-1] != STAR:
                parts.append(STAR)
        elif byte == 0x3F:  # ?
            parts.append(ANY)
        elif byte == 0x5B:  # [
            members, i = _parse_class(pattern, i + 1)
            parts.append(members)
        else:
            if byte == 0x5C and i + 1 < len(pattern):  # backslash
                i += 1
            parts.append(frozenset(pattern[i : i + 1]))
        i += 1
    return parts


def _parse_class(pattern: bytes, i: int) -> tuple[frozenset[int], int]:
    """The class that begins after its bracket at `i`: (its bytes, where its last byte is)."""
    negated = pattern[i : i + 1] == b"^"
    if negated:
        i += 1
    members: set[int] = set()
    while i < len(pattern) and pattern[i] != 0x5D:  # ]
        if pattern[i] == 0x5C and i + 1 < len(pattern):
            i += 1
            members.add(pattern[i])
        elif pattern[i + 1 : i + 2] == b"-" and i + 2 < len(pattern):
            low, high = sorted((pattern[i], pattern[i + 2]))
            members.update(range(low, high + 1))
            i += 2
        else:
            members.add(pattern[i])
        i += 1
    return frozenset(ANY - members if negated else members), i

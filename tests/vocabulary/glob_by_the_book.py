"""What Redis's stringmatchlen does with a pattern and a text, told again step by step: what the compiled patterns are
held against. It goes back at stars as Redis does, so keep the texts short."""

from __future__ import annotations

STAR, QUESTION, BRACKET, CLOSE, BACKSLASH, CARET, DASH = b"*?[]\\^-"


def signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def lower(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte


def same(a: int, b: int, nocase: bool) -> bool:
    return lower(a) == lower(b) if nocase else a == b


def by_the_book(pattern: bytes, text: bytes, nocase: bool = False, depth: int = 0) -> bool:
    if depth > 1000:
        return False
    at = 0
    while at < len(pattern) and text:
        byte = pattern[at]
        if byte == STAR:
            while pattern[at + 1 : at + 2] == b"*":
                at += 1
            rest = pattern[at + 1 :]
            if not rest:
                return True
            return any(by_the_book(rest, text[i:], nocase, depth + 1) for i in range(len(text)))
        if byte == BRACKET:
            found, at = in_class(pattern, at + 1, text[0], nocase)
            if not found:
                return False
        elif byte != QUESTION:
            if byte == BACKSLASH and at + 1 < len(pattern):
                at += 1
            if not same(pattern[at], text[0], nocase):
                return False
        text = text[1:]
        at += 1
        if not text:
            while pattern[at : at + 1] == b"*":
                at += 1
    return at >= len(pattern) and not text


def in_class(pattern: bytes, at: int, byte: int, nocase: bool) -> tuple[bool, int]:
    """(whether it is in the class that begins at `at`, where the class's last byte is)."""
    negated = pattern[at : at + 1] == b"^"
    at += negated
    found = False
    while at < len(pattern) and pattern[at] != CLOSE:
        left = len(pattern) - at
        if pattern[at] == BACKSLASH and left >= 2:
            at += 1
            found |= pattern[at] == byte
        elif left >= 3 and pattern[at + 1] == DASH:
            low, high = sorted((signed(pattern[at]), signed(pattern[at + 2])))
            at += 2
            if nocase:
                found |= lower(low) <= signed(lower(byte)) <= lower(high)
            else:
                found |= low <= signed(byte) <= high
        else:
            found |= same(pattern[at], byte, nocase)
        at += 1
    return found != negated, at

"""Inline commands: a line of words, quoted as Redis's sdssplitargs takes them."""

from __future__ import annotations

from leto.errors import ProtocolError

_SPACE = b" \t\n\v\f\r\0"  # skipped before a word, and what may follow a closing quote
_END = b" \t\n\r\0"  # ends a bare word; \v and \f do not
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_HEX = frozenset(b"0123456789abcdefABCDEF")
_DOUBLE, _SINGLE, _BACKSLASH = ord('"'), ord("'"), ord("\\")


def split_line(line: bytes) -> list[bytes]:
    """The words of `line`: bare, 'single' (only \\' escapes) or "double" quoted (\\n \\r \\t \\b \\a \\xHH).

    A closing quote must be followed by a space or the end. A NUL ends the line, as it does in C.
    Raises ProtocolError for quotes that do not balance.
    """
    line = line.partition(b"\0")[0]
    if not any(special in line for special in (b'"', b"'", b"\v", b"\f")):
        return line.split()
    words: list[bytes] = []
    at, end = 0, len(line)
    while True:
        while at < end and line[at] in _SPACE:
            at += 1
        if at == end:
            return words
        word, at = _word(line, at, end)
        words.append(word)


def _word(line: bytes, at: int, end: int) -> tuple[bytes, int]:
    word = bytearray()
    while at < end:
        byte = line[at]
        if byte in _END:
            break
        if byte == _DOUBLE:
            at = _double(line, at + 1, end, word)
            break
        if byte == _SINGLE:
            at = _single(line, at + 1, end, word)
            break
        word.append(byte)
        at += 1
    return bytes(word), at


def _double(line: bytes, at: int, end: int, word: bytearray) -> int:
    """Append the rest of a "double" quoted part to `word`; the position after its closing quote."""
    while at < end:
        byte = line[at]
        if byte == _BACKSLASH and at + 3 < end and line[at + 1] == ord("x"):
            digits = line[at + 2 : at + 4]
            if digits[0] in _HEX and digits[1] in _HEX:
                word.append(int(digits, 16))
                at += 4
                continue
        if byte == _BACKSLASH and at + 1 < end:
            word.append(_ESCAPES.get(line[at + 1], line[at + 1]))
            at += 2
        elif byte == _DOUBLE:
            return _closed(line, at + 1, end)
        else:
            word.append(byte)
            at += 1
    raise ProtocolError("unbalanced quotes in request")


def _single(line: bytes, at: int, end: int, word: bytearray) -> int:
    """Append the rest of a 'single' quoted part to `word`; the position after its closing quote."""
    while at < end:
        byte = line[at]
        if byte == _BACKSLASH and at + 1 < end and line[at + 1] == _SINGLE:
            word.append(_SINGLE)
            at += 2
        elif byte == _SINGLE:
            return _closed(line, at + 1, end)
        else:
            word.append(byte)
            at += 1
    raise ProtocolError("unbalanced quotes in request")


def _closed(line: bytes, at: int, end: int) -> int:
    if at < end and line[at] not in _SPACE:
        raise ProtocolError("unbalanced quotes in request")
    return at

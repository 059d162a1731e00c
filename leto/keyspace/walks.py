"""Walks with a cursor that commands share: the options of SCAN and its kin, patterns, pages of a value."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from leto.keyspace.database import Database
from leto.keyspace.types.crc_map import CrcMap
from leto.keyspace.types.sorted_set import SortedSet
from leto.vocabulary.glob import WINDOW, Compiled, PatternTooLong, compile_pattern
from leto.vocabulary.numbers import integer
from leto.vocabulary.replies import SYNTAX_ERROR, Error, Refused, Reply
from leto.vocabulary.steps import STEP, Steps, exhaust

INVALID_CURSOR = Error(b"ERR invalid cursor")
DONE: Reply = (b"0", [])  # a walk over nothing
ANY = b"*"

_CURSOR = re.compile(rb"[+-]?[0-9]+\Z|\Z").match  # what strtoul takes


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What follows the cursor."""

    count: int = 10
    pattern: bytes = ANY
    type: bytes | None = None
    values: bool = True


def parse_cursor(text: bytes) -> int:
    """As C reads it, up to a NUL. Raises Refused."""
    text = text.split(b"\0", 1)[0]
    if _CURSOR(text) is None or len(text) > 21:
        raise Refused(INVALID_CURSOR)
    cursor = int(text or b"0")
    if abs(cursor) >= 1 << 64:
        raise Refused(INVALID_CURSOR)
    return cursor


def parse_scan_options(argv: Sequence[bytes], start: int, more: bytes = b"") -> ScanOptions:
    """COUNT and MATCH, and that one `more` (TYPE or NOVALUES), from argv[start]. Raises Refused."""
    count, pattern, wanted, values = 10, ANY, None, True
    words = iter(argv[start:])
    for word in words:
        option = word.upper()
        if option == more == b"NOVALUES":
            values = False
            continue
        argument = next(words, None)
        if argument is None:
            raise Refused(SYNTAX_ERROR)
        if option == b"COUNT":
            count = integer(argument)
            if count < 1:
                raise Refused(SYNTAX_ERROR)
        elif option == b"MATCH":
            pattern = argument
        elif option == more == b"TYPE":
            wanted = argument.lower()
        else:
            raise Refused(SYNTAX_ERROR)
    return ScanOptions(count, pattern, wanted, values)


def compiled(pattern: bytes) -> Compiled:
    """Raises Refused for one that takes too long to take apart."""
    try:
        return compile_pattern(pattern)
    except PatternTooLong as error:
        raise Refused(Error(f"ERR {error}".encode())) from error


def matching(pattern: Compiled, names: list[bytes]) -> Generator[None, None, list[bytes]]:
    """Those of a few names that match, in steps of a few bytes."""
    if sum(map(len, names)) <= WINDOW:
        return list(filter(pattern.match, names))
    found = []
    for name in names:
        yield
        if pattern.match(name) if len(name) <= WINDOW else (yield from pattern.matching(name)):
            found.append(name)
    return found


def scan_value(
    db: Database, argv: Sequence[bytes], type_: type[CrcMap | SortedSet], *, pairs: bool, more: bytes = b""
) -> Reply:
    """HSCAN and SSCAN: argv is their key, cursor and options. `pairs`: each field is followed by what is under it."""
    cursor = parse_cursor(argv[2])
    if db.read(argv[1], type_) is None:
        return list(DONE)
    options = parse_scan_options(argv, 3, more)
    walk = _pages(db, argv[1], type_, cursor, options.count, compiled(options.pattern), pairs and options.values)
    return Steps(walk) if options.count > STEP else exhaust(walk)


def _pages(
    db: Database, key: bytes, type_: type[CrcMap | SortedSet], cursor: int, count: int, pattern: Compiled, pairs: bool
) -> Generator[None, None, Reply]:
    """Each step is one page more, as of that moment."""
    found: list[bytes] = []
    now = db.now
    while (value := db.read(key, type_)) is not None:
        cursor, page = value.scan(cursor, min(count, STEP))
        count -= len(page)
        under = dict(page)
        for field in (yield from matching(pattern, list(under))):
            found.append(field)
            if pairs:
                found.append(under[field])
        if cursor == 0 or count <= 0:
            break
        yield
        db.now = now
    else:
        cursor = 0
    return [b"%d" % cursor, found]

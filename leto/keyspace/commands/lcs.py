"""LCS: the longest common subsequence of two strings, by bit-parallel dynamic programming.

A row of the table is one integer (Crochemore et al. 2001, Hyyrö 2004): its bit j is clear where the length grows
at column j. So a row costs len(b) / 64 word operations, and the way back needs one bit a step. Ties are broken
as Redis breaks them.
"""

from __future__ import annotations

from collections.abc import Generator

from leto.keyspace.database import Database
from leto.keyspace.types.long_string import LongString
from leto.vocabulary.numbers import integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import SYNTAX_ERROR, Error, Reply
from leto.vocabulary.steps import Steps, exhaust

MAX_CELLS = 1 << 29  # of the table: about 0.1 s of work and 64 MiB; a constant, so that nodes agree
ROW_COST = 1024  # cells that a row costs beyond its own
STEP_CELLS = 1 << 22  # of the table that one step makes
STEP_BACK = 1 << 12  # steps on the way back that one step takes; to look into another row counts as some
NOT_STRINGS = Error(b"ERR The specified keys must contain string values")
LENGTH_OR_INDEXES = Error(b"ERR If you want both the length and indexes, please just use IDX.")
TOO_LARGE = Error(b"ERR Insufficient memory, failed allocating transient memory for LCS")


def _rows(a: bytes, b: bytes) -> Generator[None, None, list[int]]:
    """After each prefix of `a`, the row's bits."""
    positions = {}
    for byte in sorted(set(a) & set(b)):
        positions[byte] = _bits(b, byte)
        if len(b) > STEP_BACK:
            yield
    rows_a_step = max(1, STEP_CELLS // (len(b) + ROW_COST))
    full = (1 << len(b)) - 1
    row = full
    rows = []
    for number, byte in enumerate(a, 1):
        if number % rows_a_step == 0:
            yield
        matches = positions.get(byte)
        if matches:
            common = row & matches
            row = ((row + common) | (row - common)) & full
        rows.append(row)
    return rows


def _bits(text: bytes, byte: int) -> int:
    """A number whose bit i is set where text[i] is `byte`."""
    table = bytearray(b"0" * 256)
    table[byte] = 0x31
    return int(text[::-1].translate(table), 2)


def _walk_back(a: bytes, b: bytes, rows: list[int]) -> Generator[None, None, tuple[bytes, list[tuple[int, int, int]]]]:
    """(the subsequence, its ranges as (start in a, start in b, length), last first)."""
    backwards = bytearray()
    ranges: list[tuple[int, int, int]] = []
    i, j, run = len(a), len(b), 0
    number, row = 0, b""
    work = 0
    while i and j:
        work += 1
        if work > STEP_BACK:
            work = 0
            yield
        if a[i - 1] == b[j - 1]:
            backwards.append(a[i - 1])
            i -= 1
            j -= 1
            run += 1
            continue
        if run:
            ranges.append((i, j, run))
            run = 0
        if number != i:
            work += len(b) >> 8
            number, row = i, rows[i - 1].to_bytes(len(b) // 8 + 1, "little")
        if row[(j - 1) >> 3] >> ((j - 1) & 7) & 1:
            j -= 1  # the length does not grow at column j: nothing is lost to its left
        else:
            i -= 1
    if run:
        ranges.append((i, j, run))
    return bytes(backwards[::-1]), ranges


@KEYSPACE.add(
    "LCS",
    -3,
    "readonly",
    keys=(1, 2, 1),
    group="string",
    since="7.0.0",
    summary="Find longest common substring",
    complexity="O(N*M) where N and M are the lengths of s1 and s2, respectively",
    syntax="key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]",
    categories="read string slow",
    key_flags="RO access",
)
def lcs(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lcs"""
    values: list[bytes | LongString] = []
    for key in argv[1:3]:
        record = db.find(key)
        value = b"" if record is None else record.value
        if not isinstance(value, bytes | LongString):
            return NOT_STRINGS
        values.append(value)
    only_length = indexes = with_length = False
    least = 0
    words = iter(argv[3:])
    for word in words:
        option = word.upper()
        if option == b"IDX":
            indexes = True
        elif option == b"LEN":
            only_length = True
        elif option == b"WITHMATCHLEN":
            with_length = True
        elif option == b"MINMATCHLEN" and (argument := next(words, None)) is not None:
            least = integer(argument)
        else:
            return SYNTAX_ERROR
    if indexes and only_length:
        return LENGTH_OR_INDEXES
    if (len(values[0]) + 64) * (len(values[1]) + ROW_COST) > MAX_CELLS:
        return TOO_LARGE
    a, b = map(bytes, values)

    def answer() -> Generator[None, None, Reply]:
        rows = yield from _rows(a, b)
        if only_length:
            return len(b) - rows[-1].bit_count() if rows else 0
        return _told(*(yield from _walk_back(a, b, rows)), indexes, least, with_length)

    return Steps(answer()) if len(a) * len(b) > STEP_CELLS else exhaust(answer())


def _told(common: bytes, ranges: list[tuple[int, int, int]], indexes: bool, least: int, with_length: bool) -> Reply:
    if not indexes:
        return common
    matches = []
    for in_a, in_b, length in ranges:
        if length >= least:
            match: list[Reply] = [[in_a, in_a + length - 1], [in_b, in_b + length - 1]]
            matches.append([*match, length] if with_length else match)
    return {b"matches": matches, b"len": len(common)}

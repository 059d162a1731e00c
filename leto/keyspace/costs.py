"""What the reads of a transaction cost, estimated before it is begun.

A transaction keeps everybody from the keyspace until it is done, one with a write on every node, and again whenever
the log is applied anew. Redis's clients wait for it as well, but there is no log. So its reads that look at many keys
are weighed against the keyspace as it is when the transaction is proposed, and refused beyond LIMIT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from leto.keyspace.database import Database
from leto.vocabulary.numbers import parse_integer

LIMIT: Final = 1 << 22  # of all reads of a transaction: about a second
LEAST: Final = 64  # what each of them costs at least
DRAWN: Final = 128  # keys that RANDOMKEY looks at, unless most are expired
CELLS: Final = 1 << 10  # of LCS's table that cost as much as a key
BYTES: Final = 1 << 8  # of a range of a string that do: each node makes a copy
ELEMENTS: Final = 4  # of a list that do
SORTED: Final = 8  # keys that an element to be sorted costs as much as


def _keys(db: Database, argv: Sequence[bytes]) -> int:
    return len(db.data)


def _scan(db: Database, argv: Sequence[bytes]) -> int:
    for option, argument in zip(argv[2::2], argv[3::2], strict=False):
        if option.upper() == b"COUNT":
            return min(parse_integer(argument) or 0, len(db.data))
    return 0


def _random_key(db: Database, argv: Sequence[bytes]) -> int:
    return DRAWN + (len(db.data) if 2 * db.volatile > len(db.data) else 0)


def length_of(db: Database, key: bytes) -> int:
    """Of the value under the key, in elements or bytes."""
    record = db.find(key)
    return len(record.value) if record is not None else 0


def _lcs(db: Database, argv: Sequence[bytes]) -> int:
    return length_of(db, argv[1]) * length_of(db, argv[2]) // CELLS


def _range(db: Database, argv: Sequence[bytes]) -> int:
    return _span(argv, length_of(db, argv[1])) // BYTES


def _bitmap(db: Database, argv: Sequence[bytes]) -> int:
    return length_of(db, argv[1]) // BYTES


def _list_range(db: Database, argv: Sequence[bytes]) -> int:
    return _span(argv, length_of(db, argv[1])) // ELEMENTS


def _list_search(db: Database, argv: Sequence[bytes]) -> int:
    return length_of(db, argv[1]) // ELEMENTS


def _sort(db: Database, argv: Sequence[bytes]) -> int:
    return length_of(db, argv[1]) * (SORTED + sum(word.upper() in (b"BY", b"GET") for word in argv[2:]))


def _span(argv: Sequence[bytes], length: int) -> int:
    """How much lies between the two places that the command names, of so much."""
    start, end = parse_integer(argv[2]), parse_integer(argv[3])
    if start is None or end is None:
        return 0
    start, end = (max(0, place + length) if place < 0 else min(place, length) for place in (start, end))
    return max(0, end - start)


def length_of_first(db: Database, argv: Sequence[bytes]) -> int:
    """Of the value under the command's first key."""
    return length_of(db, argv[1])


WEIGHED: Final[dict[bytes, Callable[[Database, Sequence[bytes]], int]]] = {
    b"KEYS": _keys,
    b"SCAN": _scan,
    b"RANDOMKEY": _random_key,
    b"LCS": _lcs,
    b"GETRANGE": _range,
    b"SUBSTR": _range,
    b"BITCOUNT": _bitmap,
    b"BITPOS": _bitmap,
    b"LRANGE": _list_range,
    b"LPOS": _list_search,
    b"SORT": _sort,
    b"SORT_RO": _sort,
}


def weigh(name: bytes, cost: Callable[[Database, Sequence[bytes]], int]) -> None:
    """Have such reads weighed: for a family's file to call."""
    WEIGHED[name] = cost


def refusal(db: Database, reads: Iterable[Sequence[bytes]]) -> str:
    """Why a transaction with these of WEIGHED's commands is not to be carried out; "" if it is."""
    total = 0
    for argv in reads:
        total += LEAST + WEIGHED[argv[0].upper()](db, argv)
        if total > LIMIT:
            return (
                f"the transaction's reads would look at more than {LIMIT} keys, or do as much other work: "
                "nothing of it was done; run KEYS, SCAN, LCS and the like outside of MULTI"
            )
    return ""

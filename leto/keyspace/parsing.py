"""The requests that an entry's payload holds (leto.keyspace.batch).

Total: for any bytes there are requests, each a list of one or more bytes objects, or InapplicableEntry. What a leader
appends is canonical, so that the quick way, hiredis, is enough to take it apart; what it may make of other bytes is
seen by the types alone.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from itertools import chain
from typing import Any

import hiredis

from leto.errors import InapplicableEntry
from leto.keyspace import batch
from leto.vocabulary.steps import LONG, exhaust, pieces

Watched = list[tuple[int, bytes]]  # (index, key)
Request = tuple[Watched | None, list[list[bytes]]]  # what a transaction watches (None: no transaction), its commands

_LARGE_ARRAY, _LARGE_PUSH = re.compile(rb"\*[0-9]{7}").search, re.compile(rb">[0-9]{7}").search
_STAR, _GREATER = b"*>"
_LISTS, _STRINGS = frozenset((list,)), frozenset((bytes,))
_AT = batch.HEADER.size  # where the requests begin
_END = b":0\r\n"  # fed behind them: it is met as a 0 only if nothing before it is incomplete
_spare: list[hiredis.Reader] = []  # read to their ends: to make one takes as long as to read a short request
_INDEX = re.compile(rb"[0-9]{1,19}").fullmatch


def _promises_much(payload: bytes) -> object:
    """Whether hiredis might allocate for a large array, of which nothing may come. A value may hold such words too: it
    is taken apart more slowly. One byte is looked for first, by its number, which costs nothing."""
    return (_STAR in payload and _LARGE_ARRAY(payload)) or (_GREATER in payload and _LARGE_PUSH(payload))


def parse(payload: bytes, count: int) -> list[list[bytes]]:
    """The commands of a batch of `count` requests. Raises InapplicableEntry if the payload does not hold exactly that,
    but for the number of those that are in transactions (group())."""
    if len(payload) >= batch.LARGE or _LARGE_ARRAY(payload) or (_GREATER in payload and _LARGE_PUSH(payload)):
        return exhaust(parsing(payload, count))
    reader = _spare.pop() if _spare else hiredis.Reader()
    try:
        if count == 1:
            reader.feed(payload, _AT)
            command = reader.gets()
            if command.__class__ is list and not reader.has_data():
                if command and _STRINGS.issuperset(map(type, command)):
                    _spare.append(reader)
                    return [command]
                raise InapplicableEntry("batch does not hold a whole request")
            commands: Any = [command]  # of a transaction, or no batch
        else:  # as one array of so many elements, which parses faster than they do one by one
            reader.feed(b"*%d\r\n" % count)
            reader.feed(payload, _AT)
            commands = reader.gets()
        reader.feed(_END)
        while (more := reader.gets()).__class__ is list:  # a transaction is several arrays
            commands.append(more)
    except InapplicableEntry:
        raise
    except Exception as error:
        raise InapplicableEntry(f"batch is not made of RESP arrays: {error}") from error
    if more != 0 or more is False or not _are_requests(commands):
        raise InapplicableEntry(f"batch does not hold {count} whole requests")
    if not reader.has_data():
        _spare.append(reader)
    return commands  # type: ignore[no-any-return]


def parsing(payload: bytes, count: int) -> Generator[None, None, list[list[bytes]]]:
    """parse() in steps."""
    if len(payload) >= batch.LARGE or _promises_much(payload):  # hiredis' copies cost more than a plain walk
        commands = yield from batch.splitting(payload)
        if commands is None:
            raise InapplicableEntry(f"batch does not hold {count} whole requests")
        return commands
    return parse(payload, count)


def _are_requests(commands: Any) -> bool:
    if commands.__class__ is not list or not (_LISTS.issuperset(map(type, commands)) and all(commands)):
        return False
    return _STRINGS.issuperset(map(type, chain.from_iterable(commands)))


def parse_pairs(payload: bytes, count: int) -> list[bytes]:
    """Key, value, key, value, ... of a batch of `count` SETs. Raises InapplicableEntry as parse() does."""
    if (_STAR in payload or _GREATER in payload) and _promises_much(payload):
        found = batch.split_strings(payload, _AT, 2 * count)
        if found is not None and found[1] == len(payload) and count:
            return found[0]
    else:
        reader = _spare.pop() if _spare else hiredis.Reader()
        try:
            if count == 1:
                reader.feed(payload, _AT)
                pairs: Any = [reader.gets(), reader.gets()]
            else:
                reader.feed(b"*%d\r\n" % (2 * count))
                reader.feed(payload, _AT)
                pairs = reader.gets()
            reader.feed(_END)
            end = reader.gets()
        except Exception as error:
            raise InapplicableEntry(f"batch is not made of RESP strings: {error}") from error
        if pairs.__class__ is list and pairs and end == 0 and end is not False:
            if not reader.has_data():
                _spare.append(reader)
            if _STRINGS.issuperset(map(type, pairs)):
                return pairs
    raise InapplicableEntry(f"batch does not hold {count} whole pairs of key and value")


class _Grouping:
    """The requests of a batch with transactions, plain commands gathered into runs."""

    __slots__ = ("_found", "_requests", "_run", "_watched")

    def __init__(self) -> None:
        self._requests: list[Request] = []
        self._run: list[list[bytes]] = []  # since the last MULTI or EXEC
        self._watched: Watched | None = None  # of the transaction that this is in
        self._found = 0

    def add(self, commands: list[list[bytes]]) -> None:
        """The next ones."""
        requests, run, watched, found = self._requests, self._run, self._watched, self._found
        for argv in commands:
            name = argv[0].upper()
            if name == b"MULTI" and watched is None:
                if run:
                    requests.append((None, run))
                run, watched = [], watched_by(argv)
            elif name == b"EXEC" and watched is not None:
                requests.append((watched, run))
                run, watched = [], None
                found += 1
            else:
                run.append(argv)
                found += watched is None
        self._run, self._watched, self._found = run, watched, found

    def ended(self, count: int) -> list[Request]:
        """All of them. Raises InapplicableEntry unless there are exactly `count`."""
        if self._watched is not None or self._found != count:
            raise InapplicableEntry(f"batch holds {self._found} whole requests, not {count}")
        if self._run:
            self._requests.append((None, self._run))
        return self._requests


def group(commands: list[list[bytes]], count: int) -> list[Request]:
    """The requests of a batch with transactions, plain commands gathered into runs.

    Raises InapplicableEntry unless there are exactly `count`.
    """
    grouped = _Grouping()
    grouped.add(commands)
    return grouped.ended(count)


def grouping(commands: list[list[bytes]], count: int) -> Generator[None, None, list[Request]]:
    """group() in steps."""
    grouped = _Grouping()
    for some in pieces(commands, LONG):
        grouped.add(some)
        yield
    return grouped.ended(count)


def watched_by(multi: list[bytes]) -> Watched:
    """MULTI's arguments. Raises InapplicableEntry unless they are pairs of an index and a key."""
    if len(multi) == 1:
        return []
    indexes, keys = multi[1::2], multi[2::2]
    if len(indexes) != len(keys) or not all(map(_INDEX, indexes)):
        raise InapplicableEntry("batch has a MULTI whose arguments are no pairs of index and key")
    return [(int(index), key) for index, key in zip(indexes, keys, strict=True)]

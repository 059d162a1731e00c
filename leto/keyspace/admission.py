"""Whether requests that come from elsewhere may be appended: as strict as a client's own requests are read.

A client's bytes are made canonical, and its commands looked up, before they reach the log (leto.resp). What a peer
forwards is only said to have been: whatever is let through here applies on every node, or fails as it would for a
client, with an error.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from leto.errors import InapplicableEntry, RequestRefused
from leto.keyspace import batch
from leto.keyspace.costs import WEIGHED
from leto.keyspace.parsing import grouping
from leto.vocabulary.registry import Command, Registry, above_level
from leto.vocabulary.replies import Error
from leto.vocabulary.steps import LONG, exhaust

MARKS = (b"MULTI", b"EXEC")


def check_requests(requests: bytes, count: int, *, commands: Registry, longest: int, level: int) -> None:
    """checking(), all its steps at once; no transaction's reads are taken to cost much."""
    exhaust(checking(requests, count, commands=commands, longest=longest, level=level))


def checking(
    requests: bytes,
    count: int,
    *,
    commands: Registry,
    longest: int,
    level: int,
    why_refused: Callable[[list[list[bytes]]], str] = lambda reads: "",
) -> Generator[None, None, None]:
    """Raise RequestRefused unless `requests` is the canonical RESP of exactly `count` requests that a client could
    have sent to be appended: known commands of the cluster's `level`, with the right number of words, none of them
    longer than `longest` bytes, at least one a write; outside transactions only quick reads beside them. `why_refused`
    is asked about a transaction's reads that may cost much. In steps: a forwarded transaction may be long."""
    found = yield from batch.splitting(requests, 0)
    if found is None or not 0 < count <= len(found):
        raise RequestRefused(f"what was forwarded is not {count} whole requests")
    try:
        grouped = yield from grouping(found, count)
    except InapplicableEntry as error:
        raise RequestRefused(f"what was forwarded cannot be applied: {error}") from error
    writes = 0
    for watched, run in grouped:
        for number, argv in enumerate(run):
            if number % LONG == LONG - 1:
                yield
            command = _checked(argv, commands, longest)
            if command.level > level:
                raise RequestRefused(above_level(command, level).text.decode().removeprefix("ERR "))
            writes += command.is_write
            if watched is None and not command.is_write and "fast" not in command.flags:
                raise RequestRefused(f"{command.full_name.decode()!r} is a read that does not go through the log")
        weighed = [argv for argv in run if argv[0].upper() in WEIGHED] if watched is not None else []
        if weighed and (why := why_refused(weighed)):
            raise RequestRefused(why)
        if watched and max(len(key) for _, key in watched) > longest:
            raise RequestRefused(f"a watched key is longer than {longest} bytes")
    if not writes:
        raise RequestRefused("what was forwarded holds no write")


def may_grow(requests: bytes, commands: Registry) -> bool:
    """Whether one of these, which are what is appended, may add to the data: Redis's flag denyoom."""
    found = batch.split(requests, 0)
    return found is None or any(
        not isinstance(command := commands.resolve(argv), Error) and "denyoom" in command.flags for argv in found
    )


def _checked(argv: list[bytes], commands: Registry, longest: int) -> Command:
    command = commands.resolve(argv)
    if isinstance(command, Error):
        raise RequestRefused(f"what was forwarded is refused: {command.text.decode('utf-8', 'replace')}")
    if command.subcommands or argv[0].upper() in MARKS:
        raise RequestRefused(f"{command.full_name.decode()!r} is no command by itself")
    if max(map(len, argv)) > longest:
        raise RequestRefused(f"a string is longer than {longest} bytes")
    return command

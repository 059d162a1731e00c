"""COMMAND: what the command table tells of itself. See https://redis.io/commands/command/."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from leto.clients.table import F, Known, command, help_command
from leto.commands.syntax import Argument, parse
from leto.resp.codec import Request
from leto.vocabulary.glob import PatternTooLong, compile_pattern
from leto.vocabulary.registry import Command
from leto.vocabulary.replies import SYNTAX_ERROR, Error, Reply, Set, Status

if TYPE_CHECKING:
    from leto.clients.session import Session

_FLAGS = "loading stale"
_EACH = "O(N) where N is the number of commands to look up"
_ALL = "O(N) where N is the total number of Redis commands"
_UNORDERED = "nondeterministic_output_order"


@command(
    "COMMAND",
    -1,
    _FLAGS,
    group="server",
    since="2.8.13",
    summary="Get array of Redis command details",
    complexity=_ALL,
    categories="connection",
    tips=_UNORDERED,
)
def command_(session: Session, argv: Request) -> Reply:
    return [describe(known) for known in session.state.table.known.values()]


def _sub(
    name: str, arity: int, since: str, summary: str, syntax: str, complexity: str, tips: str = ""
) -> Callable[[F], F]:
    return command(
        name,
        arity,
        _FLAGS,
        group="server",
        parent="COMMAND",
        since=since,
        summary=summary,
        syntax=syntax,
        complexity=complexity,
        categories="connection",
        tips=tips,
    )


help_command(
    "COMMAND",
    group="server",
    since="5.0.0",
    categories="connection",
    help=(
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
    ),
)


# COMMAND INFO ----------------------------------------------------------------------------------


def _statuses(words: Iterable[str]) -> Set:
    return Set([Status(word.encode()) for word in words])


def describe(known: Known) -> list[Reply]:
    """The entry of COMMAND and COMMAND INFO."""
    facts = known.command
    return [
        known.full_name.encode(),
        facts.arity,
        _statuses(sorted(facts.flags)),
        *facts.keys,
        _statuses("@" + category for category in sorted(facts.categories)),
        [tip.encode() for tip in facts.tips],
        [_specification(facts, number) for number in range(len(facts.key_flags))],
        [describe(sub) for sub in known.subcommands.values()],
    ]


def _specification(facts: Command, number: int) -> dict[bytes, Reply]:
    """Where keys stand: one specification for all of them, or one each when their flags differ."""
    flags, _, note = facts.key_flags[number].partition(":")
    notes = {b"notes": note.strip().encode()} if note else {}
    return {**notes, b"flags": _statuses(flags.split()), **_place(facts, number, note != "")}


def _place(facts: Command, number: int, is_unknown: bool) -> dict[bytes, Reply]:
    if is_unknown:
        unknown = {b"type": b"unknown", b"spec": {}}
        return {b"begin_search": unknown, b"find_keys": unknown}
    first, last, step = facts.keys
    if facts.numkeys and number == len(facts.key_flags) - 1:
        first = facts.numkeys
        kind, spec = b"keynum", {b"keynumidx": 0, b"firstkey": 1, b"keystep": 1}
    else:
        if len(facts.key_flags) > 1:
            first, last, step = first + number * step, first + number * step, 1
            if facts.keys[1] < 0 and number == len(facts.key_flags) - 1:
                last = facts.keys[1]  # all the rest
        kind = b"range"
        spec = {b"lastkey": last if last < 0 else last - first, b"keystep": step, b"limit": 0}
    return {
        b"begin_search": {b"type": b"index", b"spec": {b"index": first}},
        b"find_keys": {b"type": kind, b"spec": spec},
    }


@_sub(
    "INFO",
    -2,
    "2.8.13",
    "Get array of specific Redis command details, or all when no argument is given.",
    "[command-name [command-name ...]]",
    _EACH,
    _UNORDERED,
)
def info(session: Session, argv: Request) -> Reply:
    table = session.state.table
    if len(argv) == 2:
        return [describe(known) for known in table.known.values()]
    found = [table.find_path(name) for name in argv[2:]]
    return [None if known is None else describe(known) for known in found]


@_sub("COUNT", 2, "2.8.13", "Get total number of Redis commands", "", "O(1)")
def count(session: Session, argv: Request) -> Reply:
    return len(session.state.table.known)


@_sub(
    "LIST",
    -2,
    "7.0.0",
    "Get an array of Redis command names",
    "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
    _ALL,
    _UNORDERED,
)
def list_(session: Session, argv: Request) -> Reply:
    table = session.state.table
    if len(argv) == 2:
        return [known.full_name.encode() for known in table.all()]
    if len(argv) != 5 or argv[2].upper() != b"FILTERBY":
        return SYNTAX_ERROR
    kind, wanted = argv[3].upper(), argv[4]
    if kind == b"MODULE":
        return []
    if kind == b"ACLCAT":
        category = wanted.decode("latin-1").lower()
        return [known.full_name.encode() for known in table.all() if category in known.command.categories]
    if kind == b"PATTERN":
        try:
            matches = compile_pattern(wanted, nocase=True).match
        except PatternTooLong as error:
            return Error(f"ERR {error}".encode())
        return [name for known in table.all() if matches(name := known.full_name.encode())]
    return SYNTAX_ERROR


# COMMAND DOCS ------------------------------------------------------------------------------------


@_sub(
    "DOCS",
    -2,
    "7.0.0",
    "Get array of specific Redis command documentation",
    "[command-name [command-name ...]]",
    _EACH,
    _UNORDERED,
)
def docs(session: Session, argv: Request) -> Reply:
    table = session.state.table
    if len(argv) == 2:
        chosen = list(table.known.values())
    else:
        chosen = [known for name in argv[2:] if (known := table.find_path(name)) is not None]
    return {known.full_name.encode(): document(known) for known in chosen}


def document(known: Known) -> dict[bytes, Reply]:
    """The entry of COMMAND DOCS."""
    facts = known.command
    entry: dict[bytes, Reply] = {
        b"summary": facts.summary.encode(),
        b"since": facts.since.encode(),
        b"group": facts.group.encode(),
    }
    if facts.complexity:
        entry[b"complexity"] = facts.complexity.encode()
    if facts.deprecated_since:
        entry[b"doc_flags"] = _statuses(["deprecated"])
        entry[b"deprecated_since"] = facts.deprecated_since.encode()
        if facts.replaced_by:
            entry[b"replaced_by"] = facts.replaced_by.encode()
    arguments = parse(facts.syntax)
    if arguments:
        entry[b"arguments"] = _arguments(arguments, facts)
    if known.subcommands:
        entry[b"subcommands"] = {sub.full_name.encode(): document(sub) for sub in known.subcommands.values()}
    return entry


def _arguments(arguments: Iterable[Argument], facts: Command) -> list[Reply]:
    described: list[Reply] = []
    keys_seen = 0
    for argument in arguments:
        entry: dict[bytes, Reply] = {b"name": argument.name.encode(), b"type": argument.kind.encode()}
        if argument.kind == "key" and facts.has_keys:
            entry[b"key_spec_index"] = min(keys_seen, max(len(facts.key_flags) - 1, 0))
            keys_seen += 1
        if argument.token:
            entry[b"token"] = argument.token.encode()
        flags = [name for name in ("optional", "multiple", "multiple_token") if getattr(argument, name)]
        if flags:
            entry[b"flags"] = _statuses(flags)
        if argument.arguments:
            entry[b"arguments"] = _arguments(argument.arguments, facts)
        described.append(entry)
    return described


# COMMAND GETKEYS -----------------------------------------------------------------------------------


def _resolve(session: Session, request: Request) -> Known | Error:
    known = session.state.table.find(request[0])
    if known is not None and known.subcommands and len(request) > 1:
        known = known.subcommands.get(request[1].upper())
    if known is None:
        return Error(b"ERR Invalid command specified")
    if not known.command.has_keys:
        return Error(b"ERR The command has no key arguments")
    if not known.low <= len(request) <= known.high:
        return Error(b"ERR Invalid number of arguments specified for command")
    return known


def _places(facts: Command, request: Request) -> list[int] | Error:
    """Where the request's keys stand."""
    try:
        return facts.key_places(request)
    except ValueError:
        return Error(b"ERR Invalid arguments specified for command")


@_sub(
    "GETKEYS",
    -4,
    "2.8.13",
    "Extract keys given a full Redis command",
    "command [arg [arg ...]]",
    "O(N) where N is the number of arguments to the command",
)
def getkeys(session: Session, argv: Request) -> Reply:
    request = argv[2:]
    known = _resolve(session, request)
    if isinstance(known, Error):
        return known
    places = _places(known.command, request)
    return places if isinstance(places, Error) else [request[at] for at in places]


@_sub(
    "GETKEYSANDFLAGS",
    -4,
    "7.0.0",
    "Extract keys and access flags given a full Redis command",
    "command [arg [arg ...]]",
    "O(N) where N is the number of arguments to the command",
)
def getkeysandflags(session: Session, argv: Request) -> Reply:
    request = argv[2:]
    known = _resolve(session, request)
    if isinstance(known, Error):
        return known
    flags = known.command.key_flags
    if known.command.name == b"SET":  # its one key is read only if the request asks for the old value
        flags = ("RW access update" if any(word.upper() == b"GET" for word in request[3:]) else "OW update",)
    places = _places(known.command, request)
    if isinstance(places, Error):
        return places
    alike = known.command.more_keys is None
    last = len(flags) - 1
    described: list[Reply] = []
    for number, at in enumerate(places):
        words = flags[min(number, last) if alike or number == 0 else last].partition(":")[0] if flags else ""
        described.append([request[at], _statuses(words.split())])
    return described

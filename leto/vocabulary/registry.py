"""The command table: one registered function a command, with everything Redis tells about it.

One place per fact: COMMAND, COMMAND DOCS, ACL categories, arity checks and the README's table come from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from leto.vocabulary.levels import BASE
from leto.vocabulary.numbers import parse_integer
from leto.vocabulary.replies import Error

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Command:
    """One command (or subcommand). `function(context, argv)`: argv is the whole request, argv[0] the command's
    own name; a subcommand's function gets it whole too (argv[1] is the subcommand).

    `arity` as Redis counts it (the names included; negative: at least). `keys`: (first, last, step) positions
    as in COMMAND, (0, 0, 0) for none. `numkeys`: where the number of keys stands that follow it, beside `keys`.
    `more_keys(argv)`: where others stand, which no position tells. `syntax`: the arguments as redis.io writes them;
    COMMAND DOCS parses it. `key_flags`: the flags of COMMAND INFO's key specifications; several of them mean one
    specification a key, and the last is that of `numkeys`.
    A command with subcommands is only their container: its own function is never called.
    `level`: 1 for what has been there always; a new command has a higher one than all before it.
    """

    name: bytes  # upper case
    arity: int
    flags: frozenset[str]
    keys: tuple[int, int, int]
    function: Callable[..., Any]
    group: str
    since: str
    summary: str
    complexity: str
    syntax: str
    categories: frozenset[str]
    is_write: bool
    subcommands: dict[bytes, Command]
    parent: bytes = b""  # upper-case name of the container of a subcommand
    tips: tuple[str, ...] = ()
    key_flags: tuple[str, ...] = ()  # each as COMMAND INFO lists them: "RW access update"
    deprecated_since: str = ""
    replaced_by: str = ""
    level: int = BASE  # since which it is understood (leto.vocabulary.levels)
    numkeys: int = 0
    more_keys: Callable[[Sequence[bytes]], Sequence[int]] | None = None

    @property
    def full_name(self) -> bytes:
        """As Redis writes it in errors and statistics: b"get", b"object|encoding"."""
        return (self.parent + b"|" + self.name if self.parent else self.name).lower()

    def takes(self, count: int) -> bool:
        """Whether a request of `count` words satisfies the arity."""
        return count == self.arity if self.arity >= 0 else count >= -self.arity

    @property
    def has_keys(self) -> bool:
        """Whether a request may name keys."""
        return self.keys[0] > 0 or self.numkeys > 0

    def key_places(self, argv: Sequence[bytes]) -> list[int]:
        """Where the keys stand in the request. Raises ValueError if it says that there are more, or none."""
        first, last, step = self.keys
        words = len(argv)
        places = list(range(first, (words + last if last < 0 else last) + 1, step)) if first else []
        if self.numkeys:
            count = parse_integer(argv[self.numkeys])
            start = self.numkeys + 1
            if count is None or not 0 < count <= words - start:
                raise ValueError("the number of keys is not that of what follows")
            places += range(start, start + count)
        if self.more_keys is not None:
            places += self.more_keys(argv)
        return places


class Registry(dict[bytes, Command]):
    """Upper-case name -> Command."""

    def add(
        self,
        name: str,
        arity: int,
        flags: str,
        *,
        keys: tuple[int, int, int] = (0, 0, 0),
        group: str,
        since: str,
        summary: str,
        complexity: str = "O(1)",
        syntax: str = "",
        categories: str = "",
        parent: str = "",
        tips: str = "",
        key_flags: str = "",
        deprecated_since: str = "",
        replaced_by: str = "",
        level: int = BASE,
        numkeys: int = 0,
        more_keys: Callable[[Sequence[bytes]], Sequence[int]] | None = None,
    ) -> Callable[[F], F]:
        """Register the decorated function. `flags` as COMMAND INFO prints them, space-separated
        ("write denyoom fast"); `parent` makes it a subcommand of a command registered before;
        `tips` space-separated; `key_flags`: "RW access; OW update" for two specifications, and "OW update: note" for
        one of which no position tells."""

        def register(function: F) -> F:
            flag_set = frozenset(flags.split())
            command = Command(
                name=name.upper().encode(),
                arity=arity,
                flags=flag_set,
                keys=keys,
                function=function,
                group=group,
                since=since,
                summary=summary,
                complexity=complexity,
                syntax=syntax,
                categories=frozenset(categories.split()),
                is_write="write" in flag_set,
                subcommands={},
                parent=parent.upper().encode(),
                tips=tuple(tips.split()),
                key_flags=tuple(part.strip() for part in key_flags.split(";") if part.strip()),
                deprecated_since=deprecated_since,
                replaced_by=replaced_by,
                level=level,
                numkeys=numkeys,
                more_keys=more_keys,
            )
            table = self[parent.upper().encode()].subcommands if parent else self
            if command.name in table:
                raise ValueError(f"command {name} is registered twice")
            table[command.name] = command
            return function

        return register

    def levels(self) -> Iterator[int]:
        """Of all commands and subcommands."""
        for command in self.values():
            yield command.level
            yield from (subcommand.level for subcommand in command.subcommands.values())

    def find(self, argv: Sequence[bytes]) -> Command | None:
        """The command (or subcommand) that the request names."""
        command = self.get(argv[0].upper())
        if command is not None and command.subcommands and len(argv) > 1:
            return command.subcommands.get(argv[1].upper())
        return command

    def resolve(self, argv: Sequence[bytes]) -> Command | Error:
        """The command (or subcommand) that the request names, its arity checked; else Redis's error for it."""
        command = self.get(argv[0].upper())
        if command is None:
            return unknown_command(argv)
        if command.subcommands and len(argv) > 1:
            subcommand = command.subcommands.get(argv[1].upper())
            if subcommand is None:
                text = b"unknown subcommand '%b'. Try %b HELP." % (_text(argv[1], 128), command.name)
                return Error(b"ERR " + _one_line(text))
            command = subcommand
        return command if command.takes(len(argv)) else wrong_arity(command)


Spellings = dict[bytes, tuple[Callable[..., Any], int, int]]
UNBOUNDED = 1 << 62


def spellings(commands: Iterable[Command]) -> Spellings:
    """(function, least words, most words) by name, in upper and lower case. What is not here goes the long way."""
    found: Spellings = {}
    for command in commands:
        if not command.subcommands:
            most = command.arity if command.arity >= 0 else UNBOUNDED
            found[command.name] = found[command.name.lower()] = (command.function, abs(command.arity), most)
    return found


def unknown_command(argv: Sequence[bytes]) -> Error:
    """Redis's answer to a command that it does not know, with the first 128 bytes of the arguments."""
    arguments = b""
    for argument in argv[1:]:
        if len(arguments) >= 128:
            break
        arguments += b"'%b' " % _text(argument, 128 - len(arguments))
    text = b"unknown command '%b', with args beginning with: %b" % (_text(argv[0], 128), arguments)
    return Error(b"ERR " + _one_line(text))


def wrong_arity(command: Command) -> Error:
    """Redis's answer to a known command with too few or too many arguments."""
    return Error(b"ERR wrong number of arguments for '%b' command" % command.full_name)


def above_level(command: Command, level: int) -> Error:
    """The answer to a command that not every member understands."""
    return Error(
        b"ERR the command '%b' is understood from level %d on, and this cluster is at level %d: "
        b"each member must run a version that knows it" % (command.full_name, command.level, level)
    )


def _text(argument: bytes, limit: int) -> bytes:
    """As C prints it: up to a NUL, at most `limit` bytes."""
    return argument[:limit].split(b"\0", 1)[0]


def _one_line(text: bytes) -> bytes:
    """Without line ends, so that an error reply stays one line."""
    return text.replace(b"\r", b" ").replace(b"\n", b" ")


KEYSPACE = Registry()  # commands of the data: function(db, argv); write ones go through the log

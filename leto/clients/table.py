"""Every command that a client can send, looked up: the keyspace's and the connection's, with their counters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from leto.vocabulary.levels import BASE
from leto.vocabulary.registry import Command, Registry, above_level, wrong_arity
from leto.vocabulary.replies import Error, Reply, Status

F = TypeVar("F", bound=Callable[..., Any])

CONNECTION = Registry()  # commands that a node answers itself: function(session, argv)


class NoReply:
    """What a command's function returns when nothing is to be sent."""


NO_REPLY = NoReply()
LOCAL, READ, WRITE = 0, 1, 2  # READ | WRITE: both occur

_QUICK_BITS = 4
QUICK = 1 << _QUICK_BITS  # microseconds: calls that take less are only counted, and are one bucket of the histogram
_LONGEST_BITS = 20  # the last bucket, about a second, holds what took longer too


_TAKES_TIME: set[bytes] = set()  # full names of commands whose reply may be a Run or a Deferred
_AT_EXEC: dict[bytes, Callable[..., Reply]] = {}  # by full name: how EXEC carries them out


def command(
    name: str,
    arity: int,
    flags: str,
    *,
    group: str,
    categories: str = "",
    parent: str = "",
    takes_time: bool = False,
    at_exec: Callable[..., Reply] | None = None,
    **facts: Any,
) -> Callable[[F], F]:
    """Register a command of CONNECTION. Its ACL categories fast or slow, admin and dangerous, and connection follow
    from the flags and the group. Its function returns a Reply or NO_REPLY, or with `takes_time` also a Run or a
    Deferred of a Reply; MULTI refuses such a command, which could not be answered at EXEC's instant, unless `at_exec`
    can: it is called then instead, while the state machine stands where the transaction left or read it."""
    flag_set = flags.split()
    words = ["fast" if "fast" in flag_set else "slow", *categories.split()]
    if "admin" in flag_set:
        words += ["admin", "dangerous"]
    if group == "connection":
        words.append("connection")
    full_name = (f"{parent}|{name}" if parent else name).lower().encode()
    if at_exec is not None:
        _AT_EXEC[full_name] = at_exec
    elif takes_time:
        _TAKES_TIME.add(full_name)
    return CONNECTION.add(name, arity, flags, group=group, categories=" ".join(words), parent=parent, **facts)


def container(name: str, *, group: str, since: str, summary: str, help: Sequence[str]) -> None:
    """Register a command that only has subcommands, and its HELP: `help` are the lines between first and last."""

    @CONNECTION.add(
        name, -2, "", group=group, since=since, summary=summary, complexity="Depends on subcommand.", categories="slow"
    )
    def never_called(session: Any, argv: Sequence[bytes]) -> Reply:
        return wrong_arity(CONNECTION[name.encode()])

    help_command(name, group=group, since="5.0.0", help=help)


def help_command(name: str, *, group: str, since: str, help: Sequence[str], categories: str = "") -> None:
    """Register the HELP of a command with subcommands."""
    lines = [f"{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", *help]
    lines += ["HELP", "    Prints this help."]

    @command(
        "HELP",
        2,
        "loading stale",
        group=group,
        since=since,
        parent=name,
        categories=categories,
        summary="Show helpful text about the different subcommands",
    )
    def help_(session: Any, argv: Sequence[bytes]) -> Reply:
        return [Status(line.encode()) for line in lines]


class Known:
    """One command or subcommand, ready for the hot path, and what was counted of it."""

    __slots__ = (
        "at_exec",
        "calls",
        "command",
        "failed",
        "fast",
        "full_name",
        "high",
        "kind",
        "level",
        "long",
        "low",
        "may_grow",
        "microseconds",
        "no_auth",
        "no_multi",
        "once",
        "rejected",
        "subcommands",
    )

    def __init__(self, command: Command, kind: int) -> None:
        self.command = command
        self.full_name: str = command.full_name.decode()  # "client|kill"
        self.kind = kind
        self.low = abs(command.arity)  # arguments, the name included
        self.high = command.arity if command.arity > 0 else sys.maxsize
        self.fast = "fast" in command.flags
        self.may_grow = "denyoom" in command.flags  # it may add to the data
        self.level = command.level
        self.no_auth = "no_auth" in command.flags
        self.no_multi = "no_multi" in command.flags or command.full_name in _TAKES_TIME
        self.at_exec: Callable[..., Reply] = _AT_EXEC.get(command.full_name, command.function)
        self.subcommands = {
            sub.name: Known(sub, WRITE if sub.is_write and kind != LOCAL else kind)
            for sub in command.subcommands.values()
        }
        self.once = ((self, 1),)  # the tally of a run that is one call of it
        self.calls = 0
        self.microseconds = 0.0
        self.long: dict[int, int] = {}  # calls of at least QUICK microseconds, by the bits of their microseconds
        self.rejected = 0
        self.failed = 0

    def count_long(self, microseconds: float, calls: int = 1) -> None:
        """That many of the calls took about so long, which is not less than QUICK."""
        bits = min(int(microseconds).bit_length(), _LONGEST_BITS)
        self.long[bits] = self.long.get(bits, 0) + calls

    def histogram(self) -> dict[int, int]:
        """Upper bound in microseconds, a power of two -> calls that took at most so long; none that would add none."""
        quick = self.calls - sum(self.long.values())
        found = {QUICK: quick} if quick > 0 else {}
        total = max(quick, 0)
        for bits, calls in sorted(self.long.items()):
            total += calls
            found[1 << bits] = total
        return found

    def reset(self) -> None:
        self.calls = self.rejected = self.failed = 0
        self.microseconds = 0.0
        self.long.clear()
        for sub in self.subcommands.values():
            sub.reset()


class CommandTable:
    """Look-up by a request's words. `level` tells the cluster's: commands above it are known, and refused. Raises
    ValueError if a command is in both registries."""

    def __init__(self, keyspace: Registry, connection: Registry, level: Callable[[], int]) -> None:
        self._level = level
        both = keyspace.keys() & connection.keys()
        if both:
            raise ValueError(f"{sorted(both)} are both the keyspace's and the connection's")
        self._registry = Registry(keyspace | connection)
        self.known: dict[bytes, Known] = {}
        for command in keyspace.values():
            self.known[command.name] = Known(command, WRITE if command.is_write else READ)
        for command in connection.values():
            self.known[command.name] = Known(command, LOCAL)
        # The spellings that clients use, so that the hot path looks names up as they come.
        self.spelled: dict[bytes, Known] = {}
        for known in self.known.values():
            if known.level <= BASE:
                self._spell(known)

    def _spell(self, known: Known) -> None:
        name = known.command.name
        for spelling in (name, name.lower(), name.capitalize()):
            self.spelled[spelling] = known

    def find(self, name: bytes) -> Known | None:
        return self.spelled.get(name) or self.known.get(name.upper())

    def resolve(self, argv: Sequence[bytes]) -> Known | Error:
        """The command, or subcommand, that `argv` calls; else the error Redis gives, unknown or wrong arity, or why not
        every member of the cluster understands it."""
        known = self.find(argv[0])
        if known is not None and known.subcommands and len(argv) > 1:
            known = known.subcommands.get(argv[1].upper())
        if known is None:
            error = self._registry.resolve(argv)
            assert isinstance(error, Error)
            return error
        if not known.low <= len(argv) <= known.high:
            known.rejected += 1
            return wrong_arity(known.command)
        if known.level > BASE:
            level = self._level()
            if known.level > level:
                known.rejected += 1
                return above_level(known.command, level)
            if not known.command.parent:
                self._spell(known)  # the level never falls
        return known

    def find_path(self, name: bytes) -> Known | None:
        """By the name COMMAND INFO takes: "get", "client|kill"."""
        first, bar, second = name.partition(b"|")
        known = self.find(first)
        if bar and known is not None:
            return known.subcommands.get(second.upper())
        return known

    def all(self) -> Iterator[Known]:
        """Every command, then its subcommands."""
        return _walk(self.known.values())


def _walk(some: Iterable[Known]) -> Iterator[Known]:
    for known in some:
        yield known
        yield from _walk(known.subcommands.values())

"""The command table: one registered function a command, with everything Redis tells about it.

One place per fact: COMMAND, COMMAND DOCS, ACL categories, arity checks and the README's table come from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Command:
    """One command (or subcommand). `function(context, argv)`: argv[0] is the command's own name.

    `arity` as Redis counts it (the name included; negative: at least). `keys`: (first, last, step) positions
    as in COMMAND, (0, 0, 0) for none. `syntax`: the arguments as redis.io writes them; COMMAND DOCS parses it.
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
    ) -> Callable[[F], F]:
        """Register the decorated function. `flags` as COMMAND INFO prints them, space-separated
        ("write denyoom fast"); `parent` makes it a subcommand of a command registered before."""

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
            )
            table = self[parent.upper().encode()].subcommands if parent else self
            if command.name in table:
                raise ValueError(f"command {name} is registered twice")
            table[command.name] = command
            return function

        return register


KEYSPACE = Registry()  # commands of the data: function(db, argv); write ones go through the log

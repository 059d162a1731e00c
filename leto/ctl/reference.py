"""The README's table of commands, made from the command table: `python -m leto.ctl.reference README.md` renews it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import leto.keyspace.commands  # noqa: F401 - registers the keyspace's commands
from leto.commands import CONNECTION
from leto.vocabulary.registry import KEYSPACE, Command

BEGIN = "<!-- commands: made by `python -m leto.ctl.reference README.md`; a test keeps it true -->"
END = "<!-- end of commands -->"
TITLES = {
    "string": "Strings",
    "hash": "Hashes",
    "list": "Lists",
    "set": "Sets",
    "sorted-set": "Sorted sets",
    "bitmap": "Bitmaps",
    "hyperloglog": "HyperLogLog",
    "geo": "Geo",
    "stream": "Streams",
    "generic": "Keys",
    "transactions": "Transactions",
    "pubsub": "Pub/Sub",
    "scripting": "Scripting and functions",
    "connection": "Connection",
    "server": "Server",
    "cluster": "Cluster",
}
"""By the groups of COMMAND DOCS, in the order of the table."""


def table(commands: Iterable[Command] = (*KEYSPACE.values(), *CONNECTION.values())) -> str:
    """Markdown: a row for each group that has commands, subcommands behind their container. Raises ValueError for a
    command of a group without a title."""
    groups: dict[str, list[Command]] = {}
    for command in commands:
        if command.group not in TITLES:
            raise ValueError(f"{command.name.decode()} is of the group {command.group!r}, which has no title here")
        groups.setdefault(command.group, []).append(command)
    rows = ["| group | commands |", "|---|---|"]
    for group, title in TITLES.items():
        if group in groups:
            rows.append(f"| {title} | {', '.join(_names(sorted(groups[group], key=lambda c: c.name)))} |")
    return "\n".join(rows)


def _names(commands: Iterable[Command]) -> Iterable[str]:
    for command in commands:
        name = command.name.decode()
        if command.subcommands:
            name += " " + " ".join(sorted(sub.decode() for sub in command.subcommands))
        yield f"`{name}`"


def renewed(text: str) -> str:
    """`text` with the table between its marks made anew. Raises ValueError if it has no such marks."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(text):
        raise ValueError("the marks around the table of commands are missing")
    return pattern.sub(lambda _: f"{BEGIN}\n{table()}\n{END}", text)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text()))

"""The README's table of commands, made from the command table: `python -m leto.ctl.reference README.md` renews it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import leto.keyspace.commands  # noqa: F401 - registers the keyspace's commands
from leto.commands import CONNECTION
from leto.keyspace.registry import KEYSPACE, Command

BEGIN = "<!-- commands: made by `python -m leto.ctl.reference README.md`; a test keeps it true -->"
END = "<!-- end of commands -->"
TITLES = {
    "string": "Strings",
    "generic": "Keys",
    "transactions": "Transactions",
    "scripting": "Programs",
    "connection": "Connection",
    "server": "Server",
    "cluster": "Cluster",
}


def table() -> str:
    """Markdown: a row a group of commands, subcommands behind their container."""
    groups: dict[str, list[Command]] = {}
    for command in (*KEYSPACE.values(), *CONNECTION.values()):
        if command.group in TITLES:
            groups.setdefault(command.group, []).append(command)
    rows = ["| group | commands |", "|---|---|"]
    for group, title in TITLES.items():
        rows.append(f"| {title} | {', '.join(_names(sorted(groups.get(group, []), key=lambda c: c.name)))} |")
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

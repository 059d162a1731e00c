"""What documents tell of commands and settings, made from their tables.

`python -m leto.ctl.reference README.md docs/options.md docs/compatibility.md` renews the README's table of commands,
and the pages of options and of compatibility.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import leto.keyspace.commands  # noqa: F401 - registers the keyspace's commands
from leto.commands import CONNECTION
from leto.commands.inert_settings import INERT
from leto.config.kinds import UNBOUNDED
from leto.config.settings import Option, groups
from leto.ctl import compatibility
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


_PAGE = """\
# Options

Made by `python -m leto.ctl.reference README.md docs/options.md` from the table of settings, \
`leto/config/settings.py`. A test keeps it true.

An option is given on the command line (`--heartbeat-ms 100`), as a variable (`LETO_HEARTBEAT_MS=100`) or in the file \
that `--config` names (`heartbeat-ms = 100`, TOML). The command line wins over the environment, the environment over \
the file. Sizes take `kb`, `mb` and `gb`, with Redis's meaning.

- **CONFIG GET** shows every option by its name here, or by Redis's name where that is another.
- **CONFIG SET** changes those marked *runtime* while the node runs, on that node alone and until it restarts.
- **CONFIG REWRITE** writes into the file what CONFIG SET has changed. Comments, and all that was not changed, stay as \
they are. The log names an option that the command line or the environment gives as well: those win at the next start. \
A password is not written: while one that CONFIG SET gave is in force, the command is refused.
- **Secrets** are `LETO_REQUIREPASS` and `LETO_CLUSTER_SECRET`, or files that options name. No option holds one.
"""
_INERT = """\

## Redis's settings that steer nothing here

CONFIG SET takes these in Redis's bounds, and CONFIG GET shows what was set. Each has nothing to act on in Leto, or \
concerns what Leto does at all times. They are no options, and CONFIG REWRITE leaves them out. `maxmemory` takes 0 \
alone.

"""


def options_page() -> str:
    """docs/options.md."""
    lines = [_PAGE.rstrip("\n")]
    for title, options in groups().items():
        lines += ["", f"## {title}", "", "| option | default | bounds | what it is |", "|---|---|---|---|"]
        for option in options:
            of = option.of
            default = f"`{option.default()}`" if option.default() else ""
            about = of.help
            if of.redis:
                about += f" (Redis: `{of.redis}`)"
            if of.settable:
                about += " *runtime*"
            metavar = of.metavar.replace("|", "\\|")
            lines.append(f"| `--{option.name}` {metavar} | {default} | {_bounds(option)} | {about} |")
    names = ", ".join(f"`{name}`" for name in sorted(INERT))
    return "\n".join(lines) + "\n" + _INERT + names + "\n"


def _bounds(option: Option) -> str:
    of = option.of
    if of.kind not in ("count", "number", "size"):
        return ""
    show: Callable[[Any], str] = of.show
    if of.most < UNBOUNDED:
        return f"{show(int(of.least))} to {show(int(of.most))}"
    return f"{show(int(of.least))} or more" if of.least else ""


_COMPATIBILITY = """\
# Compatibility with Redis

Made by `python -m leto.ctl.reference README.md docs/options.md docs/compatibility.md` from the command table. A test \
keeps it true.

Every command of Redis up to 7.4 stands here, and those on hashes of 8.0, with whether Leto has it. What it has \
answers as Redis does: random commands at both are compared, byte for byte \
([reliability](reliability.md#the-replies-of-redis)).
"""


def compatibility_page() -> str:
    """docs/compatibility.md."""
    there = compatibility.here({**KEYSPACE, **CONNECTION})
    pages = {group: list(compatibility.rows(group, there)) for group in compatibility.COMMANDS}
    all_rows = [row for page in pages.values() for row in page]
    has = sum(not about.startswith("no") for _, about in all_rows)
    lines = [_COMPATIBILITY, f"Leto has {has} of the {len(all_rows)} names, subcommands included."]
    for group, page in pages.items():
        lines += ["", f"## {TITLES.get(group, group.capitalize())}", ""]
        plain = [f"`{name}`" for name, about in page if about == "yes"]
        if plain:
            lines.append("As in Redis: " + ", ".join(plain) + ".")
        said: dict[str, list[str]] = {}
        for name, about in page:
            if about != "yes":
                said.setdefault(about, []).append(f"`{name}`")
        if said:
            lines += ["", "| commands | |", "|---|---|"]
            lines += [f"| {', '.join(names)} | {about} |" for about, names in said.items()]
    return "\n".join(lines) + "\n"


DOCUMENTS: Mapping[str, Callable[[str], str]] = {
    "README.md": renewed,
    "options.md": lambda _: options_page(),
    "compatibility.md": lambda _: compatibility_page(),
}
"""By the names of their files: what becomes of their text."""

if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(DOCUMENTS[path.name](path.read_text() if path.exists() else ""))

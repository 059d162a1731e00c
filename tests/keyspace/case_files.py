"""What Redis 7.0.15 answers and tells of its commands: `cases/<file>.txt` for each file of leto/keyspace/commands.

`= name arity flag ... first last step` is a command as COMMAND INFO lists it. After `# title` comes a session against
an empty database, `command -> reply` lines in order. In a command, words are split at spaces and may be Python bytes
escapes (\\x00); `""` is an empty word. Replies: +status, -error, an integer, nil, *nil (a null array), "bulk",
[reply, ...]. `wait n` lets n milliseconds pass.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from leto.vocabulary.registry import Command
from leto.vocabulary.replies import NULL_ARRAY, Error, Status

FOLDER = Path(__file__).parent / "cases"
Step = tuple[list[bytes] | int, object]


class Family:
    """The cases of one file of commands."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.text = path.read_text()

    @property
    def facts(self) -> set[str]:
        """`name arity flag ... first last step` of each command and subcommand."""
        return {line.removeprefix("= ") for line in self.text.split("\n") if line.startswith("= ")}

    @property
    def scripts(self) -> Iterator[tuple[str, list[Step]]]:
        """(title, [(words, reply) or (milliseconds, None)])."""
        for section in self.text.split("\n# ")[1:]:
            title, *lines = section.strip().split("\n")
            yield title, [_step(line) for line in lines if line]

    @property
    def called(self) -> set[bytes]:
        """The names of all commands that its scripts call, in capitals."""
        return {words[0].upper() for _, steps in self.scripts for words, _ in steps if isinstance(words, list)}


def facts(command: Command) -> str:
    """What Redis's COMMAND INFO lists of it, in a line."""
    words = (command.full_name.decode(), command.arity, *sorted(command.flags), *command.keys)
    return " ".join(map(str, words))


FAMILIES = {path.stem: Family(path) for path in sorted(FOLDER.glob("*.txt"))}


def all_scripts() -> Iterator[tuple[str, list[Step]]]:
    """Those of every family."""
    for family in FAMILIES.values():
        yield from family.scripts


def _step(line: str) -> Step:
    if line.startswith("wait "):
        return int(line[5:]), None
    command, _, reply = line.partition(" -> ")
    return [_word(word) for word in command.split()], _reply(reply)


def _word(text: str) -> bytes:
    """One word of a command: Python's bytes escapes."""
    return b"" if text == '""' else text.encode().decode("unicode_escape").encode("latin-1")


def _reply(text: str) -> object:
    """The reply that the right side of an arrow describes."""
    if text.startswith("+"):
        return Status(text[1:].encode())
    if text.startswith("-") and text[1:2].isalpha():
        return Error(text[1:].encode())
    if text == "*nil":
        return NULL_ARRAY
    return _as_reply(ast.literal_eval(text.replace("nil", "None")))


def _as_reply(value: object) -> object:
    if isinstance(value, list):
        return [_as_reply(item) for item in value]
    return value.encode("latin-1") if isinstance(value, str) else value

"""What COMMAND INFO lists of the connection's commands: as Redis 7 does, `cases/<file>.txt` for each file of them.

CLIENT SETINFO and NO-TOUCH are Redis 7.2's, and JOIN, LEAVE, SNAPSHOT and RAFT are Leto's own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from leto.commands import CONNECTION
from leto.vocabulary.registry import Command
from tests.keyspace.case_files import Family, facts

FOLDER = Path(__file__).parent / "cases"


def file_of(command: Command) -> str:
    """The file of leto/commands that has it; of a container, that has its subcommands."""
    modules = [one.function.__module__ for one in (command, *command.subcommands.values())]
    return next(module for module in modules if module.startswith("leto.commands.")).rpartition(".")[2]


FILES: dict[str, list[Command]] = {}
for _command in CONNECTION.values():
    FILES.setdefault(file_of(_command), []).append(_command)


@pytest.mark.parametrize("file", FILES)
def test_arity_flags_and_keys_are_redis_own(file: str) -> None:
    path = FOLDER / f"{file}.txt"
    assert path.exists(), f"write tests/commands/cases/{file}.txt: what COMMAND INFO lists of the commands of {file}.py"
    ours = {facts(one) for command in FILES[file] for one in (command, *command.subcommands.values())}
    assert ours == Family(path).facts, (
        f"the lines with = in tests/commands/cases/{file}.txt are what COMMAND INFO lists"
    )


def test_every_file_of_facts_is_one_of_commands() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(FILES)

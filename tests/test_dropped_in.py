"""docs/adding-a-command.md, followed word for word in a copy of the project: files that are dropped in are all there is
to do, for a type with its commands and for a command of the connection."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "adding-a-command.md").read_text()
PARTS = ("leto", "tests", "docs", "twisted", "README.md", "ARCHITECTURE.md", "setup.cfg")
HELD = (
    "tests/keyspace/test_keyspace_commands.py",
    "tests/keyspace/test_keyspace_table.py",
    "tests/keyspace/test_keyspace_admission.py",
    "tests/commands/test_commands_facts.py",
    "tests/commands/test_commands_introspection.py",
    "tests/commands/test_commands_levels.py",
    "tests/ctl/test_command_reference.py",
    "tests/replica/test_levels.py",
    "tests/replica/test_members_kept.py",
    "tests/vocabulary/test_vocabulary_earlier.py",
    "tests/test_books.py",
    "tests/test_layers.py",
    "tests/test_purity.py",
)
"""What tells of commands or depends on this version's level, and must have nothing to complain about."""


def blocks(kind: str) -> list[str]:
    """The document's blocks of code of that kind."""
    return re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, re.DOTALL)


_, TYPE, COMMANDS, CONNECTION = blocks("python")
_, BAGS, WHOAMI = re.findall(r"```\n(= .*?)```", DOCUMENT, re.DOTALL)
FILES = {
    "leto/keyspace/types/bag.py": TYPE,
    "leto/keyspace/commands/bags.py": COMMANDS,
    "tests/keyspace/cases/bags.txt": BAGS,
    "leto/commands/whoami.py": CONNECTION,
    "tests/commands/cases/whoami.txt": WHOAMI,
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project, with the document's files in it."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, tmp_path / part)
    for name, text in FILES.items():
        folder, _, file = name.rpartition("/")
        assert f"`{file}`" in DOCUMENT and f"`{folder}/" in DOCUMENT, "a reader must be told where it goes"
        (tmp_path / name).write_text(text)
    return tmp_path


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, in the copy and with its modules."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=100,
    )


TRY = """
from tests.clients.conversation import Node
client = Node().client()
client.node.replica.machine.level = 2
print(client.call("BAGADD", "b", "x"), client.call("TYPE", "b"), client.call("WHOAMI"))
print(client.call("COMMAND", "INFO", "bagadd", "whoami")[0][:2], len(client.call("COMMAND", "DOCS", "bagcount")))
"""


def test_what_is_dropped_in_works_and_every_net_holds(copy: Path) -> None:
    renewed = run(copy, "-m", "leto.ctl.reference", "README.md")
    assert renewed.returncode == 0, renewed.stderr
    readme = (copy / "README.md").read_text()
    assert "`BAGADD`" in readme and "`WHOAMI`" in readme
    tried = run(copy, "-c", TRY)
    assert tried.stdout == "1 b'bag' [b'127.0.0.1:50000', None]\n[b'bagadd', 3] 2\n", tried.stderr
    held = run(copy, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *HELD)
    assert held.returncode == 0, held.stdout[-3000:]
    simulated = run(copy, "-m", "tests.simulation", "--seeds", "2", "--steps", "600")
    assert simulated.returncode == 0, simulated.stdout[-3000:] + simulated.stderr[-3000:]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "tests/keyspace/cases/bags.txt",
            "write tests/keyspace/cases/bags.txt: what Redis answers to the commands of bags.py",
        ),
        ("tests/commands/cases/whoami.txt", "write tests/commands/cases/whoami.txt"),
    ],
)
def test_what_is_forgotten_is_asked_for_by_name(copy: Path, name: str, sentence: str) -> None:
    (copy / name).unlink()
    held = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", HELD[0], HELD[3])
    assert held.returncode == 1
    assert sentence in held.stdout

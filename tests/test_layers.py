"""Imports go down only. Reads the sources, imports nothing of them. What keeps the pure rooms pure: test_purity.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEAVES = {"errors", "checksums", "config", "interfaces", "reactor"}

# room (or module directly under leto/) -> what it may import besides itself. "raft.messages" allows that module only.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "checksums": set(),
    "config": {"errors"},
    "vocabulary": {"errors"},
    "reactor": {"errors", "config"},
    "interfaces": {"raft.configuration", "raft.messages", "raft.reader", "keyspace.effects", "vocabulary"},
    "raft": {"errors"},
    "keyspace": {"errors", "checksums", "vocabulary"},
    "storage": LEAVES | {"raft.configuration", "raft.messages", "raft.reader"},
    "peer": LEAVES | {"raft.configuration", "raft.messages", "vocabulary"},
    "replica": LEAVES | {"raft", "keyspace", "vocabulary", "peer.requests", "peer.origins", "status"},
    "resp": {"errors", "config", "keyspace.types.long_string", "vocabulary"},
    "clients": LEAVES | {"keyspace", "resp", "vocabulary"},
    "commands": LEAVES | {"clients", "keyspace", "raft.configuration", "raft.messages", "resp", "status", "vocabulary"},
    "status": LEAVES | {"raft.configuration"},
    "admin": LEAVES | {"status"},
    "ctl": {
        "errors",
        "config",
        "status",
        "keyspace",
        "commands",
        "vocabulary",
    },  # its reference prints the commands' table
    "bench": {"errors", "config"},
    "twins": LEAVES
    | {
        "keyspace",
        "peer",
        "raft.configuration",
        "raft.messages",
        "replica.deferred",
        "status",
        "storage",
        "vocabulary",
    },
    "process": LEAVES | {"admin", "clients", "commands", "keyspace", "peer", "replica", "storage", "vocabulary"},
    "tap": {"config", "errors", "process"},
    "main": {"tap", "ctl", "bench", "process.signals"},
}


def imports(source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import in `source`, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what they import"
            # `from leto import config` imports leto.config; `from leto.config import Config` imports leto.config too.
            yield node.lineno, node.module or ""
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def violations(path: str, source: str) -> list[str]:
    """What the module at `path` (relative to leto/) imports and must not."""
    room = path.split("/")[0].removesuffix(".py")
    if room == "__init__":
        return [f"leto/{path}:{line} imports {module}" for line, module in imports(source) if module != "__future__"]
    allowed = MAY_IMPORT[room] | {room}
    found = []
    for line, module in imports(source):
        inner = module.removeprefix("leto.") if module.startswith("leto.") else ""
        is_module = inner.split(".")[0] in MAY_IMPORT  # names such as leto.__version__ are no modules
        if is_module and not any(inner == name or inner.startswith(f"{name}.") for name in allowed):
            parents = [name for name in allowed if name.startswith(f"{inner}.")]
            if not parents:  # `from leto.raft import messages` names leto.raft first
                found.append(f"leto/{path}:{line}: {room} must not import leto.{inner}")
    return found


def sources() -> list[Path]:
    return sorted((ROOT / "leto").rglob("*.py"))


def circle(files: dict[str, str]) -> list[str]:
    """Modules of which each imports the next and the last the first, what is imported for types alone included; []
    if there are none. `files`: dotted module -> source."""
    graph = {name: {module for _, module in imports(source) if module in files} for name, source in files.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("room", sorted(path.parent.name for path in (ROOT / "leto").glob("*/__init__.py")))
def test_no_room_is_a_circle(room: str) -> None:
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text()
        for path in (ROOT / "leto" / room).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert circle(files) == []


def test_a_circle_is_found() -> None:
    files = {"leto.a": "from leto import b", "leto.b": "if TYPE_CHECKING:\n    from leto.a import A", "leto.c": ""}
    assert set(circle(files)) == {"leto.a", "leto.b"}
    assert circle(files | {"leto.b": "import leto.c"}) == []


@pytest.mark.parametrize("source", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(source: Path) -> None:
    assert violations(source.relative_to(ROOT / "leto").as_posix(), source.read_text()) == []


def test_the_plugin_imports_nothing_of_leto() -> None:
    source = (ROOT / "twisted/plugins/leto_plugin.py").read_text()
    assert [module for _, module in imports(source) if module.startswith("leto")] == []


@pytest.mark.parametrize("folder", ["twisted", "twisted/plugins"])
def test_the_plugin_folders_are_no_packages(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()  # it would hide Twisted itself


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("keyspace/commands/strings.py", "from leto.config import Config"),
        ("raft/node.py", "from leto.storage.store import FileStore"),
        ("raft/node.py", "from leto import storage"),
        ("keyspace/machine.py", "from leto.raft.node import Node"),
        ("keyspace/machine.py", "from leto.raft import node"),
        ("peer/transport.py", "from leto.raft.node import Node"),
        ("replica/replica.py", "from leto.peer.transport import TcpTransport"),
        ("replica/replica.py", "from leto.storage import FileStore"),
        ("clients/session.py", "import leto.process.service"),
        ("admin/site.py", "from leto.clients.protocol import RespFactory"),
        ("process/service.py", "from leto.tap import Options"),
        ("__init__.py", "import twisted"),
    ],
)
def test_a_bad_import_is_found(path: str, source: str) -> None:
    assert len(violations(path, source)) >= 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("raft/election.py", "from leto.raft.messages import Entry\nfrom collections import deque"),
        ("replica/replica.py", "from leto.raft.node import Node\nimport time"),
        ("tap.py", "from leto import __version__"),
        ("process/service.py", "from leto.clients.protocol import RespFactory"),
    ],
)
def test_a_good_import_passes(path: str, source: str) -> None:
    assert violations(path, source) == []


def test_a_new_room_must_be_placed() -> None:
    with pytest.raises(KeyError):
        violations("attic/box.py", "import leto.config")

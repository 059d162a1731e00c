"""What the papers of the project say of its files: the tree of ARCHITECTURE.md, the dependencies of setup.cfg."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = {"prometheus-client": "prometheus_client", "zlib-ng": "zlib_ng", "zope-interface": "zope"}
"""Modules whose distributions go by another name."""


def _drawn() -> str:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    return text.split("```")[1]


def test_the_drawn_tree_has_every_room_and_module() -> None:
    drawn = set(re.findall(r"[\w./-]+", _drawn().split("leto/\n", 1)[1].split("\ntests/", 1)[0]))
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "leto").iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    assert there <= drawn, f"not drawn: {sorted(there - drawn)}"
    rooms = {word for word in drawn if word.endswith((".py", "/")) and word.count("/") <= 1}
    assert rooms <= there, f"drawn, but not there: {sorted(rooms - there)}"


def test_the_drawn_tree_has_every_folder_of_tests_and_every_document() -> None:
    for folder, ending in (("tests", ""), ("docs", ".md")):
        [line] = re.findall(rf"^{folder}/.*(?:\n  .*)*", _drawn(), re.MULTILINE)
        there = {
            path.name.removesuffix(ending)
            for path in (ROOT / folder).iterdir()
            if (path.is_dir() if not ending else path.suffix == ending) and not path.name.startswith("_")
        }
        rooms = {path.name for path in (ROOT / "leto").iterdir()}  # tests/ mirrors them
        missing = there - rooms - set(re.findall(r"[\w-]+", line))
        assert not missing, f"{folder}/ has {sorted(missing)}, which ARCHITECTURE.md does not draw"


def _imported(folder: Path) -> set[str]:
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"leto"}


def test_what_is_installed_is_imported_and_the_other_way_round() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    required = parser["options"]["install_requires"].strip().split("\n")
    names = {re.split(r"[ \[;]", line)[0].lower().replace("_", "-").replace(".", "-") for line in required}
    modules = {DISTRIBUTIONS.get(name, name.replace("-", "_")) for name in names}
    assert modules == _imported(ROOT / "leto")

"""The pure rooms: what they may import is a list, and what would let a process differ from another is found."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PURE = ("raft", "keyspace", "vocabulary")
MAY_IMPORT = frozenset(
    [
        "__future__",
        "bisect",
        "collections",
        "collections.abc",
        "dataclasses",
        "enum",
        "functools",
        "heapq",
        "itertools",
        "math",
        "operator",
        "re",
        "struct",
        "typing",
        "msgspec",
        "hiredis",
    ]
)
"""Modules without a clock, a file, a socket, randomness or a look at the process."""

REGISTRIES = {"keyspace/commands/__init__.py": frozenset(["importlib", "pkgutil"])}
"""The folders whose files register themselves: what they find is part of the program, and in the order of names."""

FORBIDDEN = frozenset(
    ["__import__", "compile", "eval", "exec", "globals", "hash", "id", "input", "open", "print", "vars"]
)
"""`hash` and `id` differ from process to process; the others reach the outside world, or hide what does."""

WAYS_OUT = frozenset(["__builtins__", "__globals__", "__subclasses__", "__loader__", "__spec__"])
"""Attributes by which any of those can be reached, and their names as strings."""

SETS = frozenset(("set", "frozenset"))
WALKS = frozenset(["list", "tuple", "iter", "enumerate", "next", "zip", "map", "filter", "reversed"])


def impurities(source: str, also: Collection[str] = ()) -> list[str]:
    """A sentence for each import, name or walk in `source` that a pure module must not have. `also`: what it may import
    beside MAY_IMPORT."""
    tree = ast.parse(source)
    ours = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    ours |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    sets = _bound_to_sets(tree)
    found = []
    for node in ast.walk(tree):
        for module in _imported(node):
            if module.split(".")[0] != "leto" and module not in MAY_IMPORT and module not in also:
                found.append(f"line {node.lineno} imports {module}")
        if (name := _reached(node)) and name not in ours:
            found.append(f"line {node.lineno} reaches for {name}")
        for walked in _walked(node):
            if _is_set(walked) or (isinstance(walked, ast.Name) and walked.id in sets):
                found.append(f"line {walked.lineno} walks over a set, whose order is the process's")
    return found


def _reached(node: ast.AST) -> str:
    """The name of what `node` reaches for, and must not; "" for anything else."""
    if isinstance(node, ast.Name) and node.id in FORBIDDEN | WAYS_OUT:
        return node.id
    if isinstance(node, ast.Attribute) and node.attr in WAYS_OUT:
        return node.attr
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in WAYS_OUT | {"__import__"}:
        return node.value
    return ""


def _bound_to_sets(tree: ast.AST) -> set[str]:
    """Names that are only ever given sets."""
    bound: dict[str, bool] = {}
    for node in ast.walk(tree):
        value = getattr(node, "value", None)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                is_set = isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr | ast.AugAssign) and _is_set(value)
                bound[target.id] = bound.get(target.id, True) and is_set
    return {name for name, is_set in bound.items() if is_set}


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or "."


def _walked(node: ast.AST) -> Iterator[ast.expr]:
    """What `node` goes through, element by element, in an order that shows."""
    if isinstance(node, ast.For | ast.comprehension):
        yield node.iter
    elif isinstance(node, ast.Starred):
        yield node.value
    elif isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in WALKS or name in ("join", "extend"):
            yield from node.args


def _is_set(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.BinOp):
        return _is_set(node.left) or _is_set(node.right)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SETS


def _sources() -> list[Path]:
    return sorted(path for room in PURE for path in (ROOT / "leto" / room).rglob("*.py"))


@pytest.mark.parametrize("source", _sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_pure_rooms_are_pure(source: Path) -> None:
    also = REGISTRIES.get(source.relative_to(ROOT / "leto").as_posix(), ())
    assert impurities(source.read_text(), also) == []


@pytest.mark.parametrize(
    "source",
    [
        *(
            f"import {module}"
            for module in [
                "time",
                "datetime",
                "uuid",
                "secrets",
                "select",
                "pathlib",
                "subprocess",
                "io",
                "tempfile",
                "signal",
                "multiprocessing",
                "logging",
                "importlib",
                "concurrent.futures",
                "os",
                "socket",
                "random",
                "asyncio",
                "threading",
                "twisted.internet",
            ]
        ),
        "from os import path",
        "def f():\n    from time import monotonic",
        "__import__('time')",
        "data = open('/etc/passwd')",
        "where = hash(b'x') % 64",
        "order = id(object())",
        "for x in {1, 2}: pass",
        "[x for x in {y for y in z}]",
        "order = list(set(names))",
        "b','.join({a, b})",
        "for x in set(a) | set(b): pass",
        "f(*{1, 2})",
        "names = {1, 2}\nfor x in names: pass",
        "names: set[int] = set(a)\norder = [*names]",
        "read = open",
        "order = sorted(a, key=hash)",
        "getattr(__builtins__, 'op' + 'en')",
        "f.__globals__['x']",
        "getattr(f, '__globals__')",
    ],
)
def test_what_is_impure_is_found(source: str) -> None:
    assert len(impurities(source)) >= 1


@pytest.mark.parametrize(
    "source",
    [
        "from collections import deque\nimport msgspec\nfrom leto.raft.messages import Entry",
        "for x in sorted({1, 2}): pass",
        "known = {1, 2}\nfound = x in known",
        "count = len(set(names))",
        "class A:\n    def id(self): ...",
        "names = {1, 2}\nnames = sorted(names)\nfor x in names: pass",
        "def f(id): return id",
    ],
)
def test_what_is_pure_passes(source: str) -> None:
    assert impurities(source) == []

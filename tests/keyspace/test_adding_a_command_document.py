"""docs/adding-a-command.md is true: its command is the real one, its data type works, its session is in the suite."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from leto.keyspace import machine
from leto.keyspace.commands import strings
from leto.keyspace.types import value as values
from leto.keyspace.types.value import Value, size
from leto.vocabulary import registry
from leto.vocabulary.registry import KEYSPACE, Registry
from leto.vocabulary.replies import OK, WRONG_TYPE, Status
from tests.keyspace.batches import NOW, Bench
from tests.keyspace.case_files import FAMILIES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "adding-a-command.md").read_text()
COMMAND, TYPE, COMMANDS, _ = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
GETDEL, *_ = re.findall(r"```\n(= .*?)```", DOCUMENT, re.DOTALL)


def test_the_command_shown_is_the_one_that_runs():
    assert COMMAND in Path(strings.__file__).read_text()


def test_the_session_shown_is_in_the_suite():
    bench = Bench()
    assert bench.batch("SET a z", "GETDEL a", "GETDEL a") == [OK, b"z", None]
    for line in GETDEL.strip().split("\n"):
        if "getdel" in line.lower() and not line.startswith("# "):
            assert line in FAMILIES["strings"].text


@pytest.fixture
def bags(monkeypatch):
    """The document's data type and its commands, as if they were part of the package."""
    commands = Registry(KEYSPACE)
    monkeypatch.setattr(registry, "KEYSPACE", commands)
    monkeypatch.setattr(machine, "KEYSPACE", commands)
    monkeypatch.setattr(values, "TYPES", dict(values.TYPES))
    for name, source in (("types.bag", TYPE), ("commands.bags", COMMANDS)):
        module = types.ModuleType(f"leto.keyspace.{name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(source, "adding-a-command.md", "exec"), module.__dict__)


def test_the_data_type_shown_works_with_everything(bags):
    assert b"BAGADD" not in KEYSPACE
    bench = Bench()
    assert bench.batch("SET s 1", "BAGADD b x", "BAGADD b x", "BAGADD b y", "BAGADD s x") == [OK, 1, 2, 1, WRONG_TYPE]
    assert bench.batch("BAGADD b y", "COPY b c", "BAGADD b y", "GET b", "BAGREM s x") == [
        2,
        1,
        3,
        WRONG_TYPE,
        WRONG_TYPE,
    ]
    data = bench.machine.database.data
    assert isinstance(data[b"b"].value, Value)
    assert [bench.read(f"BAGCOUNT {which}") for which in ("b x", "b y", "c y", "c z", "d x")] == [2, 3, 2, 0, 0]
    assert bench.read("TYPE b") == Status(b"bag")
    assert bench.read("OBJECT ENCODING b") == b"listpack"
    assert sorted(bench.read("SCAN 0 TYPE bag COUNT 100")[1]) == [b"b", b"c"]
    assert 200 < size(b"b", data[b"b"]) < 400
    assert bench.batch("EXPIRE b 100", "RENAME b d", "BAGADD d z", "TTL d") == [1, OK, 1, 100]
    assert bench.batch("BAGREM c x", "BAGREM c n", "EXISTS c", "BAGREM c y", "EXISTS c") == [1, 0, 1, 1, 0]
    assert bench.batch(*(f"BAGADD d {number}" for number in range(200))) == [1] * 200
    assert bench.read("OBJECT ENCODING d") == b"hashtable"
    assert bench.copy().machine.digest() == bench.machine.digest()


def test_a_snapshot_holds_the_type_as_it_was_while_it_changes(bags):
    bench = Bench()
    bench.batch("BAGADD b x", "BAGADD c x")
    expected = bench.machine.digest()
    writer = bench.machine.snapshot()
    chunks = [writer.next_slice(1)]
    bench.batch("BAGADD b x", "BAGADD c y", "DEL c")
    chunks += iter(lambda: writer.next_slice(10), b"")
    other = Bench()
    other.machine.restore(chunks, 1)
    assert other.machine.digest() == expected
    assert [other.read(f"BAGCOUNT {which}") for which in ("b x", "b y", "c x", "c y")] == [1, 0, 1, 0]
    assert other.batch("BAGADD b x") == [2]
    assert other.machine.time_ms == NOW

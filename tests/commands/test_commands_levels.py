"""A client's command that not every member of the cluster understands."""

from __future__ import annotations

from leto.clients.table import CONNECTION, CommandTable, Known
from leto.vocabulary.registry import KEYSPACE, Registry
from leto.vocabulary.replies import OK, Error

FACTS = {"group": "generic", "since": "9.0.0", "summary": "A toy of a later version"}
REFUSED = Error(
    b"ERR the command 'toy' is understood from level 2 on, and this cluster is at level 1: "
    b"each member must run a version that knows it"
)


def test_a_command_above_the_clusters_level_is_refused_until_it_has_risen():
    commands = Registry(KEYSPACE)
    commands.add("TOY", 2, "write fast", level=2, **FACTS)(lambda db, argv: OK)
    level = 1
    table = CommandTable(commands, CONNECTION, lambda: level)
    for name in (b"TOY", b"toy", b"tOy"):
        assert table.resolve([name, b"a"]) == REFUSED
        assert name not in table.spelled  # where requests are looked up without another question
    assert table.known[b"TOY"].rejected == 3
    level = 2
    known = table.resolve([b"toy", b"a"])
    assert isinstance(known, Known)
    assert table.spelled[b"toy"] is table.spelled[b"TOY"] is known


def test_a_subcommand_above_it_is_refused_alone():
    commands = Registry(KEYSPACE)
    commands.add("TOYBOX", -2, "", **FACTS)(lambda db, argv: OK)
    commands.add("OPEN", 2, "", parent="TOYBOX", level=2, **FACTS)(lambda db, argv: OK)
    commands.add("SHUT", 2, "", parent="TOYBOX", **FACTS)(lambda db, argv: OK)
    level = 1
    table = CommandTable(commands, CONNECTION, lambda: level)
    assert isinstance(table.resolve([b"toybox", b"shut"]), Known)
    refused = table.resolve([b"toybox", b"open"])
    assert isinstance(refused, Error) and b"'toybox|open' is understood from level 2 on" in refused.text
    level = 2
    assert isinstance(table.resolve([b"toybox", b"open"]), Known)
    assert table.find(b"toybox") is table.known[b"TOYBOX"]

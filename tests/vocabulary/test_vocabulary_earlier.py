"""The earlier version of the tests' mixed clusters stays the earlier one, whatever this version learns."""

from __future__ import annotations

from leto.keyspace.machine import understood
from leto.vocabulary.levels import BASE
from leto.vocabulary.registry import KEYSPACE, Registry
from tests.vocabulary.earlier import EARLIER, LEVEL, of_the_lowest_level

FACTS = {"group": "generic", "since": "9.0.0", "summary": "A toy of a later version"}


def test_commands_and_subcommands_of_later_levels_are_left_out():
    commands = Registry()
    commands.add("BOX", -2, "", **FACTS)(lambda db, argv: None)
    commands.add("SHUT", 2, "", parent="BOX", **FACTS)(lambda db, argv: None)
    commands.add("OPEN", 2, "", parent="BOX", level=2, **FACTS)(lambda db, argv: None)
    commands.add("TOY", 2, "", level=2, **FACTS)(lambda db, argv: None)
    known = of_the_lowest_level(commands)
    assert list(known) == [b"BOX"] and list(known[b"BOX"].subcommands) == [b"SHUT"]
    assert set(commands[b"BOX"].subcommands) == {b"SHUT", b"OPEN"}, "this version's own are as they were"


def test_the_earlier_version_is_below_this_ones_successor():
    assert set(EARLIER.levels()) == {BASE} and b"SET" in EARLIER
    assert understood(EARLIER) < LEVEL >= understood(KEYSPACE)

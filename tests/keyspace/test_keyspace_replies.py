"""A reply holds nothing that a later command of its entry could change."""

from __future__ import annotations

import pytest

from leto.vocabulary.registry import Registry
from tests.keyspace.batches import Bench
from tests.keyspace.tally import COMMANDS, Tally
from tests.keyspace.tiny import tiny_parts


def read_change_read(bench: Bench) -> list:
    """A transaction that reads all, changes it, and reads again."""
    [[before, *_, after]] = bench.batch([b"", "TALLYALL k", "TALLYSET k a 2 z 1", "TALLYDEL k b", "TALLYALL k"])
    return [before, after]


@pytest.mark.parametrize("count", [1, 3])
def test_a_transaction_is_told_what_was_before_its_change(count):
    names = ["a", "b", "c"][:count]
    with tiny_parts():
        bench = Bench(commands=COMMANDS)
        bench.write("TALLY k " + " ".join(names))
        before = {name.encode(): b"1" for name in names}
        after = {name: text for name, text in before.items() if name != b"b"} | {b"a": b"2", b"z": b"1"}
        assert read_change_read(bench) == [before, after]


FAULTY = {
    "a part's dictionary": lambda value: value.content.parts[0].items,
    "a list of them": lambda value: [1, [value.content.parts[0].items]],
    "a map of them": lambda value: {b"all": value.content.parts},
    "the value": lambda value: value,
}


@pytest.mark.parametrize("what", FAULTY)
def test_a_command_that_answers_with_the_values_own_is_found(what):
    commands = Registry(COMMANDS)

    @commands.add("ALIAS", 2, "readonly", keys=(1, 1, 1), group="generic", since="1.0.0", summary="A faulty one")
    def alias(db, argv):
        return FAULTY[what](db.read(argv[1], Tally))

    with tiny_parts():
        bench = Bench(commands=commands)
        bench.write("TALLY k a b c d")
        with pytest.raises(AssertionError, match="of the database's"):
            bench.batch("ALIAS k")
        with pytest.raises(AssertionError, match="of the database's"):
            bench.batch([b"", "GET none", "ALIAS k"])
        with pytest.raises(AssertionError, match="of the database's"):
            bench.read("ALIAS k")

"""The command table: one registration a command, consistent in itself."""

from __future__ import annotations

import pytest

from leto.keyspace.internal import INTERNAL
from leto.vocabulary.registry import KEYSPACE, Registry
from leto.vocabulary.replies import Error

COMMANDS = [command for parent in KEYSPACE.values() for command in (parent, *parent.subcommands.values())]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.full_name.decode())
def test_what_is_told_of_a_command_agrees_with_itself(command):
    assert command.is_write == ("write" in command.flags) == ("write" in command.categories)
    assert ("readonly" in command.flags) == ("read" in command.categories)
    assert ("fast" in command.flags) == ("fast" in command.categories) != ("slow" in command.categories)
    assert command.has_keys == bool(command.key_flags)
    assert command.summary
    assert command.complexity
    assert command.function.__doc__


def test_a_name_is_registered_once():
    registry = Registry()
    add = registry.add("A", 1, "", group="g", since="1", summary="s")
    add(lambda context, argv: None)
    with pytest.raises(ValueError, match="A is registered twice"):
        add(lambda context, argv: None)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([b"nosuch"], b"ERR unknown command 'nosuch', with args beginning with: "),
        ([b"n\x00x", b"a\x00b"], b"ERR unknown command 'n', with args beginning with: 'a' "),
        ([b"get"], b"ERR wrong number of arguments for 'get' command"),
        ([b"OBJECT"], b"ERR wrong number of arguments for 'object' command"),
        ([b"object", b"bad"], b"ERR unknown subcommand 'bad'. Try OBJECT HELP."),
        ([b"object", b"freq"], b"ERR wrong number of arguments for 'object|freq' command"),
    ],
)
def test_what_names_no_command_gets_redis_error(argv, text):
    assert KEYSPACE.resolve(argv) == Error(text)


def test_a_subcommand_is_found_in_any_case():
    assert KEYSPACE.resolve([b"oBject", b"enCoding", b"k"]).full_name == b"object|encoding"


def test_the_internal_command_is_no_clients():
    assert b"EXPIRED" in INTERNAL
    assert b"EXPIRED" not in KEYSPACE

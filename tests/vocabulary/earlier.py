"""What an earlier version of Leto knew, for clusters of two versions: the commands that this one registers at the
lowest level. This version's level rises with the commands that are added, and the tests of levels hold all the same."""

from __future__ import annotations

from dataclasses import replace

from leto.keyspace.machine import understood
from leto.vocabulary.levels import BASE
from leto.vocabulary.registry import KEYSPACE, Command, Registry


def of_the_lowest_level(commands: Registry) -> Registry:
    """Those of level BASE, without their subcommands of later levels."""

    def known(command: Command) -> Command:
        subcommands = {name: one for name, one in command.subcommands.items() if one.level == BASE}
        return replace(command, subcommands=subcommands)

    return Registry({name: known(command) for name, command in commands.items() if command.level == BASE})


EARLIER = of_the_lowest_level(KEYSPACE)
LEVEL = max(understood(), understood(EARLIER) + 1)
"""Of a version that knows all of this one's commands and a toy's more."""

"""A data type for the tests, with its commands: counts by name. It is what docs/adding-a-command.md describes."""

from __future__ import annotations

from typing import ClassVar

from leto.keyspace.database import Database
from leto.keyspace.types.crc_map import CrcMap
from leto.keyspace.types.value import register
from leto.vocabulary.numbers import integer
from leto.vocabulary.registry import KEYSPACE, Registry
from leto.vocabulary.replies import Reply

COMMANDS = Registry(KEYSPACE)


@register(255)
class Tally(CrcMap):
    type_name: ClassVar[bytes] = b"tally"

    def encoding(self) -> bytes:
        return b"hashtable" if self.is_large else b"listpack"


@COMMANDS.add("TALLY", -3, "write", keys=(1, 1, 1), group="generic", since="1.0.0", summary="Count the names")
def tally(db: Database, argv: list[bytes]) -> Reply:
    """TALLY key name [name ...]: the last name's count."""
    count = 0
    with db.edit(argv[1], Tally, b"changed") as counts:
        for name in argv[2:]:
            count = integer(counts.get(name) or b"0") + 1
            counts.put(name, b"%d" % count)
    return count


@COMMANDS.add("TALLYSET", -4, "write", keys=(1, 1, 1), group="generic", since="1.0.0", summary="Set names' counts")
def tallyset(db: Database, argv: list[bytes]) -> Reply:
    """TALLYSET key name text [name text ...]: how many names are new."""
    with db.edit(argv[1], Tally, b"changed") as counts:
        return sum(counts.put(*pair) is None for pair in zip(argv[2::2], argv[3::2], strict=True))


@COMMANDS.add("TALLYDEL", -3, "write", keys=(1, 1, 1), group="generic", since="1.0.0", summary="Forget names")
def tallydel(db: Database, argv: list[bytes]) -> Reply:
    """TALLYDEL key name [name ...]: how many there were."""
    with db.edit_existing(argv[1], Tally, b"changed") as counts:
        return 0 if counts is None else sum(counts.pop(name) is not None for name in argv[2:])


@COMMANDS.add("TALLYGET", 3, "readonly", keys=(1, 1, 1), group="generic", since="1.0.0", summary="A name's count")
def tallyget(db: Database, argv: list[bytes]) -> Reply:
    """TALLYGET key name"""
    counts = db.read(argv[1], Tally)
    return None if counts is None else counts.get(argv[2])


@COMMANDS.add("TALLYALL", 2, "readonly", keys=(1, 1, 1), group="generic", since="1.0.0", summary="All of them")
def tallyall(db: Database, argv: list[bytes]) -> Reply:
    """TALLYALL key: a map."""
    counts = db.read(argv[1], Tally)
    return {} if counts is None else dict(counts.items())

"""Whether a reply holds something of the database's that can still change: it is told only after the whole entry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from leto.keyspace.database import Database
from leto.keyspace.types.long_string import LongString

FIXED = (bytes, int, float, str, bool, type(None), memoryview, LongString)  # a LongString is never changed


def reached(thing: Any, met: dict[int, Any]) -> None:
    """Collect what is reached from it and can change, by id."""
    if isinstance(thing, FIXED) or id(thing) in met:
        return
    if not isinstance(thing, tuple):
        met[id(thing)] = thing
    for part in _parts(thing):
        reached(part, met)


def _parts(thing: Any) -> Iterator[Any]:
    if isinstance(thing, dict):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing
    elif isinstance(thing, msgspec.Struct):
        yield from (getattr(thing, name) for name in thing.__struct_fields__)
    else:
        yield from (getattr(thing, name) for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ()))


def aliases(reply: Any, database: Database) -> list[Any]:
    """What the reply has in common with the database."""
    ours: dict[int, Any] = {}
    reached(reply, ours)
    if not ours:
        return []
    theirs: dict[int, Any] = {}
    for _, record in database.data.items():
        reached(record.value, theirs)
    reached((database.data.segments, database.tombstones), theirs)
    return [thing for at, thing in ours.items() if at in theirs]

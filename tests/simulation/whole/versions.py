"""A later version of Leto, for clusters whose members are replaced one by one: it knows a command more, of level 2."""

from __future__ import annotations

from leto.keyspace.machine import understood
from leto.vocabulary.registry import KEYSPACE, Registry

PUT = b"PUT"  # what SET does, by a name that older members do not know
LEVEL = 2

LATER = Registry(KEYSPACE)
LATER.add(
    "PUT",
    -3,
    "write denyoom",
    keys=(1, 1, 1),
    group="string",
    since="9.0.0",
    summary="Set the value of a key",
    level=LEVEL,
)(KEYSPACE[b"SET"].function)

assert understood() < understood(LATER) == LEVEL

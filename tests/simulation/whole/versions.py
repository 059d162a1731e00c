"""A later version of Leto, for clusters whose members are replaced one by one: it knows a command more, which the
earlier one (tests.vocabulary.earlier) does not."""

from __future__ import annotations

from leto.keyspace.machine import understood
from leto.vocabulary.registry import KEYSPACE, Registry
from tests.vocabulary.earlier import EARLIER, LEVEL

PUT = b"PUT"  # what SET does, by a name that older members do not know

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

assert understood(EARLIER) < understood(LATER) == LEVEL

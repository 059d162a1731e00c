"""Commands of the log that no client can send."""

from __future__ import annotations

from leto.keyspace.database import Database
from leto.vocabulary.registry import Registry
from leto.vocabulary.replies import Reply

INTERNAL = Registry()


@INTERNAL.add(
    "EXPIRED",
    -2,
    "write",
    keys=(1, -1, 1),
    group="generic",
    since="1.0.0",
    summary="Delete those of the keys that are expired by the log's time",
    syntax="key [key ...]",
)
def expired(db: Database, argv: list[bytes]) -> Reply:
    """How many were deleted. Proposed by the leader (Machine.expired); harmless whenever it applies."""
    count = 0
    for key in argv[1:]:
        record = db.data.get(key)
        if record is not None and 0 < record.expire_at < db.now:
            db.delete(key)
            count += 1
    return count

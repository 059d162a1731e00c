"""What a client is told when its request was not carried out: errors of consensus as replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.errors import DiskFull, LetoError, NoQuorum, NotLeader, OutcomeUnknown, Overloaded, Stopping
from leto.resp.slots import first_key, key_slot
from leto.vocabulary.replies import Error

if TYPE_CHECKING:
    from leto.config import FollowerPolicy

log = Logger()

NOT_LEADER = Error(b"not leader")  # clients match on these very words
_CODES: tuple[tuple[type[LetoError], str], ...] = (
    (OutcomeUnknown, "UNCERTAIN"),
    (NoQuorum, "NOQUORUM"),
    (Overloaded, "BUSY"),
    (Stopping, "SHUTDOWN"),
    (DiskFull, "MISCONF"),  # as Redis says that it cannot persist
)


def refusal(reason: BaseException | Failure, was_write: bool) -> Error:
    """The reply for a request that failed so; an exception that is no LetoError is logged.

    An unexpected failure of a write tells that its outcome is not known, which is all that can be said.
    """
    error = reason.value if isinstance(reason, Failure) else reason
    if isinstance(error, NotLeader):
        return NOT_LEADER
    for kind, code in _CODES:
        if isinstance(error, kind):
            return Error(f"{code} {error}".encode())
    if isinstance(error, LetoError):
        return Error(f"ERR {error}".encode())
    failure = reason if isinstance(reason, Failure) else Failure(reason)
    log.failure("a client's request failed in an unexpected way", failure)
    if was_write:
        return Error(b"UNCERTAIN internal error: the write may or may not have been applied")
    return Error(b"ERR internal error")


def refused_writes(
    error: BaseException, commands: Sequence[Sequence[bytes]], on_follower: FollowerPolicy
) -> list[Error]:
    """A reply for each of the `commands`: where --on-follower is moved, the way to the leader."""
    if on_follower == "moved" and isinstance(error, NotLeader) and error.leader_address:
        return [moved(argv, error.leader_address) for argv in commands]
    return [refusal(error, True)] * len(commands)


def moved(argv: Sequence[bytes], leader_address: str) -> Error:
    """Redis Cluster's redirection: the slot of the first key (0 without one), and where its leader listens."""
    key = first_key(argv)
    slot = key_slot(key) if key is not None else 0
    return Error(f"MOVED {slot} {leader_address}".encode())

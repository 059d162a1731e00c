"""The errors that cross rooms, named by what they mean to the caller.

`str(error)` of every LetoError is one clear line, fit for an operator or a client.
"""

from __future__ import annotations

EX_CONFIG = 78  # sysexits.h: the status of a process that to start again the same way is of no use


class LetoError(Exception):
    """Base of all errors that Leto raises on purpose."""


# Consensus: what became of a request ---------------------------------------------------


class NotLeader(LetoError):
    """The request was not accepted: never appended, it will never apply.

    `leader_id` and `leader_address` (the leader's client address) are hints and may be None.
    """

    def __init__(self, leader_id: str | None = None, leader_address: str | None = None) -> None:
        super().__init__("not leader")
        self.leader_id = leader_id
        self.leader_address = leader_address


class OutcomeUnknown(LetoError):
    """Leadership was lost (or the node stops) after the request was appended: it may or may not apply."""


class NoQuorum(LetoError):
    """A read could not be confirmed by a quorum within its bounded wait; nothing was answered."""


class Overloaded(LetoError):
    """Too much is waiting already: the request was refused before it was appended."""


class NotSent(LetoError, ConnectionError):
    """A request to a peer never left this node: too much waits for that peer already."""


class RequestTooLarge(LetoError):
    """The request could never be sent to the followers: refused before it was appended."""


class DiskFull(LetoError):
    """A request that may add data, while too little room is left on the disks: refused before it was appended."""


class Stopping(LetoError):
    """The node is stopping: the request was refused before it was appended."""


class RequestRefused(LetoError):
    """A request that no node appends to the log, as it is or as the cluster is; the message says why."""


class ConfigurationRefused(LetoError):
    """A membership change that must not be made now, or ever; the message says why."""


class UnknownMember(ConfigurationRefused):
    """A membership change names a server that is no member of the cluster."""

    def __init__(self, server_id: str) -> None:
        super().__init__(f"{server_id} is no member of the cluster")


class TransferFailed(LetoError):
    """Leadership was not handed over; this node leads on (or another was elected)."""


class NothingToSnapshot(LetoError):
    """Nothing was applied since the last snapshot, this node's own or the one that its leader sent."""

    def __init__(self) -> None:
        super().__init__("nothing new to snapshot")


# Disk ------------------------------------------------------------------------------------


class StorageError(LetoError):
    """The data directory cannot be used: the message names file, offset, index and what to do."""


class NoRoom(StorageError):
    """The disk has no room for a snapshot: it was given up and removed. The log has its room, and the node goes on."""


class CorruptStorage(StorageError):
    """Bytes that were durable are damaged, missing, foreign or out of order. Leto refuses to start."""


class DirectoryLocked(StorageError):
    """Another process holds the data directory."""


class ForeignDirectory(StorageError):
    """The data directory belongs to another node or cluster."""


class Compacted(LetoError):
    """The log index asked for was compacted into a snapshot."""


class Unavailable(LetoError):
    """The log index asked for is beyond the log's end."""


# The log's entries ------------------------------------------------------------------------------


class InapplicableEntry(LetoError, ValueError):
    """A log entry that is no batch of requests, whatever reads it. Nothing was changed by it."""


class UnknownEntry(InapplicableEntry):
    """A log entry that only a later version can apply: to pass over it would part this node from the others."""


class BrokenKeyspace(LetoError):
    """The keyspace is not as it must be after any entry: a fault of Leto's, the same on every node."""


# Start-up and the edges ----------------------------------------------------------------------


class ConfigError(LetoError):
    """A bad option, file or environment variable; the message names it."""


class CannotListen(ConfigError):
    """A port cannot be had now: it is in use, or this host has no such address yet."""


class ProtocolError(LetoError):
    """A client or a peer sent bytes that are no message of the protocol; its connection closes."""

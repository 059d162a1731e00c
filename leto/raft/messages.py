"""What Raft nodes say to each other and keep in their logs: frozen values, typed, encoded by msgspec.

All are array-like (field order is the wire format: append new fields at the end, with defaults) and
outside the cyclic garbage collector (`gc=False`). Indexes and terms are plain ints from 0; index 0 and
term 0 mean "before the first entry". `now` in this package is always monotonic seconds (float);
`clock_ms` is wall-clock milliseconds since the epoch (int), carried but never interpreted as a timer.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from leto.raft.configuration import Configuration


class EntryKind(IntEnum):
    NOOP = 0  # a new leader's first entry (paper 8); empty payload
    COMMAND = 1  # payload: a batch of commands (leto.keyspace.batch)
    CONFIGURATION = 2  # payload: leto.raft.configuration.encode(Configuration)


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One log entry. The unit of Raft is the batch, not the command."""

    index: int
    term: int
    kind: int  # an EntryKind; kept as int so that decoding stays cheap
    payload: bytes = b""


class HardState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What must be durable before it is acted on: paper figure 2, "persistent state".

    `commit` is a hint that saves work at restart; it needs no fsync of its own.
    """

    term: int = 0
    vote: str = ""  # server id voted for in `term`, "" for none
    commit: int = 0


class SnapshotMeta(msgspec.Struct, frozen=True, array_like=True):
    """What a snapshot stands for: every entry up to and including `index`."""

    index: int
    term: int
    configuration: Configuration  # in force at `index`
    configuration_index: int = 0  # log index of the entry that set it, 0 for the bootstrap one


class AppendEntries(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Replication, heartbeat and read round in one (paper figure 2; dissertation 6.4)."""

    sender: str
    to: str
    term: int
    prev_index: int
    prev_term: int
    commit: int  # leader's commit index
    entries: tuple[Entry, ...] = ()
    round: int = 0  # read round; echoed by the reply
    lease: bool = False  # leader answers reads under a lease: no vote for others for a while
    clock_ms: int = 0  # leader's cluster clock
    quiet: bool = False  # it only tells of a commit: no answer is wanted, unless the logs part
    # How long a lease the leader would have, milliseconds. 0 with `lease`: its version takes the follower's election
    # timeout for its own.
    lease_ms: int = 0


class AppendEntriesReply(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """`success` False: the log does not match at prev_index; conflict_* is the hint where to go on
    (conflict_term 0: the follower's log ends before prev_index, at conflict_index - 1).
    `success` True: everything up to match_index is durable at the sender and matches the leader's log."""

    sender: str
    to: str
    term: int
    success: bool
    match_index: int = 0
    prev_index: int = 0  # of the request that is refused, so that stale refusals are known
    conflict_index: int = 0
    conflict_term: int = 0
    round: int = 0
    promised_ms: int = 0  # for so long from the request on the sender votes for no one else; 0: it promises nothing
    wall_ms: int = 0  # the sender's wall clock; 0: its version tells none


class RequestVote(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """A vote or, with `pre`, a pre-vote (dissertation 9.6; then `term` is the term it would campaign in).
    `transfer`: asked for by the leader itself (TimeoutNow), so that no lease stands against it."""

    sender: str
    to: str
    term: int
    last_index: int
    last_term: int
    pre: bool = False
    transfer: bool = False


class RequestVoteReply(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    sender: str
    to: str
    term: int
    granted: bool
    pre: bool = False
    clock_ms: int = 0  # voter's cluster clock: a new leader's clock is never behind a confirmed read's
    wall_ms: int = 0  # voter's wall clock; 0: its version tells none


class InstallSnapshot(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Leader -> follower: you need my newest snapshot.

    The core only decides; the bytes travel outside it (leto.replica.catchup streams them in chunks). On the leader
    it appears in Ready.snapshots_to_send. On the follower it is stepped into the core once the bytes are
    complete and durable; the answer is an AppendEntriesReply."""

    sender: str
    to: str
    term: int
    meta: SnapshotMeta


class TimeoutNow(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """Leadership transfer: campaign at once, without pre-vote (dissertation 3.10)."""

    sender: str
    to: str
    term: int


class ReadIndex(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """Follower -> leader: a read index for the reads that wait here (`context` is the follower's number)."""

    sender: str
    to: str
    term: int
    context: int


class ReadIndexReply(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """`index` 0: refused (not the leader any more); the follower asks the next leader."""

    sender: str
    to: str
    term: int
    context: int
    index: int
    clock_ms: int = 0


Message = (
    AppendEntries
    | AppendEntriesReply
    | RequestVote
    | RequestVoteReply
    | InstallSnapshot
    | TimeoutNow
    | ReadIndex
    | ReadIndexReply
)

"""The seams between rooms: what replica asks of storage, peers and the keyspace, and what the edges ask of replica.

Every interface has a memory twin, and one contract suite runs against both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from leto.raft.configuration import Configuration
from leto.raft.messages import Entry, HardState, Message, SnapshotMeta
from leto.raft.reader import LogReader

if TYPE_CHECKING:
    from leto.keyspace.replies import Reply
    from leto.keyspace.steps import Steps


# Storage ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose data directory it is. Written once, checked at every start."""

    cluster_id: str  # 32 lower-case hex digits
    server_id: str
    incarnation: str = ""  # names this data directory among those that joined under the id; "" for a bootstrapped one


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Of the disk that holds a data directory, in bytes."""

    free: int
    total: int
    min_free: int  # with less than that, nothing is to be written that can be refused


class SnapshotSink(Protocol):
    """A snapshot being written: temp file, CRC-framed; nothing is visible before commit()."""

    offset: int  # bytes of payload held so far (a resumed one: durable so far): where the transfer goes on

    def write(self, data: bytes) -> None:
        """Append payload. Syncs every few megabytes so that commit() is short."""

    def commit(self) -> None:
        """Sync, read back and verify, rename, sync the directory. The previous one stays until free_compacted()."""

    def abort(self, keep_partial: bool = False) -> None:
        """Give up; keep_partial leaves the file for a later resume (receive_snapshot only)."""


class SnapshotSource(Protocol):
    """A durable snapshot being read; stays readable after a newer one replaces it, until close()."""

    meta: SnapshotMeta
    size: int  # payload bytes
    token: int  # random; tells two nodes' snapshots of one index apart: hand it to receive_snapshot

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` payload bytes from `offset`, CRC-checked; b"" at the end. Raises CorruptStorage."""

    def close(self) -> None: ...


class Store(LogReader, Protocol):
    """One locked data directory. Mutators block (disk) and are called in order, from one thread at a time,
    through a Flusher; readers may run in the reactor's thread meanwhile, and ask only for what is durable."""

    identity: Identity | None
    hard_state: HardState
    recovered: list[str]  # lines for the log: what opening the directory mended

    @property
    def snapshot(self) -> SnapshotMeta | None:
        """The newest durable one that is this node's."""

    def identify(self, identity: Identity) -> None:
        """Make the directory this node's: durable once it returns. Raises ForeignDirectory if it is another's."""

    def write(self, hard_state: HardState | None, entries: Sequence[Entry], sync: bool) -> None:
        """Append (truncating a conflicting suffix durably first, so that it never comes back), save the hard
        state, and make all of it durable if `sync` (and the fsync policy says so; term and vote always are).

        Needs an identity. Raises StorageError, with nothing changed, for entries that leave a gap, reach into the
        snapshot or are of a higher term than the hard state, and for a hard state that takes back a term or a vote."""

    def rotates_with(self, count: int, payload_bytes: int) -> bool:
        """Whether writing so many entries of so many bytes together begins a new file: that takes several syncs."""

    def create_snapshot(self, meta: SnapshotMeta) -> SnapshotSink:
        """A snapshot of this node's own. May be written from another thread than the log's. Its sink raises NoRoom
        where it would take the room that is kept for the log; it is removed then."""

    def receive_snapshot(self, meta: SnapshotMeta, size: int, token: int = 0) -> SnapshotSink:
        """A snapshot that the leader streams; resumes a partial one of the same meta, size and token.
        Its commit() makes it durable but not yet this node's: install_snapshot does."""

    def install_snapshot(self, meta: SnapshotMeta) -> None:
        """The received snapshot replaces the node's state: the whole log below and beyond it is dropped
        (paper 7, figure 13) unless the log has an entry of meta.index with meta.term, whose suffix is kept."""

    def open_snapshot(self) -> SnapshotSource | None:
        """The newest durable snapshot, or None."""

    def compact(self, index: int) -> None:
        """Drop the log up to and including `index`, by whole segments. Refuses to go beyond the snapshot."""

    def behind(self, index: int, max_bytes: int) -> int:
        """The lowest index such that the stored entries after it, up to `index`, take at most so many bytes."""

    def free_compacted(self) -> None:
        """Give the room of what compact() dropped back, and of a snapshot that serves no more without it. Takes long,
        and may run beside the mutators: not a job for the thread that flushes the log."""

    def log_bytes(self) -> int:
        """Size of the stored log."""

    def space(self) -> DiskSpace:
        """How much room is left now: one quick system call. Raises StorageError."""

    def close(self) -> None:
        """Sync and release the lock."""


class Flusher(Protocol):
    """Runs the store's mutators in order, off or on the reactor's thread (the flush seam)."""

    def submit(self, job: Callable[[], None], *, brief: bool = False) -> Deferred[None]:
        """Fires in the reactor's thread when `job` has run; errbacks with what it raised. FIFO.

        `brief`: it writes little, and may run before this returns where the disk is quick."""

    def stop(self) -> Deferred[None]:
        """Fires when all that was submitted has run; nothing may be submitted after."""


# Peers ------------------------------------------------------------------------------------------


class PeerListener(Protocol):
    """What the transport tells replica. All in the reactor's thread."""

    def peer_message(self, message: Message) -> None:
        """A valid Raft message from an authenticated peer of this cluster, its sender checked."""

    def peer_request(self, sender: str, body: bytes) -> Deferred[bytes]:
        """A request that wants an answer (a forwarded write, a snapshot chunk, a status query)."""

    def peer_connected(self, server_id: str) -> None:
        """Our connection to that peer is up (messages sent from now on may arrive)."""

    def peer_disconnected(self, server_id: str) -> None:
        """The connection from that peer, or ours to it, was closed or reset."""

    def removed_by(self, server_id: str, configuration_index: int) -> None:
        """That member refused us: we are in no configuration that it knows, the last set at that index."""

    def admits(self, server_id: str, incarnation: str) -> bool:
        """Whether that id may connect: a member of the configuration, or this node has none yet."""

    @property
    def configuration_index(self) -> int:
        """Index of the configuration this node knows."""

    @property
    def level(self) -> int:
        """What a member must understand, by the configuration in force."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A member of another cluster dialled this node by its id: it is, or was, a member there. Proved by the cluster
    secret, where there is one."""

    cluster_id: str
    member_id: str
    remote: str  # host:port that it came from


class Transport(Protocol):
    """Peers' connections: best effort, ordered within a connection, bounded queues; what does not fit is dropped."""

    def start(self, listener: PeerListener) -> None: ...

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        """server id -> host:port to dial; ids left out are disconnected."""

    def send(self, messages: Iterable[Message]) -> None:
        """Queue Raft messages, each to its `to`. Never blocks or raises for an absent peer."""

    def request(self, server_id: str, body: bytes, timeout: float) -> Deferred[bytes]:
        """Send `body` and fire with the peer's answer. Errbacks with NotSent (never left),
        ConnectionError or TimeoutError; never retried."""

    def meet(self, server_id: str, address: str, incarnation: str | None, timeout: float) -> Deferred[int]:
        """Dial `address` and have it proved that the node `server_id` of this cluster answers there, on the data
        directory of that incarnation (None: any); nothing else is said. Fires with the level that it understands.
        Errbacks with ConnectionError or TimeoutError, whose words say what is wrong."""

    def is_connected(self, server_id: str) -> bool: ...

    def reached_at(self, server_id: str) -> str:
        """host:port of our connection to that peer that is up: where it is configured, or where it said it is; "" if
        there is none."""

    def client_address(self, server_id: str) -> str:
        """The client address that peer gave in its handshake, "" when unknown."""

    def level_of(self, server_id: str) -> int:
        """What a connected peer understands, by its handshake; 0 for one that is not connected."""

    def release_of(self, server_id: str) -> str:
        """The version of Leto that peer said last, "" when unknown."""

    def stop(self) -> Deferred[None]: ...


# The keyspace --------------------------------------------------------------------------------------


class SnapshotWriter(Protocol):
    """One instant of the keyspace, in slices, while it goes on changing."""

    def next_slice(self, max_bytes: int) -> bytes:
        """About max_bytes more of it; b"" when complete."""

    def close(self) -> None:
        """Done or given up: the keyspace stops keeping old values for it."""


class StateMachine(Protocol):
    """The deterministic database. Same entries in, same state and replies out, on every node."""

    on_fault: Callable[[bytes, Exception], None]  # told of a command's name, and what it raised and must not
    seconds: Callable[[], float]  # measures what the commands of a transaction take
    applied: int  # index of the last applied entry
    time_ms: int  # log time: the highest stamp applied
    level: int  # the cluster's, set as entries are applied
    understands: int  # this version's own

    @property
    def took(self) -> Mapping[int, Sequence[float]]:
        """Seconds of each command of the transactions of the entry that was applied last, by the place of the
        transaction's reply among the entry's replies. Of the entries that hold a transaction, that is."""

    def apply(self, entry: Entry) -> list[Reply]:
        """Apply a COMMAND entry: one reply a request of the batch. Other kinds only move `applied`; reply [].
        Raises InapplicableEntry or UnknownEntry, nothing changed, for one that cannot be applied."""

    def skip(self, index: int) -> None:
        """Pass over the entry at `index`, which is no batch, whatever reads it."""

    def begin(self, entry: Entry) -> list[Reply] | None:
        """apply(), or its first step: None if more are to come. The state is half an entry's then, which nobody may
        read; a snapshot being taken may go on."""

    def go_on(self) -> list[Reply] | None:
        """The next step of the entry that was begun: its replies after the last one."""

    @property
    def is_whole(self) -> bool:
        """Whether no entry is begun and not yet applied to its end."""

    def query(self, command: Sequence[bytes], clock_ms: int) -> Reply:
        """Run one read-only command now, judging expiry by max(time_ms, clock_ms)."""

    def query_transaction(
        self, commands: Sequence[Sequence[bytes]], watched: Mapping[bytes, int], clock_ms: int
    ) -> Reply:
        """A MULTI/EXEC of reads alone, at one instant; None (aborted) if a watched key changed after its index."""

    def begin_query(self, command: Sequence[bytes], clock_ms: int) -> Reply | Steps:
        """query(), or the steps of one that takes long."""

    def begin_query_transaction(
        self, commands: Sequence[Sequence[bytes]], watched: Mapping[bytes, int], clock_ms: int, took: list[float]
    ) -> Reply | Steps:
        """query_transaction(), or the steps of one that takes long."""

    def why_refused(self, reads: Iterable[Sequence[bytes]]) -> str:
        """Why a transaction with these reads would cost too much as the keyspace is; "" if it would not."""

    def expired(self, clock_ms: int, limit: int) -> bytes | None:
        """The packed internal command that deletes up to `limit` keys expired by clock_ms; None if there are none."""

    @property
    def key_count(self) -> int:
        """Keys, expired ones that are not deleted yet included."""

    @property
    def volatile_count(self) -> int:
        """Those of them that have an expiry."""

    def digest(self) -> tuple[int, int]:
        """(index, 64-bit digest of the whole state at it)."""

    def snapshot(self) -> SnapshotWriter:
        """Begin one. Only one at a time."""

    def restoring(self, chunks: Iterable[bytes], index: int) -> Iterator[None]:
        """Replace the whole state by a snapshot's payload, step by step: until the last step, which does it at once,
        the old state serves on. Raises CorruptStorage, the old state left as it is."""

    @property
    def has_waste(self) -> bool:
        """Whether something that it needs no more waits to be freed (the state of before FLUSHALL, or a snapshot)."""

    def free_waste(self, count: int) -> bool:
        """Free about `count` objects of it; False if there was nothing, or a snapshot being taken may need it."""


# Replica, as the edges see it ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One member as this node sees it. match/next/state are known to the leader only."""

    id: str
    address: str
    client_address: str
    role: str  # "voter" | "learner" | "outgoing"
    connected: bool = False
    state: str = ""  # "probe" | "replicate" | "snapshot" | ""
    match: int = 0
    next: int = 0
    last_contact: float = -1.0  # seconds ago; -1 unknown
    clock_offset: float | None = None  # seconds its wall clock is ahead of this leader's; None where it is not known
    level: int = 0  # what it understands; 0 while it is not connected
    version: str = ""  # of Leto, "" when unknown


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    id: str
    cluster_id: str
    role: str  # "leader" | "candidate" | "pre-candidate" | "follower" | "learner" | "removed"
    term: int
    leader_id: str  # "" when unknown
    leader_address: str  # the leader's client address, "" when unknown
    commit: int
    applied: int
    first_index: int
    last_index: int
    persisted: int
    snapshot_index: int
    snapshot_term: int
    configuration: Configuration
    configuration_index: int
    has_quorum: bool  # leader: heard from a quorum within the election timeout; others: hears a leader
    digest: int
    digest_index: int
    members: tuple[PeerStatus, ...] = ()
    transferring_to: str = ""
    snapshot_in_progress: bool = False
    log_bytes: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    version: str = ""  # of Leto
    level: int = 0  # what this node understands
    clock_ms: int = 0  # the cluster's clock, as last heard here
    clock_ahead: float = 0.0  # leader: seconds that it is ahead of this node's wall clock (negative: behind)
    clock_error: float = 0.0  # leader: seconds its wall clock is off what a majority's stand for, if more than allowed
    max_clock_offset: float = 0.0  # seconds allowed
    cluster_level: int = 0  # what all members have agreed to understand
    uptime: float = 0.0  # seconds since it was started
    snapshot_found_no_room: bool = False  # the last one that was tried
    disk_free: int = 0  # bytes, of the disk that the data directory is on
    disk_total: int = 0
    disk_min_free: int = 0  # with less a leader refuses writes that add data
    growth_refusal: str = ""  # why this node, leading, refuses writes that may add data
    disk_state: str = "ok"  # "warning": less than twice that is left; "low": less than that
    keys: int = 0  # expired ones that are not deleted yet included


class WriteRequest(Protocol):
    """Requests that go to the log together, and who is told of them. The replica calls one of the methods, once, in
    the reactor's thread; they must not raise."""

    @property
    def payload(self) -> bytes:
        """`count` requests: RESP, as leto.keyspace.batch frames them."""

    @property
    def count(self) -> int: ...

    @property
    def head(self) -> bytes:
        """Of leto.keyspace.batch.SET_HEADS, if each of the requests is a SET that begins with it; else empty."""

    @property
    def returns(self) -> bool:
        """Whether its client asks again at once: it was answered just now, and has nothing under way."""

    def applied(self, replies: Sequence[Reply], start: int, microseconds: float) -> None:
        """Committed and applied here: the replies are those from `start` on, each the work of so much time."""

    def refused(self, error: Exception) -> None:
        """See Replica.write for the errors."""


class ReadRequest(Protocol):
    """Who is told that a read may be served. The replica calls one of the methods, once, in the reactor's thread;
    they must not raise."""

    @property
    def returns(self) -> bool:
        """As WriteRequest's."""

    def confirmed(self, clock_ms: int) -> None:
        """Query the machine now, in this call or later."""

    def refused(self, error: Exception) -> None:
        """See Replica.read for the errors."""


class Replica(Protocol):
    """What resp, admin and service ask of the replica."""

    machine: StateMachine
    growth_refusal: str  # why this node, leading, refuses writes that may add data; "" while it does not
    prompt_until: float  # the clock's time until which a client that is answered now would ask again at once
    on_half_applied: Callable[[bool], None]  # told True when nobody may query `machine`, False when one may again

    @property
    def is_leader(self) -> bool: ...

    @property
    def is_congested(self) -> bool:
        """Whether so many writes wait for their answers that clients are better left unread for the moment."""

    def write(self, payload: bytes, count: int) -> Deferred[list[Reply]]:
        """Append `count` requests (RESP, as leto.keyspace.batch frames them) and fire with their replies, in order,
        once committed and applied here. Calls are appended in the order they are made.

        Errbacks: NotLeader, Overloaded, DiskFull, Stopping (never appended); OutcomeUnknown (appended, fate unknown).
        """

    def submit_write(self, request: WriteRequest) -> None:
        """write() without a Deferred, for the hot path. The answer may come before this returns."""

    def submit_read(self, request: ReadRequest) -> None:
        """read() without a Deferred, for the hot path. The answer may come before this returns."""

    def read(self) -> Deferred[int]:
        """Fires with clock_ms once `machine` holds every write acknowledged before this call, cluster-wide:
        query it in that callback. Errbacks NoQuorum, Stopping. Honours --reads (linearizable, lease, local)."""

    def hold(self) -> bool:
        """Have `machine` stay as it is until release(). False: not now, ask again in a later turn."""

    def release(self) -> None:
        """What hold() began is over."""

    def read_local(self) -> int:
        """clock_ms for a possibly stale read right now (READONLY connections)."""

    def add_member(
        self,
        server_id: str,
        address: str,
        *,
        voter: bool | None,
        client_address: str = "",
        reached_at: str = "",
        incarnation: str = "",
    ) -> Deferred[None]:
        """Add a learner, or move a known id to a new address. `voter`: whether it is promoted once it has caught up;
        None: a new id is, and a known one stays what it is. Fires when committed. `reached_at`: the host at which the
        asker reached this node: from it a bootstrapped node learns its own address. `incarnation` names the data
        directory that joins: a known id with another one lost its disk, and starts over as a learner. Errbacks
        NotLeader, ConfigurationRefused, OutcomeUnknown."""

    def move_member(
        self, server_id: str, address: str, *, client_address: str = "", incarnation: str | None = None
    ) -> Deferred[None]:
        """A member is at another address now ("" keeps its client port, on the new host). Fires when committed, after
        the leader has met it there. `incarnation`: only if it is that data directory. Errbacks NotLeader,
        ConfigurationRefused (UnknownMember), OutcomeUnknown."""

    def remove_member(self, server_id: str) -> Deferred[None]:
        """Fires when committed. A leader that removes itself hands over first. Errbacks NotLeader,
        ConfigurationRefused (UnknownMember), OutcomeUnknown."""

    def promote(self, server_id: str) -> Deferred[None]: ...

    def demote(self, server_id: str) -> Deferred[None]: ...

    def transfer(self, server_id: str | None) -> Deferred[str]:
        """Hand leadership to that voter (None: the most caught-up). Fires with its id.

        Errbacks TransferFailed, NotLeader.
        """

    def snapshot(self) -> Deferred[SnapshotMeta]:
        """Snapshot now and compact the log. Errbacks NothingToSnapshot."""

    def status(self) -> ReplicaStatus: ...

    def cluster_status(self) -> Deferred[dict[str, Any]]:
        """This node's view and every other member's own, gathered from them."""

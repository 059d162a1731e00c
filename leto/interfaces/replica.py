"""What the replica is to the edges: requests and who is told of their outcome, changes of the cluster, status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from leto.interfaces.machine import StateMachine
from leto.raft.configuration import Configuration
from leto.raft.messages import SnapshotMeta

if TYPE_CHECKING:
    from leto.interfaces.listeners import Listeners
    from leto.vocabulary.replies import Reply


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
    effects: Listeners  # who is told what the entries did that are applied from now on

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

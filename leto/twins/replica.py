"""LoneReplica: the in-memory twin of the replica, a cluster of one without Raft, disk or network.

For tests and examples of the edges: it applies at once, or holds writes and reads back until it is told, and
can play a follower, refuse, or lose leadership with writes in flight.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed

from leto.errors import (
    ConfigurationRefused,
    LetoError,
    NoQuorum,
    NothingToSnapshot,
    NotLeader,
    OutcomeUnknown,
    TransferFailed,
    UnknownMember,
)
from leto.interfaces.listeners import Listeners
from leto.interfaces.machine import StateMachine
from leto.interfaces.replica import PeerStatus, ReadRequest, ReplicaStatus, WriteRequest
from leto.keyspace import batch
from leto.keyspace.effects import NOTHING
from leto.raft.configuration import Configuration, Member
from leto.raft.messages import Entry, EntryKind, SnapshotMeta
from leto.replica.deferred import DeferredRead, DeferredWrite
from leto.status import status_data

if TYPE_CHECKING:
    from leto.vocabulary.replies import Reply

TERM = 1


class LoneReplica:
    """Implements leto.interfaces.replica.Replica over a state machine alone.

    `wall_ms` is the clock that stamps entries and answers reads, `seconds` the one that times the applying.
    `is_leader`, `leader_address`, `refusal` (an error that every write and read gets), `prompt_until` may be set at any
    time.
    `hold_writes`/`hold_reads` keep calls until release_writes()/release_reads(). `calls` records what was asked:
    ("write", count), ("read",), ...
    """

    def __init__(
        self,
        machine: StateMachine,
        *,
        wall_ms: Callable[[], int] = lambda: 1_700_000_000_000,
        server_id: str = "lone",
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.machine = machine
        machine.seconds = seconds
        self.wall_ms = wall_ms
        self.seconds = seconds
        self.id = server_id
        self.is_leader = True
        self.is_congested = False
        self.growth_refusal = ""
        self.prompt_until = 0.0
        self.on_half_applied: Callable[[bool], None] = lambda is_half: None
        self.effects = Listeners()
        self.leader_id: str | None = None
        self.leader_address: str | None = None
        self.refusal: LetoError | None = None
        self.hold_writes = False
        self.hold_reads = False
        self.calls: list[tuple[Any, ...]] = []
        self.members: dict[str, Member] = {server_id: Member(server_id, "127.0.0.1:15379", True)}
        self.snapshot_index = 0
        self._writes: deque[WriteRequest] = deque()
        self._reads: deque[ReadRequest] = deque()
        self._index = machine.applied

    # What the edges ask -------------------------------------------------------------------------

    def write(self, payload: bytes, count: int) -> Deferred[list[Reply]]:
        request = DeferredWrite(payload, count)
        self.submit_write(request)
        return request.done

    def submit_write(self, request: WriteRequest) -> None:
        self.calls.append(("write", request.count))
        if self.refusal is not None:
            request.refused(self.refusal)
        elif not self.is_leader:
            request.refused(self._not_leader())
        elif self.hold_writes:
            self._writes.append(request)
        else:
            self._apply(request)

    def read(self) -> Deferred[int]:
        request = DeferredRead()
        self.submit_read(request)
        return request.done

    def submit_read(self, request: ReadRequest) -> None:
        self.calls.append(("read",))
        if self.refusal is not None:
            request.refused(self.refusal)
        elif self.hold_reads:
            self._reads.append(request)
        else:
            request.confirmed(self.wall_ms())

    def hold(self) -> bool:
        self.calls.append(("hold",))
        return True

    def release(self) -> None:
        self.calls.append(("release",))

    def read_local(self) -> int:
        self.calls.append(("read_local",))
        return self.wall_ms()

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
        self.calls.append(("add_member", server_id, address, voter, client_address, reached_at))
        if not self.is_leader:
            return fail(self._not_leader())
        self.members[server_id] = Member(server_id, address, voter is not False, client_address=client_address)
        return succeed(None)

    def move_member(
        self, server_id: str, address: str, *, client_address: str = "", incarnation: str | None = None
    ) -> Deferred[None]:
        self.calls.append(("move_member", server_id, address, client_address, incarnation))
        if not self.is_leader:
            return fail(self._not_leader())
        if server_id not in self.members:
            return fail(UnknownMember(server_id))
        return succeed(None)

    def remove_member(self, server_id: str) -> Deferred[None]:
        self.calls.append(("remove_member", server_id))
        if not self.is_leader:
            return fail(self._not_leader())
        if server_id not in self.members:
            return fail(UnknownMember(server_id))
        if self.members.keys() == {server_id}:
            return fail(ConfigurationRefused("the last voter cannot be removed"))
        del self.members[server_id]
        return succeed(None)

    def promote(self, server_id: str) -> Deferred[None]:
        return self._change("promote", server_id, True)

    def demote(self, server_id: str) -> Deferred[None]:
        return self._change("demote", server_id, False)

    def transfer(self, server_id: str | None) -> Deferred[str]:
        self.calls.append(("transfer", server_id))
        if not self.is_leader:
            return fail(self._not_leader())
        others = [member for member in self.members if member != self.id]
        target = server_id if server_id is not None else next(iter(others), "")
        if target not in others:
            return fail(TransferFailed("there is no such voter to lead"))
        self.is_leader, self.leader_id = False, target
        return succeed(target)

    def snapshot(self) -> Deferred[SnapshotMeta]:
        self.calls.append(("snapshot",))
        if self.machine.applied == self.snapshot_index:
            return fail(NothingToSnapshot())
        self.snapshot_index = self.machine.applied
        return succeed(SnapshotMeta(self.snapshot_index, TERM, self._configuration()))

    def status(self) -> ReplicaStatus:
        index, digest = self.machine.digest()
        leader = self.id if self.is_leader else (self.leader_id or "")
        return ReplicaStatus(
            id=self.id,
            cluster_id="0" * 32,
            role="leader" if self.is_leader else "follower",
            term=TERM,
            leader_id=leader,
            leader_address=self.leader_address or "",
            commit=self._index,
            applied=self.machine.applied,
            first_index=1,
            last_index=self._index,
            persisted=self._index,
            snapshot_index=self.snapshot_index,
            snapshot_term=TERM if self.snapshot_index else 0,
            configuration=self._configuration(),
            configuration_index=0,
            has_quorum=self.refusal is None,
            growth_refusal=self.growth_refusal,
            digest=digest,
            digest_index=index,
            members=tuple(
                PeerStatus(m.id, m.address, m.client_address, "voter" if m.voter else "learner", connected=True)
                for m in self._configuration().members
            ),
            keys=self.machine.key_count,
        )

    def cluster_status(self) -> Deferred[dict[str, Any]]:
        return succeed({"id": self.id, "nodes": {self.id: status_data(self.status())}, "unreachable": {}})

    # What a test tells it -------------------------------------------------------------------------

    def release_writes(self, most: int = -1) -> None:
        """Apply and answer held writes, the oldest first; at most `most` of them (-1: all)."""
        while self._writes and most != 0:
            most -= 1
            self._apply(self._writes.popleft())

    def release_reads(self, most: int = -1) -> None:
        """Confirm held reads, the oldest first."""
        while self._reads and most != 0:
            most -= 1
            self._reads.popleft().confirmed(self.wall_ms())

    def lose_leadership(self, leader_id: str | None = None, leader_address: str | None = None) -> None:
        """Become a follower: the fate of held writes is unknown, held reads find no quorum."""
        self.is_leader, self.leader_id, self.leader_address = False, leader_id, leader_address
        while self._writes:
            self._writes.popleft().refused(
                OutcomeUnknown("leadership was lost after the write was appended: it may or may not apply")
            )
        while self._reads:
            self._reads.popleft().refused(NoQuorum("no quorum confirmed the read in time"))

    @property
    def held_writes(self) -> int:
        return len(self._writes)

    @property
    def held_reads(self) -> int:
        return len(self._reads)

    def _apply(self, request: WriteRequest) -> None:
        self._index += 1
        payload = batch.encode(self.wall_ms(), request.count, request.payload)
        started = self.seconds()
        applied = self.machine.apply(Entry(self._index, TERM, EntryKind.COMMAND, payload))
        request.applied(applied.replies, 0, (self.seconds() - started) * 1e6 / request.count)
        if applied.effects is not NOTHING:
            self.effects.tell(self._index, applied.effects)

    def _not_leader(self) -> NotLeader:
        return NotLeader(self.leader_id, self.leader_address)

    def _configuration(self) -> Configuration:
        return Configuration(tuple(self.members[id] for id in sorted(self.members)))

    def _change(self, verb: str, server_id: str, voter: bool) -> Deferred[None]:
        self.calls.append((verb, server_id))
        if not self.is_leader:
            return fail(self._not_leader())
        member = self.members.get(server_id)
        if member is None:
            return fail(ConfigurationRefused(f"{server_id} is no member"))
        self.members[server_id] = Member(server_id, member.address, voter, client_address=member.client_address)
        return succeed(None)

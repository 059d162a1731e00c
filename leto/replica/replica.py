"""One node of the cluster as its clients and operators see it: what the edges ask of a replica.

Everything happens in turns (leto.replica.driver). What arrives in one turn of the reactor is gathered and proposed as
one entry; what comes while a flush runs forms the next (group commit). What follows is leto.replica.owner's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.config import Config
from leto.errors import LetoError, NotLeader, Overloaded, RequestTooLarge, Stopping
from leto.interfaces.listeners import Listeners
from leto.interfaces.machine import StateMachine
from leto.interfaces.replica import ReadRequest, ReplicaStatus, WriteRequest
from leto.interfaces.transport import Transport
from leto.raft.messages import SnapshotMeta
from leto.raft.state import Role
from leto.replica.clockwork import Clockwork
from leto.replica.cluster import Cluster
from leto.replica.core import core_of
from leto.replica.deferred import DeferredRead, DeferredWrite
from leto.replica.expiry import Expiry
from leto.replica.fate import Fate
from leto.replica.forwarding import Forwarding
from leto.replica.intake import Intake
from leto.replica.listener import Listener
from leto.replica.owner import DriverOwner
from leto.replica.status import Survey, describe
from leto.replica.surroundings import Disk, Endings, Surroundings
from leto.replica.upkeep import Upkeep

LEADER = Role.LEADER  # asked for with each request: a look into the class takes five times as long
MAX_REQUEST_BYTES = 1000 << 20  # what peers take in one message is 1 GiB


class Replica:
    """See leto.interfaces.replica.Replica for what the edges may ask."""

    log = Logger()

    def __init__(
        self,
        config: Config,
        disk: Disk,
        machine: StateMachine,
        transport: Transport,
        surroundings: Surroundings,
        endings: Endings,
    ) -> None:
        """Raises as leto.replica.core.core_of does."""
        core = core_of(config, disk, machine, transport, surroundings, endings.fatal)
        reactor = self._reactor = surroundings.reactor
        node = self.node = core.node
        self.config, self.driver, self.machine = config, core.driver, machine
        self.growth_refusal, self.prompt_until = "", 0.0
        self.on_half_applied: Callable[[bool], None] = lambda is_half: None
        self.effects = Listeners()
        self._store, self._transport = disk.store, transport
        self._made_at, self._stopping = reactor.seconds(), False
        self._max_in_flight = config.max_uncommitted_bytes
        self._written = self._read = 0  # requests
        cluster = self.cluster = Cluster(core, endings.removed)
        survey = self._survey = Survey(node, transport, self.status)
        upkeep = self.upkeep = Upkeep(core, ask=survey.status_of, room_changed=self._room_changed)
        self.addresses, self.membership = cluster.addresses, cluster.membership
        self.compaction, self.room = upkeep.compaction, upkeep.room
        intake = self._intake = Intake(reactor, config, node, machine, core.driver, cluster.not_leader)
        self._proposals, self._reads = intake.proposals, intake.reads
        self.forwarding = Forwarding(
            reactor, config, node, machine, transport, write=self.write, read=self.read, not_leader=cluster.not_leader
        )
        self._expiry = Expiry(reactor, machine, surroundings.meter, self)
        self._fate = Fate(reactor, config.write_timeout, self._give_up)
        self._clockwork = Clockwork(reactor, config, node, core.driver, intake.reads, cluster)
        self._owner = DriverOwner(self, node, machine, intake, self._fate, cluster, upkeep, self._clockwork)
        self.listener = Listener(
            reactor, node, core.driver, cluster, self.forwarding, upkeep.streams, survey, endings.shut_out
        )

    # life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to take part in the cluster."""
        if not self.node.configuration.members and not self.config.join:
            self.log.info(
                "{id} has no log yet and waits for its leader (if it was to be the first node of a new cluster, its "
                "bootstrap was cut short: remove {directory} and start it again)",
                id=self.config.id,
                directory=self.config.raftdir,
            )
        self._transport.start(self.listener)
        self.driver.start(self._owner)
        self.upkeep.start()
        self._expiry.start()
        self.cluster.start()

    async def stop(self) -> None:
        """Refuse new requests, finish what was appended, hand over leadership, then fall silent.

        Bounded by about three election timeouts. The store stays open, and whole, until its owner closes it.
        """
        if self._stopping:
            return
        self._stopping = True
        self._proposals.refuse_gathered(lambda: Stopping("the node is stopping"))
        deadline = self._reactor.seconds() + self.config.election_timeout
        while self._proposals.awaits_fate and not self.driver.has_failed and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, 0.005)
        if self.is_leader and not self.driver.has_failed and self.cluster.handover.most_caught_up() is not None:
            try:
                await self.cluster.handover.to(None)
            except LetoError as error:
                self.log.warn("stopping without handing leadership over: {error}", error=error)
        self.driver.stop()
        self._expiry.stop()
        self.upkeep.stop()
        self._clockwork.stop()
        self._fate.cancel()
        self._intake.stop()
        self.cluster.stop()

    # what the edges ask ----------------------------------------------------------------------

    @property
    def is_leader(self) -> bool:
        return self.node.role is LEADER

    @property
    def takes_writes(self) -> bool:
        """It leads, and neither stops nor hands over."""
        return self.is_leader and not self._stopping and not self.node.transferring_to

    @property
    def is_congested(self) -> bool:
        # What a leader that was lost had gathered only waits.
        return self._proposals.is_congested if self.node.role is LEADER else self.forwarding.is_congested

    def write(self, payload: bytes, count: int) -> Deferred[list[Any]]:
        request = DeferredWrite(payload, count)
        self.submit_write(request)
        return request.done

    def submit_write(self, request: WriteRequest) -> None:
        node, proposals = self.node, self._proposals
        size = len(request.payload)
        if self._stopping:
            request.refused(Stopping("the node is stopping"))
        elif size > MAX_REQUEST_BYTES:
            request.refused(RequestTooLarge(f"a request of {size} bytes is too large for the log"))
        elif node.role is not LEADER:
            if self.config.on_follower == "proxy" and node.leader_id:
                self._forward(node.leader_id, request)
            else:
                request.refused(self.cluster.not_leader())
        elif self.growth_refusal and (full := self.room.refuse(request.payload)) is not None:
            request.refused(full)
        elif proposals.gathered_bytes + node.uncommitted_bytes > self._max_in_flight:
            request.refused(Overloaded("too many writes wait to be committed, try again later"))
        else:
            self._written += request.count
            if not self.driver.is_scheduled:
                self.driver.schedule()
            proposals.submit(request)

    def _forward(self, leader_id: str, request: WriteRequest) -> None:
        def failed(failure: Failure) -> None:
            request.refused(failure.value)  # type: ignore[arg-type]

        done = self.forwarding.forward(leader_id, request.payload, request.count)
        done.addCallbacks(lambda replies: request.applied(replies, 0, 0.0), failed)

    def read(self) -> Deferred[int]:
        request = DeferredRead()
        self.submit_read(request)
        return request.done

    def submit_read(self, request: ReadRequest) -> None:
        if self.config.reads == "local":
            request.confirmed(self.read_local())
        elif self._stopping:
            request.refused(Stopping("the node is stopping"))
        else:
            self._read += 1
            batch = self._reads.gathering or self._reads.begin(self._reactor.seconds())
            if not self.driver.is_scheduled:
                self.driver.schedule()
            batch.waiting.append(request)
            if request.returns:
                batch.returning += 1

    def hold(self) -> bool:
        return self.driver.hold()

    def release(self) -> None:
        self.driver.release()

    def read_local(self) -> int:
        return self.node.local_clock(self.driver.wall_ms(), self._reactor.seconds())

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
        return self.membership.add(
            server_id,
            address,
            voter=voter,
            client_address=client_address,
            reached_at=reached_at,
            incarnation=incarnation,
        ).addErrback(self._name_leader)

    def move_member(
        self, server_id: str, address: str, *, client_address: str = "", incarnation: str | None = None
    ) -> Deferred[None]:
        moved = self.membership.move(server_id, address, client_address=client_address, incarnation=incarnation)
        return moved.addErrback(self._name_leader)

    def remove_member(self, server_id: str) -> Deferred[None]:
        return self.membership.remove(server_id).addErrback(self._name_leader)

    def promote(self, server_id: str) -> Deferred[None]:
        return self.membership.promote(server_id).addErrback(self._name_leader)

    def demote(self, server_id: str) -> Deferred[None]:
        return self.membership.demote(server_id).addErrback(self._name_leader)

    def transfer(self, server_id: str | None) -> Deferred[str]:
        if not self.is_leader:
            return fail(self.cluster.not_leader())
        return Deferred.fromCoroutine(self.cluster.handover.to(server_id))

    def snapshot(self) -> Deferred[SnapshotMeta]:
        return self.upkeep.snapshot()

    def status(self) -> ReplicaStatus:
        now = self._reactor.seconds()
        return describe(
            self.node,
            self._store,
            self.machine,
            self._transport,
            now=now,
            uptime=now - self._made_at,
            client_address_of=self.addresses.of_client,
            snapshot_in_progress=self.compaction.in_progress,
            snapshot_found_no_room=self.compaction.found_no_room,
            space=self.room.space,
            disk_state=self.room.state,
            growth_refusal=self.growth_refusal,
            counters={
                "writes": self._written,
                "reads": self._read,
                "elections_won": self.cluster.elections_won,
                "snapshots_sent": self.upkeep.streams.sent,
                "flushes": self.driver.flushes,
                "entries_applied": self.driver.entries_applied,
                "entries_proposed": self._intake.entries_proposed,
            },
        )

    def cluster_status(self) -> Deferred[dict[str, Any]]:
        return self._survey.cluster_status()

    def _name_leader(self, failure: Failure) -> Failure:
        """A change of members was refused here: say where to ask."""
        return Failure(self.cluster.not_leader()) if failure.check(NotLeader) else failure

    def _give_up(self, term: int) -> None:
        self._proposals.abandon(term)
        self.membership.abandon(term)
        self.forwarding.abandon(term)

    def _room_changed(self, refusal: str, spare: int) -> None:
        self.growth_refusal = refusal
        self._max_in_flight = min(self.config.max_uncommitted_bytes, spare)
        self._proposals.congested_bytes = self._max_in_flight // 2

"""One node of the cluster, as its clients, operators and peers see it.

Everything happens in turns (leto.replica.driver). What arrives in one turn of the reactor is gathered and proposed as
one entry; what comes while a flush runs forms the next (group commit). Here is decided who is answered what, and when.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.config import Config
from leto.errors import (
    LetoError,
    NoRoom,
    NothingToSnapshot,
    NotLeader,
    Overloaded,
    RequestTooLarge,
    Stopping,
    UnknownEntry,
)
from leto.interfaces.machine import StateMachine
from leto.interfaces.replica import ReadRequest, ReplicaStatus, WriteRequest
from leto.interfaces.store import Flusher, Store
from leto.interfaces.transport import Transport
from leto.keyspace import batch
from leto.raft.configuration import Configuration, decode
from leto.raft.messages import Entry, EntryKind, InstallSnapshot, Message, SnapshotMeta
from leto.raft.node import Node
from leto.raft.ready import ReadState
from leto.raft.settings import Settings
from leto.raft.state import Role
from leto.reactor.stalls import StallMeter
from leto.replica.addresses import AddressBook, check_members
from leto.replica.clockwatch import ClockWatch
from leto.replica.compaction import Compaction, staggered
from leto.replica.deferred import DeferredRead, DeferredWrite
from leto.replica.dialling import Dialling
from leto.replica.disposal import Disposal
from leto.replica.driver import Driver
from leto.replica.expiry import Expiry
from leto.replica.fate import Fate
from leto.replica.intake import Intake
from leto.replica.levels import Levels, beyond
from leto.replica.membership import Membership, in_words, names
from leto.replica.peering import Peering
from leto.replica.proposals import Proposals
from leto.replica.reads import Reads
from leto.replica.relocation import Relocation
from leto.replica.room import Room
from leto.replica.status import describe
from leto.replica.timers import LazyTimer
from leto.replica.transfer import Handover
from leto.replica.vigil import Vigil

CONFIGURATION = int(EntryKind.CONFIGURATION)
LEADER = Role.LEADER  # asked for with each request: a look into the class takes five times as long
MAX_REQUEST_BYTES = 1000 << 20  # what peers take in one message is 1 GiB
SLOW_DISK_BYTES_PER_SECOND = 8 << 20  # a disk at least so fast is not taken for a hanging one


class Replica:
    """See leto.interfaces.replica.Replica for what the edges may ask. Made with an open store that has an identity."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        store: Store,
        log_flusher: Flusher,
        snapshot_flusher: Flusher,
        machine: StateMachine,
        transport: Transport,
        *,
        wall_clock: Callable[[], float] = time.time,
        random: Callable[[], float],
        on_fatal: Callable[[str], None],
        on_removed: Callable[[str], None],
        on_shut_out: Callable[[], None] = lambda: None,
        soon: Callable[[Callable[[], None]], object] | None = None,
        meter: StallMeter | None = None,
    ) -> None:
        """`on_shut_out`: the cluster has taken this node, which holds no log yet, but its leader means another data
        directory by its id. `soon` calls what it is given once all that has come by now is handed in (the default: a
        delayed call)."""
        self.config = config
        self.machine = machine
        self._reactor = reactor
        self._made_at = reactor.seconds()
        self._store = store
        self._transport = transport
        self._on_fatal = on_fatal
        self._on_removed = on_removed
        self._on_shut_out = on_shut_out
        self.on_half_applied: Callable[[bool], None] = lambda is_half: None
        self.meter = meter = meter or StallMeter()
        snapshot = store.snapshot
        self.node = Node(
            Settings(
                id=config.id,
                incarnation=store.identity.incarnation if store.identity is not None else None,
                election_timeout=config.election_timeout,
                heartbeat_interval=config.heartbeat_interval,
                max_uncommitted_bytes=config.max_uncommitted_bytes,
                max_clock_offset=config.max_clock_offset,
                lease=config.reads == "lease",
                check_command=batch.check_format,
                check_members=check_members,
            ),
            store,
            hard_state=store.hard_state,
            snapshot=snapshot,
            applied=snapshot.index if snapshot else 0,
            random=random,
            now=reactor.seconds(),
        )
        self.driver = Driver(
            reactor,
            self.node,
            store,
            log_flusher,
            machine,
            transport,
            wall_clock,
            self,
            soon or partial(reactor.callLater, 0),
            meter,
            config.skip_entries,
        )
        machine.on_fault = self._command_failed
        machine.seconds = reactor.seconds
        if self.node.configuration.level > machine.understands:
            raise UnknownEntry(
                beyond(self.node.configuration.level, machine.understands, self.node.configuration_index)
            )
        self._applied_term = 0
        self._applied_configuration = Configuration()
        self._applied_configuration_index = 0
        if snapshot is not None:
            self.driver.restore()
            self.node.clock_reached(machine.time_ms)
            self._restored(snapshot)
        wake = self.driver.schedule
        self.membership = Membership(reactor, config, self.node, wake, transport.meet)
        self._levels = Levels(reactor, self.node, self.membership, transport, machine.understands)
        self.peering = Peering(reactor, config, self, store, transport, snapshot_flusher)
        self.compaction = Compaction(
            reactor,
            store,
            machine,
            log_flusher,
            snapshot_flusher,
            begin=self._snapshot_meta,
            taken=self.node.snapshot_taken,
            compacted=self.node.compacted,
            max_bytes=config.snapshot_bytes,
            max_entries=config.snapshot_entries,
            trailing_entries=config.trailing_entries,
            trailing_bytes=config.trailing_bytes,
            snapshot_bytes=self.driver.restored_bytes,
            needed_behind=self.peering.needed_behind,
            meter=meter,
        )
        self.growth_refusal = ""
        self._max_in_flight = config.max_uncommitted_bytes
        self.room = Room(
            reactor,
            self.node,
            store,
            self.compaction,
            ask=self.peering.status_of,
            take_snapshot=lambda: self.compaction.take().addErrback(self._snapshot_failed),
            changed=self._room_changed,
        )
        self._handover = Handover(reactor, self.node, config.election_timeout, transport.is_connected, wake)
        self._relocation = Relocation(reactor, self.node, self.membership, transport)
        self._expiry = Expiry(reactor, self)
        self._disposal = Disposal(reactor, machine, meter)
        self._proposals = Proposals(config.max_batch_bytes, config.max_uncommitted_bytes // 2)
        self.prompt_until = 0.0
        self._reads = Reads(config.read_timeout, retry=config.election_timeout)
        self._intake = Intake(reactor, self.node, machine, self.driver, self._proposals, self._reads, self._not_leader)
        self._election_timer = LazyTimer(reactor, self.driver.tick)
        self._heartbeat_timer = LazyTimer(reactor, self._heartbeat_due)
        self._reads_timer = LazyTimer(reactor, self._reads_due)
        self._fate = Fate(reactor, config.write_timeout, self._give_up)
        self._started = False
        self._stopping = False
        self._said_removed = False
        self._said_left_out = False
        self._seen_leadership: tuple[int, str, Role] = (-1, "", Role.FOLLOWER)
        self.addresses = AddressBook(config, self.node, transport)
        self._dialling = Dialling(reactor, config.id, transport)
        self._clocks = ClockWatch(self.node, reactor.seconds)
        self._vigil = Vigil(reactor, config, self.node, transport.is_connected, lambda: self._started)
        self._counters = dict.fromkeys(("writes", "reads", "elections_won", "snapshots_sent"), 0)

    # life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to take part in the cluster."""
        self._started = True
        if not self.node.configuration.members and not self.config.join:
            self.log.info(
                "{id} has no log yet and waits for its leader (if it was to be the first node of a new cluster, its "
                "bootstrap was cut short: remove {directory} and start it again)",
                id=self.config.id,
                directory=self.config.raftdir,
            )
        self._transport.start(self)
        self.driver.start()
        self.room.start()
        self._expiry.start()
        self._relocation.start()
        self._vigil.start()

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
        if self.is_leader and not self.driver.has_failed and self._handover.most_caught_up() is not None:
            try:
                await self._handover.to(None)
            except LetoError as error:
                self.log.warn("stopping without handing leadership over: {error}", error=error)
        self._started = False
        self._dialling.stop()
        self.driver.stop()
        self.compaction.cancel()
        self.room.stop()
        self._expiry.stop()
        self._relocation.stop()
        self._vigil.stop()
        self._levels.stop()
        self._disposal.stop()
        self._intake.stop()
        self.peering.stop()
        for timer in (self._election_timer, self._heartbeat_timer, self._reads_timer, self._fate):
            timer.cancel()
        self._proposals.abandon()
        self.membership.abandon()
        self._reads.fail_all(Stopping("the node is stopping"))

    def _command_failed(self, name: bytes, error: Exception) -> None:
        self.log.failure(
            "the command {name} failed in a way that it must not; it was answered by an error, here as on every node",
            Failure(error),
            name=name.decode("ascii", "replace"),
        )

    def fatal(self, message: str) -> None:
        self._on_fatal(message)

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
        return self._proposals.is_congested if self.is_leader else self.peering.is_congested  # a lost leader only waits

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
                request.refused(self._not_leader())
        elif self.growth_refusal and (full := self.room.refuse(request.payload)) is not None:
            request.refused(full)
        elif proposals.gathered_bytes + node.uncommitted_bytes > self._max_in_flight:
            request.refused(Overloaded("too many writes wait to be committed, try again later"))
        else:
            self._counters["writes"] += request.count
            self.driver.schedule()
            proposals.submit(request)

    def _forward(self, leader_id: str, request: WriteRequest) -> None:
        def failed(failure: Failure) -> None:
            request.refused(failure.value)  # type: ignore[arg-type]

        done = self.peering.forward(leader_id, request.payload, request.count)
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
            self._counters["reads"] += 1
            reads = self._reads
            if reads.gathering is None:
                reads.begin(self._reactor.seconds())
            self.driver.schedule()
            reads.submit(request)

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
        if self.node.role is not Role.LEADER:
            return fail(self._not_leader())
        return Deferred.fromCoroutine(self._handover.to(server_id))

    def snapshot(self) -> Deferred[SnapshotMeta]:
        return self.compaction.take().addErrback(self._snapshot_refused)

    def status(self) -> ReplicaStatus:
        return describe(
            self.node,
            self._store,
            self.machine,
            self._transport,
            now=self._reactor.seconds(),
            uptime=self._reactor.seconds() - self._made_at,
            client_address_of=self.addresses.of_client,
            snapshot_in_progress=self.compaction.in_progress,
            snapshot_found_no_room=self.compaction.found_no_room,
            space=self.room.space,
            disk_state=self.room.state,
            growth_refusal=self.growth_refusal,
            counters=self._counters
            | {
                "flushes": self.driver.flushes,
                "entries_applied": self.driver.entries_applied,
                "entries_proposed": self._intake.entries_proposed,
            },
        )

    def cluster_status(self) -> Deferred[dict[str, Any]]:
        return self.peering.cluster_status()

    def _not_leader(self) -> NotLeader:
        return NotLeader(self.node.leader_id or None, self.addresses.of_leader() or None)

    def _name_leader(self, failure: Failure) -> Failure:
        """A change of members was refused here: say where to ask."""
        return Failure(self._not_leader()) if failure.check(NotLeader) else failure

    # what the driver tells (Owner) ---------------------------------------------------------------

    def begin_turn(self, now: float) -> None:
        self._intake.begin_turn(now)

    def entry_applied(self, entry: Entry, replies: list[Any], seconds: float) -> None:
        self._applied_term = entry.term
        if entry.kind == CONFIGURATION:
            self._applied_configuration = decode(entry.payload)
            self._applied_configuration_index = entry.index
            self._level_is(self._applied_configuration.level, entry.index)
            self.membership.applied(entry.index, entry.term, self._applied_configuration)
        if not self.membership.is_empty:
            self.membership.overtaken(entry.index, entry.term)
        self.prompt_until = self._intake.answering()
        self._proposals.applied(entry, replies, seconds * 1e6)
        if self._seen_leadership[2] is Role.LEADER:
            self._intake.writes_answered()

    def half_applied(self, is_half: bool) -> None:
        self.on_half_applied(is_half)

    def applied_up_to(self, index: int, payload_bytes: int) -> None:
        if self.machine.is_whole:
            self._reads.applied(index)
        if self.machine.has_waste:
            self._disposal.begin()
        if self.node.removed:
            self._removed(f"{self.config.id} was removed from the cluster")
        self.room.written(payload_bytes)
        if self.compaction.applied(index, payload_bytes):
            self.compaction.take().addErrback(self._snapshot_failed)

    def read_answered(self, state: ReadState) -> None:
        self.prompt_until = self._intake.answering()
        self._reads.answered(state, self.machine.applied if self.machine.is_whole else -1)
        self._intake.reads_answered()

    def snapshot_wanted(self, message: InstallSnapshot) -> None:
        self._counters["snapshots_sent"] += 1
        self.peering.send_snapshot(message)

    def snapshot_installing(self, meta: SnapshotMeta) -> None:
        self.compaction.cancel()

    def snapshot_installed(self, meta: SnapshotMeta) -> None:
        share = staggered(self.node.configuration.ids(), self.node.id, self.node.leader_id)
        self.compaction.installed(meta.index, self.driver.restored_bytes, share)
        self._proposals.overtaken(meta.index, meta.term)
        self.membership.overtaken(meta.index, meta.term)
        self._restored(meta)

    def end_turn(self, now: float) -> None:
        node = self.node
        if (node.term, node.leader_id, node.role) != self._seen_leadership:
            self._leadership_changed()
        if node.configuration is not self._dialling.current:
            self._configuration_changed()
        self._election_timer.expect(node.election_deadline)
        self._heartbeat_timer.expect(node.heartbeat_deadline)
        if not self._reads.is_empty:
            self._reads_timer.expect(now + self.config.heartbeat_interval)

    def _restored(self, meta: SnapshotMeta) -> None:
        self._applied_term = meta.term
        self._applied_configuration = meta.configuration
        self._applied_configuration_index = meta.configuration_index
        self._level_is(meta.configuration.level, meta.configuration_index)

    def _level_is(self, level: int, index: int) -> None:
        """By what is applied, the cluster is at that level since that entry."""
        if level != self.machine.level:
            self.log.info("the cluster is at level {reached} since entry {index}", reached=level, index=index)
            self.machine.level = level
        if level > self.machine.understands:
            self.driver.fail(beyond(level, self.machine.understands, index))

    def _snapshot_meta(self) -> SnapshotMeta:
        return SnapshotMeta(
            self.machine.applied, self._applied_term, self._applied_configuration, self._applied_configuration_index
        )

    # what changed ---------------------------------------------------------------------------------

    def _leadership_changed(self) -> None:
        node = self.node
        term, leader, role = self._seen_leadership
        self._seen_leadership = (node.term, node.leader_id, node.role)
        if leader and (node.term, node.leader_id) != (term, leader):
            self._fate.lost(term)
        if node.role is Role.LEADER and role is not Role.LEADER:
            self._counters["elections_won"] += 1
        self._vigil.changed(term, leader, role)
        if node.role is not Role.LEADER:
            self._clocks.forget()
            self._proposals.refuse_gathered(self._not_leader)
        if (node.term, node.leader_id) != (term, leader):
            self._reads.leader_changed()
            if node.leader_id and self._reads.wants_to_ask:
                self.driver.schedule()
        self._handover.changed()
        self.room.leadership_changed()
        self._levels.consider()

    def _configuration_changed(self) -> None:
        before, configuration = self._dialling.current, self.node.configuration
        self._dialling.follow(configuration)
        self.compaction.members_are(configuration.ids(), self.node.id)
        self._levels.consider()
        if before is not None:
            self.log.info("members: {members}", members=", ".join(map(in_words, configuration.members)))

    def _removed(self, reason: str) -> None:
        if not self._said_removed:
            self._said_removed = True
            self.log.warn(
                "{reason}. Its data is of no more use: to have it back as a new member, move the directory {directory} "
                "away and start it with --join",
                reason=reason,
                directory=self.config.raftdir,
            )
            self._on_removed(reason)

    # timers -----------------------------------------------------------------------------------------

    def _heartbeat_due(self) -> None:
        stuck = self.driver.flush_seconds()
        allowed = self.config.election_timeout + self.driver.flush_bytes / SLOW_DISK_BYTES_PER_SECOND
        if stuck > allowed and self.is_leader and len(self.node.configuration.voter_ids()) > 1:
            # A leader that cannot write must not hold the cluster up by its heartbeats.
            self.log.error("stepping down: the disk has not answered for {seconds:.1f} s", seconds=stuck)
            self._vigil.steps_down()
            self.node.step_down(self._reactor.seconds())
        if self.is_leader:
            self._clocks.look()
        late = self._reactor.seconds() - self.node.heartbeat_deadline
        (self.driver.tick if late > self.config.election_timeout / 2 else self.driver.tick_now)()

    def _reads_due(self) -> None:
        self._reads.tick(self._reactor.seconds())
        self.driver.turn()

    def _give_up(self, term: int) -> None:
        self._proposals.abandon(term)
        self.membership.abandon(term)
        self.peering.abandon(term)

    def _room_changed(self, refusal: str, spare: int) -> None:
        self.growth_refusal = refusal
        self._max_in_flight = min(self.config.max_uncommitted_bytes, spare)
        self._proposals.congested_bytes = self._max_in_flight // 2

    def _snapshot_failed(self, reason: Failure) -> None:
        if reason.check(Stopping, NothingToSnapshot, NoRoom) is None:
            if reason.check(LetoError) is None:  # a failing disk is told in one line
                self.log.failure("the snapshot failed", reason)
            self.driver.fail(f"the snapshot failed: {reason.getErrorMessage()}")

    def _snapshot_refused(self, reason: Failure) -> Failure:
        """Whoever asked for it is told; a disk that failed is the node's end all the same."""
        self._snapshot_failed(reason)
        return reason

    # what the transport tells (PeerListener) --------------------------------------------------------------

    def peer_message(self, message: Message) -> None:
        self.driver.step(message)

    def peer_request(self, sender: str, body: bytes) -> Deferred[bytes]:
        return self.peering.answer(sender, body)

    def peer_connected(self, server_id: str) -> None:
        self.log.debug("connected to {peer}", peer=server_id)
        self._levels.consider()

    def peer_disconnected(self, server_id: str) -> None:
        if self._started:
            if server_id == self.node.leader_id:
                self.node.leader_lost(self._reactor.seconds())
            self.node.peer_unreachable(server_id)
            self.driver.schedule()

    def removed_by(self, server_id: str, configuration_index: int) -> None:
        # What counts is the newest configuration in the log that names this node: the removal itself may follow it
        # there, not known to be committed. A joiner that none names yet is not removed, whoever refuses it; nor is one
        # that came back, reads of its own past, and meets a member that lags: the leader that it hears knows better.
        node = self.node
        hears_leader = node.has_quorum(self._reactor.seconds())
        from_leader = server_id == node.leader_id
        if 0 <= node.member_at < configuration_index and (from_leader or not hears_leader):
            self._removed(f"{self.config.id} was removed from the cluster, says {server_id}")
        elif node.member_at < 0 and from_leader and hears_leader:
            # It appends to this id, and refuses this directory: the id was given away, to an earlier life of this node
            # whose question was held up on its way, say.
            self._on_shut_out()
        elif node.member_at < 0 and from_leader and configuration_index > node.last_index:
            self._left_out_by(server_id)

    def _left_out_by(self, leader: str) -> None:
        """Removed while it was being brought the log, most likely; but a leader that has just come back may not have
        applied yet that it was added. So it goes on, and says so."""
        if not self._said_left_out:
            self._said_left_out = True
            self.log.warn(
                "{leader}, which leads and brought {id} the log, knows no member of that id: if it was removed, stop "
                "this node. To have it back as a new member, move the directory {directory} away and start it with "
                "--join",
                leader=leader,
                id=self.config.id,
                directory=self.config.raftdir,
            )

    def admits(self, server_id: str, incarnation: str) -> bool:
        current = self.node.configuration
        known = (current, self._dialling.farewell, self._applied_configuration)
        return not current.members or names(known, server_id, incarnation)

    @property
    def level(self) -> int:
        return self.node.configuration.level

    @property
    def configuration_index(self) -> int:
        return self._applied_configuration_index

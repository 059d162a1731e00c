"""One server of a simulated cluster: a node of leto.raft, its disk and a trivial state machine.

`Server` stands in for leto.replica: it carries out the numbered duties of leto.raft.ready, on a disk that syncs
at once, after a delay, or on command, and shows every step to the node's own invariants and to the oracle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from leto.errors import NotLeader, Overloaded
from leto.raft import invariants
from leto.raft.configuration import Configuration, decode
from leto.raft.messages import Entry, EntryKind, HardState, Message, SnapshotMeta
from leto.raft.node import Node
from leto.raft.ready import ReadState, Ready
from leto.raft.settings import Settings
from leto.raft.state import Role
from tests.raft.describe import entries_text
from tests.raft.disk import Disk, LogImage, Write

if TYPE_CHECKING:
    from tests.raft.network import Cluster

AT_ONCE = 0.0
ON_COMMAND = None


@dataclass
class Machine:
    """The state machine: the list of commands applied, and the configuration they ran under."""

    applied: int = 0
    term: int = 0
    commands: list[bytes] = field(default_factory=list)
    configuration: Configuration = Configuration()
    configuration_index: int = 0

    def apply(self, entry: Entry) -> None:
        self.applied, self.term = entry.index, entry.term
        if entry.kind == EntryKind.COMMAND:
            self.commands.append(entry.payload)
        elif entry.kind == EntryKind.CONFIGURATION:
            self.configuration, self.configuration_index = decode(entry.payload), entry.index

    def meta(self) -> SnapshotMeta:
        return SnapshotMeta(self.applied, self.term, self.configuration, self.configuration_index)

    def blob(self) -> tuple[bytes, ...]:
        return tuple(self.commands)

    @classmethod
    def restored(cls, meta: SnapshotMeta, blob: tuple[bytes, ...]) -> Machine:
        return cls(meta.index, meta.term, list(blob), meta.configuration, meta.configuration_index)


@dataclass(frozen=True, slots=True)
class Floor:
    """What a read that is asked now must not be older than."""

    commit: int
    clock_ms: int
    crashes: int
    time: float


@dataclass(slots=True)
class Seen:
    """A node as it was after its previous input."""

    term: int = 0
    vote: str = ""
    role: Role = Role.FOLLOWER
    leader_id: str = ""
    commit: int = 0
    last_index: int = 0
    configuration: Configuration = Configuration()

    @classmethod
    def of(cls, node: Node) -> Seen:
        return cls(node.term, node.vote, node.role, node.leader_id, node.commit, node.last_index, node.configuration)


class Server:
    """`node` is None while the server is down. `rate` and `offset` turn the cluster's time into this server's
    monotonic clock, `wall_offset_ms` that into its wall clock."""

    machine_class = Machine  # a planted bug, or the real keyspace, takes its place

    def __init__(self, cluster: Cluster, id_: str, settings: Settings, random: Random) -> None:
        self.cluster = cluster
        self.oracle = cluster.oracle
        self.id = id_
        self.settings = settings
        self.random = random
        self.disk = Disk()
        self.machine = self.machine_class()
        self.live: Node | None = None
        self.epoch = 0  # starts and crashes: what was scheduled before one is void after it
        self.rate, self.offset, self.wall_offset_ms = 1.0, 0.0, 0
        self.sync_delay: Callable[[], float] | None = lambda: AT_ONCE  # None: on command, or a hung disk
        self.apply_delay: Callable[[], float] = lambda: AT_ONCE
        self.paused = False
        self.inbox: list[tuple[Message, Any]] = []  # what came while paused
        self.stopped = False  # removed for good
        self.reset()

    def reset(self) -> None:
        self.outstanding: deque[Ready] = deque()
        self.flushing = False
        self.to_apply: deque[list[Entry]] = deque()
        self.applying = False  # a batch is due after a delay
        self.last_number = 0
        self.reads: dict[int, Floor] = {}
        self.answers: dict[int, ReadState] = {}
        self.next_context = 1
        self.seen = Seen()
        self._now = 0.0

    # what it is -----------------------------------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        assert self.live is not None, f"{self.id} is down"
        return self.live

    @property
    def log(self) -> LogImage:
        """The log as written, durable or not."""
        return self.disk.written

    @property
    def is_up(self) -> bool:
        return self.live is not None and not self.paused

    @property
    def leads(self) -> bool:
        return self.live is not None and self.live.role == Role.LEADER

    @property
    def now(self) -> float:
        """This server's monotonic clock, in seconds."""
        self._now = max(self._now, self.cluster.time * self.rate + self.offset)
        return self._now

    @property
    def wall_ms(self) -> int:
        return 1_000_000_000 + int(self.now * 1000) + self.wall_offset_ms

    def deadline(self) -> float:
        """When its next timer is due, in the cluster's time."""
        node = self.node
        return (min(node.election_deadline, node.heartbeat_deadline) - self.offset) / self.rate

    # life -----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """From what the disk holds, as after a crash."""
        assert self.live is None, f"{self.id} runs already"
        self.epoch += 1
        self.reset()
        disk = self.disk
        if disk.snapshot is not None:
            self.machine = self.machine_class.restored(*disk.blobs[disk.snapshot.index])
        else:
            self.machine = self.machine_class()
        self.live = Node(
            self.settings,
            disk,
            hard_state=disk.hard_state,
            snapshot=disk.snapshot,
            applied=self.machine.applied,
            random=self.random.random,
            now=self.now,
        )
        # a commit hint may be ahead of a log whose tail was torn off: it is only a hint
        self.last_hard_state = HardState(
            disk.hard_state.term, disk.hard_state.vote, min(disk.hard_state.commit, disk.durable.last)
        )
        if self.node.term < disk.hard_state.term:
            self.oracle.fail(f"{self.id} restarts in term {self.node.term}, its disk says {disk.hard_state.term}")
        self.settle()

    def crash(self, random: Random | None = None) -> None:
        """Lose all memory and, on disk, what is not durable (`random`: some of it may have got there)."""
        self.epoch += 1
        self.live = None
        self.paused = False
        self.inbox.clear()
        self.disk.crash(random)
        self.oracle.crashed()

    # inputs ---------------------------------------------------------------------------------------------------------

    def step(self, message: Message, blob: Any = None) -> None:
        if blob is not None:
            self.disk.receive_blob(message.meta, blob)
        self.node.step(message, self.now)
        self.settle()

    def tick(self) -> None:
        node = self.node
        due = min(node.election_deadline, node.heartbeat_deadline)
        self._now = max(self.now, due) if due - self.now < 1e-6 else self.now
        node.tick(self._now)
        self.settle()

    def propose(self, payload: bytes) -> int:
        """Raises NotLeader, Overloaded: then the payload must never be committed."""
        try:
            return self.node.propose(payload, self.now)
        except (NotLeader, Overloaded):
            self.oracle.refused.add(payload)
            raise
        finally:
            self.settle()

    def read(self) -> int:
        """Ask for a read index; -> its context. The answer is in `answers` when it has come."""
        context = self.next_context
        self.next_context += 1
        self.reads[context] = Floor(self.oracle.commit, self.oracle.clock_floor, self.oracle.crashes, self.cluster.time)
        self.node.read(context, self.now)
        self.settle()
        return context

    def change(self, target: Configuration) -> int:
        try:
            return self.node.propose_configuration(target, self.now)
        finally:
            self.settle()

    def transfer(self, target: str) -> None:
        try:
            self.node.transfer(target, self.now)
        finally:
            self.settle()

    def campaign(self) -> None:
        self.node.campaign(self.now)
        self.settle()

    def step_down(self) -> None:
        self.node.step_down(self.now)
        self.settle()

    def leader_lost(self) -> None:
        self.node.leader_lost(self.now)
        self.settle()

    def peer_unreachable(self, peer: str) -> None:
        self.node.peer_unreachable(peer)
        self.settle()

    def snapshot_sent(self, peer: str, index: int, ok: bool) -> None:
        self.node.snapshot_sent(peer, index, ok, self.now)
        self.settle()

    def snapshot(self, trailing: int = 0) -> SnapshotMeta | None:
        """Snapshot the state machine and compact the log up to `trailing` entries before it."""
        meta = self.machine.meta()
        if meta.index > self.node.applied_index:  # a snapshot is being installed
            return None
        if meta.index == 0 or (self.disk.snapshot is not None and meta.index <= self.disk.snapshot.index):
            return None
        self.oracle.holds(self)
        self.disk.save_snapshot(meta, self.machine.blob())
        self.node.snapshot_taken(meta)
        self.settle()
        if meta.index - trailing >= self.disk.first_index:
            self.disk.compact(meta.index - trailing)
            self.node.compacted(self.disk.first_index)
            self.settle()
        return meta

    # the duties ------------------------------------------------------------------------------------------------------

    def settle(self, may_be_due: bool = True) -> None:
        """After every input: check, and carry out all that the node wants done. Nothing if it said so."""
        node = self.node
        invariants.check(node)
        self.oracle.observe(self)
        while (ready := node.ready(self.wall_ms)) is not None:
            if not may_be_due:
                self.oracle.fail(f"{self.id} has something to do though it said that nothing was due: {ready}")
            self._carry_out(ready)
            invariants.check(node)
            self.oracle.observe(self)
        if node.commit > self.log.last:
            self.oracle.fail(f"{self.id} commits {node.commit}, its log ends at {self.log.last}")
        self.oracle.commits(self, node.commit)  # also where no Ready tells of it yet: it may lead no more by then
        self._narrate()
        self.seen = Seen.of(node)

    def _carry_out(self, ready: Ready) -> None:
        node, oracle = self.node, self.oracle
        oracle.readied(self, ready)
        self.last_number = ready.number
        if ready.hard_state is not None:
            self.last_hard_state = ready.hard_state
        self._send(ready.messages)
        if ready.snapshot is not None:
            meta, blob = self.disk.blobs[ready.snapshot.index]
            self.machine = self.machine_class.restored(meta, blob)
            self.to_apply.clear()
            self.oracle.holds(self)
            self.cluster.record("apply", f"{self.id} is restored from the snapshot of {meta.index}@{meta.term}")
        self.disk.write(Write(ready.number, ready.hard_state, ready.entries, ready.snapshot))
        self.outstanding.append(ready)
        if node.role == Role.LEADER and (self.seen.role, self.seen.term) != (Role.LEADER, node.term):
            oracle.leads(self)
        oracle.commits(self, min(node.commit, self.log.last))
        self._narrate()
        self.seen = Seen.of(node)
        for offer in ready.snapshots_to_send:
            oracle.sends(self, offer)
            self.cluster.post(offer, self.disk.blobs[offer.meta.index][1])
        self._flush()
        if ready.committed:
            self.to_apply.append(ready.committed)
            self._apply(self.epoch)
        for state in ready.reads:
            oracle.confirms(self, state, self.cluster.time)
            self.answers[state.context] = state
            fate = f"is confirmed at {state.index}" if state.index else "must be asked again"
            self.cluster.record("read", f"{self.id}'s read {state.context} {fate}")

    def _send(self, messages: list[Message]) -> None:
        for message in messages:
            self.oracle.sends(self, message)
            self.cluster.post(message)

    def _flush(self) -> None:
        """Begin a sync of all that waits, unless one is under way (group commit)."""
        if self.flushing or not self.outstanding:
            return
        if not self.disk.waiting or all(write.is_empty for write in self.disk.waiting):
            self.persist()
        elif self.sync_delay is not None:
            delay = self.sync_delay()
            if delay <= 0:
                self.persist()
            else:
                self.flushing = True
                self.cluster.after(delay, self._flushed, self.epoch, self.outstanding[-1].number)

    def _flushed(self, epoch: int, number: int) -> None:
        if epoch != self.epoch:
            return
        if self.paused or self.sync_delay is None:  # look again later
            self.cluster.after(0.05, self._flushed, epoch, number)
            return
        self.flushing = False
        self.settle(self.persist(number))
        self._flush()

    def persist(self, number: int | None = None) -> bool:
        """The disk is done with every Ready up to `number` (None: all). What the core says: whether more may be due."""
        if not self.outstanding:
            return True
        if number is None:
            number = self.outstanding[-1].number
        released: list[Message] = []
        while self.outstanding and self.outstanding[0].number <= number:
            ready = self.outstanding.popleft()
            self.disk.sync(ready.number)
            for message in ready.messages_after_persist:
                self.oracle.sends(self, message)
            released += ready.messages_after_persist
        may_be_due = self.node.persisted(number)
        for message in released:
            self.cluster.post(message)
        return may_be_due

    def flush(self) -> None:
        """The disk works again, or faster: begin what waits."""
        self._flush()
        self.settle()

    def _apply(self, epoch: int) -> None:
        """Apply what waits, batch by batch, each at once or after the state machine's delay."""
        while self.to_apply and not self.applying and epoch == self.epoch:
            delay = self.apply_delay()
            if delay > 0:
                self.applying = True
                self.cluster.after(delay, self._apply_later, epoch)
                return
            self._apply_batch()

    def _apply_batch(self) -> None:
        batch = self.to_apply.popleft()
        for entry in batch:
            self.oracle.applies(self, entry)
            self.machine.apply(entry)
        self.cluster.record("apply", f"{self.id} applies {entries_text(batch)}")
        self.node.applied(batch[-1].index)

    def _apply_later(self, epoch: int) -> None:
        if epoch != self.epoch:
            return
        if self.paused:
            self.cluster.after(0.05, self._apply_later, epoch)
            return
        self.applying = False
        if self.to_apply:
            self._apply_batch()
            self.settle()
            self._apply(epoch)
            self.settle()

    def _narrate(self) -> None:
        node, seen, record = self.node, self.seen, self.cluster.record
        if (node.role, node.term) != (seen.role, seen.term):
            role = node.role.name.lower().replace("_", "-")
            record("role", f"{self.id} is {role} in term {node.term}")
        if node.leader_id != seen.leader_id and node.leader_id not in ("", self.id):
            record("role", f"{self.id} follows {node.leader_id} in term {node.term}")
        if node.commit != seen.commit:
            record("commit", f"{self.id} commits up to {node.commit}")

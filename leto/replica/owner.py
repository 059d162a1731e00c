"""What follows from what the driver did: answers, news for those whom a change concerns, snapshots, timers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from leto.interfaces.listeners import Listeners
from leto.interfaces.machine import StateMachine
from leto.keyspace.effects import EVERYTHING, NOTHING, Applied
from leto.raft.configuration import decode
from leto.raft.messages import Entry, EntryKind, InstallSnapshot, SnapshotMeta
from leto.raft.node import Node
from leto.raft.ready import ReadState
from leto.raft.state import Role
from leto.replica.clockwork import Clockwork
from leto.replica.cluster import Cluster
from leto.replica.fate import Fate
from leto.replica.intake import Intake
from leto.replica.upkeep import Upkeep

CONFIGURATION: Final = int(EntryKind.CONFIGURATION)
LEADER: Final = Role.LEADER  # a look into the class takes five times as long


class Edges(Protocol):
    """What the edges look at themselves (leto.interfaces.replica.Replica)."""

    prompt_until: float
    on_half_applied: Callable[[bool], None]
    effects: Listeners


class DriverOwner:
    """The leto.replica.driver.Owner of one replica."""

    def __init__(
        self,
        edges: Edges,
        node: Node,
        machine: StateMachine,
        intake: Intake,
        fate: Fate,
        cluster: Cluster,
        upkeep: Upkeep,
        clockwork: Clockwork,
    ) -> None:
        self._edges = edges
        self._node = node
        self._machine = machine
        self._intake = intake
        self._proposals, self._reads = intake.proposals, intake.reads
        self._fate = fate
        self._cluster = cluster
        self._membership = cluster.membership
        self._upkeep = upkeep
        self._clockwork = clockwork
        self._role = Role.FOLLOWER  # as it was at the end of the last turn
        self._standing: tuple[Any, ...] = (-1, "", Role.FOLLOWER, None)  # the core's, then
        self.begin_turn = intake.begin_turn  # straight: it comes before each Ready

    def entry_applied(self, entry: Entry, applied: Applied, seconds: float) -> None:
        if entry.kind == CONFIGURATION:
            self._cluster.configuration_applied(entry, decode(entry.payload))
        if self._membership.waiting:
            self._membership.overtaken(entry.index, entry.term)
        if self._proposals.waiting_requests:
            self._edges.prompt_until = self._intake.answering()
            self._proposals.applied(entry, applied.replies, seconds * 1e6)
        if self._role is LEADER:
            self._intake.patience.answered(self._intake.seconds())
        if applied.effects is not NOTHING:
            self._edges.effects.tell(entry.index, applied.effects)  # behind the replies: see Listeners

    def half_applied(self, is_half: bool) -> None:
        self._edges.on_half_applied(is_half)

    def applied_up_to(self, index: int, payload_bytes: int) -> None:
        if self._reads.confirmed and self._machine.is_whole:
            self._edges.prompt_until = self._intake.answering()
            self._reads.applied(index)
        if self._node.removed:
            self._cluster.removal.removed()
        self._upkeep.applied(index, payload_bytes)

    def read_answered(self, state: ReadState) -> None:
        self._edges.prompt_until = self._intake.answering()
        self._reads.answered(state, self._machine.applied if self._machine.is_whole else -1)
        self._intake.read_patience.answered(self._intake.seconds())

    def snapshot_wanted(self, message: InstallSnapshot) -> None:
        self._upkeep.streams.send(message)

    def snapshot_installing(self, meta: SnapshotMeta) -> None:
        self._upkeep.compaction.cancel()

    def snapshot_installed(self, meta: SnapshotMeta) -> None:
        self._upkeep.installed(meta)
        self._proposals.overtaken(meta.index, meta.term)
        self._membership.overtaken(meta.index, meta.term)
        self._cluster.levels.reached(meta.configuration.level, meta.configuration_index)
        self._edges.effects.tell(meta.index, EVERYTHING)

    def end_turn(self, now: float) -> None:
        standing = self._node.standing
        if standing != self._standing:
            self._changed(standing)
        self._clockwork.wind(now)

    def _changed(self, standing: tuple[int, str, Role, Any]) -> None:
        term, leader, role, configuration = self._standing
        self._standing = standing
        self._role = standing[2]
        if standing[:3] != (term, leader, role):
            is_new = standing[:2] != (term, leader)
            if is_new and leader:
                self._fate.lost(term)
            self._intake.leadership_changed(is_new)
            self._cluster.leadership_changed(term, leader, role)
            self._upkeep.room.leadership_changed()
        if standing[3] is not configuration:
            self._cluster.configuration_changed(self._upkeep.members_are)

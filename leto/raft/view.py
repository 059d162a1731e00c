"""What a node tells of itself: all that may be read of it between two inputs. Nothing here changes anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from leto.raft import clock, election, membership, reads
from leto.raft.configuration import Configuration
from leto.raft.messages import SnapshotMeta
from leto.raft.progress import Progress
from leto.raft.state import Role, State

LEADER = Role.LEADER  # asked for with each request: a look into the class takes five times as long


def _of(*names: str, doc: str = "") -> Any:
    """A property that calls no function of Python's: these are looked at with each request."""
    return property(attrgetter(*(f"_state.{name}" for name in names)), doc=doc)


class NodeView:
    """The part of leto.raft.node.Node that is looked at."""

    _state: State
    term: int = _of("term")
    role: Role = _of("role")
    leader_id: str = _of("leader_id", doc='"" while unknown.')
    commit: int = _of("commit")
    configuration: Configuration = _of("configuration", doc="The one in force: the last in the log, committed or not.")
    transferring_to: str = _of("transferring_to", doc='Whom leadership is being handed to, "" for nobody.')
    removed: bool = _of("removed", doc="A committed configuration no longer names this node, after one that did.")
    uncommitted_bytes: int = _of("uncommitted_bytes", doc="Leader: payload of its own entries that wait for a quorum.")
    standing: tuple[int, str, Role, Configuration] = _of(
        "term",
        "leader_id",
        "role",
        "configuration",
        doc='(term, leader id or "", role, configuration in force): the same objects as long as they are the same.',
    )

    moments: tuple[Role, bool, float, float, float, str, Mapping[int, Any]] = _of(
        "role",
        "votes_itself",
        "election_deadline",
        "heartbeat_deadline",
        "notice_at",
        "transferring_to",
        "forwarded_reads",
        doc="What election_deadline and heartbeat_deadline are made of: enough to see that neither came earlier.",
    )

    @property
    def id(self) -> str:
        return self._state.id

    @property
    def vote(self) -> str:
        """Whom this node voted for in its term, "" for nobody."""
        return self._state.vote

    @property
    def lease_holds(self) -> bool:
        """Whether a read is confirmed at once."""
        s = self._state
        return s.settings.lease and reads.lease_holds(s)

    @property
    def applied_index(self) -> int:
        return self._state.applied

    @property
    def persisted_index(self) -> int:
        """Last index that is durable here and matches the log in memory."""
        return self._state.log.persisted

    @property
    def last_index(self) -> int:
        return self._state.log.last_index

    @property
    def first_index(self) -> int:
        return self._state.log.first_index

    @property
    def configuration_index(self) -> int:
        return self._state.configuration_index

    @property
    def applied_configuration(self) -> tuple[int, Configuration]:
        """(index of its entry, the configuration) that the state machine has come to; (0, an empty one) before the
        first, and while a leader's snapshot is being installed that holds a later one."""
        return self._state.configuration_at(self._state.applied)

    @property
    def clock_ms(self) -> int:
        """The cluster clock as it was told last, milliseconds since the epoch: never behind that of any confirmed
        read."""
        return self._state.clock_ms

    @property
    def max_clock_offset(self) -> float:
        return self._state.settings.max_clock_offset

    @property
    def clock_ahead(self) -> float:
        """Leader: seconds that the cluster clock is ahead of this node's wall clock (less than 0: behind)."""
        s = self._state
        return 0.0 if s.wall is None else (s.clock_ms - s.clock_at * 1000 - s.wall) / 1000

    @property
    def clock_error(self) -> float:
        """Leader: seconds that this node's wall clock is ahead of what a majority's stand for (less than 0: behind),
        where that is more than max_clock_offset: the cluster clock does not follow it then. Else 0."""
        return clock.error(self._state) / 1000

    def clock_offset(self, member: str) -> tuple[float, float] | None:
        """Leader: (seconds that the member's wall clock is ahead of this node's, by how much that may be wrong); None
        where it is not known."""
        s = self._state
        known = s.walls.get(member)
        if known is None or s.wall is None or s.now - known.at > clock.REMEMBERED_SECONDS:
            return None
        return (known.offset - s.wall) / 1000, known.trip / 2000

    @property
    def progress(self) -> Mapping[str, Progress]:
        """Leader: every other member's. Empty elsewhere."""
        return self._state.progress

    @property
    def election_deadline(self) -> float:
        """When to tick at the latest for the next election, seconds; inf if none can be due."""
        s = self._state
        if s.role is LEADER:
            return math.inf
        return s.election_deadline if s.votes_itself else election.deadline(s)

    @property
    def heartbeat_deadline(self) -> float:
        """When to tick at the latest for a leader's heartbeat or notice, a follower's repeated question; else inf."""
        s = self._state
        if s.role is LEADER:
            due = s.heartbeat_deadline if s.heartbeat_deadline < s.notice_at else s.notice_at
            return min(due, s.transfer_deadline) if s.transferring_to else due
        return min(due for _, due in s.forwarded_reads.values()) if s.forwarded_reads else math.inf

    @property
    def member_at(self) -> int:
        """Index of the newest configuration, committed or not, that names this node; -1 if none that it knows does."""
        s = self._state
        return next((index for index, known in reversed(s.history) if s.is_named_by(known)), s.was_member_at)

    @property
    def snapshot(self) -> SnapshotMeta | None:
        """The newest durable snapshot that followers are offered."""
        return self._state.snapshot

    @property
    def is_installing(self) -> bool:
        """A leader's snapshot was stepped in, and is not yet known to be durable."""
        s = self._state
        return s.snapshot_to_install is not None or s.writes.snapshots > 0

    @property
    def can_change_configuration(self) -> bool:
        """Whether this node leads and no change is in flight: propose_configuration would weigh the target itself."""
        return membership.is_settled(self._state)

    def has_quorum(self, now: float) -> bool:
        """Leader: a quorum was heard within the election timeout. Others: a leader was."""
        return election.has_quorum(self._state, now)

    def snapshot_meta(self, index: int) -> SnapshotMeta:
        """What a snapshot of the state machine at `index`, between the last snapshot and applied_index, stands for.

        Raises Compacted if the log no longer holds that index, ValueError if it is not in that range.
        """
        s = self._state
        if index > s.applied:
            raise ValueError(f"only {s.applied} is applied, not {index}")
        at, configuration = s.configuration_at(index)
        if not configuration.members:
            raise ValueError(f"the configuration in force at {index} is forgotten: a later snapshot was taken")
        return SnapshotMeta(index, s.log.term(index), configuration, at)

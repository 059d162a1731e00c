"""Everything one node is: paper figure 2's state, what it waits for, and what it wants done next.

The rules live beside it, in modules of functions over a State: election, replication, reads, membership, clock. What
they share is here: changing the log together with the configurations in it, and the outbox.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from leto.raft import configuration as configurations
from leto.raft.configuration import Configuration, Member
from leto.raft.log import Log
from leto.raft.messages import Entry, EntryKind, HardState, InstallSnapshot, Message, SnapshotMeta
from leto.raft.persistence import Writes
from leto.raft.progress import Progress
from leto.raft.reader import LogReader
from leto.raft.ready import ReadState
from leto.raft.settings import Settings


class Role(IntEnum):
    FOLLOWER = 0  # learners and members of no configuration too
    PRE_CANDIDATE = 1  # asks whether it could win, term unchanged (dissertation 9.6)
    CANDIDATE = 2
    LEADER = 3


class ReadRound:
    """Reads that wait for a quorum to echo `number` (dissertation 6.4). A reader is (follower id or "", context)."""

    __slots__ = ("clock_ms", "index", "number", "readers")

    def __init__(self, number: int, index: int, clock_ms: int, readers: list[tuple[str, int]]) -> None:
        self.number = number
        self.index = index  # commit index when it began
        self.clock_ms = clock_ms  # cluster clock when it began
        self.readers = readers


class Sample(NamedTuple):
    """A member's wall clock: right to half of `trip`, milliseconds, as of `at`, monotonic seconds."""

    offset: float
    trip: float
    at: float


class Span(NamedTuple):
    """One set of voters: the highest time that a majority of their wall clocks has reached is the leader's own, but no
    less than `least_low` and no more than `most_low`; the lowest that a majority has not passed, likewise."""

    least_low: float
    most_low: float
    least_high: float
    most_high: float


class State:
    """One node. Times are monotonic seconds; `now` is the latest heard."""

    __slots__ = (
        "applied",
        "applying",
        "asked_at",
        "beat",
        "beats",
        "broadcast",
        "candidate_transfer",
        "clock_at",
        "clock_heard",
        "clock_ms",
        "clock_shown",
        "commit",
        "configuration",
        "configuration_index",
        "confirmed_clock_ms",
        "durable_term",
        "durable_vote",
        "election_deadline",
        "fast_attempts",
        "forwarded_reads",
        "hard_state_given",
        "heartbeat_deadline",
        "history",
        "id",
        "lease_renewals",
        "lease_revoked",
        "lease_skew",
        "lease_until",
        "leader_commit",
        "leader_connected",
        "leader_contact",
        "leader_id",
        "log",
        "messages",
        "messages_after_persist",
        "notice_at",
        "notices_due",
        "now",
        "number",
        "outgoing",
        "progress",
        "promise_until",
        "pure_round",
        "questions",
        "random",
        "read_rounds",
        "reads",
        "reads_waiting",
        "removal_pending",
        "removed",
        "role",
        "round",
        "round_at",
        "round_due",
        "send_due",
        "sent_index",
        "settings",
        "settle_due",
        "snapshot",
        "snapshot_to_install",
        "snapshots_to_send",
        "spans",
        "term",
        "term_leader",
        "term_start",
        "timeout",
        "transfer_deadline",
        "transferring_to",
        "uncommitted_bytes",
        "vote",
        "voters",
        "votes",
        "votes_itself",
        "wall",
        "wall_high",
        "wall_low",
        "walls",
        "was_member_at",
        "writes",
    )

    def __init__(
        self,
        settings: Settings,
        reader: LogReader,
        *,
        hard_state: HardState,
        snapshot: SnapshotMeta | None,
        applied: int,
        random: Callable[[], float],
        now: float,
    ) -> None:
        settings.validate()
        self.settings = settings
        self.id = settings.id
        self.random = random
        self.now = now

        # persistent state (paper figure 2)
        self.term = hard_state.term
        self.vote = hard_state.vote
        self.log = Log(
            reader, snapshot.index if snapshot else 0, snapshot.term if snapshot else 0, settings.cache_bytes
        )
        self.snapshot = snapshot  # the newest durable one: what lagging followers are offered
        if self.log.last_term > self.term:
            # A crash came between a Ready's snapshot or entries and its hard state. Nothing was ever said or voted in
            # that term here, as it never became durable: adopt it, and have the next Ready write it.
            self.term, self.vote = self.log.last_term, ""

        # what of it the disk has
        self.durable_term = hard_state.term
        self.durable_vote = hard_state.vote
        self.hard_state_given = hard_state  # the last one that a Ready carried
        self.writes = Writes()
        self.number = 0  # of the last Ready
        self.snapshot_to_install: SnapshotMeta | None = None  # for the next Ready

        # volatile state
        floor = max(snapshot.index if snapshot else 0, applied)
        self.commit = max(min(hard_state.commit, self.log.last_index), floor)
        self.applying = applied  # handed out to be applied
        self.applied = applied
        if self.commit > self.log.last_index:
            raise ValueError(f"applied up to {self.commit}, but the log ends at {self.log.last_index}")
        if applied < self.log.first_index - 1:
            raise ValueError(f"applied up to {applied}, but the log starts only at {self.log.first_index}")
        self.role = Role.FOLLOWER
        self.leader_id = ""
        self.term_leader = ""  # who leads or led this term, kept when leader_id is forgotten
        self.removed = False
        self.removal_pending = False
        self.was_member_at = -1  # index of the last committed configuration that named this node

        # configurations in the log, oldest first: the last is in force, committed or not (paper 6)
        self.history: list[tuple[int, Configuration]] = []
        if snapshot is not None:
            self.history.append((snapshot.configuration_index, snapshot.configuration))
        for entry in reader.configurations():
            if not self.history or entry.index > self.history[-1][0]:
                self.history.append((entry.index, configurations.decode(entry.payload)))
        self.configuration = Configuration()
        self.configuration_index = 0
        self.voters: tuple[str, ...] = ()
        self.outgoing: tuple[str, ...] = ()
        self.votes_itself = False  # the configuration in force names this data directory a voter (of either set)
        self.progress: dict[str, Progress] = {}  # leader: of every other member
        self._enforce_last_configuration()
        for index, known in self.history:
            if index <= self.commit and self.is_named_by(known):
                self.was_member_at = index
        self.settle_due = True  # a commit passed a configuration, or a joiner may have caught up: see membership

        # the cluster clock (leto.raft.clock)
        self.clock_ms = 0  # the latest heard, the leader's own; 0: none was
        self.clock_at = now  # when it was exactly that
        self.clock_heard = False  # a leader was, since the start
        self.clock_shown = 0  # the highest that a local read was judged by
        self.wall: float | None = None  # this node's wall clock, milliseconds that it is ahead of the monotonic one
        self.walls: dict[str, Sample | None] = {}  # other members', as they told; None: it tells none
        self.beats: list[tuple[int, float]] = []  # leader: (round, when it began) of the last heartbeats
        self.beat = 0  # round of the newest
        self.spans: list[Span] = []  # leader: what the voters' wall clocks say
        self.wall_low, self.wall_high = -math.inf, math.inf  # leader: where its own is confirmed, as it is

        # elections
        self.asked_at = now  # when votes were asked for last
        self.votes: dict[str, bool] = {}
        self.candidate_transfer = False  # candidate at the leader's own wish
        self.timeout = settings.election_timeout  # drawn anew for each election
        self.election_deadline = now
        self.fast_attempts = 0  # short retries left after the leader's connection closed
        self.leader_contact = now  # when a valid leader was last heard
        self.leader_connected = False  # no news yet that the connection to leader_id closed
        self.leader_commit = 0  # highest commit index a leader of this term told of
        self.promise_until = -1.0  # no vote for others before: a leader may rely on its lease till then

        # leader
        self.term_start = 0  # index of its no-op: the first entry of its own term
        self.heartbeat_deadline = 0.0
        self.broadcast = False  # every follower is to be sent an append, an empty one if need be
        self.send_due = False  # something may be due to some follower
        self.notice_at = math.inf  # when to tell of a commit those followers that have not heard of it by the way
        self.notices_due = False
        self.sent_index = 0  # last_index when appends were last sent
        self.uncommitted_bytes = 0
        self.transferring_to = ""
        self.transfer_deadline = 0.0

        # reads
        self.round = 0
        self.round_at = 0.0  # when the newest round began
        self.round_due = False  # the newest round is to be told to a quorum
        self.pure_round = 0  # the last round that was begun for reads alone
        self.reads_waiting: list[tuple[str, int]] = []  # leader: readers that no round serves yet
        self.read_rounds: list[ReadRound] = []
        # Follower: number of the question -> (context, when to ask again). Numbers are never reused, also not after a
        # restart in the same term: else the answer to an old question would confirm a newer read.
        self.forwarded_reads: dict[int, tuple[int, float]] = {}
        self.questions = int(random() * (1 << 61))
        self.confirmed_clock_ms = 0  # a majority has been told this clock
        self.lease_renewals: list[tuple[int, float, int]] = []  # (round, begun, clock_ms) not yet promised by a quorum
        self.lease_until = -1.0  # a quorum votes for no one else before
        self.lease_revoked = False  # for the rest of the term, since leadership was offered to another
        self.lease_skew: float | None = None  # wall clock less monotonic clock, seconds, to notice a jump

        # outbox
        self.messages: list[Message] = []
        self.messages_after_persist: list[Message] = []
        self.reads: list[ReadState] = []
        self.snapshots_to_send: list[InstallSnapshot] = []

    # the log and the configurations in it -------------------------------------------------------

    def append_own(self, kind: int, payload: bytes) -> int:
        """Leader: a new entry of the own term. Returns its index."""
        index = self.log.last_index + 1
        self.append(Entry(index, self.term, kind, payload))
        self.uncommitted_bytes += len(payload)
        self.send_due = True
        return index

    def append(self, entry: Entry) -> None:
        """The entry becomes the log's last; a configuration is in force from now on (paper 6)."""
        self.log.append(entry)
        if entry.kind == EntryKind.CONFIGURATION:
            self.history.append((entry.index, configurations.decode(entry.payload)))
            self._enforce_last_configuration()

    def truncate(self, index: int) -> None:
        """Cut the log from `index` on; an overwritten configuration is undone (paper 6: the latest in the log)."""
        self.log.truncate(index)
        self.writes.truncate(index)
        if self.history and self.history[-1][0] >= index:
            while self.history and self.history[-1][0] >= index:
                self.history.pop()
            self._enforce_last_configuration()

    def restore(self, meta: SnapshotMeta) -> None:
        """The snapshot becomes the node's state, once the next Ready is durable (paper 7, figure 13)."""
        agreed = self.commit
        kept = self.log.restore(meta.index, meta.term, agreed)
        if not kept:
            self.writes.truncate(agreed + 1)
        self.history = [
            (meta.configuration_index, meta.configuration),
            *(item for item in self.history if kept and item[0] > meta.index),
        ]
        self._enforce_last_configuration()
        self.snapshot_to_install = meta
        self.applying = meta.index
        self.commit_to(meta.index)

    def commit_to(self, index: int) -> None:
        """The commit index moves forward to `index`."""
        before = self.commit
        self.commit = index
        if (
            self.configuration_index > before
            or self.removal_pending
            or before < self.term_start  # the first commit in the own term: what an earlier leader left is due
        ):
            self.settle_due = True
        if self.uncommitted_bytes:
            tail, offset = self.log.tail, self.log.offset
            for position in range(max(before + 1, self.term_start) - offset, index + 1 - offset):
                self.uncommitted_bytes -= len(tail[position].payload)

    def configuration_at(self, index: int) -> tuple[int, Configuration]:
        """(index of its entry, configuration) in force at `index`; (0, an empty one) before the first known."""
        for at, configuration in reversed(self.history):
            if at <= index:
                return at, configuration
        return 0, Configuration()

    def forget_configurations(self, index: int) -> None:
        """Drop those that were superseded at or before `index`."""
        history = self.history
        while len(history) > 1 and history[1][0] <= index:
            del history[0]

    def _enforce_last_configuration(self) -> None:
        self.configuration_index, self.configuration = self.history[-1] if self.history else (0, Configuration())
        self.voters = self.configuration.voter_ids()
        self.outgoing = self.configuration.outgoing_ids()
        self.votes_itself = self.is_voter_in(self.configuration)
        if self.role is Role.LEADER:
            self.track_members()

    def track_members(self) -> None:
        """Leader: a Progress for every other member. Those that left keep theirs until that is committed; one that
        lost its disk starts over."""
        for id in self.configuration.ids():
            member = self.configuration.member(id)
            if id == self.id or member is None:
                continue
            progress = self.progress.get(id)
            if progress is None or progress.incarnation != member.incarnation:
                lost = progress is not None
                progress = self.progress[id] = Progress(
                    self.log.last_index + 1, self.now, incarnation=member.incarnation
                )
                if lost:  # what the lost disk acknowledged may still be on its way here
                    self.round += 1
                    progress.round_floor = self.round
            progress.joining = member.joining
        self.lease_until = -1.0  # it was a quorum of other members that promised it
        self.send_due = True

    # who it is ------------------------------------------------------------------------------------

    def is_named_by(self, configuration: Configuration) -> bool:
        """Whether it means this data directory, and not one that had the id before or has it now."""
        return any(self._is(member) for member in (*configuration.members, *configuration.outgoing))

    def is_voter_in(self, configuration: Configuration) -> bool:
        """Whether this data directory is a voter (of either set) there.

        One that joined under the id of a former voter reads that configuration too, as it is brought the log: alone
        by it, it would elect itself.
        """
        voters = (member for member in configuration.members if member.voter)
        return any(self._is(member) for member in (*voters, *configuration.outgoing))

    def _is(self, member: Member) -> bool:
        incarnation = self.settings.incarnation
        return member.id == self.id and (incarnation is None or member.incarnation == incarnation)

    # the outbox -----------------------------------------------------------------------------------

    def send_quickly(self, message: Message) -> None:
        """An answer that promises nothing but its term: it leaves at once if that term is durable."""
        if self.durable_term == self.term:
            self.messages.append(message)
        else:
            self.messages_after_persist.append(message)

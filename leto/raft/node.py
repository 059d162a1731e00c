"""The facade: one Raft node, pure. Messages, time and proposals in; a Ready out.

    node.step(message, now)                 a peer's message
    node.tick(now)                          at election_deadline and heartbeat_deadline
    index = node.propose(payload, now)
    while (ready := node.ready(wall_ms)):   the caller's duties are in leto.raft.ready
        ...
    node.persisted(ready.number)            the disk has it
    node.applied(index)                     the state machine has it

The same state and the same input give the same output: time and randomness come from the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from leto.errors import NotLeader, Overloaded
from leto.raft import clock, election, lanes, membership, reads, replication
from leto.raft.configuration import Configuration
from leto.raft.log import ENTRY_OVERHEAD
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    HardState,
    InstallSnapshot,
    Message,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    SnapshotMeta,
    TimeoutNow,
)
from leto.raft.progress import REPLICATE
from leto.raft.reader import LogReader
from leto.raft.ready import Ready
from leto.raft.settings import Settings
from leto.raft.state import Role, State
from leto.raft.validation import check_message
from leto.raft.view import NodeView

LEADER = Role.LEADER  # a look into the class takes five times as long
COMMAND = int(EntryKind.COMMAND)
COMMITTED_BYTES = 512 << 10  # one Ready hands out about so much to be applied, and reads it back if it must: some ms
COMMIT_HINT_ENTRIES = 256  # the hard state's commit hint is refreshed about so often


class Node(NodeView):
    """One server's consensus. Raises only what its methods name; a caller's own mistakes are ValueError."""

    def __init__(
        self,
        settings: Settings,
        log: LogReader,
        *,
        hard_state: HardState,
        snapshot: SnapshotMeta | None,
        applied: int,
        random: Callable[[], float],
        now: float,
    ) -> None:
        """`random()` is in [0, 1). `applied`: what the state machine holds already (the snapshot's index, or 0).

        Raises ValueError for settings that cannot work, or a log, snapshot and hard state that do not fit together.
        """
        s = State(settings, log, hard_state=hard_state, snapshot=snapshot, applied=applied, random=random, now=now)
        self._state = s
        election.draw_timeout(s)
        if s.voters == (s.id,) and not s.outgoing:
            s.election_deadline = now  # alone: nobody else could be meant
        if settings.lease and s.term > 1:
            # Before the restart it may have promised a leader its lease (in term 1, the bootstrap's, nobody leads).
            s.promise_until = now + settings.promise_ms / 1000
        membership.settle(s)

    # input ---------------------------------------------------------------------------------------

    def step(self, message: Message, now: float) -> bool:
        """A peer's message. Whether something may be due now: False where it was an answer that moved nothing on (a
        quorum had answered before), so that neither a Ready nor a timer is.

        Raises ProtocolError, having changed nothing, for one that no correct peer can send.
        """
        s = self._state
        kind = type(message)
        if kind is AppendEntries:
            if lanes.follow(s, message, now):  # type: ignore[arg-type]
                return True
        elif kind is AppendEntriesReply:
            moved = lanes.acknowledge(s, message, now)  # type: ignore[arg-type]
            if moved is not None:
                return moved
        check_message(s, message)
        if now > s.now:
            s.now = now
        elif now < s.now:
            self._clock_went_back()
        term = message.term
        if term != s.term and (not self._adopt(message) if term > s.term else not self._answer_stale(message)):
            return True
        if isinstance(message, AppendEntriesReply) and s.role is Role.LEADER and not s.settle_due:
            noticed = s.notice_at
            replication.receive_append_reply(s, message)
            if not (s.settle_due or s.send_due or s.messages or s.reads or s.notice_at < noticed):
                return s.applying < s.commit
        else:
            _RECEIVE[kind](s, message)
        if s.settle_due:
            membership.settle(s)
        return True

    def check(self, message: Message) -> None:
        """Raises ProtocolError where step() would, so that nothing is begun for what it would refuse."""
        check_message(self._state, message)

    def _adopt(self, message: Message) -> bool:
        """A higher term (paper figure 2, all servers). Whether the message is to be processed further."""
        s = self._state
        kind = type(message)
        if isinstance(message, RequestVote):
            if message.pre:
                return True
            wished = message.transfer and message.sender in s.configuration.ids()  # a wish may outlast a membership
            if election.withholds_vote(s) and not wished:
                return False  # a live leader stands against it (dissertation 4.2.3)
            election.become_follower(s, message.term, "")
            return True
        if kind is AppendEntries or kind is InstallSnapshot:
            election.become_follower(s, message.term, message.sender)
            return True
        if message.sender not in s.configuration.ids():
            return False  # a removed server's term is no concern of those who remain
        if isinstance(message, RequestVoteReply) and message.pre and message.granted:
            return True
        election.become_follower(s, message.term, "")
        return True

    def _answer_stale(self, message: Message) -> bool:
        """A lower term: nothing changes; a request is answered, so that its sender learns of the present term."""
        s = self._state
        if isinstance(message, AppendEntries | InstallSnapshot):
            replication.refuse_stale(s, message.sender)
        elif isinstance(message, RequestVote):
            s.messages_after_persist.append(election.vote_reply(s, message.sender, s.term, False, pre=message.pre))
        elif isinstance(message, ReadIndex):
            s.send_quickly(ReadIndexReply(s.id, message.sender, s.term, message.context, 0))
        return False

    def tick(self, now: float) -> None:
        """Do what is due by `now`: election, heartbeat, check of the quorum, abort of a transfer. Idempotent."""
        s = self._state
        self._set_now(now)
        if s.role is Role.LEADER:
            if s.transferring_to and s.now >= s.transfer_deadline:
                s.transferring_to = ""
            if s.now >= s.notice_at:
                s.notice_at = math.inf
                s.notices_due = s.send_due = True
            if s.now >= s.heartbeat_deadline:
                election.check_quorum(s)
                if s.role is not Role.LEADER:
                    return
                s.heartbeat_deadline = s.now + s.settings.heartbeat_interval
                s.broadcast = s.send_due = True
                reads.confirm_rounds(s)  # the quorum may have shrunk
                reads.next_round(s)  # told to all: so it is known who answers fast
                clock.beat(s)
                if s.transferring_to:
                    election.advance_transfer(s)
        else:
            if s.forwarded_reads:
                reads.repeat_forwarded(s)
            election.tick(s)
        if s.settle_due:
            membership.settle(s)

    def propose(self, payload: bytes, now: float) -> int:
        """Append a COMMAND entry; returns its index (its term is node.term).

        Raises NotLeader (also while leadership is being handed over), Overloaded (too much waits for a quorum).
        """
        s = self._state
        if now > s.now:
            s.now = now
        if s.role is not LEADER or s.transferring_to:
            raise NotLeader(s.leader_id if s.leader_id != s.id and s.leader_id else None)
        if s.uncommitted_bytes and s.uncommitted_bytes + len(payload) > s.settings.max_uncommitted_bytes:
            raise Overloaded(f"{s.uncommitted_bytes} bytes wait for a quorum already")
        log = s.log
        log.last_index = index = log.last_index + 1
        log.last_term = s.term
        log.tail.append(Entry(index, s.term, COMMAND, payload))
        log.bytes += len(payload) + ENTRY_OVERHEAD
        s.uncommitted_bytes += len(payload)
        s.send_due = True
        return index

    def propose_configuration(self, target: Configuration, now: float) -> int:
        """Append the change towards `target` (never joint): simply where at most one voter differs, else through
        joint consensus, which the core also leaves by itself. Returns the entry's index.

        Raises NotLeader, ConfigurationRefused.
        """
        self._set_now(now)
        return membership.propose(self._state, target)

    def transfer(self, target: str, now: float) -> None:
        """Hand leadership to that voter; given up after an election timeout. Raises NotLeader, TransferFailed."""
        self._set_now(now)
        election.transfer(self._state, target)

    def read(self, context: int, now: float) -> None:
        """A read arrives; Ready.reads answers with `context` (index 0: ask again)."""
        self._set_now(now)
        reads.read(self._state, context)

    def leader_lost(self, now: float) -> None:
        """The connection to the leader closed: a pre-vote after a short random delay."""
        self._set_now(now)
        election.leader_lost(self._state)

    def step_down(self, now: float) -> None:
        """A leader ceases to lead, in the same term (its disk hangs)."""
        self._set_now(now)
        election.step_down(self._state)

    def campaign(self, now: float) -> None:
        """An election now, pre-vote first, if this node may campaign and has promised nobody a lease."""
        self._set_now(now)
        election.campaign(self._state)

    def peer_unreachable(self, peer: str) -> None:
        """What was sent to it since its last answer may be lost: wait for the next heartbeat's answer."""
        progress = self._state.progress.get(peer)
        if progress is not None and progress.state == REPLICATE:
            progress.become_probe(progress.match + 1, wait=True)

    def snapshot_sent(self, peer: str, index: int, ok: bool, now: float) -> None:
        """The stream of a snapshot to that peer ended: it has the one at `index` (`ok`), or the stream failed."""
        self._set_now(now)
        replication.snapshot_sent(self._state, peer, index, ok)

    def snapshot_taken(self, meta: SnapshotMeta) -> None:
        """A snapshot of this node's own is durable: followers may be offered it."""
        s = self._state
        if meta.index > s.applied:
            raise ValueError(f"a snapshot at {meta.index}, but only {s.applied} is applied")
        if s.snapshot is None or meta.index > s.snapshot.index:
            s.snapshot = meta
            s.forget_configurations(meta.index)

    def compacted(self, first_index: int) -> None:
        """The stored log now starts there: known already where the leader's snapshot is being installed."""
        s = self._state
        if first_index <= s.log.first_index:
            return
        if s.snapshot is None or first_index > s.snapshot.index + 1:
            raise ValueError(f"the log was compacted up to {first_index - 1}, beyond the last known snapshot")
        s.log.compacted(first_index, s.snapshot.index, s.snapshot.term)

    # output ----------------------------------------------------------------------------------------

    def ready(self, wall_ms: int, now: float | None = None) -> Ready | None:
        """What is to be done now, None if nothing. `wall_ms`: this node's wall clock, milliseconds since the epoch, at
        the monotonic time `now`, or just before (None: that of the last input)."""
        s = self._state
        if now is None or now < s.now:
            now = s.now
        s.wall = wall_ms - now * 1000
        if s.role is LEADER:
            lease = s.settings.lease
            if s.send_due or s.reads_waiting or lease:  # else nobody is told the cluster clock
                clock.advance(s, wall_ms, now)
                if lease:
                    reads.watch_clock(s)
                if s.reads_waiting:
                    reads.begin_round(s)
                if s.send_due and not lanes.replicate(s):
                    replication.send_appends(s)
        log = s.log
        entries = log.take_unwritten() if log.handed < log.last_index else []
        snapshot = s.snapshot_to_install
        last = s.commit if s.commit < log.persisted else log.persisted
        committed: list[Entry] = []
        # One slice at a time: a log of gigabytes that is applied anew must not all be in memory.
        if s.applied == s.applying < last and snapshot is None and not s.writes.snapshots:
            if last == s.applying + 1 >= log.offset:
                committed = [log.tail[last - log.offset]]
            else:
                committed = list(log.slice(s.applying + 1, last + 1, COMMITTED_BYTES))
            s.applying = committed[-1].index
        hard_state = None
        given = s.hard_state_given
        changed = s.term != given.term or s.vote != given.vote
        if changed or (entries and last - given.commit >= COMMIT_HINT_ENTRIES):
            # The hint counts only what no write under way can touch: a crash may leave any part of those behind.
            hard_state = s.hard_state_given = HardState(s.term, s.vote, last)
        if not (
            entries
            or committed
            or s.messages
            or s.messages_after_persist
            or hard_state is not None
            or snapshot is not None
            or s.reads
            or s.snapshots_to_send
        ):
            return None
        s.number = number = s.number + 1
        if entries or hard_state is not None or snapshot is not None:
            s.writes.add(
                number,
                log.handed if entries or snapshot is not None else 0,
                hard_state if changed else None,
                snapshot,
            )
            s.snapshot_to_install = None
        ready = Ready(
            number,
            s.messages,
            s.messages_after_persist,
            hard_state,
            entries,
            changed or bool(entries),
            snapshot,
            committed,
            s.reads,
            s.snapshots_to_send,
        )
        s.messages = []
        s.messages_after_persist = []
        if s.reads:
            s.reads = []
        if s.snapshots_to_send:
            s.snapshots_to_send = []
        return ready

    def persisted(self, number: int) -> bool:
        """Ready `number` and all before it are durable. Whether something may be due now: False where nothing came of
        it, nor is anything left to do, so that no Ready is."""
        s = self._state
        if number > s.number:
            raise ValueError(f"Ready {number} was never given out, the last one is {s.number}")
        log = s.log
        before = log.persisted
        for write in s.writes.finished(number) if s.writes.under_way else ():
            if write.hard_state is not None:
                s.durable_term = write.hard_state.term
                s.durable_vote = write.hard_state.vote
            if write.last_index > log.persisted:
                log.persisted = write.last_index
            meta = write.snapshot
            if meta is not None:
                if s.snapshot is None or meta.index > s.snapshot.index:
                    s.snapshot = meta
                s.applied = max(s.applied, meta.index)
        commit = s.commit
        if s.role is Role.CANDIDATE:
            election.own_vote_durable(s)
        elif s.role is LEADER and log.persisted > before and log.persisted > commit and not lanes.advance(s):
            replication.advance_commit(s)
        if log.bytes > log.cache_bytes:
            log.evict(s.applying)
        if s.settle_due:
            membership.settle(s)
            return True
        return bool(
            s.commit != commit
            or s.applying < (commit if commit < log.persisted else log.persisted)
            or s.send_due
            or s.messages
            or s.messages_after_persist
            or s.reads
            or s.snapshots_to_send
            or log.handed < log.last_index
            or s.snapshot_to_install is not None
            or s.term != s.hard_state_given.term
            or s.vote != s.hard_state_given.vote
        )

    def applied(self, index: int, time_ms: int = 0) -> None:
        """The state machine holds everything up to `index`, and has come to that time (see clock_reached())."""
        s = self._state
        if index > s.applying:
            raise ValueError(f"applied {index}, but only {s.applying} was handed out")
        if index > s.applied:
            s.applied = index
        if time_ms > s.clock_ms:
            clock.heard(s, time_ms)

    # time --------------------------------------------------------------------------------------------

    def cluster_clock(self, wall_ms: int, now: float) -> int:
        """Leader: the cluster clock now, for the stamp of an entry. `wall_ms` as for ready()."""
        s = self._state
        clock.advance(s, wall_ms, max(now, s.now))
        return s.clock_ms

    def local_clock(self, wall_ms: int, now: float) -> int:
        """By what a read is judged that nobody confirms: what is known here of the cluster clock, never going back."""
        s = self._state
        return clock.local(s, wall_ms, max(now, s.now))

    def clock_reached(self, time_ms: int) -> None:
        """The state machine has come to that time, by the stamps of the entries it holds."""
        if time_ms > self._state.clock_ms:
            clock.heard(self._state, time_ms)

    def _set_now(self, now: float) -> None:
        s = self._state
        if now >= s.now:
            s.now = now
        else:
            self._clock_went_back()

    def _clock_went_back(self) -> None:
        """A monotonic clock that is not: time stands still here meanwhile, and no lease is trusted."""
        s = self._state
        reads.break_lease(s)

    def __repr__(self) -> str:
        s = self._state
        return (
            f"<{s.id} {s.role.name.lower()} term={s.term} leader={s.leader_id or '-'} log={s.log.first_index}.."
            f"{s.log.last_index} persisted={s.log.persisted} commit={s.commit} applied={s.applied}>"
        )


_RECEIVE: dict[type, Callable[..., None]] = {
    AppendEntries: replication.receive_append,
    AppendEntriesReply: lambda s, m: replication.receive_append_reply(s, m) if s.role is Role.LEADER else None,
    RequestVote: lambda s, m: election.receive_pre_vote(s, m) if m.pre else election.receive_vote_request(s, m),
    RequestVoteReply: election.receive_vote,
    InstallSnapshot: replication.receive_snapshot,
    TimeoutNow: election.receive_timeout_now,
    ReadIndex: reads.receive_read_index,
    ReadIndexReply: reads.receive_read_index_reply,
}

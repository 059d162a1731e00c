"""Bugs planted in the Raft core: each is a mistake that an implementation could make, or has made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import msgspec

from leto.raft import clock, election, lanes, membership, node, quorum, reads, replication
from leto.raft.messages import AppendEntries, AppendEntriesReply, EntryKind, RequestVoteReply, SnapshotMeta
from leto.raft.node import Node
from leto.raft.state import ReadRound, State
from tests.raft.network import Cluster
from tests.raft.server import Machine, Server
from tests.simulation.bugs import Bugs
from tests.simulation.core.simulation import Simulation

BUGS = Bugs(Simulation)
bug = BUGS.bug


def _send_before_durable(s: State, kind: type, call: Callable[..., None], *args: Any) -> None:
    """Run `call`; its answers of `kind` leave at once instead of after the disk."""
    held = len(s.messages_after_persist)
    call(s, *args)
    hasty = [m for m in s.messages_after_persist[held:] if isinstance(m, kind)]
    s.messages_after_persist[held:] = [m for m in s.messages_after_persist[held:] if not isinstance(m, kind)]
    s.messages.extend(hasty)


@bug("vote-before-durable", "speaks of term|votes for")
def _vote_before_durable(stack: ExitStack) -> None:
    """The vote is answered without waiting for its fsync."""
    original = election.receive_vote_request

    def receive(s: State, m: Any) -> None:
        _send_before_durable(s, RequestVoteReply, original, m)

    stack.enter_context(patch.object(election, "receive_vote_request", receive))


@bug("acknowledge-before-durable", "acknowledges|speaks of term|an acknowledgement before the disk")
def _acknowledge_before_durable(stack: ExitStack) -> None:
    """An append is acknowledged without waiting for its fsync."""
    original = replication.receive_append

    def receive(s: State, m: Any) -> None:
        _send_before_durable(s, AppendEntriesReply, original, m)

    stack.enter_context(patch.dict(node._RECEIVE, {AppendEntries: receive}))


@bug("vote-forgotten", "votes for|voted for|two leaders")
def _vote_forgotten(stack: ExitStack) -> type[Simulation]:
    """The disk says that term and vote are durable, and loses the vote in a crash: fsync is skipped."""

    class ForgetfulServer(Server):
        def crash(self, random: Any = None) -> None:
            super().crash(random)
            kept = self.disk.hard_state
            self.disk.hard_state = type(kept)(kept.term, "", kept.commit)

    return _with_server(ForgetfulServer)


@bug("commit-old-term-by-counting", "by counting")
def _commit_old_term(stack: ExitStack) -> None:
    """Figure 8: a new leader commits entries of earlier terms because a majority has them."""

    def advance_commit(s: State) -> None:
        def match(id_: str) -> int:
            return s.log.persisted if id_ == s.id else s.progress[id_].match

        index = quorum.agreed(s.voters, s.outgoing, match)
        if index > s.commit:
            s.commit_to(index)
            s.send_due = True

    stack.enter_context(patch.object(replication, "advance_commit", advance_commit))


@bug("leader-counts-itself-early", "durable only on|a quorum reached only")
def _leader_counts_itself(stack: ExitStack) -> None:
    """The leader counts an entry as its own before its disk has it."""

    def advance_commit(s: State) -> None:
        def match(id_: str) -> int:
            return s.log.last_index if id_ == s.id else s.progress[id_].match

        index = quorum.agreed(s.voters, s.outgoing, match)
        if index > s.commit and index >= s.term_start:
            s.commit_to(index)
            s.send_due = True

    stack.enter_context(patch.object(replication, "advance_commit", advance_commit))


@bug("vote-for-an-old-log", "without the committed entry|commits .* otherwise|contradicts the committed")
def _vote_for_an_old_log(stack: ExitStack) -> None:
    """Votes go to any candidate, up to date or not."""
    stack.enter_context(patch.object(election, "is_up_to_date", lambda s, last_index, last_term: True))


@bug("learners-count", "no quorum")
def _learners_count(stack: ExitStack) -> None:
    """Learners are counted in every quorum."""
    original = State._enforce_last_configuration

    def enforce(s: State) -> None:
        original(s)
        s.voters = tuple(m.id for m in s.configuration.members)
        s.votes_itself = s.id in s.voters

    stack.enter_context(patch.object(State, "_enforce_last_configuration", enforce))


@bug("read-without-a-round", "stale read|behind an earlier read")
def _read_without_a_round(stack: ExitStack) -> None:
    """Whoever believes to lead answers reads at its commit index."""

    def begin_round(s: State) -> None:
        if s.commit >= s.term_start:
            reads._confirm(s, ReadRound(0, s.commit, s.clock_ms, s.reads_waiting))
            s.reads_waiting = []

    stack.enter_context(patch.object(reads, "begin_round", begin_round))


@bug("late-append-truncates", "acknowledges|its disk ends|durable only on|not within|committed")
def _late_append_truncates(stack: ExitStack) -> None:
    """Every append cuts the log behind its entries, also one that comes late."""
    original = replication._merge

    def merge(s: State, entries: Any) -> None:
        original(s, entries)
        if s.commit < entries[-1].index < s.log.last_index:
            s.truncate(entries[-1].index + 1)

    stack.enter_context(patch.object(replication, "_merge", merge))


@bug("overwritten-configuration-stays", "is no configuration|no quorum|configuration .* after")
def _overwritten_configuration_stays(stack: ExitStack) -> None:
    """A configuration whose entry is cut off stays in force."""

    def truncate(s: State, index: int) -> None:
        s.log.truncate(index)
        s.writes.truncate(index)

    stack.enter_context(patch.object(State, "truncate", truncate))


@bug("apply-twice-after-restart", "applied twice")
def _apply_twice(stack: ExitStack) -> type[Simulation]:
    """A snapshot holds one command more than its index says, so that a restart applies it again."""

    class TwiceMachine(Machine):
        def meta(self) -> SnapshotMeta:
            return self.before if self.last_is_command and self.before.index else super().meta()

        before = SnapshotMeta(0, 0, Machine().configuration)
        last_is_command = False

        def apply(self, entry: Any) -> None:
            self.before = super().meta()
            super().apply(entry)
            self.last_is_command = entry.kind == EntryKind.COMMAND

    class TwiceServer(Server):
        machine_class = TwiceMachine

    return _with_server(TwiceServer)


@bug("read-before-own-term-commit", "stale read")
def _read_before_own_term_commit(stack: ExitStack) -> None:
    """A new leader answers reads at the commit index it had as a follower."""
    original = reads.begin_round

    def begin_round(s: State) -> None:
        with patch.object(s, "term_start", 0):
            original(s)

    stack.enter_context(patch.object(reads, "begin_round", begin_round))


@bug("change-before-own-term-commit", "2015")
def _change_before_own_term_commit(stack: ExitStack) -> None:
    """Ongaro 2015: a leader changes the configuration before it committed an entry of its term."""
    original = membership.propose

    def propose(s: State, target: Any) -> int:
        with patch.object(s, "term_start", 0):
            return original(s, target)

    stack.enter_context(patch.object(membership, "propose", propose))


@bug("lease-without-end", "stale read|behind an earlier read")
def _lease_without_end(stack: ExitStack) -> None:
    """A leader trusts a lease that it once had for as long as it believes to lead."""
    stack.enter_context(patch.object(reads, "lease_holds", lambda s: s.settings.lease and s.lease_until >= 0))


@bug("lease-as-long-as-the-leaders-timeout", "stale read|behind an earlier read")
def _lease_as_long_as_the_leaders_timeout(stack: ExitStack) -> None:
    """A leader takes its followers' election timeout, for which they withhold their votes, for its own."""

    def promise_lease(s: State, lease_ms: int) -> int:
        s.promise_until = s.now + s.settings.election_timeout
        return lease_ms

    stack.enter_context(patch.object(election, "promise_lease", promise_lease))


@bug("clock-stands-still", "has stood still|the cluster clock has passed")
def _clock_stands_still(stack: ExitStack) -> None:
    """The cluster clock is the highest wall clock that any leader had: where that was ahead, it waits."""

    def advance(s: State, wall_ms: int, now: float) -> None:
        s.wall = wall_ms - now * 1000
        s.clock_ms = max(s.clock_ms, wall_ms)

    stack.enter_context(patch.object(clock, "advance", advance))
    stack.enter_context(patch.object(clock, "passed", lambda s, now: s.clock_ms))


@bug("rounds-of-any-term", "echoes round|stale read|behind an earlier read")
def _rounds_of_any_term(stack: ExitStack) -> None:
    """The refusal of a stale term's append echoes that term's round."""

    original = Node._answer_stale

    def answer_stale(self: Node, message: Any) -> bool:
        if isinstance(message, AppendEntries):
            s = self._state
            s.send_quickly(AppendEntriesReply(s.id, message.sender, s.term, False, round=message.round))
            return False
        return original(self, message)

    stack.enter_context(patch.object(Node, "_answer_stale", answer_stale))


# in the lanes (leto.raft.lanes): all of them are taken while one of these is in -------------------------------------


@bug("lane-acknowledges-before-durable", "acknowledges|speaks of term|an acknowledgement before the disk")
def _lane_acknowledges_before_durable(stack: ExitStack) -> None:
    """A follower's lane answers at once, as it does for a heartbeat."""
    original = lanes.follow

    def follow(s: State, m: Any, now: float) -> bool:
        held = len(s.messages_after_persist)
        if not original(s, m, now):
            return False
        s.messages.extend(s.messages_after_persist[held:])
        del s.messages_after_persist[held:]
        return True

    stack.enter_context(patch.object(lanes, "follow", follow))


@bug("lane-looks-at-no-term-before", "commits .* otherwise|contradicts the committed|log matching")
def _lane_looks_at_no_term_before(stack: ExitStack) -> None:
    """A follower's lane takes what begins behind its last index, of whatever term its last entry is."""
    original = lanes.follow

    def follow(s: State, m: Any, now: float) -> bool:
        if type(m) is AppendEntries and m.prev_index == s.log.last_index and m.prev_term != s.log.last_term:
            m = msgspec.structs.replace(m, prev_term=s.log.last_term)
        return original(s, m, now)

    stack.enter_context(patch.object(lanes, "follow", follow))


@bug("lane-counts-the-leader-early", "durable only on|a quorum reached only")
def _lane_counts_the_leader_early(stack: ExitStack) -> None:
    """The lane that commits counts what the leader has in memory for durable."""
    original = lanes.advance

    def advance(s: State) -> bool:
        with patch.object(s.log, "persisted", s.log.last_index):
            return original(s)

    stack.enter_context(patch.object(lanes, "advance", advance))


@bug("lane-commits-an-old-term", "by counting|bytes uncommitted")
def _lane_commits_an_old_term(stack: ExitStack) -> None:
    """Figure 8 in the lane that commits: entries of earlier terms count by a majority."""
    original = lanes.advance

    def advance(s: State) -> bool:
        with patch.object(s, "term_start", 0):
            return original(s)

    stack.enter_context(patch.object(lanes, "advance", advance))


@bug("lane-believes-more-than-is-answered", "durable only on|acknowledges|a quorum reached only")
def _lane_believes_more_than_is_answered(stack: ExitStack) -> None:
    """The lane for answers takes what a follower has sent for what it has."""
    original = lanes.acknowledge

    def acknowledge(s: State, m: Any, now: float) -> bool | None:
        progress = s.progress.get(m.sender)
        if progress is not None and m.term == s.term and progress.next - 1 > m.match_index:
            m = msgspec.structs.replace(m, match_index=progress.next - 1)
        return original(s, m, now)

    stack.enter_context(patch.object(lanes, "acknowledge", acknowledge))


def _with_server(server: type[Server]) -> type[Simulation]:
    class PlantedCluster(Cluster):
        server_class = server

    class PlantedSimulation(Simulation):
        cluster_class = PlantedCluster

    return PlantedSimulation

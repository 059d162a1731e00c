"""The checks of a whole cluster: what all servers together, over all time, must never do.

Figure 3 of the paper (election safety, leader append-only, log matching, leader completeness, state machine
safety) and Leto's own promises (durable before said, reads never stale, one change at a time), judged from
outside: the oracle trusts nothing that a node says about another, and reads quorums off the disks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from leto.raft.configuration import Configuration, Member, decode
from leto.raft.messages import (
    AppendEntriesReply,
    Entry,
    EntryKind,
    Message,
    RequestVote,
    RequestVoteReply,
)
from leto.raft.ready import ReadState, Ready
from leto.raft.state import Role

if TYPE_CHECKING:
    from tests.raft.network import Server


CLOCK_RATE = 0.95  # of the time: servers' monotonic clocks are 3% slow at worst, a cluster clock that is ahead 1% more
CLOCK_SLACK_MS = 10_000  # what late messages and pauses may cost it from leader to leader, and a lease's old clock


class PropertyViolated(AssertionError):
    """One of the cluster's safety properties does not hold; the message says which, where and how."""


def majority(members: Iterable[Member], holds: Callable[[str], bool]) -> bool:
    """Whether a majority of the voters among `members` satisfies `holds`. An empty set has no majority."""
    voters = [member.id for member in members]
    return 2 * sum(1 for voter in voters if holds(voter)) > len(voters)


def quorum(configuration: Configuration, holds: Callable[[str], bool]) -> bool:
    """A majority of the incoming voters and, while joint, one of the outgoing voters too (paper 6)."""
    incoming = majority([m for m in configuration.members if m.voter], holds)
    return incoming and (not configuration.outgoing or majority(configuration.outgoing, holds))


def voter_sets(configuration: Configuration) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(m.id for m in configuration.members if m.voter), frozenset(m.id for m in configuration.outgoing)


class Oracle:
    """Sees every step of every server. `servers` is the cluster's own mapping."""

    def __init__(self, servers: dict[str, Server]) -> None:
        self.servers = servers
        self.leaders: dict[int, str] = {}  # term -> the one leader it ever had
        self.known: dict[tuple[int, int], tuple[int, bytes, int]] = {}  # (index, term) -> kind, payload, term before
        self.committed: list[Entry] = []  # committed[i] has index i + 1
        self.commit_terms: list[tuple[int, int]] = []  # (index, term of the leader that committed up to it)
        self.payloads: set[bytes] = set()  # of committed commands
        self.refused: set[bytes] = set()  # proposals answered "not leader": they must never appear
        self.votes: dict[tuple[str, int], str] = {}  # (voter, term) -> candidate, as said in messages
        self.crashes = 0
        self.clock_floor = 0  # the highest clock of a read that was asked and confirmed since the last crash
        self.clock_line = -math.inf  # milliseconds: how far such a clock was ahead of CLOCK_RATE times the time

    @property
    def commit(self) -> int:
        """The highest index committed anywhere, ever."""
        return len(self.committed)

    def bootstrapped(self, entry: Entry) -> None:
        """The first entry of a new cluster is committed by decree."""
        self.known[entry.index, entry.term] = (entry.kind, entry.payload, 0)
        self.committed.append(entry)
        self.commit_terms.append((entry.index, entry.term))

    # a server's state after an input -----------------------------------------------------------------------------

    def observe(self, server: Server) -> None:
        """Compare what the node is with what it was after its previous input."""
        node, seen = server.node, server.seen
        term, role = node.term, node.role
        if term < seen.term:
            self.fail(f"{server.id}'s term went back from {seen.term} to {term}")
        if term == seen.term and seen.vote and node.vote != seen.vote:
            self.fail(f"{server.id} changed its vote in term {term} from {seen.vote} to {node.vote or 'none'}")
        if node.commit < seen.commit:
            self.fail(f"{server.id}'s commit index went back from {seen.commit} to {node.commit}")
        if role == Role.LEADER:
            leader = self.leaders.setdefault(term, server.id)
            if leader != server.id:
                self.fail(f"term {term} has two leaders, {leader} and {server.id}")
            if seen.role == Role.LEADER and seen.term == term and node.last_index < seen.last_index:
                self.fail(f"leader {server.id} cut its own log from {seen.last_index} to {node.last_index}")

    def leads(self, server: Server) -> None:
        """Leader completeness: whoever comes to lead a term has all that was committed in lower terms.

        Called when the new leader's log is known, right after its first Ready."""
        term = server.node.term
        for index, commit_term in reversed(self.commit_terms):
            if commit_term < term:
                if self._term_of(server, index) != self.committed[index - 1].term:
                    self.fail(f"{server.id} leads term {term} without the committed entry {index}")
                return

    def commits(self, server: Server, commit: int) -> None:
        """`server` says that everything up to `commit` is committed: is it?"""
        node, seen = server.node, server.seen
        known = len(self.committed)
        for index in range(max(seen.commit, server.log.first - 1) + 1, min(commit, known) + 1):
            if server.log.term(index) != self.committed[index - 1].term:
                self.fail(f"{server.id} commits {index}@{server.log.term(index)}, but {index} was committed otherwise")
        if commit <= known:
            return
        if node.role != Role.LEADER and seen.role != Role.LEADER:
            self.fail(f"{server.id} commits {commit} as {node.role.name.lower()}, no leader did before it")
        term = node.term if node.role == Role.LEADER else seen.term
        last = server.log.entry(commit)
        if last.term != term:
            self.fail(f"leader {server.id} of term {term} commits {commit}@{last.term} by counting (figure 8)")
        if not any(
            quorum(c, lambda id_: self._has_durable(id_, last)) for c in (seen.configuration, node.configuration)
        ):
            holders = [id_ for id_ in sorted(self.servers) if self._has_durable(id_, last)]
            self.fail(f"leader {server.id} commits {commit}@{last.term}, durable only on {holders}: no quorum")
        for index in range(known + 1, commit + 1):
            entry = server.log.entry(index)
            self.committed.append(entry)
            if entry.kind == EntryKind.COMMAND:
                if entry.payload in self.payloads:
                    self.fail(f"the command {entry.payload!r} was committed twice")
                if entry.payload in self.refused:
                    self.fail(f"the command {entry.payload!r} was refused with 'not leader' and yet committed")
                self.payloads.add(entry.payload)
        self.commit_terms.append((commit, term))

    # what a Ready asks for ---------------------------------------------------------------------------------------

    def readied(self, server: Server, ready: Ready) -> None:
        """Judge a Ready before it is carried out: numbers, entries, hard state."""
        node, log = server.node, server.log
        if ready.number != server.last_number + 1:
            self.fail(f"{server.id} numbers a Ready {ready.number} after {server.last_number}")
        hard_state = ready.hard_state
        if hard_state is not None:
            before = server.last_hard_state
            if hard_state.term < before.term or hard_state.commit < before.commit:
                self.fail(f"{server.id}'s hard state goes back from {before} to {hard_state}")
            if hard_state.term == before.term and before.vote and hard_state.vote != before.vote:
                self.fail(f"{server.id} takes back its vote: {before} -> {hard_state}")
            if (hard_state.term, hard_state.vote) != (before.term, before.vote) and not ready.must_sync:
                self.fail(f"{server.id} changes term or vote without asking for a sync")
        if not ready.entries:
            return
        if not ready.must_sync:
            self.fail(f"{server.id} appends without asking for a sync")
        first, previous = ready.entries[0], 0
        if first.index <= server.seen.commit:
            self.fail(f"{server.id} overwrites {first.index}, which it knew to be committed ({server.seen.commit})")
        if not log.first <= first.index <= log.last + 1:
            self.fail(f"{server.id} appends at {first.index} to a log of {log.first}..{log.last}")
        previous = log.term(first.index - 1)
        for offset, entry in enumerate(ready.entries):
            if entry.index != first.index + offset:
                self.fail(f"{server.id} appends {entry.index} where {first.index + offset} was due")
            if entry.term < previous or entry.term > node.term:
                self.fail(f"{server.id} in term {node.term} appends {entry.index}@{entry.term} after term {previous}")
            known = self.known.setdefault((entry.index, entry.term), (entry.kind, entry.payload, previous))
            if known != (entry.kind, entry.payload, previous):
                self.fail(f"log matching: two entries {entry.index}@{entry.term}, or with different predecessors")
            if entry.kind == EntryKind.CONFIGURATION and node.role == Role.LEADER and entry.term == node.term:
                self._check_change(server, entry, ready.entries[:offset])
            previous = entry.term

    def _check_change(self, server: Server, entry: Entry, before: list[Entry]) -> None:
        """A leader appends a configuration of its own: it has committed in its term, and no other is in flight."""
        node, log = server.node, server.log
        commit = node.commit
        earlier = [e for e in before if e.kind == EntryKind.CONFIGURATION]
        earlier += [e for e in log.entries if e.kind == EntryKind.CONFIGURATION and e.index < entry.index]
        if open_ := sorted(e.index for e in earlier if e.index > commit):
            self.fail(f"leader {server.id} changes the configuration at {entry.index} while {open_} is not committed")
        if self._term_of(server, commit) != node.term:
            self.fail(f"leader {server.id} changes the configuration before it committed in term {node.term} (2015)")
        if earlier:
            old = decode(max(earlier, key=lambda e: e.index).payload)
        elif server.disk.snapshot is not None:
            old = server.disk.snapshot.configuration
        else:
            return
        new = decode(entry.payload)
        (old_in, old_out), (new_in, new_out) = voter_sets(old), voter_sets(new)
        simple = not old_out and not new_out and len(old_in ^ new_in) <= 1
        enters = not old_out and new_out == old_in
        leaves = bool(old_out) and not new_out and new_in == old_in
        same_joint = old_out == new_out and old_in == new_in
        if not (simple or enters or leaves or same_joint):
            self.fail(f"configuration {entry.index}: no legal step leads from {old} to {new}")

    def applies(self, server: Server, entry: Entry) -> None:
        """State machine safety: one sequence, in order, once."""
        applied = server.machine.applied
        if entry.index != applied + 1:
            self.fail(f"{server.id} is to apply {entry.index} after {applied}")
        if entry.index > server.disk.durable.last:
            self.fail(f"{server.id} is to apply {entry.index}, its own disk ends at {server.disk.durable.last}")
        if entry.index > self.commit or self.committed[entry.index - 1] != entry:
            self.fail(f"{server.id} is to apply {entry.index}@{entry.term}, which is not what was committed")

    def holds(self, server: Server) -> None:
        """A state machine holds exactly what was committed up to its index, be it from a snapshot or by replay."""
        applied = server.machine.applied
        commands = [e.payload for e in self.committed[:applied] if e.kind == EntryKind.COMMAND]
        if server.machine.commands != commands:
            self.fail(f"{server.id}'s state at {applied} is not what {applied} entries make: a loss, or applied twice")

    def sends(self, server: Server, message: Message) -> None:
        """Nothing leaves that depends on what could still be lost."""
        disk, hard_state = server.disk, server.disk.hard_state
        if message.sender != server.id:
            self.fail(f"{server.id} sends as {message.sender}")
        pre = isinstance(message, (RequestVote, RequestVoteReply)) and message.pre
        if message.term > hard_state.term and not pre:
            self.fail(f"{server.id} speaks of term {message.term}, its disk of {hard_state.term}: {message}")
        if isinstance(message, AppendEntriesReply) and message.success:
            if message.match_index > disk.durable.last:
                self.fail(f"{server.id} acknowledges {message.match_index}, its disk ends at {disk.durable.last}")
            leader = self.servers.get(message.to)
            if leader is not None and leader.live is not None and leader.node.term == message.term:
                held = self._durable_term(server, message.match_index)
                theirs = self._term_of(leader, message.match_index)
                if leader.node.role == Role.LEADER and held != theirs:
                    self.fail(f"{server.id} acknowledges {message.match_index}@{theirs}, but has {held} there")
        elif isinstance(message, RequestVote) and not message.pre:
            self._says_vote(server, message.term, server.id)
        elif isinstance(message, RequestVoteReply) and message.granted and not message.pre:
            self._says_vote(server, message.term, message.to)

    def _says_vote(self, server: Server, term: int, candidate: str) -> None:
        if server.disk.votes.get(term) != candidate:
            self.fail(f"{server.id} votes for {candidate} in term {term}; its disk: {server.disk.votes.get(term)}")
        said = self.votes.setdefault((server.id, term), candidate)
        if said != candidate:
            self.fail(f"{server.id} voted for {said} and for {candidate} in term {term}")

    # reads and crashes --------------------------------------------------------------------------------------------

    def confirms(self, server: Server, state: ReadState, now: float) -> None:
        """A read is answered once, and its index is no older than what was committed when it was asked."""
        floor = server.reads.pop(state.context, None)
        if floor is None:
            self.fail(f"{server.id} answers read {state.context}, which is not waiting")
        elif state.index:
            if state.index < floor.commit:
                self.fail(f"stale read at {server.id}: index {state.index}, but {floor.commit} was committed before")
            if floor.crashes == self.crashes:
                late = self.clock_line + CLOCK_RATE * 1000 * floor.time - state.clock_ms
                if late > CLOCK_SLACK_MS:
                    self.fail(f"{server.id}'s read clock {state.clock_ms} has stood still: {late:.0f} ms are missing")
                self.clock_line = max(self.clock_line, state.clock_ms - CLOCK_RATE * 1000 * now)
                if state.clock_ms < floor.clock_ms:
                    self.fail(f"{server.id}'s read clock {state.clock_ms} is behind an earlier read's {floor.clock_ms}")
                self.clock_floor = max(self.clock_floor, state.clock_ms)

    def crashed(self) -> None:
        """Clocks are not durable: a read's clock is only compared with those since the last crash."""
        self.crashes += 1
        self.clock_floor = 0
        self.clock_line = -math.inf

    # ---------------------------------------------------------------------------------------------------------------

    def _has_durable(self, id_: str, entry: Entry) -> bool:
        server = self.servers.get(id_)
        return server is not None and self._durable_term(server, entry.index) == entry.term

    def _durable_term(self, server: Server, index: int) -> int | None:
        log = server.disk.durable
        if index > log.last:
            return None
        if index >= log.first - 1:
            return log.term(index)
        return self.committed[index - 1].term if index else 0

    def _term_of(self, server: Server, index: int) -> int | None:
        log = server.log
        if index > log.last:
            return None
        if index >= log.first - 1:
            return log.term(index)
        return self.committed[index - 1].term if index else 0

    def fail(self, sentence: str) -> None:
        raise PropertyViolated(sentence)

"""What holds of one node between any two inputs; tests check it after every step (as LogCabin's checkBasic does)."""

from __future__ import annotations

from functools import lru_cache
from typing import NoReturn

from leto.raft import configuration as configurations
from leto.raft import quorum
from leto.raft.configuration import Configuration
from leto.raft.messages import AppendEntriesReply, EntryKind, RequestVote, RequestVoteReply
from leto.raft.node import Node
from leto.raft.progress import PROBE, REPLICATE, SNAPSHOT
from leto.raft.state import Role, State

RECENT = 64  # entries at the tail that are checked one by one


class InvariantViolated(AssertionError):
    """The sentence says which, with the numbers."""


def check(node: Node) -> None:
    """Raises InvariantViolated."""
    s = node._state
    _check_indexes(s)
    _check_log(s)
    _check_configurations(s)
    _check_role(s)
    _check_outbox(s)
    if s.role is Role.LEADER:
        _check_leader(s)


def _broken(s: State, sentence: str) -> NoReturn:
    raise InvariantViolated(f"{s.id} (term {s.term}, {s.role.name}): {sentence}")


def _check_indexes(s: State) -> None:
    log = s.log
    if not (0 <= s.applied <= s.applying <= s.commit <= log.last_index):
        _broken(s, f"applied {s.applied} <= handed out {s.applying} <= commit {s.commit} <= last {log.last_index}")
    if not (log.persisted <= log.handed <= log.last_index):
        _broken(s, f"persisted {log.persisted} <= being written {log.handed} <= last {log.last_index}")
    installing = s.writes.snapshots > 0 or s.snapshot_to_install is not None
    if log.first_index > log.last_index + 1:
        _broken(s, f"the log {log.first_index}..{log.last_index} begins behind its end")
    if not (installing or log.persisted >= log.first_index - 1):
        _broken(s, f"persisted {log.persisted}, log from {log.first_index}")
    if not (installing or s.applying <= log.persisted):
        _broken(s, f"handed out {s.applying}, persisted only {log.persisted}")
    if log.first_index > s.applying + 1:
        _broken(s, f"log from {log.first_index}, handed out only up to {s.applying}")
    offered = s.snapshot.index if s.snapshot is not None else 0
    if not (installing or log.first_index - 1 <= offered):
        _broken(s, f"log from {log.first_index}, snapshot only at {offered}")
    number = 0
    for write in s.writes:
        if not (number < write.number <= s.number):
            _broken(s, f"write {write.number} under way after {number}")
        if write.last_index > log.handed:
            _broken(s, f"write {write.number} of {write.last_index}, beyond {log.handed}")
        number = write.number


def _check_log(s: State) -> None:
    log = s.log
    tail, offset = log.tail, log.offset
    if offset + len(tail) != log.last_index + 1:
        _broken(s, f"{len(tail)} entries in memory from {offset} to {log.last_index}")
    if not (offset <= log.persisted + 1 or offset == log.first_index):
        _broken(s, f"undurable entries below {offset} not in memory")
    if log.last_term != log.term(log.last_index):
        _broken(s, f"last term {log.last_term} is not the last entry's")
    if log.last_term > s.term:
        _broken(s, f"an entry of term {log.last_term}")
    start = max(0, len(tail) - RECENT)
    before = tail[start].term if len(tail) > start else 0
    for position in range(start, len(tail)):
        entry = tail[position]
        if entry.index != offset + position:
            _broken(s, f"entry {entry.index} at the place of {offset + position}")
        if entry.term < before:
            _broken(s, f"entry {entry.index} of term {entry.term} after one of {before}")
        before = entry.term


def _check_configurations(s: State) -> None:
    before = -1
    for index, configuration in s.history:
        if not (before < index <= s.log.last_index):
            _broken(s, f"configuration {index} after {before}")
        if not configuration.voter_ids():
            _broken(s, f"the configuration at {index} has no voter")
        before = index
        if index >= s.log.offset:
            entry = s.log.tail[index - s.log.offset]
            if entry.kind != EntryKind.CONFIGURATION:
                _broken(s, f"entry {index} is no configuration")
            if _decoded(entry.payload) != configuration:
                _broken(s, f"configuration {index} is not its entry's")
    if s.history and s.history[-1] != (s.configuration_index, s.configuration):
        _broken(s, "the last configuration is not in force")
    uncommitted = sum(1 for index, _ in s.history if index > s.commit)
    if s.role is Role.LEADER and uncommitted > 1 and s.commit >= s.term_start:
        _broken(s, f"{uncommitted} configuration changes in flight")
    for entry in s.log.tail[-RECENT:]:
        if entry.kind != EntryKind.CONFIGURATION or entry.index <= s.applied:
            continue
        if not any(at == entry.index for at, _ in s.history):
            _broken(s, f"configuration {entry.index} is not tracked")


@lru_cache(maxsize=256)
def _decoded(payload: bytes) -> Configuration:
    return configurations.decode(payload)


def _check_role(s: State) -> None:
    if s.role is Role.LEADER:
        if not (s.leader_id == s.id == s.term_leader):
            _broken(s, f"it leads, but the leader is {s.leader_id!r}")
        if s.vote != s.id:
            _broken(s, f"it leads, but voted for {s.vote!r}")
        if not (s.durable_term == s.term and s.durable_vote == s.id):
            _broken(s, "it leads on a vote that is not durable")
    else:
        if s.leader_id == s.id:
            _broken(s, "it does not lead, but takes itself for the leader")
        if s.progress or s.read_rounds or s.reads_waiting:
            _broken(s, "a follower keeps a leader's books")
        if s.transferring_to:
            _broken(s, "a follower hands leadership over")
    if s.role in (Role.CANDIDATE, Role.PRE_CANDIDATE):
        if s.leader_id:
            _broken(s, f"it campaigns, but follows {s.leader_id}")
    elif s.votes:
        _broken(s, "it counts votes, but does not campaign")
    if s.role is Role.CANDIDATE and s.vote != s.id:
        _broken(s, f"it campaigns, but voted for {s.vote!r}")
    if s.forwarded_reads and not s.leader_id:
        _broken(s, "reads wait for a leader that is unknown")
    if s.durable_term > s.term:
        _broken(s, f"term {s.durable_term} is durable already")


def _check_outbox(s: State) -> None:
    for message in s.messages_after_persist:
        if isinstance(message, AppendEntriesReply):
            if message.term != s.term:
                _broken(s, f"an answer of term {message.term} waits for the disk")
        elif isinstance(message, RequestVote) and message.pre:
            if message.term != s.term + 1:
                _broken(s, f"a pre-vote for term {message.term}")
        elif not (isinstance(message, RequestVoteReply) and message.pre) and message.term != s.term:
            _broken(s, f"{type(message).__name__} of term {message.term} waits for the disk")
        granted = isinstance(message, RequestVoteReply) and message.granted and not message.pre
        if granted and s.vote not in (message.sender, message.to):
            _broken(s, "a vote other than the one cast")
    for message in s.messages:
        if not isinstance(message, AppendEntriesReply) or not message.success:
            continue
        if message.match_index > s.log.persisted and message.term >= s.term:
            _broken(s, "an acknowledgement before the disk")


def _check_leader(s: State) -> None:
    log = s.log
    if s.term_start >= log.first_index and log.term(s.term_start) != s.term:
        _broken(s, "no no-op of its term")
    if s.uncommitted_bytes < 0:
        _broken(s, f"{s.uncommitted_bytes} bytes uncommitted")
    for id in s.configuration.ids():
        if id != s.id and id not in s.progress:
            _broken(s, f"no progress for {id}")
    for id, progress in s.progress.items():
        if id == s.id:
            _broken(s, "progress for itself")
        if not (0 <= progress.match < progress.next):
            _broken(s, f"{id} {progress!r}: 0 <= match < next")
        if progress.match > log.last_index or progress.next > log.last_index + 1:
            _broken(s, f"{id} {progress!r}: beyond {log.last_index}")
        if progress.state not in (PROBE, REPLICATE, SNAPSHOT):
            _broken(s, f"{id} {progress!r}: state")
        if progress.round > s.round:
            _broken(s, f"{id} {progress!r}: echoed round {progress.round} of {s.round}")
        if progress.inflight and progress.state is not REPLICATE:
            _broken(s, f"{id} {progress!r}: inflight appends")
        if (progress.state is SNAPSHOT) != (progress.pending_snapshot > 0):
            _broken(s, f"{id} {progress!r}: snapshot")
        if progress.inflight_bytes != sum(size for _, size in progress.inflight):
            _broken(s, f"{id} {progress!r}: inflight bytes")
        last = progress.match
        for index, _ in progress.inflight:
            if not (last < index < progress.next):
                _broken(s, f"{id} {progress!r}: inflight {index} after {last}")
            last = index
    if s.commit >= s.term_start and (s.voters or s.outgoing) and s.configuration_index <= s.commit:
        # What its own term committed a quorum holds, by its books (a new configuration may demand more of the next).
        reached = quorum.agreed(s.voters, s.outgoing, lambda id: log.persisted if id == s.id else s.progress[id].match)
        if not (reached >= min(s.commit, max(s.term_start, s.configuration_index)) or s.commit == log.persisted):
            _broken(s, f"commit {s.commit}, but a quorum reached only {reached}")
    numbers = [waiting.number for waiting in s.read_rounds]
    if numbers != sorted(set(numbers)) or (numbers and numbers[-1] > s.round):
        _broken(s, f"read rounds {numbers}")

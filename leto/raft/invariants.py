"""What holds of one node between any two inputs; tests check it after every step (as LogCabin's checkBasic does)."""

from __future__ import annotations

from leto.raft import configuration as configurations
from leto.raft import quorum
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


def _require(s: State, condition: bool, sentence: str) -> None:
    if not condition:
        raise InvariantViolated(f"{s.id} (term {s.term}, {s.role.name}): {sentence}")


def _check_indexes(s: State) -> None:
    log = s.log
    _require(
        s,
        0 <= s.applied <= s.applying <= s.commit <= log.last_index,
        f"applied {s.applied} <= handed out {s.applying} <= commit {s.commit} <= last {log.last_index}",
    )
    _require(
        s,
        log.persisted <= log.handed <= log.last_index,
        f"persisted {log.persisted} <= being written {log.handed} <= last {log.last_index}",
    )
    installing = s.writes.installing or s.snapshot_to_install is not None
    _require(
        s, log.first_index <= log.last_index + 1, f"the log {log.first_index}..{log.last_index} begins behind its end"
    )
    _require(
        s, installing or log.persisted >= log.first_index - 1, f"persisted {log.persisted}, log from {log.first_index}"
    )
    _require(s, installing or s.applying <= log.persisted, f"handed out {s.applying}, persisted only {log.persisted}")
    _require(s, log.first_index <= s.applying + 1, f"log from {log.first_index}, handed out only up to {s.applying}")
    offered = s.snapshot.index if s.snapshot is not None else 0
    _require(s, installing or log.first_index - 1 <= offered, f"log from {log.first_index}, snapshot only at {offered}")
    number = 0
    for write in s.writes:
        _require(s, number < write.number <= s.number, f"write {write.number} under way after {number}")
        _require(s, write.last_index <= log.handed, f"write {write.number} of {write.last_index}, beyond {log.handed}")
        number = write.number


def _check_log(s: State) -> None:
    log = s.log
    tail, offset = log.tail(), log.offset
    _require(
        s, offset + len(tail) == log.last_index + 1, f"{len(tail)} entries in memory from {offset} to {log.last_index}"
    )
    _require(
        s, offset <= log.persisted + 1 or offset == log.first_index, f"undurable entries below {offset} not in memory"
    )
    _require(s, log.last_term == log.term(log.last_index), f"last term {log.last_term} is not the last entry's")
    _require(s, log.last_term <= s.term, f"an entry of term {log.last_term}")
    start = max(0, len(tail) - RECENT)
    before = tail[start].term if len(tail) > start else 0
    for position in range(start, len(tail)):
        entry = tail[position]
        _require(s, entry.index == offset + position, f"entry {entry.index} at the place of {offset + position}")
        _require(s, entry.term >= before, f"entry {entry.index} of term {entry.term} after one of {before}")
        before = entry.term


def _check_configurations(s: State) -> None:
    before = -1
    for index, configuration in s.history:
        _require(s, before < index <= s.log.last_index, f"configuration {index} after {before}")
        _require(s, bool(configuration.voter_ids()), f"the configuration at {index} has no voter")
        before = index
        if index >= s.log.offset:
            entry = s.log.tail()[index - s.log.offset]
            _require(s, entry.kind == EntryKind.CONFIGURATION, f"entry {index} is no configuration")
            _require(
                s, configurations.decode(entry.payload) == configuration, f"configuration {index} is not its entry's"
            )
    if s.history:
        _require(s, s.history[-1] == (s.configuration_index, s.configuration), "the last configuration is not in force")
    uncommitted = sum(1 for index, _ in s.history if index > s.commit)
    _require(
        s,
        s.role is not Role.LEADER or uncommitted <= 1 or s.commit < s.term_start,
        f"{uncommitted} configuration changes in flight",
    )
    for entry in s.log.tail()[-RECENT:]:
        if entry.kind == EntryKind.CONFIGURATION and entry.index > s.applied:
            _require(s, any(at == entry.index for at, _ in s.history), f"configuration {entry.index} is not tracked")


def _check_role(s: State) -> None:
    if s.role is Role.LEADER:
        _require(s, s.leader_id == s.id == s.term_leader, f"it leads, but the leader is {s.leader_id!r}")
        _require(s, s.vote == s.id, f"it leads, but voted for {s.vote!r}")
        _require(s, s.durable_term == s.term and s.durable_vote == s.id, "it leads on a vote that is not durable")
    else:
        _require(s, s.leader_id != s.id, "it does not lead, but takes itself for the leader")
        _require(s, not s.progress and not s.read_rounds and not s.reads_waiting, "a follower keeps a leader's books")
        _require(s, not s.transferring_to, "a follower hands leadership over")
    if s.role in (Role.CANDIDATE, Role.PRE_CANDIDATE):
        _require(s, not s.leader_id, f"it campaigns, but follows {s.leader_id}")
    else:
        _require(s, not s.votes, "it counts votes, but does not campaign")
    if s.role is Role.CANDIDATE:
        _require(s, s.vote == s.id, f"it campaigns, but voted for {s.vote!r}")
    _require(s, not s.forwarded_reads or bool(s.leader_id), "reads wait for a leader that is unknown")
    _require(s, s.durable_term <= s.term, f"term {s.durable_term} is durable already")


def _check_outbox(s: State) -> None:
    for message in s.messages_after_persist:
        if isinstance(message, AppendEntriesReply):
            _require(s, message.term == s.term, f"an answer of term {message.term} waits for the disk")
        elif isinstance(message, RequestVote) and message.pre:
            _require(s, message.term == s.term + 1, f"a pre-vote for term {message.term}")
        elif not (isinstance(message, RequestVoteReply) and message.pre):
            _require(s, message.term == s.term, f"{type(message).__name__} of term {message.term} waits for the disk")
        if isinstance(message, RequestVoteReply) and message.granted and not message.pre:
            _require(s, s.vote == message.sender or s.vote == message.to, "a vote other than the one cast")
    for message in s.messages:
        if isinstance(message, AppendEntriesReply) and message.success:
            _require(
                s, message.match_index <= s.log.persisted or message.term < s.term, "an acknowledgement before the disk"
            )


def _check_leader(s: State) -> None:
    log = s.log
    _require(s, log.term(s.term_start) == s.term if s.term_start >= log.first_index else True, "no no-op of its term")
    _require(s, s.uncommitted_bytes >= 0, f"{s.uncommitted_bytes} bytes uncommitted")
    for id in s.configuration.ids():
        _require(s, id == s.id or id in s.progress, f"no progress for {id}")
    for id, progress in s.progress.items():
        name = f"{id} {progress!r}"
        _require(s, id != s.id, "progress for itself")
        _require(s, 0 <= progress.match < progress.next, f"{name}: 0 <= match < next")
        _require(
            s,
            progress.match <= log.last_index and progress.next <= log.last_index + 1,
            f"{name}: beyond {log.last_index}",
        )
        _require(s, progress.state in (PROBE, REPLICATE, SNAPSHOT), f"{name}: state")
        _require(s, progress.round <= s.round, f"{name}: echoed round {progress.round} of {s.round}")
        _require(s, progress.state is REPLICATE or not progress.inflight, f"{name}: inflight appends")
        _require(s, (progress.state is SNAPSHOT) == (progress.pending_snapshot > 0), f"{name}: snapshot")
        _require(s, progress.inflight_bytes == sum(size for _, size in progress.inflight), f"{name}: inflight bytes")
        last = progress.match
        for index, _ in progress.inflight:
            _require(s, last < index < progress.next, f"{name}: inflight {index} after {last}")
            last = index
    if s.commit >= s.term_start and (s.voters or s.outgoing) and s.configuration_index <= s.commit:
        # What its own term committed a quorum holds, by its books (a new configuration may demand more of the next).
        reached = quorum.agreed(s.voters, s.outgoing, lambda id: log.persisted if id == s.id else s.progress[id].match)
        _require(
            s,
            reached >= min(s.commit, max(s.term_start, s.configuration_index)) or s.commit == log.persisted,
            f"commit {s.commit}, but a quorum reached only {reached}",
        )
    numbers = [waiting.number for waiting in s.read_rounds]
    _require(s, numbers == sorted(set(numbers)) and (not numbers or numbers[-1] <= s.round), f"read rounds {numbers}")

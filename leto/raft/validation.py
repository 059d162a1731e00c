"""What no correct peer can send: refused before anything changes.

A message may be late, repeated or of a stale term: that is no fault. It is one if numbers are out of range, entries
have gaps or falling terms, a term has two leaders, or a leader of a present term contradicts what is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leto.errors import ProtocolError
from leto.raft import configuration as configurations
from leto.raft.configuration import Configuration
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    InstallSnapshot,
    Message,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from leto.raft.state import Role, State

LIMIT = 1 << 62  # terms, indexes, rounds, clocks and contexts stay below it
# How far a peer's term may be ahead: an election a second for a century. Whoever could have any term adopted would
# have the last one adopted, after which no cluster elects anybody.
TERM_JUMP = 1 << 32


def check_message(s: State, m: Message) -> None:
    """Raises ProtocolError with a sentence."""
    if m.to != s.id:
        raise ProtocolError(f"a message from {m.sender!r} to {m.to!r} reached {s.id!r}")
    if m.sender == s.id or not m.sender:
        raise ProtocolError(f"a message whose sender is {m.sender!r} reached {s.id!r}")
    if not 0 <= m.term < LIMIT:
        raise ProtocolError(f"{m.sender}: term {m.term} is out of range")
    if m.term > s.term + TERM_JUMP:
        raise ProtocolError(f"{m.sender}: term {m.term} is not plausible, this node's is {s.term}")
    _CHECKS[type(m)](s, m)


def _check_append(s: State, m: AppendEntries) -> None:
    prev_index, prev_term = m.prev_index, m.prev_term
    if not (
        0 <= prev_index < LIMIT
        and 0 <= prev_term <= m.term
        and 0 <= m.commit < LIMIT
        and 0 <= m.round < LIMIT
        and 0 <= m.clock_ms < LIMIT
        and 0 <= m.lease_ms < LIMIT
        and m.term
        and (prev_index or not prev_term)
    ):
        raise ProtocolError(f"{m.sender}: an append with a number out of range")
    index, term = prev_index, prev_term
    check_command = s.settings.check_command
    for entry in m.entries:
        index += 1
        if entry.index != index:
            raise ProtocolError(f"{m.sender}: entry {entry.index} follows entry {index - 1}")
        if not term <= entry.term <= m.term:
            raise ProtocolError(f"{m.sender}: entry {index} of term {entry.term} follows one of term {term}")
        term = entry.term
        if entry.kind == EntryKind.COMMAND:
            try:
                check_command(entry.payload)
            except ValueError as error:
                raise ProtocolError(f"{m.sender}: entry {index}: {error}") from error
        else:
            _check_kind(s, m.sender, entry)
    if m.term < s.term:
        return
    _check_leader(s, m.sender, m.term)
    commit = s.commit
    if prev_index < commit or (prev_index == commit and commit):
        _check_committed(s, m.sender, prev_index, prev_term)
        for entry in m.entries:
            if entry.index > commit:
                break
            _check_committed(s, m.sender, entry.index, entry.term)


def _check_kind(s: State, sender: str, entry: Entry) -> None:
    if entry.kind == EntryKind.CONFIGURATION:
        try:
            configuration = configurations.decode(entry.payload)
        except ValueError as error:
            raise ProtocolError(f"{sender}: {error}") from error
        _check_configuration(s, sender, configuration)
    elif entry.kind != EntryKind.NOOP:
        raise ProtocolError(f"{sender}: entry {entry.index} is of kind {entry.kind}, unknown to this version of Leto")


def _check_configuration(s: State, sender: str, configuration: Configuration) -> None:
    if not configuration.voter_ids():
        raise ProtocolError(f"{sender}: a configuration without voters")
    try:
        s.settings.check_members(configuration)
    except ValueError as error:
        raise ProtocolError(f"{sender}: {error}") from error


def _check_committed(s: State, sender: str, index: int, term: int) -> None:
    """Every leader since has what is committed (paper 5.4.3, leader completeness)."""
    known = s.log.term_or_none(index)
    if known is not None and known != term:
        raise ProtocolError(f"{sender}: its entry {index} of term {term} contradicts the committed one of {known}")


def _check_leader(s: State, sender: str, term: int) -> None:
    """At most one leader a term (paper 5.2, election safety)."""
    if term == s.term and s.term_leader not in ("", sender):
        raise ProtocolError(f"{sender} claims to lead term {term}, which {s.term_leader} leads")


def _check_append_reply(s: State, m: AppendEntriesReply) -> None:
    if not (
        0 <= m.match_index < LIMIT
        and 0 <= m.prev_index < LIMIT
        and 0 <= m.conflict_index < LIMIT
        and 0 <= m.conflict_term < LIMIT
        and 0 <= m.round < LIMIT
        and 0 <= m.promised_ms < LIMIT
        and 0 <= m.wall_ms < LIMIT
    ):
        raise ProtocolError(f"{m.sender}: an append's answer with a number out of range")
    if m.term == s.term and s.role is Role.LEADER:
        last = s.log.last_index
        if m.prev_index > last or (m.success and m.match_index > last):
            raise ProtocolError(
                f"{m.sender} answers for entry {max(m.match_index, m.prev_index)}, the log ends at {last}"
            )
        if m.round > s.round:
            raise ProtocolError(f"{m.sender} echoes round {m.round}, the newest is {s.round}")


def _check_vote_request(s: State, m: RequestVote) -> None:
    if not (0 <= m.last_index < LIMIT and 0 <= m.last_term <= m.term and m.term):
        raise ProtocolError(f"{m.sender}: a vote request with a number out of range")


def _check_vote_reply(s: State, m: RequestVoteReply) -> None:
    if not (0 <= m.clock_ms < LIMIT and 0 <= m.wall_ms < LIMIT):
        raise ProtocolError(f"{m.sender}: a vote with a clock out of range")


def _check_snapshot(s: State, m: InstallSnapshot) -> None:
    meta = m.meta
    if not (0 < meta.index < LIMIT and 0 < meta.term <= m.term and 0 <= meta.configuration_index <= meta.index):
        raise ProtocolError(f"{m.sender}: a snapshot with a number out of range")
    _check_configuration(s, m.sender, meta.configuration)
    if m.term >= s.term:
        _check_leader(s, m.sender, m.term)
        if meta.index <= s.commit:
            _check_committed(s, m.sender, meta.index, meta.term)


def _check_timeout_now(s: State, m: TimeoutNow) -> None:
    if m.term >= s.term:
        _check_leader(s, m.sender, m.term)


def _check_read_index(s: State, m: ReadIndex) -> None:
    if not 0 <= m.context < LIMIT:
        raise ProtocolError(f"{m.sender}: a read with a context out of range")


def _check_read_index_reply(s: State, m: ReadIndexReply) -> None:
    if not (0 <= m.context < LIMIT and 0 <= m.index < LIMIT and 0 <= m.clock_ms < LIMIT):
        raise ProtocolError(f"{m.sender}: a read index out of range")


_CHECKS: dict[type, Callable[[State, Any], None]] = {
    AppendEntries: _check_append,
    AppendEntriesReply: _check_append_reply,
    RequestVote: _check_vote_request,
    RequestVoteReply: _check_vote_reply,
    InstallSnapshot: _check_snapshot,
    TimeoutNow: _check_timeout_now,
    ReadIndex: _check_read_index,
    ReadIndexReply: _check_read_index_reply,
}

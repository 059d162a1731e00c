"""Messages, entries and configurations as short lines: what transcripts and traces are made of."""

from __future__ import annotations

from leto.raft.configuration import Configuration, decode
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


def configuration_text(configuration: Configuration) -> str:
    """`voters a b c, learners d, joining e, outgoing a b`; only what there is."""
    groups = {
        "voters": [m.id for m in configuration.members if m.voter],
        "learners": [m.id for m in configuration.members if not m.voter and not m.joining],
        "joining": [m.id for m in configuration.members if not m.voter and m.joining],
        "outgoing": [m.id for m in configuration.outgoing],
    }
    return ", ".join(f"{name} {' '.join(ids)}" for name, ids in groups.items() if ids) or "empty"


def entry_text(entry: Entry) -> str:
    """`3@2 "x"`: index 3, term 2."""
    at = f"{entry.index}@{entry.term}"
    if entry.kind == EntryKind.NOOP:
        return f"{at} noop"
    if entry.kind == EntryKind.CONFIGURATION:
        return f"{at} ({configuration_text(decode(entry.payload))})"
    text = entry.payload.decode("latin-1")
    return f'{at} "{text if len(text) <= 24 else text[:21] + "..."}"'


def entries_text(entries: tuple[Entry, ...] | list[Entry]) -> str:
    if len(entries) > 6:
        return ", ".join([*map(entry_text, entries[:2]), f"... {len(entries) - 3} more ...", entry_text(entries[-1])])
    return ", ".join(map(entry_text, entries))


def message_text(message: Message) -> str:
    """`a -> b  append term 2 after 1@1: 2@2 noop, commit 1`."""
    return f"{message.sender} -> {message.to}  {_body(message)}"


def _body(m: Message) -> str:
    if isinstance(m, AppendEntries):
        entries = f": {entries_text(m.entries)}" if m.entries else ""
        rest = f"{f', round {m.round}' if m.round else ''}{', lease' if m.lease else ''}"
        return f"append term {m.term} after {m.prev_index}@{m.prev_term}{entries}, commit {m.commit}{rest}"
    if isinstance(m, AppendEntriesReply):
        round_ = f", round {m.round}" if m.round else ""
        if m.success:
            return f"appended term {m.term} up to {m.match_index}{round_}"
        hint = f"{m.conflict_index}@{m.conflict_term}" if m.conflict_term else f"the log ends at {m.conflict_index - 1}"
        return f"refused append term {m.term} after {m.prev_index}, hint: {hint}{round_}"
    if isinstance(m, RequestVote):
        kind = "pre-vote?" if m.pre else "vote?"
        return f"{kind} term {m.term}, log ends {m.last_index}@{m.last_term}{', by transfer' if m.transfer else ''}"
    if isinstance(m, RequestVoteReply):
        return f"{'pre-vote' if m.pre else 'vote'} {'yes' if m.granted else 'no'} term {m.term}"
    if isinstance(m, InstallSnapshot):
        return f"snapshot term {m.term} of {m.meta.index}@{m.meta.term} ({configuration_text(m.meta.configuration)})"
    if isinstance(m, TimeoutNow):
        return f"campaign now, term {m.term}"
    if isinstance(m, ReadIndex):
        return f"read index? term {m.term}, context {m.context}"
    assert isinstance(m, ReadIndexReply)
    answer = f"index {m.index}" if m.index else "refused"
    return f"read index term {m.term}, context {m.context}: {answer}"

"""The steady state's straight ways through the core, each in place of a general one that does the same.

A lane is entered by comparisons alone: the present term, the leader that leads it, logs that agree, and nothing else
under way: no change of members, no transfer, no lease, no snapshot, no probing. Where one of them fails it has changed
nothing and says so, and the general way is gone: that is the specification, and what a lane leaves behind (state,
messages, what the caller is told) is what that leaves behind. The core is as correct without any lane.
"""

from __future__ import annotations

from math import inf

from leto.raft import clock, reads, replication
from leto.raft.log import ENTRY_OVERHEAD
from leto.raft.messages import AppendEntries, AppendEntriesReply, EntryKind
from leto.raft.progress import REPLICATE
from leto.raft.state import Role, State
from leto.raft.validation import LIMIT

FOLLOWER, LEADER = Role.FOLLOWER, Role.LEADER  # a look into the class takes five times as long
COMMAND = int(EntryKind.COMMAND)


def follow(s: State, m: AppendEntries, now: float) -> bool:
    """A follower: its leader's commands that follow its log, or a heartbeat that agrees with it.

    In place of validation.check_message and replication.receive_append.
    """
    log = s.log
    index = prev_index = log.last_index
    term = s.term
    entries = m.entries
    if not (
        m.prev_index == index
        and m.term == term > 0
        and m.prev_term == log.last_term
        and s.role is FOLLOWER
        and s.leader_connected
        and m.sender == s.leader_id
        and m.to == s.id
        and now >= s.now
        and not (m.lease or m.lease_ms)
        and 0 <= m.commit < LIMIT
        and 0 <= m.round < LIMIT
        and 0 <= m.clock_ms < LIMIT
        and (entries or s.durable_term == term)
        # So a commit concerns nothing but the commit index (State.commit_to):
        and s.configuration_index <= s.commit >= s.term_start
        and not (s.removal_pending or s.settle_due or s.uncommitted_bytes)
    ):
        return False
    size = 0
    check_command = s.settings.check_command
    for entry in entries:
        index += 1
        if entry.index != index or entry.term != term or entry.kind != COMMAND:
            return False
        try:
            check_command(entry.payload)
        except ValueError:
            return False  # the general way says what is wrong
        size += len(entry.payload) + ENTRY_OVERHEAD
    s.now = s.leader_contact = now
    s.election_deadline = now + s.timeout
    if m.clock_ms > s.clock_ms:
        clock.heard(s, m.clock_ms)
        s.clock_heard = True
    if m.commit > s.leader_commit:
        s.leader_commit = m.commit
    if entries:
        log.tail.extend(entries)
        log.last_index = index
        log.last_term = term
        log.bytes += size
    commit = m.commit if m.commit < index else index
    if commit > s.commit:
        s.commit = commit
    wall = s.wall
    wall_ms = 0 if wall is None else max(0, int(now * 1000 + wall))
    if entries:
        s.messages_after_persist.append(
            AppendEntriesReply(s.id, m.sender, term, True, index, prev_index, 0, 0, m.round, 0, wall_ms)
        )
    elif not m.quiet:
        durable = index if index < log.persisted else log.persisted
        s.messages.append(
            AppendEntriesReply(s.id, m.sender, term, True, durable, prev_index, 0, 0, m.round, 0, wall_ms)
        )
    return True


def replicate(s: State) -> bool:
    """The leader: what was proposed since the last time goes to every follower, as one append each.

    In place of replication.send_appends, where every follower replicates, has been sent all else, and has room.
    """
    log, settings = s.log, s.settings
    last, prev_index, offset = log.last_index, s.sent_index, log.offset
    if prev_index >= last or prev_index < offset or settings.lease:
        return False
    tail = log.tail
    prev_term = tail[prev_index - offset].term
    entries = tuple(tail[prev_index + 1 - offset :])
    size = 0
    for entry in entries:
        size += len(entry.payload)
    if size > replication.SMALL_APPEND or (size > settings.max_append_bytes and len(entries) > 1):
        return False
    most, most_bytes = settings.max_inflight_appends, settings.max_inflight_bytes
    for progress in s.progress.values():
        if (
            progress.next != prev_index + 1
            or progress.state is not REPLICATE
            or len(progress.inflight) >= most
            or progress.inflight_bytes >= most_bytes
        ):
            return False
    s.broadcast = s.round_due = s.send_due = s.notices_due = False
    s.sent_index = last
    commit = s.commit
    told = commit if commit < last else last
    add = s.messages.append
    for id, progress in s.progress.items():
        add(AppendEntries(s.id, id, s.term, prev_index, prev_term, commit, entries, s.round, False, s.clock_ms))
        progress.next = last + 1
        progress.inflight.append((last, size))
        progress.inflight_bytes += size
        if told > progress.commit_sent:
            progress.commit_sent = told
            if told == commit:
                progress.awaits_commit = False
    return True


def acknowledge(s: State, m: AppendEntriesReply, now: float) -> bool | None:
    """The leader: a follower's answer. What step() answers; None where the lane is not entered.

    In place of validation.check_message and replication.receive_append_reply.
    """
    progress = s.progress.get(m.sender)
    log = s.log
    last, index, number = log.last_index, m.match_index, m.round
    if (
        progress is None
        or s.role is not LEADER
        or m.term != s.term
        or not m.success
        or m.to != s.id
        or progress.state is not REPLICATE
        or progress.joining
        or not progress.round_floor <= number <= s.round
        or (number > progress.round and progress.beat < s.beat)  # it tells the time, too
        or not 0 <= index <= last
        or not 0 <= m.prev_index <= last
        or m.conflict_index
        or m.conflict_term
        or m.promised_ms
        or not 0 <= m.wall_ms < LIMIT
        or now < s.now
        or s.transferring_to
        or s.outgoing
        or not s.settings.commit_notice
        or s.configuration_index > s.commit
        or s.commit < s.term_start
        or s.removal_pending
        or s.settle_due
    ):
        return None
    s.now = progress.last_contact = now
    noticed = s.notice_at
    if number > progress.round:
        progress.round = number
        if number == s.round:
            progress.trip = now - s.round_at
        if s.read_rounds:
            reads.confirm_rounds(s)
    is_news = index > progress.match
    if is_news:
        progress.match = index
        if index >= progress.next:
            progress.next = index + 1
        inflight = progress.inflight
        while inflight and inflight[0][0] <= index:
            progress.inflight_bytes -= inflight.popleft()[1]
    if progress.next <= last or progress.awaits_commit:
        s.send_due = True
    if is_news:
        if noticed == inf:
            s.notice_at = now + s.settings.commit_notice
        if index > s.commit and not advance(s):
            replication.advance_commit(s)
    if s.send_due or s.messages or s.reads or s.notice_at < noticed:
        return True
    return s.applying < s.commit


def advance(s: State) -> bool:
    """The leader: commit what a quorum has durable. In place of replication.advance_commit, outside joint consensus."""
    if s.outgoing or not s.voters or not s.settings.commit_notice:
        return False
    own, persisted, progress = s.id, s.log.persisted, s.progress
    matches = []
    for id in s.voters:
        matches.append(persisted if id == own else progress[id].match)
    matches.sort()
    index = matches[(len(matches) - 1) >> 1]
    commit = s.commit
    if index > commit and index >= s.term_start:
        if commit < s.term_start or s.configuration_index > commit or s.removal_pending:
            s.commit_to(index)  # it concerns more than the commit index
        else:
            s.commit = index
            if s.uncommitted_bytes:
                log = s.log
                for entry in log.tail[commit + 1 - log.offset : index + 1 - log.offset]:
                    s.uncommitted_bytes -= len(entry.payload)
        if s.notice_at == inf:
            s.notice_at = s.now + s.settings.commit_notice
    return True

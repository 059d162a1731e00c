"""The log's way from the leader to its followers: AppendEntries, conflicts, commitment, snapshots.

Paper 5.3, 5.4.2, 7 and figures 2 and 13; flow control dissertation 10.2.1; conflict hints paper 5.3, end.
Appends are built when a Ready is taken, so that all that was proposed until then shares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from leto.errors import Compacted
from leto.raft import clock, election, quorum, reads
from leto.raft.messages import AppendEntries, AppendEntriesReply, Entry, InstallSnapshot
from leto.raft.progress import PROBE, REPLICATE, SNAPSHOT, Progress
from leto.raft.state import Role, State

PROBE_BYTES = 64 << 10  # a probe carries entries only while they are small: it may be refused
APPENDS_AT_ONCE = 8  # to one follower by one Ready: reading and sending a whole window takes too long in one go
TRANSIT_BYTES_PER_SECOND = 8 << 20  # slower links than this have their big appends sent twice at worst
SMALL_APPEND = 128 << 10  # larger ones may be overtaken by smaller ones on their way

# followers ------------------------------------------------------------------------------------------


def receive_append(s: State, m: AppendEntries) -> None:
    """AppendEntries RPC, receiver (paper figure 2). The message is validated, and m.term is this node's term."""
    if s.leader_id == m.sender and s.leader_connected and s.role is Role.FOLLOWER:
        s.leader_contact = s.now
        s.election_deadline = s.now + s.timeout
    else:
        hear_leader(s, m.sender)
    promised = election.promise_lease(s, m.lease_ms) if m.lease else 0
    if m.clock_ms > s.clock_ms:
        clock.heard(s, m.clock_ms)
        s.clock_heard = True
    if m.commit > s.leader_commit:
        s.leader_commit = m.commit
    log = s.log
    entries = m.entries
    prev_index = m.prev_index
    if prev_index > s.commit and (prev_index > log.last_index or log.term(prev_index) != m.prev_term):
        _refuse(s, m, promised)
        return
    # Rule 3 and 4: delete from the first conflict on, append what is not there. What matches stays: a late or
    # reordered message must not cut off what came after it (and what is committed matches any leader's log).
    matched = prev_index
    if entries:
        matched = entries[-1].index
        if prev_index == log.last_index:
            for entry in entries:
                s.append(entry)
        else:
            _merge(s, entries)
    # Rule 5
    commit = m.commit if m.commit < matched else matched
    if commit > s.commit:
        s.commit_to(commit)
    if entries:
        # Leaves once the Ready that takes these entries is durable; up to the old commit index they are anyway.
        s.messages_after_persist.append(
            AppendEntriesReply(
                s.id,
                m.sender,
                m.term,
                True,
                max(matched, s.commit),
                prev_index,
                0,
                0,
                m.round,
                promised,
                clock.own_wall_ms(s),
            )
        )
    elif not m.quiet:
        durable = min(max(matched, s.commit), log.persisted)
        wall_ms = clock.own_wall_ms(s)
        s.send_quickly(
            AppendEntriesReply(s.id, m.sender, m.term, True, durable, prev_index, 0, 0, m.round, promised, wall_ms)
        )


def hear_leader(s: State, leader_id: str) -> None:
    """A message of this term's leader, which only it can have sent: candidates give way (paper 5.2)."""
    if s.role is not Role.FOLLOWER or s.leader_id != leader_id:
        election.become_follower(s, s.term, leader_id)
    s.leader_connected = True
    s.fast_attempts = 0
    s.leader_contact = s.now
    s.election_deadline = s.now + s.timeout


def _merge(s: State, entries: Sequence[Entry]) -> None:
    """Append those of `entries` that the log does not hold yet, cutting it at the first that contradicts it."""
    log = s.log
    for position, entry in enumerate(entries):
        index = entry.index
        if index <= s.commit:
            continue
        if index <= log.last_index:
            if log.term(index) == entry.term:
                continue
            s.truncate(index)
        for rest in entries[position:]:
            s.append(rest)
        return


def _refuse(s: State, m: AppendEntries, promised: int) -> None:
    """Rule 2, with a hint that lets the leader pass over a whole term, or all that is missing, at once."""
    log = s.log
    if m.prev_index > log.last_index:
        conflict_index, conflict_term = log.last_index + 1, 0
    else:
        conflict_term = log.term(m.prev_index)
        conflict_index = log.last_index_at_most(conflict_term - 1, s.commit + 1, m.prev_index) + 1
    reply = AppendEntriesReply(
        s.id,
        m.sender,
        m.term,
        False,
        0,
        m.prev_index,
        conflict_index,
        conflict_term,
        m.round,
        promised,
        clock.own_wall_ms(s),
    )
    if m.entries:
        s.messages_after_persist.append(reply)
    else:
        s.send_quickly(reply)


def receive_snapshot(s: State, m: InstallSnapshot) -> None:
    """InstallSnapshot RPC, receiver (paper figure 13); its bytes are complete and durable by now."""
    hear_leader(s, m.sender)
    meta = m.meta
    if meta.index > s.commit:
        s.restore(meta)
    s.messages_after_persist.append(AppendEntriesReply(s.id, m.sender, m.term, True, s.commit))


def refuse_stale(s: State, sender: str) -> None:
    """Rule 1: the sender's term is over. The answer's term tells it so, and deposes a leader that goes on behind the
    back of a newer term (pre-vote and stickiness would else let it, dissertation 9.6).

    It echoes nothing of the request: the sender may lead the newer term by now, and take it for an answer of that.
    """
    s.send_quickly(AppendEntriesReply(s.id, sender, s.term, False))


# the leader: answers ------------------------------------------------------------------------------------


def receive_append_reply(s: State, m: AppendEntriesReply) -> None:
    """A follower's answer, of this term."""
    progress = s.progress.get(m.sender)
    if progress is None or m.round < progress.round_floor:
        return
    progress.last_contact = s.now
    if m.round > progress.round:
        progress.round = m.round
        if m.round == s.round:
            progress.trip = s.now - s.round_at
        if progress.beat < s.beat:
            clock.answered(s, progress, m.sender, m.round, m.wall_ms)
        if s.read_rounds:
            reads.confirm_rounds(s)
        if m.promised_ms and s.lease_renewals:
            reads.renew_lease(s, progress, m)
    if not m.success:
        _back_up(s, progress, m)
        return
    news = progress.acknowledged(m.match_index)
    if progress.state is not REPLICATE:
        if progress.state is PROBE:
            # The logs agree at prev_index, even where the follower's disk is not that far yet.
            progress.become_replicate(max(m.match_index, m.prev_index) + 1)
        elif progress.match >= progress.pending_snapshot or s.log.term_or_none(progress.match) is not None:
            progress.become_replicate(progress.match + 1)
    if progress.next <= s.log.last_index or progress.awaits_commit:
        s.send_due = True
    if news:
        notice_later(s)  # it may be told now of what was committed before
        if m.match_index > s.commit:
            advance_commit(s)
        if s.transferring_to == m.sender:
            election.advance_transfer(s)
    if progress.joining:
        s.settle_due = True


def _back_up(s: State, progress: Progress, m: AppendEntriesReply) -> None:
    """The follower's log does not hold prev_index: find where the logs part, whole terms at a step (paper 5.3)."""
    if m.prev_index <= progress.match or progress.state is SNAPSHOT:
        return  # late news: that part is known to match
    if progress.state is PROBE:
        if m.prev_index != progress.next - 1:
            return  # the answer to an earlier probe
    elif m.conflict_term == 0 and s.now < progress.resend_after:
        return  # most likely a small append that overtook a big one
    next_index = m.conflict_index
    if m.conflict_term:
        # The leader's entries of the follower's term at that place, if it has any, may be the same: go on behind
        # them; else pass over all of the follower's entries of that term.
        low = max(progress.match + 1, s.log.first_index)
        last = s.log.last_index_at_most(m.conflict_term, low, m.prev_index - 1)
        if last >= low and s.log.term_or_none(last) == m.conflict_term:
            next_index = last + 1
    progress.become_probe(max(1, min(next_index, m.prev_index)))
    s.send_due = True


def advance_commit(s: State) -> None:
    """Commit what a quorum has durable, if it is of the own term; all before it is committed with it (paper 5.4.2,
    figure 8). The leader counts itself only for what its own disk has, and only if it votes."""
    progress = s.progress
    persisted = s.log.persisted

    def match(id: str) -> int:
        return persisted if id == s.id else progress[id].match

    index = quorum.agreed(s.voters, s.outgoing, match)
    if index > s.commit and index >= s.term_start:
        s.commit_to(index)
        notice_later(s)


def notice_later(s: State) -> None:
    """Leader: followers learn of a commit by the next append, or by an empty one if none comes for a while."""
    delay = s.settings.commit_notice
    if not delay:
        s.notices_due = s.send_due = True
    elif s.notice_at == inf:
        s.notice_at = s.now + delay


# the leader: appends ------------------------------------------------------------------------------------


def send_appends(s: State) -> None:
    """What is due to each follower: new entries as far as its window allows; else, if a heartbeat or a read round is
    due or it is to be told of a commit, an empty append."""
    broadcast = s.broadcast
    asked = reads.asked(s) if s.round_due and not broadcast else ()
    notices = s.notices_due
    s.broadcast = s.round_due = s.send_due = s.notices_due = False
    log = s.log
    last = log.last_index
    s.sent_index = last
    settings = s.settings
    for id, progress in s.progress.items():
        state = progress.state
        due = broadcast or id in asked
        if state is REPLICATE:
            sent = 0
            while progress.next <= last and not progress.is_full(
                settings.max_inflight_appends, settings.max_inflight_bytes
            ):
                if sent == APPENDS_AT_ONCE:
                    s.send_due = True  # the rest with the next Ready: by the first of their answers at the latest
                    break
                if not _send_entries(s, id, progress, settings.max_append_bytes):
                    break
                sent += 1
            if sent or progress.state is not REPLICATE:
                continue
            if due:
                _send_empty(s, id, progress)
            elif (
                (notices or progress.awaits_commit)
                and not progress.inflight
                and progress.commit_sent < min(s.commit, progress.match)
            ):
                _send_empty(s, id, progress, quiet=True)
        elif state is PROBE:
            if not progress.probe_sent:
                _send_probe(s, id, progress)
            elif due:
                _send_empty(s, id, progress)
        elif due:
            _send_empty(s, id, progress)


def _send_entries(s: State, id: str, progress: Progress, max_bytes: int) -> bool:
    """One append with entries from `next` on. False if they are compacted: the follower needs a snapshot."""
    log = s.log
    prev_index = progress.next - 1
    try:
        prev_term = log.term(prev_index)
        entries = tuple(log.slice(prev_index + 1, log.last_index + 1, max_bytes))
    except Compacted:
        _send_snapshot(s, id, progress)
        return False
    size = 0
    for entry in entries:
        size += len(entry.payload)
    last = entries[-1].index
    commit = s.commit
    lease_ms = _lease_asked(s)
    s.messages.append(
        AppendEntries(
            s.id,
            id,
            s.term,
            prev_index,
            prev_term,
            commit,
            entries,
            s.round,
            lease_ms > 0,
            s.clock_ms,
            lease_ms=lease_ms,
        )
    )
    if progress.state is REPLICATE:
        progress.sent(last, size)
        if size > SMALL_APPEND:
            progress.resend_after = max(progress.resend_after, s.now) + size / TRANSIT_BYTES_PER_SECOND
    told = commit if commit < last else last
    if told > progress.commit_sent:
        progress.commit_sent = told
        if told == commit:
            progress.awaits_commit = False
    return True


def _send_probe(s: State, id: str, progress: Progress) -> None:
    """The one append of a probing leader, with entries if they are small."""
    progress.probe_sent = True
    log = s.log
    try:
        first = log.slice(progress.next, progress.next + 1, 0) if progress.next <= log.last_index else ()
    except Compacted:
        _send_snapshot(s, id, progress)
        return
    if first and len(first[0].payload) <= PROBE_BYTES:
        _send_entries(s, id, progress, min(PROBE_BYTES, s.settings.max_append_bytes))
    else:
        _send_empty(s, id, progress)


def _send_empty(s: State, id: str, progress: Progress, *, quiet: bool = False) -> None:
    """A heartbeat or read round, or (`quiet`) the news of a commit. A follower that awaits a snapshot is asked for
    nothing: every log agrees at 0. Else prev_index is the last that was sent, so that a loss shows."""
    if progress.state is SNAPSHOT:
        _send_heartbeat(s, id, progress, 0, 0)
        return
    prev_term = s.log.term_or_none(progress.next - 1)
    if prev_term is None:
        _send_snapshot(s, id, progress)
    else:
        _send_heartbeat(s, id, progress, progress.next - 1, prev_term, quiet)


def _send_heartbeat(
    s: State, id: str, progress: Progress, prev_index: int, prev_term: int, quiet: bool = False
) -> None:
    commit = min(s.commit, progress.match)
    progress.commit_sent = max(progress.commit_sent, commit)
    if commit == s.commit:
        progress.awaits_commit = False
    lease_ms = _lease_asked(s)
    s.messages.append(
        AppendEntries(
            s.id,
            id,
            s.term,
            prev_index,
            prev_term,
            commit,
            (),
            s.round,
            lease_ms > 0,
            s.clock_ms,
            quiet,
            lease_ms,
        )
    )


def _send_snapshot(s: State, id: str, progress: Progress) -> None:
    """It needs what was compacted: the newest snapshot is offered (paper 7), once the follower shows a sign of life."""
    if s.snapshot is None or s.now - progress.last_contact > s.settings.election_timeout:
        progress.become_probe(progress.match + 1, wait=True)
        _send_heartbeat(s, id, progress, 0, 0)
        return
    progress.become_snapshot(s.snapshot.index)
    s.snapshots_to_send.append(InstallSnapshot(s.id, id, s.term, s.snapshot))


def _lease_asked(s: State) -> int:
    """Milliseconds; 0: none."""
    return s.settings.promise_ms if s.settings.lease and not s.lease_revoked else 0


def snapshot_sent(s: State, peer: str, index: int, ok: bool) -> None:
    """The stream of a snapshot to that peer ended, of whichever one: the next heartbeat finds out how far it is.

    `index` need not be that of the snapshot that was offered: a newer one may have been durable when the stream began,
    and have been told here only later. Nothing else would end the waiting.
    """
    progress = s.progress.get(peer)
    if progress is not None and progress.state is SNAPSHOT:
        progress.become_probe(max(index if ok else 0, progress.match) + 1, wait=True)


def farewell(s: State, id: str) -> None:
    """Tell a removed follower, best effort, that its removal is committed (dissertation 4.2.2 leaves it guessing)."""
    progress = s.progress.pop(id)
    if progress.state is SNAPSHOT:
        return
    if progress.next <= s.log.last_index:
        _send_entries(s, id, progress, s.settings.max_append_bytes)
    else:
        prev_term = s.log.term_or_none(progress.next - 1)
        if prev_term is not None:
            s.messages.append(
                AppendEntries(s.id, id, s.term, progress.next - 1, prev_term, s.commit, (), s.round, False, s.clock_ms)
            )

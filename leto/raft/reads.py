"""Linearizable reads: rounds, read indexes, leases (dissertation 6.4).

A read needs proof that no newer leader existed when it arrived: a quorum that answers messages sent after its arrival.
Every AppendEntries carries the number of the newest round and its answer echoes it, so one round serves all the reads
that wait, and appends that fly anyway confirm reads for nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from math import inf
from operator import itemgetter

from leto.raft import clock, quorum
from leto.raft.messages import AppendEntriesReply, ReadIndex, ReadIndexReply
from leto.raft.progress import Progress
from leto.raft.ready import ReadState
from leto.raft.state import ReadRound, Role, State

MOST_RENEWALS = 1000  # rounds whose promises are waited for; of more the older half is given up


def read(s: State, context: int) -> None:
    """A read that arrived here. A follower asks its leader (dissertation 6.4, last paragraph)."""
    if s.role is Role.LEADER:
        s.reads_waiting.append(("", context))
        s.send_due = True
    elif s.leader_id:
        s.questions = number = s.questions + 1
        s.forwarded_reads[number] = (context, s.now + 2 * s.settings.heartbeat_interval)
        s.send_quickly(ReadIndex(s.id, s.leader_id, s.term, number))
    else:
        s.reads.append(ReadState(context, 0, 0))


def receive_read_index(s: State, m: ReadIndex) -> None:
    """A follower's read, which waits as the leader's own do. A removed server is served no more."""
    if s.role is Role.LEADER and m.sender in s.progress and m.sender in s.configuration.ids():
        s.reads_waiting.append((m.sender, m.context))
        s.send_due = True
    else:
        s.send_quickly(ReadIndexReply(s.id, m.sender, s.term, m.context, 0))


def receive_read_index_reply(s: State, m: ReadIndexReply) -> None:
    """The leader's answer to a forwarded read; an answer to one that is no longer waited for is ignored."""
    asked = s.forwarded_reads.pop(m.context, None)
    if asked is not None:
        clock.heard(s, m.clock_ms)
        s.reads.append(ReadState(asked[0], m.index, m.clock_ms))


def repeat_forwarded(s: State) -> None:
    """Ask again for those whose question or answer seems lost; a second answer is ignored."""
    for number, (context, due) in s.forwarded_reads.items():
        if s.now >= due:
            s.forwarded_reads[number] = (context, s.now + 2 * s.settings.heartbeat_interval)
            s.send_quickly(ReadIndex(s.id, s.leader_id, s.term, number))


def begin_round(s: State) -> None:
    """Leader: a new round for the reads that wait, before appends are sent.

    None before an entry of the own term is committed, for only then does the leader know what is (dissertation 6.4
    step 1). At most one round begun for reads alone is in flight; with new entries to send a round costs nothing.
    """
    if s.commit < s.term_start:
        return
    if s.settings.lease and lease_holds(s):
        _confirm(s, ReadRound(0, s.commit, s.confirmed_clock_ms, s.reads_waiting))
        s.reads_waiting = []
        return
    flying = s.log.last_index > s.sent_index
    if not flying:
        if s.read_rounds and s.read_rounds[0].number <= s.pure_round:
            return
        s.pure_round = s.round + 1
    next_round(s)
    s.read_rounds.append(ReadRound(s.round, s.commit, s.clock_ms, s.reads_waiting))
    s.reads_waiting = []
    s.round_due = s.send_due = True
    if len(s.voters) < 2 or s.outgoing:
        confirm_rounds(s)  # a quorum of one


def asked(s: State) -> Collection[str]:
    """Whom the newest round is told at once: as many voters as make a quorum, those that answer fastest; all, if it is
    not known of so many that they answer. Should one of them not answer now, the next heartbeat tells the round to
    all."""
    progress = s.progress
    if s.outgoing:
        return progress.keys()
    silent = s.now - 2 * s.settings.heartbeat_interval
    others, quick = [], []
    for id in s.voters:
        if id != s.id:
            others.append(id)
            known = progress[id]
            if known.last_contact > silent and known.trip < inf:
                quick.append((known.trip, id))
    need = quorum.majority(s.voters) - (len(s.voters) - len(others))
    if len(quick) < need:
        return others
    quick.sort()
    fastest = []
    for _, id in quick[:need]:
        fastest.append(id)
    return fastest


def next_round(s: State) -> None:
    """Messages from now on carry a new number; under a lease, an echo of it with a promise renews the lease."""
    s.round += 1
    s.round_at = s.now
    if s.settings.lease and not s.lease_revoked:
        renewals = s.lease_renewals
        renewals.append((s.round, s.now, s.clock_ms))
        if len(renewals) > MOST_RENEWALS:
            del renewals[: MOST_RENEWALS // 2]
        _confirm_lease(s)


def echoed(s: State) -> int:
    """The newest round that a quorum echoed. The leader itself, where it votes, has heard of every round."""
    progress = s.progress
    if s.outgoing or not s.voters:
        return quorum.agreed(s.voters, s.outgoing, lambda id: s.round if id == s.id else progress[id].round)
    rounds = []  # the same for one set of voters, asked for with every read
    for id in s.voters:
        rounds.append(s.round if id == s.id else progress[id].round)
    rounds.sort()
    return rounds[(len(rounds) - 1) >> 1]


def confirm_rounds(s: State) -> None:
    """Answer the reads of the rounds that a quorum echoed."""
    rounds = s.read_rounds
    if not rounds:
        return
    newest = echoed(s)
    count = 0
    for waiting in rounds:
        if waiting.number > newest:
            break
        _confirm(s, waiting)
        count += 1
    if count:
        del rounds[:count]


def renew_lease(s: State, progress: Progress, m: AppendEntriesReply) -> None:
    """A follower echoed a round, and promised to vote for no one else for a while from then on: counted from when the
    round began, clocks drifting no more than the settings say (dissertation 6.4.1)."""
    renewals = s.lease_renewals
    position = bisect_right(renewals, m.round, key=_number) - 1
    if position >= 0:  # else what it echoes was given up, or is older than a lease that broke
        number, begun, _ = renewals[position]
        length = min(m.promised_ms, s.settings.promise_ms) / 1000 * (1 - s.settings.clock_drift)
        progress.lease_round = max(progress.lease_round, number)
        progress.lease_until = max(progress.lease_until, begun + length)
        _confirm_lease(s)


_number = itemgetter(0)


def _confirm_lease(s: State) -> None:
    """The lease lasts for as long as a quorum has promised; the leader itself votes for no one while it leads."""
    progress = s.progress
    own = s.round_at + s.settings.election_timeout * (1 - s.settings.clock_drift)

    def until(id: str) -> float:
        return own if id == s.id else progress[id].lease_until

    def round_of(id: str) -> int:
        return s.round if id == s.id else progress[id].lease_round

    s.lease_until = quorum.agreed(s.voters, s.outgoing, until)
    newest = quorum.agreed(s.voters, s.outgoing, round_of)
    count = 0
    for number, _, clock_ms in s.lease_renewals:
        if number > newest:
            break
        s.confirmed_clock_ms = max(s.confirmed_clock_ms, clock_ms)
        count += 1
    if count:
        del s.lease_renewals[:count]


def lease_holds(s: State) -> bool:
    """Whether no other leader can exist yet (dissertation 6.4.1)."""
    return s.now < s.lease_until and s.settings.lease and not s.lease_revoked


def watch_clock(s: State) -> None:
    """Under a lease: where wall clock and monotonic clock part by more than the drift allowed for, one of them
    jumped or stood still (a suspended machine), and the lease must be earned anew."""
    assert s.wall is not None
    skew = s.wall / 1000
    bound = s.settings.election_timeout * s.settings.clock_drift
    if s.lease_skew is not None and abs(skew - s.lease_skew) > bound:
        break_lease(s)
        s.lease_skew = skew
    elif s.lease_skew is None:
        s.lease_skew = skew


def break_lease(s: State) -> None:
    """The lease must be earned anew, by messages sent from now on."""
    s.lease_until = -1.0
    s.lease_renewals.clear()
    for progress in s.progress.values():
        progress.lease_until = -1.0


def fail_all(s: State) -> None:
    """Leadership or leader changed: every read that waits must be asked again."""
    for waiting in s.read_rounds:
        _answer(s, waiting.readers, 0, 0)
    _answer(s, s.reads_waiting, 0, 0)
    s.read_rounds = []
    s.reads_waiting = []
    break_lease(s)
    s.reads.extend(ReadState(context, 0, 0) for context, _ in s.forwarded_reads.values())
    s.forwarded_reads.clear()


def _confirm(s: State, waiting: ReadRound) -> None:
    s.confirmed_clock_ms = max(s.confirmed_clock_ms, waiting.clock_ms)
    _answer(s, waiting.readers, waiting.index, waiting.clock_ms)


def _answer(s: State, readers: list[tuple[str, int]], index: int, clock_ms: int) -> None:
    for reader, context in readers:
        if reader:
            s.send_quickly(ReadIndexReply(s.id, reader, s.term, context, index, clock_ms))
            progress = s.progress.get(reader)
            if progress is not None and progress.commit_sent < index:
                progress.awaits_commit = s.send_due = True
        else:
            s.reads.append(ReadState(context, index, clock_ms))

"""Roles and votes: who may become a leader, and when a leader ceases to be one.

Paper 5.2, 5.4.1; pre-vote dissertation 9.6; check quorum and leader stickiness dissertation 6.2 and 4.2.3; the
transfer of leadership dissertation 3.10.
"""

from __future__ import annotations

import math

from leto.errors import NotLeader, TransferFailed
from leto.raft import clock, quorum, reads
from leto.raft.messages import EntryKind, RequestVote, RequestVoteReply, TimeoutNow
from leto.raft.progress import Progress
from leto.raft.quorum import Vote
from leto.raft.state import Role, State

# roles ------------------------------------------------------------------------------------------


def become_follower(s: State, term: int, leader_id: str) -> None:
    """Follow `leader_id` ("" while it is unknown) in `term`, a newer one or the present one.

    Paper figure 2, all servers: a higher term is adopted, and with it the vote is free again. What waits for the disk
    in the name of the old term is never sent: its entries may be replaced before they are written.
    """
    changed = s.role is Role.LEADER or term != s.term or leader_id != s.leader_id
    if term != s.term:
        s.term = term
        s.vote = ""
        s.term_leader = ""
        s.leader_commit = 0
        s.messages_after_persist.clear()
    s.role = Role.FOLLOWER
    if leader_id:
        s.term_leader = leader_id
    if changed:
        s.leader_id = leader_id
        reads.fail_all(s)
    s.fast_attempts = 0
    s.leader_connected = bool(leader_id)
    s.votes.clear()
    s.candidate_transfer = False
    s.transferring_to = ""
    s.progress.clear()
    s.snapshots_to_send.clear()
    s.uncommitted_bytes = 0
    s.broadcast = s.round_due = s.send_due = s.notices_due = False
    s.notice_at = math.inf
    draw_timeout(s)


def become_pre_candidate(s: State) -> None:
    """Ask whether an election could be won; neither term nor vote changes (dissertation 9.6)."""
    _stop_following(s)
    s.role = Role.PRE_CANDIDATE
    s.votes = {s.id: True}
    _request_votes(s, pre=True)
    _count_votes(s)


def become_candidate(s: State, *, transfer: bool = False) -> None:
    """Begin an election (paper 5.2). The own vote counts once it is durable, and only then are others asked."""
    _stop_following(s)
    s.role = Role.CANDIDATE
    s.term += 1
    s.vote = s.id
    s.term_leader = ""
    s.leader_commit = 0
    s.messages_after_persist.clear()
    s.votes = {}
    s.candidate_transfer = transfer
    draw_timeout(s)
    if s.fast_attempts:
        # Another may have noticed the leader's end at the same moment: votes that are split, with the leader's own
        # missing for good, are never counted as lost. Twice as long as a pre-vote: they wait for two disks.
        s.election_deadline = s.now + 2 * s.settings.fast_election_delay * (1 + s.random())
    _request_votes(s, pre=False)


def become_leader(s: State) -> None:
    """Paper figure 2, leaders: nextIndex = last index + 1, matchIndex = 0; a no-op of the own term (paper 8)."""
    s.role = Role.LEADER
    s.leader_id = s.term_leader = s.id
    s.votes.clear()
    s.progress = {}
    s.uncommitted_bytes = 0
    s.round = s.pure_round = s.beat = 0
    s.beats.clear()
    s.clock_heard = True
    clock.weigh(s)
    s.lease_until = -1.0
    s.lease_revoked = False
    s.lease_renewals.clear()
    s.track_members()
    s.term_start = s.log.last_index + 1
    s.sent_index = s.log.last_index
    s.append_own(EntryKind.NOOP, b"")
    s.heartbeat_deadline = s.now + s.settings.heartbeat_interval
    s.broadcast = s.send_due = True


def step_down(s: State) -> None:
    """Leader no more, in the same term."""
    if s.role is Role.LEADER:
        become_follower(s, s.term, "")


def _stop_following(s: State) -> None:
    if s.leader_id:
        s.leader_id = ""
        reads.fail_all(s)
    s.leader_connected = False


# timing -----------------------------------------------------------------------------------------


def draw_timeout(s: State) -> None:
    """A new random election timeout, from now on (paper 5.2)."""
    s.timeout = s.settings.election_timeout * (1 + s.random() / 2)
    s.election_deadline = s.now + s.timeout


def may_campaign(s: State) -> bool:
    """Only a voter campaigns: no learner, no joiner, no removed node.

    One that its latest configuration leaves out still does until that is committed: it may be the only one whose log
    is long enough, and its vote is still asked for by those who do not hold that configuration yet (dissertation
    4.2.2, figure 4.6). It does not count its own vote.
    """
    if s.role is Role.LEADER:
        return False
    if s.votes_itself:
        return True
    if s.configuration_index <= s.commit:
        return False
    in_force_before, _ = s.configuration_at(s.commit)
    return any(index >= in_force_before and s.is_voter_in(known) for index, known in s.history)


def deadline(s: State) -> float:
    """When the next election is due, inf if none ever is."""
    return s.election_deadline if may_campaign(s) else math.inf


def tick(s: State) -> None:
    """Begin the election that is due."""
    if s.now < s.election_deadline or not may_campaign(s):
        return
    campaign(s)


def campaign(s: State) -> None:
    """A pre-vote now, unless this node's promise to a leader with a lease still stands."""
    if not may_campaign(s) or s.now < s.promise_until:
        if s.election_deadline <= s.now:
            s.election_deadline = max(s.promise_until, s.now + s.timeout)
        return
    draw_timeout(s)
    if s.fast_attempts:
        s.fast_attempts -= 1
        s.election_deadline = s.now + s.settings.fast_election_delay * (1 + s.random())
    become_pre_candidate(s)


def leader_lost(s: State) -> None:
    """The connection to the leader closed: it is most likely dead, so do not wait for the timeout.

    A few attempts in quick succession, for the others notice it at slightly different moments. Pre-vote keeps this
    harmless where only the connection broke.
    """
    if s.role is not Role.FOLLOWER or not s.leader_id:
        return
    delay = s.random() * s.settings.fast_election_delay
    if s.now < s.promise_until:
        s.election_deadline = min(s.election_deadline, s.promise_until + delay)
        return
    s.leader_connected = False
    s.fast_attempts = 3
    s.election_deadline = min(s.election_deadline, s.now + delay)


def promise_lease(s: State, lease_ms: int) -> int:
    """A leader was heard that would have a lease of so many milliseconds: for how many from now on this node grants no
    vote and begins no election. 0: the leader may not count on it, though it may turn out so."""
    own_ms = s.settings.promise_ms
    promised_ms = min(lease_ms, own_ms) if lease_ms else own_ms
    until = s.now + promised_ms / 1000
    if until > s.promise_until:  # what an earlier leader was promised holds, too
        s.promise_until = until
    return promised_ms if lease_ms and s.settings.lease else 0


def withholds_vote(s: State) -> bool:
    """Whether a live leader stands against any vote (dissertation 4.2.3), or a promise to one with a lease."""
    if s.role is Role.LEADER or s.now < s.promise_until:
        return True
    return s.leader_connected and s.now < s.leader_contact + s.settings.election_timeout


# votes ------------------------------------------------------------------------------------------


def is_up_to_date(s: State, last_index: int, last_term: int) -> bool:
    """Whether a log ending there is at least as up-to-date as this node's (paper 5.4.1)."""
    return last_term > s.log.last_term or (last_term == s.log.last_term and last_index >= s.log.last_index)


def receive_pre_vote(s: State, m: RequestVote) -> None:
    """Would this node vote so? (dissertation 9.6). Changes nothing here."""
    if withholds_vote(s):
        return
    free = m.term > s.term or (m.term == s.term and s.vote in ("", m.sender) and not s.term_leader)
    granted = free and bool(s.history) and is_up_to_date(s, m.last_index, m.last_term)
    term = m.term if granted else s.term
    s.messages_after_persist.append(vote_reply(s, m.sender, term, granted, pre=True))


def receive_vote_request(s: State, m: RequestVote) -> None:
    """Paper figure 2, RequestVote RPC, receiver rule 2; m.term is this node's term by now.

    A node without any configuration (a joiner, a wiped disk) votes for no one: it cannot know what it promised.
    """
    granted = (
        (s.vote == m.sender or (not s.vote and not s.term_leader))
        and bool(s.history)
        and is_up_to_date(s, m.last_index, m.last_term)
    )
    if granted:
        s.vote = m.sender
        draw_timeout(s)
    s.messages_after_persist.append(vote_reply(s, m.sender, s.term, granted, pre=False))


def vote_reply(s: State, candidate: str, term: int, granted: bool, *, pre: bool) -> RequestVoteReply:
    """The answer to a candidate, with what it needs to keep the cluster clock: how far that is, and what time it is."""
    return RequestVoteReply(s.id, candidate, term, granted, pre, clock.passed(s, s.now), clock.own_wall_ms(s))


def receive_vote(s: State, m: RequestVoteReply) -> None:
    """A voter's answer, to the election or pre-vote that is under way."""
    asked = s.role is Role.PRE_CANDIDATE if m.pre else s.role is Role.CANDIDATE
    if not asked or (m.granted and m.pre and m.term != s.term + 1):
        return
    clock.heard(s, m.clock_ms)
    clock.sample(s, m.sender, m.wall_ms, s.asked_at)
    if m.granted or m.sender not in s.votes:
        s.votes[m.sender] = m.granted  # a refusal of something earlier may overtake the grant, not undo it
    _count_votes(s)


def own_vote_durable(s: State) -> None:
    """The disk has the vote that the candidate cast for itself."""
    if s.role is Role.CANDIDATE and s.durable_term == s.term and s.durable_vote == s.id and s.id not in s.votes:
        s.votes[s.id] = True
        _count_votes(s)


def _request_votes(s: State, *, pre: bool) -> None:
    """After the disk: the log it boasts of, and a vote for itself, are durable before anyone hears of them."""
    term = s.term + 1 if pre else s.term
    s.asked_at = s.now
    for id in s.configuration.ids():
        if id != s.id and s.configuration.votes(id):
            s.messages_after_persist.append(
                RequestVote(s.id, id, term, s.log.last_index, s.log.last_term, pre, s.candidate_transfer and not pre)
            )


def _count_votes(s: State) -> None:
    result = quorum.tally(s.voters, s.outgoing, s.votes)
    if result is Vote.WON:
        if s.role is Role.PRE_CANDIDATE:
            become_candidate(s)
        else:
            become_leader(s)
    elif result is Vote.LOST:
        attempts, due = s.fast_attempts, s.election_deadline
        become_follower(s, s.term, "")
        if attempts:
            s.fast_attempts, s.election_deadline = attempts, due


# the leader's own doubts ------------------------------------------------------------------------------


def quorum_contact(s: State, now: float) -> float:
    """The latest time by which a quorum had been heard of since."""

    def heard(id: str) -> float:
        progress: Progress | None = s.progress.get(id)
        return progress.last_contact if progress is not None else now

    return quorum.agreed(s.voters, s.outgoing, heard)


def has_quorum(s: State, now: float) -> bool:
    """Leader: a quorum was heard within the election timeout. Others: a leader was."""
    if s.role is Role.LEADER:
        return now - quorum_contact(s, now) <= s.settings.election_timeout
    return bool(s.leader_id) and s.leader_connected and now - s.leader_contact <= s.settings.election_timeout


def check_quorum(s: State) -> None:
    """A leader that no quorum answered within the election timeout steps down (dissertation 6.2)."""
    if not has_quorum(s, s.now):
        step_down(s)


# the transfer of leadership (dissertation 3.10) ---------------------------------------------------------


def transfer(s: State, target: str) -> None:
    """Take no more proposals, bring `target` up to date, and bid it campaign. Raises NotLeader, TransferFailed."""
    if s.role is not Role.LEADER:
        raise NotLeader(s.leader_id or None)
    if target == s.id:
        raise TransferFailed(f"{target} leads already")
    if target not in s.progress:
        raise TransferFailed(f"{target} is not a member")
    if not s.configuration.votes(target):
        raise TransferFailed(f"{target} is a learner")
    if s.transferring_to:
        if s.transferring_to == target:
            return
        raise TransferFailed(f"leadership is being handed to {s.transferring_to} already")
    s.transferring_to = target
    s.transfer_deadline = s.now + s.settings.election_timeout
    advance_transfer(s)


def advance_transfer(s: State) -> None:
    """Once the target holds the whole log it may campaign. From then on a lease means nothing in this term, for
    the target's election overrides it whenever that message arrives."""
    progress = s.progress.get(s.transferring_to)
    if progress is None:
        s.transferring_to = ""
    elif progress.match == s.log.last_index:
        s.lease_revoked = True
        s.messages.append(TimeoutNow(s.id, s.transferring_to, s.term))


def receive_timeout_now(s: State, m: TimeoutNow) -> None:
    """The leader wishes this node to lead: an election at once, without pre-vote."""
    if may_campaign(s):
        become_candidate(s, transfer=True)

"""Changes of the configuration: proposing, joint consensus, promotion, removal.

Dissertation chapter 4, with the 2015 correction of single-server changes (Ongaro, "bug in single-server membership
changes", raft-dev): a leader changes nothing before it has committed an entry of its own term. Paper 6 for joint
consensus.
"""

from __future__ import annotations

from leto.errors import ConfigurationRefused, NotLeader
from leto.raft import configuration as configurations
from leto.raft import election, replication
from leto.raft.configuration import Configuration
from leto.raft.messages import EntryKind, TimeoutNow
from leto.raft.progress import REPLICATE
from leto.raft.state import Role, State


def propose(s: State, target: Configuration) -> int:
    """Append the change towards `target` and return its index. Raises NotLeader, ConfigurationRefused."""
    if s.role is not Role.LEADER or s.transferring_to:
        raise NotLeader(s.leader_id if s.leader_id != s.id else None)
    if s.commit < s.term_start:
        raise ConfigurationRefused("this leader has not committed an entry of its own term yet")
    if s.configuration_index > s.commit:
        raise ConfigurationRefused(f"the membership change at index {s.configuration_index} is still in flight")
    configurations.check_change(s.configuration, target)
    _check_new_voters(s, target)
    if not configurations.is_simple_change(s.configuration, target):
        target = configurations.joint(s.configuration, target)
    return _append(s, target)


def is_settled(s: State) -> bool:
    """Whether a leader may change the configuration: it has committed in its own term (the 2015 correction) and the
    configuration in force is committed and not joint."""
    if s.role is not Role.LEADER or s.transferring_to:
        return False
    return s.commit >= s.term_start and s.configuration_index <= s.commit and not s.configuration.is_joint


def _check_new_voters(s: State, target: Configuration) -> None:
    """Nobody begins to vote with an empty log: it would refuse its vote for lack of a configuration, and were this
    leader lost now, a quorum that needs it could elect nobody (dissertation 4.2.1: a learner first)."""
    for id in target.voter_ids():
        if id != s.id and not s.configuration.votes(id) and (id not in s.progress or not s.progress[id].match):
            raise ConfigurationRefused(
                f"{id} has nothing of the log yet: a learner must begin to catch up before it votes"
            )


def _append(s: State, configuration: Configuration) -> int:
    return s.append_own(EntryKind.CONFIGURATION, configurations.encode(configuration))


def settle(s: State) -> None:
    """What follows once a configuration is committed, or a joiner has caught up."""
    s.settle_due = False
    _notice_removal(s)
    if s.role is not Role.LEADER or s.configuration_index > s.commit or s.commit < s.term_start:
        return
    for id in [id for id in s.progress if id not in s.configuration.ids()]:
        replication.farewell(s, id)
    if s.configuration.is_joint:
        # C(old,new) is committed: go on to C(new) (paper 6), also where an earlier leader began the change.
        _append(s, configurations.final(s.configuration))
    elif not s.votes_itself:
        _hand_over(s)
    else:
        _promote_caught_up(s)


def _notice_removal(s: State) -> None:
    """Whether a committed configuration has left this node out, after one that had it in. A node that is still
    catching up with the leader may only be reading of its own past."""
    at, configuration = s.configuration_at(s.commit)
    s.removal_pending = False
    if s.id in configuration.ids():
        s.removed = False
        if s.is_named_by(configuration):
            s.was_member_at = at
    elif 0 <= s.was_member_at < at:
        if s.commit >= s.leader_commit and s.configuration_index == at:
            s.removed = True
        else:
            s.removal_pending = True


def _hand_over(s: State) -> None:
    """A leader that is no voter of the committed configuration leaves (paper 6, dissertation 4.2.2), not without
    telling the commit and bidding the voter that is most advanced (of equals the lowest id) to campaign."""
    s.broadcast = True
    replication.send_appends(s)
    best = min((id for id in s.voters if id in s.progress), key=lambda id: (-s.progress[id].match, id))
    s.messages.append(TimeoutNow(s.id, best, s.term))
    election.step_down(s)


def _promote_caught_up(s: State) -> None:
    """Dissertation 4.2.1: a joiner is caught up once it takes less than an election timeout to replicate what the
    log held when that round began. One promotion at a time."""
    for id, progress in s.progress.items():
        if not progress.joining or progress.state is not REPLICATE or progress.match < progress.catch_up_target:
            continue
        quick = s.now - progress.catch_up_since < s.settings.election_timeout
        if not (progress.catch_up_target and quick):
            progress.catch_up_target = s.log.last_index
            progress.catch_up_since = s.now
        if progress.match >= progress.catch_up_target and not s.transferring_to:
            _append(s, configurations.promoted(s.configuration, id))
            return

"""The commit index in the hard state: a hint after a restart, which never tells of more than the disk has."""

from __future__ import annotations

import pytest

from leto.raft.messages import HardState
from tests.raft.subject import Subject, append, vote_request


@pytest.mark.parametrize("durable", [0, 1, 2])
def test_a_hard_state_names_no_commit_that_is_not_durable(durable: int) -> None:
    """The leader has committed entries that are still on their way to this disk; then it votes for another. A crash may
    leave any part of what is being written behind: others, of a lost term, may lie where the hint points."""
    subject = Subject(terms=(1,), commit=1)
    for index in range(2, 2 + durable):
        subject.receives(append(1, (index - 1, 1), [(index, 1)]))
    subject.syncing = False
    for index in range(2 + durable, 5):
        subject.receives(append(1, (index - 1, 1), [(index, 1)], commit=4))
    assert subject.node.commit == 4
    subject.node.leader_lost(subject.now)
    subject.now += subject.settings.election_timeout * 2
    subject.receives(vote_request(2, (4, 1)))
    given = [ready.hard_state for ready in subject.held if ready.hard_state is not None]
    assert given == [HardState(2, "b", 1 + durable)]


def test_a_hard_state_names_what_is_committed_and_durable() -> None:
    subject = Subject(terms=(1, 1, 1), commit=1)
    subject.receives(append(1, (3, 1), commit=2))
    subject.syncing = False
    subject.node.leader_lost(subject.now)
    subject.now += subject.settings.election_timeout * 2
    subject.receives(vote_request(2, (3, 1)))
    assert [ready.hard_state for ready in subject.held if ready.hard_state is not None] == [HardState(2, "b", 2)]

"""Majorities: against a brute-force count over all subsets of voters."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leto.raft.quorum import Vote, agreed, majority, tally

IDS = "abcdefg"
sets = st.sets(st.sampled_from(IDS), max_size=7)
values = st.fixed_dictionaries({id: st.integers(0, 9) for id in IDS})
ballots = st.dictionaries(st.sampled_from(IDS), st.booleans())


def majorities(voters):
    return [set(c) for c in combinations(sorted(voters), len(voters) // 2 + 1)]


@given(sets, sets, values)
def test_agreed_is_the_highest_value_that_a_majority_of_each_set_reached(voters, outgoing, reached):
    if not voters and not outgoing:
        with pytest.raises(ValueError, match="no voters"):
            agreed(voters, outgoing, reached.__getitem__)
        return
    best = max(
        value
        for value in range(10)
        if all(
            any(all(reached[id] >= value for id in quorum) for quorum in majorities(group))
            for group in (voters, outgoing)
            if group
        )
    )
    assert agreed(voters, outgoing, reached.__getitem__) == best


@given(sets.filter(bool), sets, ballots)
def test_an_election_is_decided_when_no_further_vote_could_change_it(voters, outgoing, votes):
    groups = [group for group in (voters, outgoing) if group]
    won = all(any(all(votes.get(id) for id in q) for q in majorities(group)) for group in groups)
    possible = all(any(all(votes.get(id) is not False for id in q) for q in majorities(group)) for group in groups)
    expected = Vote.WON if won else Vote.PENDING if possible else Vote.LOST
    assert tally(voters, outgoing, votes) is expected


@given(sets.filter(bool), sets, sets, sets)
def test_two_candidates_never_both_win(voters, outgoing, first, second):
    one = {id: id in first for id in IDS}
    other = {id: id in second and id not in first for id in IDS}
    assert not (tally(voters, outgoing, one) is Vote.WON and tally(voters, outgoing, other) is Vote.WON)


@given(ballots)
def test_votes_of_servers_in_neither_set_count_nowhere(votes):
    voters = ("a", "b", "c")
    assert tally(voters, (), votes) is tally(voters, (), {k: v for k, v in votes.items() if k in voters})


def test_nobody_wins_without_voters():
    assert tally((), (), {"a": True}) is not Vote.WON


@pytest.mark.parametrize(("size", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_majority(size, needed):
    assert majority(IDS[:size]) == needed

"""What a majority agrees on, for one set of voters or for the two sets of a joint configuration.

A joint decision needs separate majorities of both sets (paper 6, dissertation 4.3). Learners are in neither set,
so they are counted nowhere. A set without voters agrees with anything: it is the absent half of a plain
configuration; a configuration whose both sets are empty decides nothing (its callers never campaign).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import IntEnum
from typing import TypeVar

T = TypeVar("T", int, float)


class Vote(IntEnum):
    PENDING = 0
    WON = 1
    LOST = 2


def majority(voters: Collection[str]) -> int:
    """Votes needed among `voters`."""
    return len(voters) // 2 + 1


def agreed(voters: Collection[str], outgoing: Collection[str], reached: Callable[[str], T]) -> T:
    """The highest value that a majority of each non-empty set has reached or passed.

    `reached(id)` is how far that voter is: its match index (paper figure 2, "majority of matchIndex[i] >= N"), the
    read round it echoed, the time it was last heard. Raises ValueError if both sets are empty.
    """
    if not voters and not outgoing:
        raise ValueError("no voters, no agreement")
    first = second = None
    if voters:
        values = sorted(map(reached, voters))
        first = values[(len(values) - 1) >> 1]
    if outgoing:
        values = sorted(map(reached, outgoing))
        second = values[(len(values) - 1) >> 1]
        if first is None or second < first:
            return second
    assert first is not None
    return first


def tally(voters: Collection[str], outgoing: Collection[str], votes: Mapping[str, bool]) -> Vote:
    """What the votes given so far decide: WON once a majority of each set granted, LOST once one set cannot."""
    first = _tally(voters, votes)
    if not outgoing:
        return first
    second = _tally(outgoing, votes)
    if not voters:
        return second
    if Vote.LOST in (first, second):
        return Vote.LOST
    return Vote.WON if first is second is Vote.WON else Vote.PENDING


def _tally(voters: Collection[str], votes: Mapping[str, bool]) -> Vote:
    granted = refused = 0
    for voter in voters:
        vote = votes.get(voter)
        if vote is not None:
            if vote:
                granted += 1
            else:
                refused += 1
    if voters and granted >= majority(voters):
        return Vote.WON
    if len(voters) - refused < majority(voters):
        return Vote.LOST
    return Vote.PENDING

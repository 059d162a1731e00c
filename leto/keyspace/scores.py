"""Scores and ranges of sorted sets, as commands are given them."""

from __future__ import annotations

from collections.abc import Sequence

from leto.keyspace.types.scored import Bound
from leto.keyspace.types.sorted_set import SortedSet
from leto.vocabulary.numbers import lenient_double
from leto.vocabulary.replies import Error, Pairs, Refused, Reply

NOT_A_RANGE_OF_SCORES = Error(b"ERR min or max is not a float")
NOT_A_RANGE_OF_MEMBERS = Error(b"ERR min or max not valid string range item")
NOT_A_NUMBER = Error(b"ERR resulting score is not a number (NaN)")


def _score(text: bytes) -> tuple[float, bool]:
    """(score, whether it is excluded). Raises Refused."""
    excludes = text[:1] == b"("
    value = lenient_double(text[1:] if excludes else text)
    if value is None:
        raise Refused(NOT_A_RANGE_OF_SCORES)
    return value, excludes


def score_range(least: bytes, most: bytes) -> tuple[tuple[float, bool], tuple[float, bool]]:
    """Both ends. Raises Refused."""
    return _score(least), _score(most)


def ranks_by_score(members: SortedSet, least: tuple[float, bool], most: tuple[float, bool]) -> tuple[int, int]:
    """(start, stop) of those with scores within the two ends."""
    start = members.below(least[0], inclusive=least[1])
    return start, max(start, members.below(most[0], inclusive=not most[1]))


def _bound(text: bytes) -> Bound:
    if text in (b"-", b"+"):
        return Bound(-1 if text == b"-" else 1)
    if text[:1] not in (b"(", b"["):
        raise Refused(NOT_A_RANGE_OF_MEMBERS)
    return Bound(0, text[1:], text[:1] == b"(")


def member_range(least: bytes, most: bytes) -> tuple[Bound, Bound]:
    """Both ends. Raises Refused."""
    return _bound(least), _bound(most)


def ranks_by_member(members: SortedSet, least: Bound, most: Bound, *, from_the_end: bool = False) -> tuple[int, int]:
    """(start, stop) of those within the two ends."""
    if least.side > 0 or most.side < 0 or (least.side == most.side == 0 and _is_empty(least, most)):
        return 0, 0
    return members.between(least, most, from_the_end=from_the_end)


def _is_empty(least: Bound, most: Bound) -> bool:
    return least.member > most.member or (least.member == most.member and (least.excludes or most.excludes))


def ranks_by_index(size: int, start: int, stop: int) -> tuple[int, int]:
    """(start, stop) of a range of ranks whose ends both belong to it, and may be counted from the end."""
    start = max(0, start + size if start < 0 else start)
    stop = min(size, (stop + size if stop < 0 else stop) + 1)
    return (start, stop) if start < stop else (0, 0)


def scored(found: Sequence[tuple[bytes, float]], *, with_scores: bool) -> Reply:
    """Members, or members with their scores."""
    if with_scores:
        return Pairs([each for pair in found for each in pair])
    return [member for member, _ in found]

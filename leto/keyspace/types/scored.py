"""What a sorted set is made of: members in order with their scores, and the parts of a large one.

The parts are of two kinds, all in one leto.keyspace.types.parts.Parts: a map from member to score, in parts by the
CRC-32 of the members, and after it the ranks, in parts ordered by score and member. Counts and the digest are told by
the map. How many members each part of the ranks has is kept beside, so that a rank is found without walking there.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from math import inf
from typing import Any, Final, NamedTuple, Self

import msgspec

from leto.checksums import crc32
from leto.keyspace.types.parts import FEW_ELEMENTS, PART_BYTES, PART_ELEMENTS, Loaded, Part, Parts
from leto.keyspace.types.value import Change, element_sum

MAP, RANKS = 0, 1  # what the lows of parts begin with
GROUP: Final = 64  # parts of the ranks whose members are counted together

Scored = tuple[bytes, float]

pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final = msgspec.msgpack.Decoder(tuple[list[float], list[bytes]]).decode
_unpack_map: Final = msgspec.msgpack.Decoder(list[tuple[bytes, float]]).decode
_score_bytes: Final = struct.Struct(">d").pack


class Run:
    """Members in order, with their scores."""

    __slots__ = ("members", "scores")

    def __init__(self, scores: list[float], members: list[bytes]) -> None:
        self.scores = scores
        self.members = members

    def __len__(self) -> int:
        return len(self.members)

    def copy(self) -> Run:
        return Run(self.scores.copy(), self.members.copy())

    def place(self, score: float, member: bytes) -> int:
        """Where it is, or would be."""
        scores = self.scores
        low = bisect_left(scores, score)
        if low == len(scores) or scores[low] != score:
            return low
        return bisect_left(self.members, member, low, bisect_right(scores, score, low))

    def insert(self, score: float, member: bytes) -> None:
        place = self.place(score, member)
        self.scores.insert(place, score)
        self.members.insert(place, member)

    def remove(self, score: float, member: bytes) -> None:
        """One that is there."""
        place = self.place(score, member)
        del self.scores[place], self.members[place]

    def cut(self, start: int, stop: int) -> Run:
        return Run(self.scores[start:stop], self.members[start:stop])


class ScoreParts(Parts):
    """Both kinds, the map's first. `sizes` of the ranks' parts, and the sums of GROUP of these each."""

    __slots__ = ("groups", "maps", "sizes")

    def __init__(self, parts: list[Part], count: int) -> None:
        """`count` of the members."""
        super().__init__(parts, count)
        self.maps = bisect_left(self.lows, (RANKS,))  # how many are the map's
        self.regroup()

    def regroup(self) -> None:
        """The ranks' parts are others than before."""
        self.sizes = [len(part.items) for part in self.parts[self.maps :]]
        self.groups = [sum(self.sizes[at : at + GROUP]) for at in range(0, len(self.sizes), GROUP)]

    def fork(self, index: int) -> Self:
        other = super().fork(index)
        other.maps, other.sizes, other.groups = self.maps, self.sizes.copy(), self.groups.copy()
        return other

    def count_in(self, number: int, more: int) -> None:
        """The ranks' part of that number has so many members more."""
        at = number - self.maps
        self.sizes[at] += more
        self.groups[at // GROUP] += more

    def before(self, number: int) -> int:
        """How many members the ranks' parts before that one have."""
        at = number - self.maps
        group = at // GROUP
        return sum(self.groups[:group]) + sum(self.sizes[group * GROUP : at])

    def locate(self, rank: int) -> tuple[int, int]:
        """The number of the ranks' part with the member of that rank, and its place there."""
        group = at = 0
        groups, sizes = self.groups, self.sizes
        while rank >= groups[group]:
            rank -= groups[group]
            group += 1
        at = group * GROUP
        while rank >= sizes[at]:
            rank -= sizes[at]
            at += 1
        return at + self.maps, rank

    def map_of(self, crc: int, member: bytes) -> int:
        """The number of the map's part that has the member, if any has it."""
        return max(0, bisect_right(self.lows, (MAP, crc, member), 0, self.maps) - 1)

    def ranks_of(self, score: float, member: bytes) -> int:
        """The number of the ranks' part that has the member, if any has it."""
        return max(self.maps, bisect_right(self.lows, (RANKS, score, member), self.maps) - 1)


class Bound(NamedTuple):
    """An end of a range of members. `side`: -1 below all, 1 above all, 0 for `member`, which may belong to it."""

    side: int
    member: bytes = b""
    excludes: bool = False

    def is_below(self, member: bytes) -> bool:
        """As the least: whether the member is in the range."""
        if self.side:
            return self.side < 0
        return self.member < member or (self.member == member and not self.excludes)

    def is_above(self, member: bytes) -> bool:
        """As the most."""
        if self.side:
            return self.side > 0
        return member < self.member or (self.member == member and not self.excludes)


def place_of(content: ScoreParts, bound: Bound) -> int:
    """How many members are before that end, as the least of a range, all having one score."""
    if bound.side:
        return 0 if bound.side < 0 else content.count
    low, high = 0, len(content.sizes)
    while low < high:  # the first of the parts whose first member is behind it
        middle = (low + high) // 2
        if _is_before(content.parts[content.maps + middle].items.members[0], bound):
            low = middle + 1
        else:
            high = middle
    if low == 0:
        return 0
    number = content.maps + low - 1
    members = content.parts[number].items.members
    bisect = bisect_right if bound.excludes else bisect_left
    return content.before(number) + bisect(members, bound.member)


def _is_before(member: bytes, bound: Bound) -> bool:
    return member < bound.member or (bound.excludes and member == bound.member)


def runs_of(content: ScoreParts) -> Iterator[Run]:
    return (part.items for part in islice(content.parts, content.maps, None))


def scored_sum(crc: int, score: float) -> int:
    return element_sum(crc, _score_bytes(score))


def sum_of(items: Iterable[Scored]) -> int:
    return sum(scored_sum(crc32(member), score) for member, score in items)


def weight_of(members: list[bytes]) -> int:
    return sum(map(len, members)) + 8 * len(members)


def ordered(items: dict[bytes, float]) -> list[tuple[int, bytes]]:
    return sorted((crc32(member), member) for member in items)


def account(content: ScoreParts, part: Part, change: Change, delta: int, weight: int) -> None:
    part.sum += delta
    content.sum += delta
    change.delta += delta
    part.weight += weight
    content.weight += weight


# The map's parts ----------------------------------------------------------------------------------------


def split_map(content: ScoreParts, number: int, index: int) -> None:
    """Make two of a part that is too large, and of each of these that is. It is the value's own."""
    part = content.parts[number]
    items = part.items
    if len(items) <= PART_ELEMENTS and (part.weight <= PART_BYTES or len(items) == 1):
        return
    order = ordered(items)
    middle = len(order) // 2
    upper = {member: items[member] for _, member in order[middle:]}
    total, weight = sum_of(upper.items()), weight_of(list(upper))
    part.items = {member: items[member] for _, member in order[:middle]}
    part.sum -= total
    part.weight -= weight
    content.insert(number + 1, Part((MAP, *order[middle]), upper, index, total, weight))
    content.maps += 1
    split_map(content, number + 1, index)
    split_map(content, number, index)


def join_maps(content: ScoreParts, number: int, index: int) -> None:
    """Make one of a part of few members and one beside it, if that is a small one then."""
    for left in (number, number - 1):
        if not 0 <= left < content.maps - 1:
            continue
        one, other = content.parts[left : left + 2]
        if len(one.items) + len(other.items) <= PART_ELEMENTS // 2 and one.weight + other.weight <= PART_BYTES // 2:
            part = content.own(left, index)
            part.items.update(other.items)
            part.sum += other.sum
            part.weight += other.weight
            content.remove(left + 1)
            content.maps -= 1
            return


def map_loaded(low: tuple[int, int, bytes], data: bytes) -> Loaded:
    pairs = _unpack_map(data)
    items = dict(pairs)
    order = ordered(items)
    if not order or [member for _, member in order] != [member for member, _ in pairs]:
        raise ValueError("a part is empty, or its members are out of order")
    if any(score != score for score in items.values()):
        raise ValueError("a score is no number")
    part = Part(low, items, 0, sum_of(pairs), weight_of(list(items)))
    return Loaded(part, (MAP, *order[0]), (MAP, *order[-1]))


# The ranks' parts ---------------------------------------------------------------------------------------


def give_rank(content: ScoreParts, score: float, member: bytes, index: int) -> None:
    if not content.sizes:
        content.insert(content.maps, Part((RANKS, -inf, b""), Run([], []), index, 0, 0))
        content.regroup()
    number = content.ranks_of(score, member)
    part = content.own(number, index)
    part.items.insert(score, member)
    part.weight += len(member) + 8
    content.weight += len(member) + 8
    content.count_in(number, 1)
    split_ranks(content, number, index)


def take_rank(content: ScoreParts, score: float, member: bytes, index: int) -> None:
    number = content.ranks_of(score, member)
    part = content.own(number, index)
    part.items.remove(score, member)
    part.weight -= len(member) + 8
    content.weight -= len(member) + 8
    if not part.items:
        content.remove(number)
        _begin_ranks(content, index)
        content.regroup()
        return
    content.count_in(number, -1)
    if len(part.items) < FEW_ELEMENTS:
        _join_ranks(content, number, index)


def _begin_ranks(content: ScoreParts, index: int) -> None:
    """The first of them begins below all scores."""
    if len(content.parts) > content.maps and content.lows[content.maps] != (RANKS, -inf, b""):
        part = content.own(content.maps, index)
        part.low = content.lows[content.maps] = (RANKS, -inf, b"")


def split_ranks(content: ScoreParts, number: int, index: int) -> None:
    part = content.parts[number]
    run: Run = part.items
    if len(run) <= PART_ELEMENTS and (part.weight <= PART_BYTES or len(run) == 1):
        return
    middle = len(run) // 2
    upper = run.cut(middle, len(run))
    weight = weight_of(upper.members)
    part.items = run.cut(0, middle)
    part.weight -= weight
    content.insert(number + 1, Part((RANKS, upper.scores[0], upper.members[0]), upper, index, 0, weight))
    split_ranks(content, number + 1, index)
    split_ranks(content, number, index)
    content.regroup()


def _join_ranks(content: ScoreParts, number: int, index: int) -> None:
    for left in (number, number - 1):
        if not content.maps <= left < len(content.parts) - 1:
            continue
        one, other = content.parts[left : left + 2]
        if len(one.items) + len(other.items) <= PART_ELEMENTS // 2 and one.weight + other.weight <= PART_BYTES // 2:
            part = content.own(left, index)
            part.items = Run(one.items.scores + other.items.scores, one.items.members + other.items.members)
            part.weight += other.weight
            content.remove(left + 1)
            content.regroup()
            return


def check_order(run: Run) -> None:
    """Raises ValueError."""
    if len(run.scores) != len(run.members) or any(score != score for score in run.scores):
        raise ValueError("a zset has a member without a score")
    pairs = list(zip(run.scores, run.members, strict=True))
    if any(one >= other for one, other in pairwise(pairs)):
        raise ValueError("the members of a zset are out of order")


def complaints_of(content: ScoreParts) -> Iterator[str | None]:
    count = total = weight = ranked = 0
    before: tuple[Any, ...] | None = None
    if content.lows != [part.low for part in content.parts]:
        yield "has parts that begin elsewhere than it says"
    if content.maps != sum(low[0] == MAP for low in content.lows):
        yield "has another number of parts of its map than it says"
    if content.sizes != [len(run) for run in runs_of(content)] or sum(content.sizes) != sum(content.groups):
        yield "has ranks that are counted wrong"
    for number, part in enumerate(content.parts):
        size = len(part.items)
        if not size or size > PART_ELEMENTS or (part.weight > PART_BYTES and size > 1):
            yield f"has a part of {size} members and {part.weight} bytes"
        if part.low[0] == MAP:
            order: list[tuple[Any, ...]] = [(MAP, *each) for each in ordered(part.items)]
            count += size
            if part.sum != sum_of(part.items.items()):
                yield "has a part whose sum is not its members'"
            members = list(part.items)
        else:
            members = part.items.members
            order = [(RANKS, *each) for each in zip(part.items.scores, members, strict=True)]
            ranked += size
            if order != sorted(order) or part.sum:
                yield "has a part of its ranks that is out of order"
        if order and ((number and order[0] < part.low) or (before is not None and before >= part.low)):
            yield "has a member in the wrong part"
        if part.weight != weight_of(members):
            yield "has a part whose bytes are counted wrong"
        before = order[-1] if order else before
        total, weight = total + part.sum, weight + part.weight
        yield None
    if (count, ranked, total, weight) != (content.count, content.count, content.sum, content.weight):
        yield "has counts that are not its parts'"

"""Sorted sets: members with scores, found by either.

Small, it is one MessagePack array of scores and one of members, in order. Large, it is in parts: leto.keyspace.types.
scored.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from math import inf, nextafter
from typing import Any, ClassVar, Final, Self

from leto.checksums import crc32
from leto.keyspace.types.parts import FEW_ELEMENTS, Loaded, Part, Parts
from leto.keyspace.types.scored import (
    MAP,
    RANKS,
    Bound,
    Run,
    Scored,
    ScoreParts,
    account,
    check_order,
    complaints_of,
    give_rank,
    join_maps,
    map_loaded,
    ordered,
    pack,
    place_of,
    runs_of,
    scored_sum,
    split_map,
    split_ranks,
    sum_of,
    take_rank,
    unpack,
    weight_of,
)
from leto.keyspace.types.value import SMALL_BYTES, SMALL_ELEMENTS, Value, register
from leto.vocabulary.numbers import double_text

LISTPACK_MEMBERS: Final = 128  # Redis's zset-max-listpack-entries, by default
LISTPACK_BYTES: Final = 64  # its zset-max-listpack-value
FEW: Final = 4  # members that are looked for one by one in a small set
ELEMENT: Final = 180  # bytes of memory that a member of a large one takes beside its own
PART_ROOM: Final = 300


@register(3)
class SortedSet(Value):
    """redis.io/docs/data-types/sorted-sets. A walk comes to its end before anything changes."""

    type_name: ClassVar[bytes] = b"zset"
    sorts: ClassVar[bool] = True
    is_ordered: ClassVar[bool] = True

    # reading --------------------------------------------------------------------------------------

    def __len__(self) -> int:
        content = self.content
        return content.count if isinstance(content, ScoreParts) else len(self._run())

    def get(self, member: bytes) -> float | None:
        """Its score."""
        return self.get_all((member,))[0]

    def get_all(self, members: Sequence[bytes]) -> list[float | None]:
        """get() of each: a small set is taken apart once."""
        content = self.content
        if not isinstance(content, ScoreParts):
            run = self._run()
            if len(members) > FEW:
                return list(map(dict(zip(run.members, run.scores, strict=True)).get, members))
            there = run.members
            return [run.scores[there.index(member)] if member in there else None for member in members]
        return [content.parts[content.map_of(crc32(member), member)].items.get(member) for member in members]

    def rank(self, member: bytes) -> int | None:
        """How many are before it."""
        content = self.content
        if not isinstance(content, ScoreParts):
            members = self._run().members
            return members.index(member) if member in members else None
        score = self.get(member)
        if score is None:
            return None
        number = content.ranks_of(score, member)
        return content.before(number) + content.parts[number].items.place(score, member)  # type: ignore[no-any-return]

    def range(self, start: int, stop: int) -> list[Scored]:
        """Those of ranks from `start` up to `stop`, which are within the set: a list of the caller's own."""
        content = self.content
        if not isinstance(content, ScoreParts):
            run = self._run()
            return list(zip(run.members[start:stop], run.scores[start:stop], strict=True))
        found: list[Scored] = []
        if start >= stop:
            return found
        number, place = content.locate(start)
        for part in islice(content.parts, number, None):
            run = part.items.cut(place, place + stop - start - len(found))
            found += zip(run.members, run.scores, strict=True)
            if len(found) == stop - start:
                break
            place = 0
        return found

    def members(self) -> Iterator[bytes]:
        """All, in order."""
        content = self.content
        for run in runs_of(content) if isinstance(content, ScoreParts) else (self._run(),):
            yield from run.members

    def items(self) -> Iterator[Scored]:
        """All with their scores, in order."""
        content = self.content
        for run in runs_of(content) if isinstance(content, ScoreParts) else (self._run(),):
            yield from zip(run.members, run.scores, strict=True)

    def below(self, score: float, *, inclusive: bool) -> int:
        """How many have a lower score, or this one too."""
        content = self.content
        bisect = bisect_right if inclusive else bisect_left
        if not isinstance(content, ScoreParts):
            return bisect(self._run().scores, score)
        if inclusive:
            if score == inf:
                return content.count
            score = nextafter(score, inf)
        if not content.sizes:
            return 0
        number = content.ranks_of(score, b"")
        return content.before(number) + bisect_left(content.parts[number].items.scores, score)

    def between(self, least: Bound, most: Bound, *, from_the_end: bool = False) -> tuple[int, int]:
        """(start, stop): ranks of the members between those two, where all have one score. Where they have not, what
        Redis finds: a small set is looked through from one end."""
        content = self.content
        if isinstance(content, ScoreParts):
            start = place_of(content, least)
            return start, max(start, place_of(content, most._replace(excludes=not most.excludes)))
        members = self._run().members
        if not members or not least.is_below(members[-1]) or not most.is_above(members[0]):
            return 0, 0
        if from_the_end:
            stop = next((at for at in range(len(members), 0, -1) if most.is_above(members[at - 1])), 0)
            start = next((at for at in range(stop, 0, -1) if not least.is_below(members[at - 1])), 0)
        else:
            start = next((at for at, member in enumerate(members) if least.is_below(member)), len(members))
            stop = next((at for at in range(start, len(members)) if not most.is_above(members[at])), len(members))
        return start, stop

    def choose(self, random: Callable[[], float]) -> bytes:
        """A member, each exactly as likely; random() is in [0, 1)."""
        rank = int(random() * len(self))
        return self.range(rank, rank + 1)[0][0]

    def scan(self, cursor: int, count: int) -> tuple[int, list[tuple[bytes, bytes]]]:
        """As CrcMap.scan(): members with their scores as text."""
        content = self.content
        if not isinstance(content, ScoreParts):
            return 0, [(member, double_text(score)) for member, score in self.items()]
        found: list[tuple[bytes, bytes]] = []
        last = -1
        for part in islice(content.parts, content.map_of(cursor, b""), content.maps):
            for crc, member in ordered(part.items):
                if crc < cursor:
                    continue
                if len(found) >= count and crc != last:
                    return crc, found
                found.append((member, double_text(part.items[member])))
                last = crc
        return 0, found

    def encoding(self) -> bytes:
        """By Redis's default thresholds. There a set that has outgrown one never gets compact again."""
        if len(self) > LISTPACK_MEMBERS or max(map(len, self.members()), default=0) > LISTPACK_BYTES:
            return b"skiplist"
        return b"listpack"

    def digest(self) -> int:
        content = self.content
        return content.sum if isinstance(content, ScoreParts) else sum_of(self.items())

    def size(self) -> int:
        content = self.content
        if isinstance(content, ScoreParts):
            return 200 + content.weight // 2 + ELEMENT * content.count + PART_ROOM * len(content.parts)
        return 32 + 33 + len(content)

    # changing, within Database.edit() ----------------------------------------------------------------

    def put(self, member: bytes, score: float) -> float | None:
        """Have the member with that score: the one it had, None for none. The same again is no change. Zeros are
        alike."""
        score += 0.0  # makes one of both
        content = self._opened()
        if isinstance(content, ScoreParts):
            return self._put_in_parts(content, member, score)
        old = None
        if member in content.members:
            at = content.members.index(member)
            old = content.scores[at]
            if old == score:
                return old
            self.changing().delta -= scored_sum(crc32(member), old)
            del content.scores[at], content.members[at]
        self.changing().delta += scored_sum(crc32(member), score)
        content.insert(score, member)
        if len(content) > SMALL_ELEMENTS:
            self._grow()
        return old

    def pop(self, member: bytes) -> float | None:
        """Take the member away: the score it had, None if there was none."""
        content = self._opened()
        if isinstance(content, ScoreParts):
            return self._pop_of_parts(content, member)
        if member not in content.members:
            return None
        at = content.members.index(member)
        score = content.scores[at]
        self.changing().delta -= scored_sum(crc32(member), score)
        del content.scores[at], content.members[at]
        return score

    def close(self) -> None:
        content, change = self.content, self.edit
        assert change is not None
        if content.__class__ is not Run:
            return
        if not change.begun:
            self.content = change.packed
        elif sum(map(len, content.members)) + 9 * len(content) > SMALL_BYTES:
            self._grow()
        else:
            self.content = pack((content.scores, content.members)) if content.members else b""

    def _run(self) -> Run:
        """Of a small one."""
        content = self.content
        if content.__class__ is Run:
            return content
        return Run(*unpack(content)) if content else Run([], [])

    def _opened(self) -> Run | ScoreParts:
        """The content, unpacked if it is small."""
        content: Any = self.content
        if content.__class__ is bytes:
            change = self.edit
            if change is None:
                self.changing()  # raises
            else:
                change.packed = content
            content = self.content = self._run()
        return content  # type: ignore[no-any-return]

    def _grow(self) -> None:
        """The small set is a large one from now on."""
        run: Run = self.content
        index = self.changing().index
        items = dict(zip(run.members, run.scores, strict=True))
        weight = weight_of(run.members)
        parts = [
            Part((MAP, 0, b""), items, index, sum_of(items.items()), weight),
            Part((RANKS, -inf, b""), run, index, 0, weight),
        ]
        self.content = content = ScoreParts(parts, len(run))
        split_ranks(content, 1, index)
        split_map(content, 0, index)

    def _put_in_parts(self, content: ScoreParts, member: bytes, score: float) -> float | None:
        crc = crc32(member)
        number = content.map_of(crc, member)
        old: float | None = content.parts[number].items.get(member) if content.maps else None
        if old is not None and old == score:
            return old
        change = self.changing()
        index = change.index
        delta, weight = scored_sum(crc, score), 0
        if old is not None:
            delta -= scored_sum(crc, old)
            take_rank(content, old, member, index)
        else:
            weight = len(member) + 8
            content.count += 1
        if not content.maps:
            content.insert(0, Part((MAP, 0, b""), {}, index, 0, 0))
            content.maps = 1
        part = content.own(number, index)
        part.items[member] = score
        account(content, part, change, delta, weight)
        give_rank(content, score, member, index)
        split_map(content, number, index)
        return old

    def _pop_of_parts(self, content: ScoreParts, member: bytes) -> float | None:
        crc = crc32(member)
        number = content.map_of(crc, member)
        score: float | None = content.parts[number].items.get(member) if content.maps else None
        if score is None:
            return None
        change = self.changing()
        take_rank(content, score, member, change.index)
        part = content.own(number, change.index)
        del part.items[member]
        content.count -= 1
        account(content, part, change, -scored_sum(crc, score), -len(member) - 8)
        if not part.items:
            content.remove(number)
            content.maps -= 1
        elif len(part.items) < FEW_ELEMENTS:
            join_maps(content, number, change.index)
        return score

    # snapshots and invariants -------------------------------------------------------------------------

    @classmethod
    def decode(cls, data: bytes) -> Self:
        run = Run(*unpack(data))
        if not run.members or pack((run.scores, run.members)) != data:
            raise ValueError("a zset is not as it is written")
        check_order(run)
        if len(set(run.members)) < len(run):
            raise ValueError("a zset has a member twice")
        return cls(data)

    @classmethod
    def encode_part(cls, part: Part) -> bytes:
        items = part.items
        if part.low[0] == RANKS:
            return pack((items.scores, items.members))
        return pack([(member, items[member]) for _, member in ordered(items)])

    @classmethod
    def decode_part(cls, low: Any, data: bytes) -> Loaded:
        match low:
            case [0, int(crc), bytes(member)]:
                return map_loaded((MAP, crc, member), data)
            case [1, float(score), bytes(member)]:
                run = Run(*unpack(data))
                if not run.members:
                    raise ValueError("a part is empty")
                check_order(run)
                part = Part((RANKS, score, member), run, 0, 0, weight_of(run.members))
                first, last = (RANKS, run.scores[0], run.members[0]), (RANKS, run.scores[-1], run.members[-1])
                return Loaded(part, first, last)
            case _:
                raise ValueError("a part begins nowhere")

    @classmethod
    def assembled(cls, head: Any, content: Parts) -> Self:
        if head is not None:
            raise ValueError("a zset has a head that it cannot have")
        count = sum(len(part.items) for part in content.parts if part.low[0] == MAP)
        made = ScoreParts(content.parts, count)
        if sum(made.sizes) != count:
            raise ValueError("a zset has other members by rank than by name")
        return cls(made)

    def complaints(self) -> Iterator[str | None]:
        content = self.content
        if self.edit is not None or content.__class__ is Run:
            yield "is left open"
        elif not isinstance(content, ScoreParts):
            run = self._run()
            if len(run) > SMALL_ELEMENTS or weight_of(run.members) + len(run) > SMALL_BYTES:
                yield f"has {len(run)} members of {weight_of(run.members)} bytes in one piece"
        else:
            yield from complaints_of(content)

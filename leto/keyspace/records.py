"""The table of all records, which is the key index as well.

Records are in small dictionaries, segments. The highest bits of the CRC-32 of a key choose its segment, by way of a
directory: extendible hashing (Fagin et al., 1979). A full segment is split in four by the next two bits, so that no
step of growth is longer than that; one dictionary of everything takes tens of milliseconds. The lowest bits of the
CRC-32, as a short string that all segments share, name the record in its segment. Dictionaries of strings alone take a
third less, and what is in these the cyclic garbage collector need not know. Keys of one name in one segment are few:
each is under a longer name of its own there, and the short one says Crowded.

Nothing depends on hash(). Keys have an order, that of their buckets (the highest 16 bits of the CRC-32) and in them of
the keys. A position in it (a bucket's number) stays good whatever is inserted or deleted meanwhile, on every node, and
after a restart: a key that is there from the beginning of a walk to its end is met. That is SCAN's guarantee
(redis.io/commands/scan) and the order of a snapshot. Nothing of it needs to be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import countOf
from typing import Any, Final

from leto.checksums import crc32
from leto.keyspace.packing import Crowded, Held, key_of, record_of
from leto.keyspace.types.value import Record
from leto.keyspace.waste import Waste

BUCKETS: Final = 1 << 16
SHIFT: Final = 16  # bits of the CRC-32 that do not choose the bucket
GROUP_BITS: Final = 8  # of the CRC-32, which choose the group; the keys of a group of buckets are counted together
GROUP_SHIFT: Final = 32 - GROUP_BITS
IN_GROUP: Final = (BUCKETS >> GROUP_BITS) - 1
FULL = 85  # records of a segment that is to be split: what a dictionary of 128 slots takes
FULL_SIZE = dict.fromkeys(map(str, range(FULL))).__sizeof__()
NAMES: Final = [chr(number & 63 | 64) + chr(number >> 6 | 64) for number in range(1 << 12)]
SLOT = len(NAMES) - 1  # the bits of the CRC-32 that choose the name
WAYS_BITS: Final = 2
WAYS: Final = 1 << WAYS_BITS
# Who chooses keys for it can have many in one segment. The directory is not made larger for that while there are fewer
# keys than so many for each of its entries; and a segment that is too large by then to be split in one step stays.
SPARSE = 16
LOPSIDED = 1 << 12

Segment = dict[str, Any]  # of Held, and of Crowded


class Records:
    """Records by key. Who has no time for a call does without the methods:
    `segments[crc >> shift].get(NAMES[crc & SLOT])` is the key's record, or another key's, or a Crowded."""

    __slots__ = ("count", "counts", "depths", "segments", "shift")

    def __init__(self) -> None:
        self.segments: list[Segment] = [{}]  # the directory: a segment is in it as often as it has bits to spare
        self.depths = bytearray(1)  # bits of the CRC-32 that are the same in all keys of a segment
        self.shift = 32  # bits of the CRC-32 that do not choose in the directory
        self.count = 0
        self.counts = [0] * (1 << GROUP_BITS)  # of each group's keys

    def __len__(self) -> int:
        return self.count

    # one key ------------------------------------------------------------------------------------

    def held(self, key: bytes, crc: int) -> Held | None:
        """What is held under the key, whose CRC-32 is `crc`; None when it is missing."""
        segment = self.segments[crc >> self.shift]
        held = segment.get(NAMES[crc & SLOT])
        if held.__class__ is bytes:
            return held if held[: held[-1]] == key else None
        if held is None or held.key == key:
            return held
        return segment.get(own_name(key)) if held.__class__ is Crowded else None

    def get(self, key: bytes) -> Record | None:
        """The key's record, None when it is missing."""
        held = self.held(key, crc32(key))
        return None if held is None else record_of(held)

    def __contains__(self, key: bytes) -> bool:
        return self.held(key, crc32(key)) is not None

    def __getitem__(self, key: bytes) -> Record:
        """Raises KeyError when the key is missing."""
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def add(self, key: bytes, crc: int, held: Held) -> None:
        """Hold that under a key that is missing."""
        self.count += 1
        self.counts[crc >> GROUP_SHIFT] += 1
        _put(self.room(crc), key, NAMES[crc & SLOT], held)

    def replace(self, key: bytes, crc: int, held: Held) -> None:
        """Hold that under a key that is there."""
        segment, name = self._place(key, crc)
        segment[name] = held

    def pop(self, key: bytes, crc: int) -> Held | None:
        """What was held under the key, there no more; None when it is missing."""
        held = self.held(key, crc)
        if held is None:
            return None
        segment, name = self._place(key, crc)
        del segment[name]
        slot = NAMES[crc & SLOT]
        if name is not slot:
            segment[slot].keys -= 1
            if not segment[slot].keys:
                del segment[slot]
        self.count -= 1
        self.counts[crc >> GROUP_SHIFT] -= 1
        if not segment:
            segment.clear()  # gives its memory back
        elif segment.__sizeof__() > FULL_SIZE and len(segment) <= FULL:
            fitting: Segment = {}  # it was enlarged by keys that came and went
            fitting.update(segment)
            self._enter(crc >> self.shift, fitting)
        return held

    def _place(self, key: bytes, crc: int) -> tuple[Segment, str]:
        """The segment, and the name in it, of a key that is there."""
        segment = self.segments[crc >> self.shift]
        name = NAMES[crc & SLOT]
        return segment, own_name(key) if segment[name].__class__ is Crowded else name

    # growth -------------------------------------------------------------------------------------

    def room(self, crc: int) -> Segment:
        """The segment of that CRC-32, with room for one more."""
        segment = self.segments[crc >> self.shift]
        while FULL <= len(segment) < LOPSIDED and self._split(crc >> self.shift):
            segment = self.segments[crc >> self.shift]
        return segment

    def span(self, number: int) -> tuple[int, int]:
        """The numbers in the directory, from and to, of the segment with this number."""
        span = 1 << (32 - self.shift - self.depths[number])
        first = number & -span
        return first, first + span

    def _enter(self, number: int, segment: Segment) -> None:
        """Put that segment in the place of the one with this number."""
        first, end = self.span(number)
        self.segments[first:end] = [segment] * (end - first)

    def _split(self, number: int) -> bool:
        """Split the segment with this number: False if it must stay whole."""
        depth = self.depths[number]
        if depth == 32 - self.shift:
            if self.shift < 2 * WAYS_BITS or self.count < SPARSE << depth:
                return False
            self._widen()
            number *= WAYS
        first, end = self.span(number)
        shift = 32 - depth - WAYS_BITS
        parts: list[Segment] = [{} for _ in range(WAYS)]
        for name, held in self.segments[number].items():
            if held.__class__ is bytes:
                crc = crc32(held[: held[-1]])
            elif held.__class__ is Crowded:
                continue
            else:
                crc = crc32(held.key)
            part = parts[crc >> shift & WAYS - 1]
            if len(name) == 2:  # alone with that name, and so it stays
                part[name] = held
            else:
                _put(part, key_of(held), NAMES[crc & SLOT], held)
        width = (end - first) // WAYS
        for at, part in zip(range(first, end, width), parts, strict=True):
            self.segments[at : at + width] = [part] * width
        self.depths[first:end] = bytes((depth + WAYS_BITS,)) * (end - first)
        return True

    def _widen(self) -> None:
        """Make the directory four times as large."""
        size = WAYS * len(self.segments)
        segments: list[Any] = [None] * size
        depths = bytearray(size)
        for way in range(WAYS):
            segments[way::WAYS] = self.segments
            depths[way::WAYS] = self.depths
        self.segments, self.depths = segments, depths
        self.shift -= WAYS_BITS

    # walks --------------------------------------------------------------------------------------

    def all_held(self) -> Iterator[Held]:
        """What is held under every key. The table must stay as it is meanwhile."""
        for segment in distinct(self.segments):
            for held in segment.values():
                if held.__class__ is not Crowded:
                    yield held

    def __iter__(self) -> Iterator[bytes]:
        return map(key_of, self.all_held())

    def items(self) -> Iterator[tuple[bytes, Record]]:
        """Every key with its record. The table must stay as it is meanwhile."""
        for held in self.all_held():
            yield key_of(held), record_of(held)

    def stretch(self, start: int) -> tuple[int, list[tuple[int, bytes, Held]]]:
        """The first keys at or after bucket `start`, those of a segment or of a bucket, whichever is more: (the bucket
        behind them, [(bucket, key, what is held)] in order). No keys: there are none any more."""
        while start < BUCKETS:
            if not self.counts[start << SHIFT >> GROUP_SHIFT]:
                start = (start | IN_GROUP) + 1
                continue
            segments, end = self._covering(start)
            found: list[tuple[int, bytes, Held]] = []
            for segment in segments:
                for held in segment.values():
                    if held.__class__ is bytes:
                        key = held[: held[-1]]
                    elif held.__class__ is Crowded:
                        continue
                    else:
                        key = held.key
                    bucket = crc32(key) >> SHIFT
                    if bucket >= start:
                        found.append((bucket, key, held))
            start = end
            if found:
                found.sort()  # by bucket and key: no two have both alike
                return start, found
        return start, []

    def _covering(self, start: int) -> tuple[Iterable[Segment], int]:
        """The segment that has bucket `start`, or all if there are several; and the bucket behind what they have."""
        shift = self.shift
        first = start << SHIFT >> shift
        end = self.span(first)[1] << shift >> SHIFT
        if end > start:
            return (self.segments[first],), end
        return distinct(self.segments[first : (start + 1) << SHIFT >> shift]), start + 1

    def page(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """From `cursor` (0: the beginning) whole buckets until there are `count` keys: (next cursor, keys).

        The next cursor is 0 when the walk is complete.
        """
        keys: list[bytes] = []
        last = -1
        while cursor < BUCKETS:
            cursor, found = self.stretch(cursor)
            for bucket, key, _ in found:
                if bucket != last and len(keys) >= count:
                    return last + 1, keys
                last = bucket
                keys.append(key)
        return 0, keys

    def choose(self, random: Callable[[], float]) -> bytes | None:
        """A key, each exactly as likely; random() is in [0, 1). Depends on the keys and random() alone."""
        rank, start = int(random() * self.count), 0
        for count in self.counts:
            if rank < count:
                break
            rank -= count
            start += IN_GROUP + 1
        else:
            return None
        while self.depths[start << SHIFT >> self.shift] >= GROUP_BITS:  # pass over segments of this group alone
            segments, end = self._covering(start)
            count = sum(len(segment) - countOf(map(type, segment.values()), Crowded) for segment in segments)
            if rank < count:
                break
            rank -= count
            start = end
        while True:
            start, found = self.stretch(start)
            if rank < len(found):
                return found[rank][1]
            rank -= len(found)

    def discard_all(self, waste: Waste) -> None:
        """Nobody needs them any more, but for a snapshot that goes on with them until it is complete."""
        waste.add_segments(self.segments)


def distinct(segments: list[Segment]) -> Iterator[Segment]:
    """Those of a piece of the directory, every one once."""
    last = None
    for segment in segments:
        if segment is not last:
            yield segment
            last = segment


def own_name(key: bytes) -> str:
    """Under which a key is held where it is not alone with its name: longer than any of NAMES."""
    return "key" + key.decode("latin-1")


def _put(segment: Segment, key: bytes, name: str, held: Held) -> None:
    """Hold that in the segment, under a key that is missing there, whose name is that one."""
    there = segment.get(name)
    if there is None:
        segment[name] = held
    elif there.__class__ is Crowded:
        there.keys += 1
        segment[own_name(key)] = held
    else:
        segment[name] = Crowded(2)
        segment[own_name(key_of(there))] = there
        segment[own_name(key)] = held


def bucket_of(key: bytes) -> int:
    """The number of the key's bucket."""
    return crc32(key) >> SHIFT

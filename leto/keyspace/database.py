"""The database: keys with their values, versions and expiry, as of one log entry.

Commands see it through these methods only. Writes happen while an entry is applied: `index` is that entry's and
`now` the log's time. Reads may come between entries, with a later `now`; they never modify anything, so a key
that is expired by `now` is missing to a read and stays until a write command meets it or EXPIRED deletes it.

A key's version is the index of the entry that last modified it. The versions of deleted keys are remembered as
tombstones, the oldest of them summed up in `floor`: a missing key without a tombstone may have been deleted by
any entry up to `floor`. WATCH is built on that; it may abort for nothing, never miss a change.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from leto.checksums import adler32, crc32
from leto.keyspace.ages import Ages
from leto.keyspace.deadlines import Deadlines
from leto.keyspace.effects import Noting
from leto.keyspace.packing import LONGEST_KEY, PACKED, Held, Unpacked, record_of
from leto.keyspace.records import FULL, GROUP_SHIFT, NAMES, SLOT, Records
from leto.keyspace.types.long_string import LongString
from leto.keyspace.types.parts import Part
from leto.keyspace.types.value import (
    KEY_OFFSET,
    LONG_STRING,
    Record,
    Value,
    content_sum,
)
from leto.keyspace.waste import Waste
from leto.vocabulary.levels import BASE
from leto.vocabulary.replies import WRONG_TYPE, Refused

WORTHWHILE = 1 << 12  # records and what belongs to them that are not freed in one go
TOMBSTONES = 1 << 16  # when there are so many, the oldest 64th is given up: half of them would take 3 ms


V = TypeVar("V", bound=Value)
E = TypeVar("E")


class Observer(Protocol):
    """What a snapshot being taken is told: only of records that it still needs."""

    index: int  # it wants the state as of this entry

    def save(self, key: bytes, record: Record) -> None:
        """`record` (its version <= index) is about to be replaced or deleted, or its value to be changed in place."""


class Database:
    """See the module. `random` is for reads alone; while an entry is applied it is a generator seeded by it."""

    __slots__ = (
        "_edited",
        "ages",
        "check_sum",
        "data",
        "deadlines",
        "floor",
        "index",
        "level",
        "noting",
        "now",
        "observer",
        "random",
        "tombstones",
        "volatile",
        "waste",
    )

    def __init__(self, random: Callable[[], float]) -> None:
        self.data = Records()
        self.deadlines = Deadlines(self.data)
        self.volatile = 0  # keys with an expiry
        self.tombstones: dict[bytes, int] = {}  # deleted key -> version, oldest deletion first
        self.floor = 0
        self.check_sum = 0  # sum of all records' checksums
        self._edited: list[bytes] = []  # the keys whose values are being edited
        self.now = 0
        self.level = BASE  # the cluster's: what members of a lower one do not understand is not done yet
        self.index = 0
        self.ages = Ages()
        self.random = random
        self.observer: Observer | None = None
        self.noting: Noting | None = None  # of effects, while somebody watches
        self.waste = Waste()  # what was discarded and is still to be freed, by whoever owns the database

    # reading ------------------------------------------------------------------------------------

    def find(self, key: bytes) -> Record | None:
        """The live record, None when the key is missing or expired by `now`. Never modifies."""
        data = self.data
        crc = crc32(key)
        held = data.segments[crc >> data.shift].get(NAMES[crc & SLOT])  # without a call: every read comes here
        if held.__class__ is bytes:
            length = held[-1]
            if held[:length] != key:
                return None
            return Record(held[length:-9], int.from_bytes(held[-9:-1], "big"))
        if held is None:
            return None
        record: Record | None = held if held.key == key else data.get(key)
        return None if record is None or 0 < record.expire_at < self.now else record

    def find_string(self, key: bytes) -> bytes | LongString | None:
        """The string under `key`, None when it is missing. Raises Refused (WRONGTYPE)."""
        record = self.find(key)
        if record is None:
            return None
        value = record.value
        if value.__class__ is bytes or value.__class__ is LongString:
            return value
        raise Refused(WRONG_TYPE)

    def read(self, key: bytes, type_: type[V]) -> V | None:
        """The value of that type under `key`, to be read only; None when it is missing. Raises Refused (WRONGTYPE).

        It is the database's own: what a reply holds of it must be copied.
        """
        record = self.find(key)
        if record is None:
            return None
        value = record.value
        if value.__class__ is type_:
            return value
        raise Refused(WRONG_TYPE)

    def version(self, key: bytes) -> int:
        """Index of the entry that last modified or deleted `key`; an upper bound of it for long-gone keys."""
        record = self.data.get(key)
        if record is not None:
            return record.version
        return self.tombstones.get(key, self.floor)

    def changed_since(self, key: bytes, index: int) -> bool:
        """Whether a WATCH of `key` at `index` must abort: modified by a later entry, or expired meanwhile."""
        record = self.data.get(key)
        if record is None:
            return self.tombstones.get(key, self.floor) > index
        return record.version > index or 0 < record.expire_at < self.now

    # writing ------------------------------------------------------------------------------------

    def touch(self, key: bytes) -> Record | None:
        """find() for a write command: an expired record is deleted first."""
        record = self.find(key)
        if record is None and self.volatile and key in self.data:
            self.delete(key)
        return record

    def touch_string(self, key: bytes) -> Record | None:
        """touch() for a command on strings. Raises Refused (WRONGTYPE)."""
        data = self.data
        crc = crc32(key)
        held = data.segments[crc >> data.shift].get(NAMES[crc & SLOT])  # touch() without its calls, for most
        if held is None:
            return None
        if held.__class__ is bytes:
            length = held[-1]
            if held[:length] != key:
                return None
            return Record(held[length:-9], int.from_bytes(held[-9:-1], "big"))
        record = self.touch(key)
        if record is None:
            return None
        if record.value.__class__ is not bytes and record.value.__class__ is not LongString:
            raise Refused(WRONG_TYPE)
        return record

    def edit(self, key: bytes, type_: type[V], event: bytes) -> Edit[V]:
        """`with db.edit(key, Hash, b"hset") as h:` - the value under `key`, a new one if it is missing, to be read and
        changed. `event`: what Redis's keyspace notifications call the change; b"" where the caller tells of it.

        All that goes with a change is done at the block's end, also of one that raises: what was changed until then
        stays changed. The expiry is kept, and the key is deleted if the value is empty. Where nothing was changed
        nothing is touched. The block neither stores nor deletes the key, nor edits it once more: RuntimeError. Raises
        Refused (WRONGTYPE) before it.
        """
        return Edit(self, key, type_, True, event)

    def edit_existing(self, key: bytes, type_: type[V], event: bytes) -> Edit[V | None]:
        """edit() that gives None when the key is missing."""
        return Edit(self, key, type_, False, event)

    def store(self, key: bytes, value: bytes | LongString | Value, expire_at: int = 0, event: bytes = b"set") -> None:
        """Set the key, its expiry included (milliseconds since the epoch; 0: none). `event`: what Redis's keyspace
        notifications call the change; b"" where the caller tells of it."""
        if value.__class__ is bytes and not expire_at:  # content_sum() without its call: this is the hot path
            content = crc32(value) if len(value) < LONG_STRING else adler32(value)
        else:
            content = content_sum(value, expire_at)
        crc = crc32(key)
        data = self.data
        segment, name = data.segments[crc >> data.shift], NAMES[crc & SLOT]
        old = segment.get(name)
        is_alone = True  # with its name
        if old is not None and (old[: old[-1]] if old.__class__ is bytes else old.key) != key:
            is_alone = False
            old = data.held(key, crc)
        if old is None:
            if self.tombstones:
                self.tombstones.pop(key, None)
            self.check_sum += (crc + KEY_OFFSET) * (content + 1)
        elif old.__class__ is bytes:
            observer = self.observer
            if observer is not None and int.from_bytes(old[-9:-1], "big") <= observer.index:
                observer.save(key, record_of(old))
            text = old[old[-1] : -9]
            content -= crc32(text) if len(text) < LONG_STRING else adler32(text)
            self.check_sum += (crc + KEY_OFFSET) * content
        else:
            observer = self.observer
            if observer is not None and old.version <= observer.index:
                observer.save(key, old)
            was = old.value
            if old.expire_at or was.__class__ is not bytes:
                content -= content_sum(was, old.expire_at)
                self.volatile -= old.expire_at > 0
                if self.noting is not None and 0 < old.expire_at < self.now:
                    self.noting.changed(b"expired", key)
                if was.__class__ is not bytes and was is not value:
                    self.waste.add_value(was)
            else:
                content -= crc32(was) if len(was) < LONG_STRING else adler32(was)
            self.check_sum += (crc + KEY_OFFSET) * content
        held: Held
        if value.__class__ is bytes and not expire_at and len(value) < PACKED and len(key) <= LONGEST_KEY:
            held = key + value + self.index.to_bytes(8, "big") + bytes((len(key),))
        else:
            held = Unpacked(value, self.index, key, expire_at)
        if old is None:
            data.add(key, crc, held)
        elif is_alone:
            segment[name] = held
        else:
            data.replace(key, crc, held)
        if expire_at:
            self.volatile += 1
            self.deadlines.add(expire_at, key, self.volatile)
        if event and self.noting is not None:
            self.noting.changed(event, key)

    def store_strings(self, pairs: list[bytes]) -> None:
        """store() for SETs of a key and a value: key, value, key, value, ... One by one they cost half as much again,
        and most of what is applied are such."""
        data, index, observer, tombstones = self.data, self.index, self.observer, self.tombstones
        segments, shift, counts = data.segments, data.shift, data.counts
        version = index.to_bytes(8, "big")
        tail, tail_of = b"", -1  # the end of a packed record whose key is so long
        total = 0
        rest = iter(pairs)
        for key, value in zip(rest, rest, strict=True):
            crc = crc32(key)
            name = NAMES[crc & SLOT]
            segment = segments[crc >> shift]
            old = segment.get(name)
            length, size = len(key), len(value)
            content = crc32(value) if size < LONG_STRING else adler32(value)
            if old is None:
                if len(segment) >= FULL:
                    segment = data.room(crc)
                    segments, shift = data.segments, data.shift
                data.count += 1
                counts[crc >> GROUP_SHIFT] += 1
                if tombstones:
                    tombstones.pop(key, None)
                total += (crc + KEY_OFFSET) * (content + 1)
            elif old.__class__ is bytes and old[: old[-1]] == key:
                if observer is not None and int.from_bytes(old[-9:-1], "big") <= observer.index:
                    observer.save(key, record_of(old))
                text = old[length:-9]
                content -= crc32(text) if len(text) < LONG_STRING else adler32(text)
                total += (crc + KEY_OFFSET) * content
            elif old.__class__ is Unpacked and old.key == key:
                if observer is not None and old.version <= observer.index:
                    observer.save(key, old)
                was = old.value
                if old.expire_at or was.__class__ is not bytes:
                    self.volatile -= old.expire_at > 0
                    if self.noting is not None and 0 < old.expire_at < self.now:
                        self.noting.changed(b"expired", key)
                    content -= content_sum(was, old.expire_at)
                    self.waste.add_value(was)
                else:
                    content -= crc32(was) if len(was) < LONG_STRING else adler32(was)
                total += (crc + KEY_OFFSET) * content
            else:  # the name is that of several keys
                self.store(key, value, event=b"")
                segments, shift = data.segments, data.shift
                continue
            if size < PACKED and length <= LONGEST_KEY:
                if length != tail_of:
                    tail, tail_of = version + bytes((length,)), length
                segment[name] = key + value + tail
            else:
                segment[name] = Unpacked(value, index, key)
        self.check_sum += total
        if self.noting is not None:
            self.noting.stored(pairs)

    def delete(self, key: bytes, *, moves: bool = False, event: bytes = b"del") -> Record | None:
        """Delete the key, expired or not: the record that goes, None when there is none. `moves`: its value goes on
        under another key. Else only a string may be used any more. `event` as store()'s, of a key that is not
        expired."""
        crc = crc32(key)
        held = self.data.pop(key, crc)
        if held is None:
            return None
        old = record_of(held)
        observer = self.observer
        if observer is not None and old.version <= observer.index:
            observer.save(key, old)
        self.check_sum -= (crc + KEY_OFFSET) * (content_sum(old.value, old.expire_at) + 1)
        if old.expire_at:
            self.volatile -= 1
        if old.value.__class__ is not bytes and not moves:
            self.waste.add_value(old.value)
        tombstones = self.tombstones
        tombstones[key] = self.index
        if len(tombstones) >= TOMBSTONES:
            for oldest in list(islice(tombstones, max(1, TOMBSTONES // 64))):
                self.floor = tombstones.pop(oldest)
        event = b"expired" if 0 < old.expire_at < self.now else event
        if event and self.noting is not None:
            self.noting.changed(event, key)
        return old

    def _settle(self, key: bytes, crc: int, record: Record | None, value: Value, delta: int, event: bytes) -> None:
        """The value under the key, whose record was that one, has changed; `delta` is what its digest grew by. Raises
        RuntimeError if the key was stored or deleted meanwhile."""
        data = self.data
        segment, name = data.segments[crc >> data.shift], NAMES[crc & SLOT]
        is_alone = segment.get(name) is record  # with its name
        if not is_alone and data.held(key, crc) is not record:
            raise RuntimeError("a key was stored or deleted while its value was edited")
        if record is None:
            if value:
                self.store(key, value, event=event)
            return
        self.check_sum += (crc + KEY_OFFSET) * delta
        held = Unpacked(value, self.index, key, record.expire_at)
        if is_alone:
            segment[name] = held
        else:
            data.replace(key, crc, held)
        if self.noting is not None and event:
            self.noting.changed(event, key)
        if not value:
            self.delete(key)

    def note(self, event: bytes, key: bytes) -> None:
        """Tell those who watch of one more event of a change, where Redis has several (SET with EX: set, expire)."""
        if self.noting is not None:
            self.noting.changed(event, key)

    def clear(self) -> int:
        """Delete every key: how many there were. The tombstones become the floor."""
        count = len(self.data)
        if count:
            self.discard_all()  # a snapshot being taken goes on with the old objects
            self.data = Records()
            self.deadlines = Deadlines(self.data)
            self.volatile = 0
            self.tombstones = {}
            self.floor = self.index
            self.check_sum = 0
            if self.noting is not None:
                self.noting.cleared()
        return count

    def discard_all(self) -> None:
        """The records and all that belongs to them are needed no more, but maybe by the snapshot being taken."""
        if len(self.data) + len(self.deadlines) + len(self.tombstones) < WORTHWHILE:
            for held in self.data.all_held():
                if held.__class__ is Unpacked:
                    self.waste.add_value(held.value)
            return
        self.data.discard_all(self.waste)
        self.waste.add(self.tombstones)
        self.deadlines.discard_all(self.waste)


class Edit(Generic[E]):
    """Database.edit()'s block, and the account of what changes in it (leto.keyspace.types.value.Change)."""

    __slots__ = (
        "_crc",
        "_creates",
        "_database",
        "_event",
        "_key",
        "_record",
        "_type",
        "_value",
        "begun",
        "delta",
        "index",
        "packed",
    )

    def __init__(self, database: Database, key: bytes, type_: type[Value], creates: bool, event: bytes) -> None:
        self._database = database
        self._key = key
        self._type = type_
        self._creates = creates
        self._event = event
        self.index = database.index
        self.delta = 0
        self.packed = b""
        self.begun = False

    def __enter__(self) -> E:
        database, key = self._database, self._key
        if database._edited and key in database._edited:
            raise RuntimeError("a value that is being edited is edited once more")
        self._crc = crc = crc32(key)
        data = database.data
        held: Any = data.segments[crc >> data.shift].get(NAMES[crc & SLOT])  # touch() without its calls, for most
        record: Record | None
        if held.__class__ is Unpacked and held.key == key and not held.expire_at:
            record = held
        else:
            record = database.touch(key)
        value: Any
        if record is not None:
            value = record.value
            if value.__class__ is not self._type:
                self._value = None
                raise Refused(WRONG_TYPE)
        elif self._creates:
            value = self._type()
        else:
            self._value = None
            return None  # type: ignore[return-value]
        self._record = record
        self._value = value
        value.edit = self
        database._edited.append(key)
        return value  # type: ignore[no-any-return]

    def __exit__(self, *exception: object) -> None:
        value = self._value
        if value is None:
            return
        database = self._database
        database._edited.remove(self._key)
        value.close()
        value.edit = None
        if self.begun:
            database._settle(self._key, self._crc, self._record, value, self.delta, self._event)

    def begin(self) -> None:
        """See leto.keyspace.types.value.Change."""
        self.begun = True
        record, observer = self._record, self._database.observer
        if record is not None and observer is not None and record.version <= observer.index:
            observer.save(self._key, record)

    def discard(self, parts: list[Part]) -> None:
        """See leto.keyspace.types.value.Change."""
        self._database.waste.add_parts(parts)

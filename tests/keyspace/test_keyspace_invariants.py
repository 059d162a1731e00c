"""What a change forgot to keep is found after its entry."""

from __future__ import annotations

from contextlib import suppress
from zlib import crc32

import pytest

from leto.errors import BrokenKeyspace
from leto.keyspace.checked import CheckedMachine
from leto.keyspace.database import Database
from leto.keyspace.invariants import check
from leto.keyspace.packing import Crowded, Held, Unpacked, hold
from leto.keyspace.records import NAMES, SLOT, own_name
from leto.keyspace.types.parts import Part
from leto.vocabulary.registry import Registry
from leto.vocabulary.steps import STEP
from tests.keyspace.batches import NOW, Bench, entry
from tests.keyspace.tally import COMMANDS, Tally
from tests.keyspace.tiny import tiny_parts


@pytest.fixture
def database():
    with tiny_parts():
        bench = Bench(commands=COMMANDS)
        bench.batch("SET s 1", "SET v 1 EX 100", "SET gone 1", "DEL gone", "TALLY small a b")
        bench.batch("SET later 1", "DEL later", "TALLY large a b c d e f g h", "EXPIRE large 50")
        check(bench.machine.database)
        yield bench.machine.database


def part(database: Database, number: int = 0) -> Part:
    return database.data[b"large"].value.content.parts[number]


def exchange(database: Database) -> None:
    one, other = part(database, 0), part(database, 1)
    for what in ("items", "sum", "weight"):
        ours, theirs = getattr(one, what), getattr(other, what)
        setattr(one, what, theirs)
        setattr(other, what, ours)


def replace(database: Database, key: bytes, held: Held) -> None:
    database.data.replace(key, crc32(key), held)


def name(database: Database, key: bytes, name: str) -> None:
    """Have the key under that name."""
    [segment] = database.data.segments
    segment[name] = segment.pop(NAMES[crc32(key) & SLOT])


def misplace(database: Database) -> None:
    data = database.data
    data.segments, data.depths, data.shift = [data.segments[0], {}], bytearray(2), 31


def split_wrongly(database: Database) -> None:
    data = database.data
    data.segments, data.depths, data.shift = [{}, {}, {}, data.segments[0]], bytearray(b"\2") * 4, 30


def break_small(database: Database) -> None:
    database.data[b"small"].value.content = b""


PLANTS = [
    (lambda db: setattr(db, "check_sum", db.check_sum + 1), "checksums is kept as"),
    (lambda db: setattr(db, "volatile", 1), "keys with an expiry is kept as 1, and is 2"),
    (lambda db: setattr(db.data, "count", 3), "the number of keys is kept as 3, and is 4"),
    (lambda db: db.data.counts.reverse(), "of a group of buckets are counted wrong|out of order"),
    (lambda db: db.deadlines.load([]), "nothing says when key b'(v|large)' expires"),
    (lambda db: db.data.pop(b"s", crc32(b"s")), "is kept as"),
    (split_wrongly, "key b'.*' is in another segment than its own"),
    (lambda db: db.data.segments.append({}), "the directory has 2 segments, not 1"),
    (misplace, "the directory has another segment at 0 than its depth says"),
    (lambda db: name(db, b"s", "zz"), "key b's' is under another name"),
    (lambda db: name(db, b"s", own_name(b"s")), f"of the name {NAMES[crc32(b's') & SLOT]} are 1 more than counted"),
    (lambda db: db.data.segments[0].update(zz=Crowded(2)), "of the name zz are -2 more than counted"),
    (lambda db: replace(db, b"s", hold(b"s", b"1", 9, 0)), "by entry 9, after 2"),
    (lambda db: replace(db, b"s", Unpacked(7, 1, b"s")), "under b's' is a int"),
    (lambda db: replace(db, b"v", Unpacked(b"1", 1, b"v", NOW + 1)), "nothing says when key b'v'"),
    (lambda db: db.tombstones.update({b"s": 2}), "is there, and counts as deleted"),
    (lambda db: db.tombstones.update({b"gone": 3}), "deleted by entry 3, out of order"),
    (lambda db: setattr(db, "floor", 2), "out of order"),
    (break_small, "the tally under b'small' is empty"),
    (lambda db: setattr(db.data[b"small"].value, "content", {b"a": b"1", b"b": b"1"}), "is left open"),
    (lambda db: setattr(part(db), "sum", 1), "whose sum is not its elements'"),
    (lambda db: setattr(part(db), "weight", 1), "whose bytes are counted wrong"),
    (lambda db: part(db).items.clear(), "a part of 0 elements"),
    (lambda db: setattr(db.data[b"large"].value.content, "count", 5), "counts that are not its parts'"),
    (lambda db: db.data[b"large"].value.content.lows.reverse(), "begin elsewhere"),
    (exchange, "in the wrong part"),
    (lambda db: part(db).items.update({b"%d" % n: b"" for n in range(9)}), "a part of 1. elements"),
]


@pytest.mark.parametrize(("plant", "complaint"), PLANTS)
def test_it_is_found(database, plant, complaint):
    plant(database)
    with pytest.raises(BrokenKeyspace, match=complaint):
        check(database)


def test_a_command_that_forgets_the_digest_ends_its_node():
    """As one does that changes a value behind its back."""
    commands = Registry(COMMANDS)

    @commands.add("FORGET", 2, "write", keys=(1, 1, 1), group="generic", since="1.0.0", summary="A faulty one")
    def forget(db, argv):
        with db.edit(argv[1], Tally, b"changed") as value:
            value.changing()
            value.get(b"a")
            value._opened()[b"a"] = b"9"
        return 1

    bench = Bench(commands=commands)
    bench.write("TALLY k a")
    with pytest.raises(BrokenKeyspace, match="not as it must be after entry 2: the sum of the records' checksums"):
        bench.write("FORGET k")
    unchecked = Bench(commands=commands, checked=False)
    unchecked.write("TALLY k a")
    assert unchecked.write("FORGET k") == 1


def test_a_large_keyspace_is_checked_in_steps():
    machine = CheckedMachine(random=lambda: 0.5)
    count = 8 * STEP
    applied = machine.begin(entry(1, *[f"SET {n} v EX 100" for n in range(count)]))
    steps = 0
    while applied is None:
        assert not machine.is_whole
        with suppress(RuntimeError):
            machine.snapshot().close()
            raise AssertionError("a snapshot began")
        with pytest.raises(ValueError, match="entry"):
            machine.begin(entry(2, "SET a 1"))
        applied = machine.go_on()
        steps += 1
    assert (len(applied.replies), machine.is_whole, machine.applied) == (count, True, 1)
    assert steps > 2 * count / STEP
    machine.apply(entry(2, "GET 1"))


def test_a_fault_is_found_in_whatever_step_it_shows():
    machine = CheckedMachine(random=lambda: 0.5)
    machine.apply(entry(1, *[f"SET {n} v" for n in range(8 * STEP)]))
    machine.database.tombstones[b"none"] = 7
    assert machine.begin(entry(2, "SET a 1")) is None
    with pytest.raises(BrokenKeyspace, match="out of order"):
        while machine.go_on() is None:
            pass

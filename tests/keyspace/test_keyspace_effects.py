"""What an entry did, beside what it answered: told to those who watch, the same on every node, and to nobody else."""

from __future__ import annotations

import pytest

from leto.keyspace.database import Database
from leto.keyspace.effects import EVERYTHING, NOTHING, Effects, Kind
from leto.vocabulary.registry import KEYSPACE, Registry
from leto.vocabulary.replies import OK, Reply
from leto.vocabulary.steps import LONG
from tests.keyspace.batches import Bench, entry


def toys() -> Registry:
    """Commands that do what no command of a string does."""
    commands = Registry(KEYSPACE)
    facts = {"group": "generic", "since": "1.0.0", "summary": "A toy"}

    @commands.add("TOYPUSH", 3, "write", keys=(1, 1, 1), **facts)
    def push(db: Database, argv: list[bytes]) -> Reply:
        db.store(argv[1], argv[2], event=b"lpush")
        if db.noting is not None:
            db.noting.ready(argv[1])
        return 1

    @commands.add("TOYPUBLISH", 3, "write", **facts)
    def publish(db: Database, argv: list[bytes]) -> Reply:
        if db.noting is not None:
            db.noting.published(argv[1], argv[2])
        return 0

    @commands.add("TOYSERVE", 2, "write", **facts)
    def serve(db: Database, argv: list[bytes]) -> Reply:
        if db.noting is not None:
            db.noting.served(int(argv[1]), OK)
        return OK

    return commands


class Watching(Bench):
    """A machine all of whose effects are watched."""

    def __init__(self, *kinds: Kind) -> None:
        super().__init__(commands=toys())
        for kind in kinds or Kind:
            self.machine.watch(kind)

    def effects(self, *requests) -> Effects:
        return self.machine.apply(entry(self.machine.applied + 1, *requests, time_ms=self.now)).effects

    def changes(self, *requests) -> list[str]:
        return [f"{event.decode()} {key.decode()}" for event, key in self.effects(*requests).changes]


@pytest.mark.parametrize(
    ("requests", "changes"),
    [
        (["SET a 1"], ["set a"]),
        (["set a 1", "SET b 2"], ["set a", "set b"]),
        (["SET a 1 EX 5"], ["set a", "expire a"]),
        (["SET a 1 KEEPTTL"], ["set a"]),
        (["SET a 1 XX"], []),
        (["SETEX a 5 1", "PSETEX b 5 1"], ["set a", "expire a", "set b", "expire b"]),
        (["SETNX old 1", "SETNX new 1"], ["set new"]),
        (["MSET a 1 b 2"], ["set a", "set b"]),
        (["MSETNX a 1 old 2"], []),
        (["GETSET old 2"], ["set old"]),
        (["GETDEL old", "GETDEL gone"], ["del old"]),
        (["GETEX old EX 5", "GETEX old PERSIST", "GETEX old PERSIST"], ["expire old", "persist old"]),
        (["APPEND a x", "APPEND old y"], ["append a", "append old"]),
        (["SETRANGE old 1 x"], ["setrange old"]),
        (["INCR n", "DECRBY n 5", "INCRBYFLOAT n 0.5"], ["incrby n", "incrby n", "incrbyfloat n"]),
        (["INCR text"], []),
        (["DEL old gone", "UNLINK text"], ["del old", "del text"]),
        (["EXPIRE old 5", "PERSIST old", "EXPIRE old -1"], ["expire old", "persist old", "del old"]),
        (["RENAME old new"], ["rename_from old", "rename_to new"]),
        (["RENAMENX old text"], []),
        (["COPY old copy"], ["copy_to copy"]),
        (["GET old", "TTL old"], []),
    ],
    ids=str,
)
def test_changes_by_the_names_of_keyspace_notifications(requests: list[str], changes: list[str]) -> None:
    bench = Watching()
    bench.batch("SET old 1", "SET text words")
    assert bench.changes(*requests) == changes


def test_an_expired_key_is_told_once_whoever_meets_it() -> None:
    for request in (
        "EXPIRED k",
        "DEL k",
        "SETNX k 1",
        "APPEND k x",
        "SET k 1",
        "SET k 1 EX 9",
        "SETEX k 9 1",
        "MSET k 1",
    ):
        bench = Watching()
        bench.batch("SET k v PX 10")
        bench.wait(20)
        assert bench.changes(request)[0] == "expired k", request
        assert "expired k" not in bench.changes(request)


def test_a_transactions_effects_come_together_and_in_order() -> None:
    bench = Watching()
    found = bench.effects(["", "SET a 1", "TOYPUBLISH news hello", "DEL a", "TOYPUSH list x", "TOYPUBLISH news bye"])
    assert found.changes == ((b"set", b"a"), (b"del", b"a"), (b"lpush", b"list"))
    assert found.messages == ((b"news", b"hello"), (b"news", b"bye"))
    assert found.ready == (b"list",)
    assert list(found.in_order()) == [
        (Kind.CHANGES, (b"set", b"a")),
        (Kind.MESSAGES, (b"news", b"hello")),
        (Kind.CHANGES, (b"del", b"a")),
        (Kind.CHANGES, (b"lpush", b"list")),
        (Kind.READY, b"list"),
        (Kind.MESSAGES, (b"news", b"bye")),
    ]


def test_effects_of_one_kind_need_no_order() -> None:
    found = Watching(Kind.CHANGES).effects("SET a 1", "TOYPUSH b 1", "TOYPUBLISH c m")
    assert found == Effects(((b"set", b"a"), (b"lpush", b"b")))
    assert list(found.in_order()) == [(Kind.CHANGES, (b"set", b"a")), (Kind.CHANGES, (b"lpush", b"b"))]


def test_an_aborted_transaction_has_none() -> None:
    bench = Watching()
    bench.batch("SET a 1", "SET a 2")
    assert bench.effects(["0 a", "SET b 1", "TOYPUBLISH c m"]) is NOTHING


def test_an_entry_applied_in_steps_tells_all_of_them_at_its_end() -> None:
    bench = Watching()
    keys = [f"k{number}" for number in range(3 * LONG)]
    made = entry(1, ["", *[("TOYPUSH", key, "v") for key in keys]])
    applied, steps = bench.machine.begin(made), 0
    while applied is None:
        applied, steps = bench.machine.go_on(), steps + 1
    assert steps > 1
    assert applied.effects.ready == tuple(key.encode() for key in keys)
    assert len(applied.effects.changes) == len(keys)


def test_a_key_is_ready_once_however_often() -> None:
    assert Watching().effects("TOYPUSH a 1", "TOYPUSH b 1", "TOYPUSH a 2").ready == (b"a", b"b")


def test_who_waited_and_is_served() -> None:
    assert Watching().effects("TOYSERVE 7").served == ((7, OK),)


def test_flushall_tells_that_everything_may_have_changed() -> None:
    bench = Watching()
    assert not bench.effects("FLUSHALL").everything, "nothing was there"
    bench.batch("SET a 1")
    assert bench.effects("FLUSHALL") == EVERYTHING
    assert not bench.effects("SET a 1").everything


def test_nothing_is_noted_of_what_nobody_watches() -> None:
    bench = Bench(commands=toys())
    assert bench.machine.apply(entry(1, "SET a 1", "TOYPUSH b 1", "FLUSHALL")).effects is NOTHING
    assert bench.machine.database.noting is None
    assert Watching(Kind.MESSAGES).effects("SET a 1", "TOYPUSH b 1") is NOTHING
    assert Watching(Kind.READY).effects("TOYPUBLISH c m", "TOYPUSH b 1") == Effects(ready=(b"b",))


def test_one_key_may_be_watched_alone() -> None:
    bench = Bench()
    machine = bench.machine
    machine.watch(b"mine")
    machine.watch(b"mine")
    made = entry(1, "SET other 1", "SET mine 1")
    assert machine.apply(made).effects == Effects(changes=((b"set", b"mine"),))
    machine.unwatch(b"mine")
    assert machine.apply(entry(2, "DEL mine")).effects == Effects(changes=((b"del", b"mine"),))
    machine.unwatch(b"mine")
    assert machine.apply(entry(3, "SET mine 1")).effects is NOTHING
    with pytest.raises(KeyError):
        machine.unwatch(b"mine")


def test_effects_are_no_part_of_the_state() -> None:
    watching, plain = Watching(), Bench(commands=toys())
    for bench in (watching, plain):
        bench.batch("SET a 1", "TOYPUSH b 1", "TOYPUBLISH c m", "FLUSHALL", "INCR n")
    assert watching.machine.digest() == plain.machine.digest()


def test_who_watches_goes_on_after_a_snapshot_took_the_states_place() -> None:
    bench, other = Watching(), Bench()
    other.batch("SET a 1")
    writer = other.machine.snapshot()
    bench.machine.begin(entry(1, ["", *[("SET", f"k{number}", "v") for number in range(2 * LONG)]]))
    bench.machine.restore(iter(lambda: writer.next_slice(1 << 16), b""), 1)
    assert bench.changes("SET b 1") == ["set b"], "and nothing of the entry that was under way"


def test_a_command_that_fails_half_way_tells_what_it_changed() -> None:
    commands = toys()

    @commands.add("TOYFAULT", 2, "write", keys=(1, 1, 1), group="generic", since="1.0.0", summary="A fault")
    def fault(db: Database, argv: list[bytes]) -> Reply:
        db.store(argv[1], b"half")
        raise ZeroDivisionError

    bench = Bench(commands=commands)
    bench.machine.watch(Kind.CHANGES)
    assert bench.machine.apply(entry(1, "TOYFAULT a")).effects.changes == ((b"set", b"a"),)

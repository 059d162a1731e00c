"""WATCH: a transaction aborts if a key was modified, deleted, re-created or expired after its index."""

from __future__ import annotations

import pytest

from leto.keyspace import database
from leto.vocabulary.replies import NULL_ARRAY, OK
from tests.keyspace.batches import Bench


def aborts(bench, key, index):
    """Whether a transaction that watches aborts, applied (which must agree with a read-only one)."""
    asked = bench.machine.query_transaction([[b"DBSIZE"]], {key: index}, bench.now) == NULL_ARRAY
    [reply] = bench.batch([[b"%d" % index, key], b"GET nothing"])
    assert (reply == NULL_ARRAY) is asked
    return asked


@pytest.mark.parametrize(
    "change",
    [
        "SET a 2",
        "SET a 1",
        "DEL a",
        "INCR a",
        "APPEND a x",
        "EXPIRE a 100",
        "EXPIRE a -1",
        "RENAME a b",
        "RENAME other a",
        "COPY other a REPLACE",
        "GETDEL a",
        "GETEX a EX 100",
        "SETRANGE a 0 x",
        "MSET x 1 a 2",
        "FLUSHALL",
    ],
)
def test_a_change_after_the_watch_aborts(change):
    bench = Bench()
    bench.batch("MSET a 1 other 2")
    watched = bench.machine.applied
    assert not aborts(bench, b"a", watched)
    bench.write(change)
    assert aborts(bench, b"a", watched)
    assert not aborts(bench, b"a", bench.machine.applied)


@pytest.mark.parametrize(
    "harmless",
    ["SET b 2", "GET a", "SET a 2 NX", "SETNX a 2", "PERSIST a", "RENAME a a", "GETEX a", "DEL b", "EXPIRE a 1 XX"]
    + ["INCRBY a x", [b"SETRANGE", b"a", b"1", b""], "MSETNX c 1 a 1", "COPY a b"],
)
def test_what_leaves_the_key_alone_does_not_abort(harmless):
    bench = Bench()
    bench.write("SET a word")
    watched = bench.machine.applied
    bench.write(harmless)
    assert not aborts(bench, b"a", watched)


def test_a_missing_key_is_watched_too():
    bench = Bench()
    bench.write("SET other 1")
    watched = bench.machine.applied
    assert not aborts(bench, b"a", watched)
    bench.batch("SET a 1", "DEL a")
    assert aborts(bench, b"a", watched)


def test_a_delete_and_create_in_one_entry_is_seen():
    bench = Bench()
    bench.write("SET a 1")
    watched = bench.machine.applied
    bench.batch("DEL a", "SET a 1")
    assert aborts(bench, b"a", watched)


def test_the_own_pipelines_writes_before_the_watch_do_not_abort():
    bench = Bench()
    bench.batch("SET a 1", "SET a 2")
    assert not aborts(bench, b"a", bench.machine.applied)


def test_a_key_that_expired_after_the_watch_aborts_once():
    bench = Bench()
    bench.write("SET a 1 PX 100")
    watched = bench.machine.applied
    bench.wait(101)
    assert aborts(bench, b"a", watched)
    assert b"a" not in bench.machine.database.data  # the transaction deleted it, so the next one goes through
    assert not aborts(bench, b"a", bench.machine.applied)


def test_deletions_beyond_what_is_remembered_abort_rather_than_miss(monkeypatch):
    monkeypatch.setattr(database, "TOMBSTONES", 8)
    bench = Bench()
    bench.batch(*[f"SET {n} v" for n in range(20)])
    watched = bench.machine.applied
    for n in range(20):
        bench.write(f"DEL {n}")
    state = bench.machine.database
    assert 4 <= len(state.tombstones) < 8
    for n in range(20):
        assert state.changed_since(b"%d" % n, watched)
        assert state.version(b"%d" % n) >= watched + 1 + n
    assert state.changed_since(b"never was", watched)  # conservative
    assert not state.changed_since(b"never was", state.floor)
    copy = bench.copy().machine.database
    assert list(copy.tombstones.items()) == list(state.tombstones.items())
    assert copy.floor == state.floor


def test_several_keys_are_watched_and_one_is_enough():
    bench = Bench()
    bench.batch("MSET a 1 b 1")
    bench.write("SET b 2")
    assert bench.batch([b"2 a 1 b", "SET c 1"], [b"2 a 2 b", "SET d 1"]) == [NULL_ARRAY, [OK]]
    assert bench.read("EXISTS c d") == 1


def test_a_transaction_aborts_on_an_earlier_one_of_its_own_entry():
    bench = Bench()
    bench.write("SET a 1")
    assert bench.batch([b"1 a", "SET a 2"], [b"1 a", "SET a 3"]) == [[OK], NULL_ARRAY]
    assert bench.read("GET a") == b"2"


def test_watching_survives_a_snapshot():
    bench = Bench()
    bench.batch("MSET a 1 b 1")
    bench.write("SET b 2")
    bench.write("DEL c b")
    for index in range(4):
        for key in (b"a", b"b", b"c"):
            copy = bench.copy().machine.database
            assert copy.changed_since(key, index) == bench.machine.database.changed_since(key, index)

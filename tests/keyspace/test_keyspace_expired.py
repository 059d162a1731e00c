"""Active expiry: bounded slices, the log's time alone decides, and the deadlines stay in bounds."""

from __future__ import annotations

import hiredis
import pytest

from leto.keyspace.deadlines import PASSES, SLACK
from tests.keyspace.batches import NOW, Bench


def keys_of(packed):
    reader = hiredis.Reader()
    reader.feed(packed)
    name, *keys = reader.gets()
    assert name == b"EXPIRED"
    return keys


def test_nothing_is_packed_while_nothing_is_expired():
    bench = Bench()
    assert bench.machine.expired(NOW, 10) is None
    bench.batch("SET a 1", "SET b 1 PX 100")
    assert bench.machine.expired(NOW + 100, 10) is None
    assert keys_of(bench.machine.expired(NOW + 101, 10)) == [b"b"]


def test_what_is_packed_is_deleted_when_applied():
    bench = Bench()
    bench.batch("SET a 1 PX 100", "SET b 1 PX 200", "SET c 1")
    bench.wait(150)
    assert bench.packed(bench.machine.expired(bench.now, 10)) == [1]
    assert sorted(bench.machine.database.data) == [b"b", b"c"]
    assert bench.machine.database.tombstones == {b"a": 2}
    assert bench.machine.expired(bench.now, 10) is None


def test_a_key_that_was_prolonged_meanwhile_is_kept():
    bench = Bench()
    bench.batch("SET a 1 PX 100", "SET b 1 PX 100", "SET c 1 PX 100", "SET d 1 PX 100")
    bench.wait(50)
    packed = bench.machine.expired(NOW + 200, 10)
    bench.batch("EXPIRE a 1000", "PERSIST b", "SET c 2")
    bench.now = NOW + 200
    assert bench.packed(packed) == [1]
    assert sorted(bench.machine.database.data) == [b"a", b"b", b"c"]


def test_the_logs_time_decides_not_the_proposers_clock():
    bench = Bench()
    bench.write("SET a 1 PX 100")
    packed = bench.machine.expired(NOW + 10_000, 10)
    assert bench.packed(packed) == [0]
    assert bench.read("GET a") == b"1"


def test_a_lost_proposal_is_offered_again():
    bench = Bench()
    bench.batch("SET a 1 PX 1", "SET b 1 PX 2")
    first = bench.machine.expired(NOW + 10, 10)
    assert sorted(keys_of(bench.machine.expired(NOW + 10, 10))) == sorted(keys_of(first)) == [b"a", b"b"]


def test_many_keys_of_one_instant_come_in_bounded_slices():
    bench = Bench(checked=False)
    total, limit = 20_000, 500
    for start in range(0, total, 1000):
        bench.batch(*[f"SET {n} v PXAT {NOW + 1000}" for n in range(start, start + 1000)])
    bench.wait(1001)
    rounds = 0
    while (packed := bench.machine.expired(bench.now, limit)) is not None:
        keys = keys_of(packed)
        assert 0 < len(keys) <= limit
        assert len(set(keys)) == len(keys)
        assert bench.packed(packed) == [len(keys)]
        rounds += 1
    assert rounds == total // limit
    assert len(bench.machine.database.data) == 0
    assert bench.machine.database.volatile == 0


@pytest.mark.parametrize("renew", ["SET k v PX {}", "PEXPIRE k {}"])
def test_deadlines_do_not_grow_with_renewals(renew):
    bench = Bench()
    bench.write("SET k v PX 5")
    db = bench.machine.database
    for n in range(5000):
        bench.batch(renew.format(1000 + n))
        assert len(db.deadlines) <= 2 * SLACK
    assert db.volatile == 1
    assert bench.machine.expired(NOW + 5999, 1) is None
    assert keys_of(bench.machine.expired(NOW + 6000, 1)) == [b"k"]


def test_a_key_that_is_due_is_found_among_stale_deadlines():
    bench = Bench()
    bench.batch(*[f"SET {n} v PX {n + 1}" for n in range(900)])
    bench.batch(*[f"SET {n} v PX 100000" for n in range(899)])
    assert bench.machine.expired(NOW + 900, 1000) is None
    assert keys_of(bench.machine.expired(NOW + 1000, 1000)) == [b"899"]


def test_each_call_passes_a_bounded_number_of_stale_deadlines():
    bench = Bench()
    total = 3 * PASSES
    bench.batch(*[f"SET {n} v PX {n + 1}" for n in range(total)])
    bench.batch("DEL " + " ".join(map(str, range(total - 1))))
    calls = 0
    while bench.machine.expired(NOW + 2 * total, 10) is None:
        calls += 1
        assert total - len(bench.machine.database.deadlines) == calls * (PASSES + 10)
    assert calls == 2
    assert keys_of(bench.machine.expired(NOW + 2 * total, 10)) == [b"%d" % (total - 1)]


def test_keys_of_both_heaps_are_found_while_a_cleaning_is_on():
    bench = Bench()
    bench.batch("SET early v PX 10", "SET late v PX 30")
    for n in range(SLACK):
        bench.batch(f"SET k v PX {1000 + n}")
    bench.batch("SET middle v PX 20")
    found = []
    for clock in (NOW + 11, NOW + 21, NOW + 31):
        bench.now = clock
        packed = bench.machine.expired(clock, 10)
        found.append(keys_of(packed))
        bench.packed(packed)
    assert found == [[b"early"], [b"middle"], [b"late"]]


def test_a_restored_database_knows_its_deadlines():
    bench = Bench()
    bench.batch(*[f"SET {n} v PX {n + 1}" for n in range(50)])
    copy = bench.copy()
    assert sorted(keys_of(copy.machine.expired(NOW + 11, 100))) == sorted(b"%d" % n for n in range(10))


def test_a_read_in_the_log_deletes_nothing_and_a_write_deletes_what_it_meets():
    bench = Bench()
    bench.batch("SET a 1 PX 1", "SET b 1 PX 1")
    bench.wait(2)
    assert bench.batch("GET a", "EXISTS a b", "DBSIZE") == [None, 0, 2]
    assert bench.batch("DEL a", "DBSIZE") == [0, 1]
    assert bench.machine.database.volatile == 1

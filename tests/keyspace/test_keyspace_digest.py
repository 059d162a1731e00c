"""The state digest: the same for the same state, another for another."""

from __future__ import annotations

from batches import Bench
from hypothesis import given
from hypothesis import strategies as st
from tally import Tally

from leto.keyspace.values import LONG_STRING, checksum, size


def digest(*requests):
    bench = Bench()
    bench.batch(*requests)
    return bench.machine.digest()


def test_the_digest_of_a_known_state_is_this_number():
    assert digest("SET a 1", "SET b 2 PX 1000", "DEL c") == (1, KNOWN)


KNOWN = 4418789319122846277


def test_order_does_not_matter_and_overwritten_values_leave_no_trace():
    assert digest("SET a 1", "SET b 2") == digest("SET b x", "SET a y", "SET a 1", "SET b 2")


def test_every_difference_shows():
    digests = [
        digest(*requests)
        for requests in (
            [],
            ["SET a 1"],
            ["SET a 2"],
            ["SET b 1"],
            ["SET a 1 PX 1000"],
            ["SET a 1 PX 1001"],
            ["SET a 1", "SET b 2"],
            ["SET a 2", "SET b 1"],
            [b"SET a", "SET c 1", "DEL c"],
            [(b"SET", b"a", b"")],
            [(b"SET", b"", b"a")],
            [(b"SET", b"a", b"x" * LONG_STRING)],
            [(b"SET", b"a", b"x" * (LONG_STRING + 1))],
            ["FLUSHALL", "SET x 1", "FLUSHALL"],
        )
    ]
    assert len(set(digests)) == len(digests)


def test_the_logs_time_is_part_of_it():
    one, other = Bench(), Bench()
    other.wait(1)
    one.write("SET a 1")
    other.write("SET a 1")
    assert one.machine.digest() != other.machine.digest()


@given(st.binary(max_size=80), st.binary(max_size=80), st.integers(0, 2**62))
def test_a_stored_records_checksum_is_the_functions(key, value, expire_at):
    bench = Bench()
    bench.machine.database.store(key, value, expire_at)
    record = bench.machine.database.data[key]
    assert bench.machine.database.check_sum == checksum(key, value, expire_at) < 2**32
    assert (record.value, record.expire_at) == (value, expire_at)


@given(st.binary(max_size=80), st.integers(0, 9), st.binary(max_size=80), st.integers(0, 9))
def test_an_overwritten_record_takes_its_checksum_with_it(old, old_expiry, new, new_expiry):
    database = Bench().machine.database
    database.store(b"k", old, old_expiry)
    database.store(b"k", new, new_expiry)
    assert database.check_sum == checksum(b"k", new, new_expiry)
    database.delete(b"k")
    assert database.check_sum == 0


def test_a_value_changed_in_place_takes_the_checksum_it_had_with_it():
    database = Bench().machine.database
    tally = Tally({b"a": 1})
    database.store(b"k", tally, 7)
    database.announce(b"k")
    tally.counts[b"a"] = 2
    database.announce(b"k")  # a command may say so for each of its changes
    tally.counts[b"a"] = 3
    database.store(b"k", tally, 8)
    assert database.check_sum == checksum(b"k", Tally({b"a": 3}), 8)
    database.announce(b"k")
    tally.counts.clear()
    database.delete(b"k")
    assert database.check_sum == 0


def test_a_changed_element_of_a_type_shows():
    assert checksum(b"k", Tally({b"a": 1}), 0) != checksum(b"k", Tally({b"a": 2}), 0)


def test_the_size_estimate_grows_with_key_value_and_expiry():
    bench = Bench()
    bench.batch((b"SET", b"k", b"v"), (b"SET", b"k" * 100, b"v" * 1000), "SET e v PX 10")
    data = bench.machine.database.data
    small, large, volatile = (size(key, data[key]) for key in (b"k", b"k" * 100, b"e"))
    assert 200 < small < 350
    assert 1100 + small - 20 < large < 1100 + small + 40
    assert small < volatile < small + 150

"""The state digest: the same for the same state, another for another."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from leto.keyspace.types.value import LONG_STRING, MASK, checksum, content_sum, size
from tests.keyspace.batches import Bench
from tests.keyspace.tally import COMMANDS, Tally


def digest(*requests):
    bench = Bench()
    bench.batch(*requests)
    return bench.machine.digest()


def test_the_digest_of_a_known_state_is_this_number():
    assert digest("SET a 1", "SET b 2 PX 1000", "DEL c") == (1, KNOWN)


KNOWN = 17187116683269530927


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
    assert 0 < bench.machine.database.check_sum == checksum(key, value, expire_at) < 2**65
    assert (record.value, record.expire_at) == (value, expire_at)


@given(st.binary(max_size=80), st.integers(0, 9), st.binary(max_size=80), st.integers(0, 9))
def test_an_overwritten_record_takes_its_checksum_with_it(old, old_expiry, new, new_expiry):
    database = Bench().machine.database
    database.store(b"k", old, old_expiry)
    database.store(b"k", new, new_expiry)
    assert database.check_sum == checksum(b"k", new, new_expiry)
    database.delete(b"k")
    assert database.check_sum == 0


STRINGS = st.binary(max_size=3) | st.binary(min_size=LONG_STRING - 2, max_size=LONG_STRING + 2)
EXPIRIES = st.just(0) | st.integers(1, 2**62)


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), STRINGS, EXPIRIES), max_size=20), st.booleans())
def test_the_sum_is_that_of_the_records_however_they_came(writes, one_by_one):
    bench = Bench(now=0)
    requests = [(b"SET", key, value, *([b"PXAT", expiry] if expiry else [])) for key, value, expiry in writes]
    for group in [[request] for request in requests] if one_by_one else [requests]:
        bench.batch(*group)
    last = {key: (value, expiry) for key, value, expiry in writes}
    assert bench.machine.database.check_sum == sum(checksum(key, *record) for key, record in last.items())


def shows(before, after):
    """Whether the digest, which takes 64 bits of the sum, tells the one set of (key, value, expiry) from the other."""
    return sum(checksum(*record) for record in before) & MASK != sum(checksum(*record) for record in after) & MASK


def differ(one, other):
    """CRC-32 and Adler-32 tell nearly all short strings apart: not the digest's doing if they do not."""
    assume(content_sum(*one) != content_sum(*other))


@given(st.binary(max_size=5), st.binary(max_size=5), STRINGS, STRINGS, EXPIRIES, EXPIRIES)
@example(b"", b"a", b"", b"a", 0, 0)
def test_two_keys_that_exchange_values_or_expiries_show(key, other_key, value, other_value, expiry, other_expiry):
    differ((key, 0), (other_key, 0))
    before = [(key, value, expiry), (other_key, other_value, other_expiry)]
    for one, other in (
        ((value, other_expiry), (other_value, expiry)),
        ((other_value, expiry), (value, other_expiry)),
        ((other_value, other_expiry), (value, expiry)),
    ):
        after = [(key, *one), (other_key, *other)]
        if set(before) != set(after):
            differ((value, expiry), (other_value, other_expiry))
            differ((value, expiry), one)
            differ((other_value, other_expiry), other)
            assert shows(before, after)


@given(st.binary(max_size=5), st.binary(max_size=5), STRINGS, EXPIRIES)
def test_a_renamed_key_shows(key, new_key, value, expiry):
    differ((key, 0), (new_key, 0))
    assert shows([(key, value, expiry)], [(new_key, value, expiry)])


@given(st.binary(max_size=5), st.binary(max_size=5), EXPIRIES)
def test_key_and_value_that_change_places_show(key, value, expiry):
    differ((key, 0), (value, 0))
    assert shows([(key, value, expiry)], [(value, key, expiry)])


@given(st.binary(max_size=60), st.binary(max_size=60), EXPIRIES, st.data())
def test_one_bit_shows(key, value, expiry, data):
    which = data.draw(
        st.sampled_from([part for part in ("key", "value") if {"key": key, "value": value}[part]] or [""])
    )
    if which:
        old = {"key": key, "value": value}[which]
        bit = data.draw(st.integers(0, 8 * len(old) - 1))
        new = (int.from_bytes(old, "big") ^ 1 << bit).to_bytes(len(old), "big")
        after = (new, value, expiry) if which == "key" else (key, new, expiry)
    else:
        after = (key, value, expiry ^ 1)
    assert shows([(key, value, expiry)], [after])


@given(st.binary(max_size=5), STRINGS, EXPIRIES)
def test_a_record_more_shows_and_so_does_one_without_expiry(key, value, expiry):
    assert shows([], [(key, value, expiry)])
    assert not expiry or shows([(key, value, 0)], [(key, value, expiry)])


def test_a_value_changed_in_place_takes_the_checksum_it_had_with_it():
    bench = Bench(commands=COMMANDS)
    database = bench.machine.database
    bench.batch("TALLY k a", "PEXPIREAT k 1800000000007", "TALLY k a", "TALLY k a")
    with database.edit(b"other", Tally, b"changed") as other:
        other.put(b"a", b"3")
    database.delete(b"other")
    assert database.check_sum == checksum(b"k", other, 1_800_000_000_007)
    bench.batch("TALLYDEL k a")
    assert (database.check_sum, len(database.data), database.volatile) == (0, 0, 0)


def tally_sum(key, *pairs):
    database = Bench().machine.database
    with database.edit(key, Tally, b"changed") as value:
        for pair in pairs:
            value.put(*pair)
    return database.check_sum


def test_every_difference_of_elements_shows():
    pairs = [(b"a", b"1"), (b"b", b"2"), (b"ab", b""), (b"a", b"b1"), (b"", b"a"), (b"", b"ab1"), (b"a", b"x" * 40)]
    sums = {tally_sum(b"k", pair) for pair in pairs}
    sums |= {tally_sum(b"k", one, other) for n, one in enumerate(pairs) for other in pairs[:n] if one[0] != other[0]}
    assert len(sums) == len(pairs) + sum(one[0] != other[0] for n, one in enumerate(pairs) for other in pairs[:n])
    names = [(b"%d" % number, b"") for number in range(4)]
    assert tally_sum(b"k", names[0], names[3]) != tally_sum(b"k", names[1], names[2])
    assert tally_sum(b"k", pairs[0], pairs[1]) == tally_sum(b"k", pairs[1], pairs[0])
    assert tally_sum(b"j", pairs[0]) != tally_sum(b"k", pairs[0])


def test_the_size_estimate_grows_with_key_value_and_expiry():
    bench = Bench()
    bench.batch((b"SET", b"k", b"v"), (b"SET", b"k" * 100, b"v" * 1000), "SET e v PX 10")
    data = bench.machine.database.data
    small, large, volatile = (size(key, data[key]) for key in (b"k", b"k" * 100, b"e"))
    assert 64 < small < 96
    assert 1100 + small < large < 1100 + small + 160
    assert small < volatile < small + 250

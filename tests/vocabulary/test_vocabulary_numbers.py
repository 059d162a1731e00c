"""Numbers: strict integers, and long doubles that agree with Redis's on x86-64 to the last digit."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leto.vocabulary.numbers import LongDouble, integer, long_double, parse_integer
from leto.vocabulary.replies import Error
from tests.keyspace.batches import Bench

NOT_A_FLOAT = Error(b"ERR value is not a valid float")
NOT_FINITE = Error(b"ERR increment would produce NaN or Infinity")

# (stored, increment, what Redis 7.0.15 on x86-64 answers)
SUMS = [
    (b"0", b"0.1", b"0.1"),
    (b"0.1", b"0.2", b"0.3"),
    (b"1", b"-1", b"0"),
    (b"-0.0", b"0", b"0"),
    (b"5.0", b"0", b"5"),
    (b"1e18", b"0.5", b"1000000000000000000.5"),
    (b"9223372036854775807", b"1", b"9223372036854775808"),
    (b"18446744073709551615", b"1", b"18446744073709551616"),
    (b"18446744073709551616", b"1", b"18446744073709551616"),
    (b"36893488147419103233", b"0", b"36893488147419103232"),
    (b"0", b"5e-18", b"0"),
    (b"0", b"-4e-18", b"0"),
    (b"1e-17", b"0", b"0.00000000000000001"),
    (b"1.5e-17", b"0", b"0.00000000000000002"),
    (b"3.0e3", b"200", b"3200"),
    (b"0x1.8p3", b"0", b"12"),
    (b"0xA.", b"0", b"10"),
    (b"0x.8", b"0", b"0.5"),
    (b"+1.5", b"+.5", b"2"),
    (b"5.", b".5", b"5.5"),
    (b"1e400", b"-1e400", b"0"),
    (b"1e40", b"1e20", b"9999999999999999999783686092270256259072"),
    (b"123456789.123456789123456789", b"0", b"123456789.12345678912242875"),
    (b"0.30000000000000000001", b"0", b"0.3"),
    (b"1e4932", b"1e4932", NOT_FINITE),
    (b"1e4933", b"0", NOT_A_FLOAT),
    (b"1e-4950", b"1", b"1"),
    (b"1e-4952", b"1", NOT_A_FLOAT),
    (b"0e99999999", b"1", b"1"),
    (b"1e99999999999999999999", b"0", NOT_A_FLOAT),
    (b"inf", b"1", NOT_FINITE),
    (b"-Infinity", b"1", NOT_FINITE),
    (b"nan", b"1", NOT_A_FLOAT),
    (b"", b"1", NOT_A_FLOAT),
    (b" 1", b"1", NOT_A_FLOAT),
    (b"1 ", b"1", NOT_A_FLOAT),
    (b"1e", b"1", NOT_A_FLOAT),
    (b".", b"1", NOT_A_FLOAT),
    (b"0x", b"1", NOT_A_FLOAT),
    (b"1_0", b"1", NOT_A_FLOAT),
    (b"1\x00", b"1", NOT_A_FLOAT),
    (b"1\n", b"1", NOT_A_FLOAT),
    (b"--1", b"1", NOT_A_FLOAT),
    (b"e5", b"1", NOT_A_FLOAT),
    (b"1", b"abc", NOT_A_FLOAT),
    (b"inf", b"abc", NOT_A_FLOAT),
    (b"0" * 5119, b"1", b"1"),
    (b"0" * 5120, b"1", NOT_A_FLOAT),
    (b"9" * 4000, b"x", NOT_A_FLOAT),
]


@pytest.mark.parametrize(("stored", "increment", "expected"), SUMS)
def test_floats_add_up_as_in_redis(stored, increment, expected):
    bench = Bench()
    bench.batch((b"SET", b"f", stored))
    assert bench.batch((b"INCRBYFLOAT", b"f", increment)) == [expected]
    assert bench.read("GET f") == (stored if isinstance(expected, Error) else expected)


def test_the_largest_long_double_is_printed_whole():
    bench = Bench()
    bench.write("SET f 1e4932")
    reply = bench.write("INCRBYFLOAT f 0")
    assert len(reply) == 4933
    assert reply.startswith(b"1000000000000000000")
    assert bench.write("INCRBYFLOAT f 0") == reply


def exactly(number: LongDouble) -> Fraction:
    return Fraction(number.mantissa) * Fraction(2) ** number.exponent


@given(st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**9), st.integers(-30, 30))
def test_a_decimal_becomes_the_nearest_64_bit_mantissa(fraction, power):
    text = b"%de%d" % (fraction.numerator, power)
    value = exactly(long_double(text))
    exact = Fraction(fraction.numerator) * Fraction(10) ** power
    assert abs(value - exact) * 2**64 <= abs(exact)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_is_held_exactly(number):
    if number:
        assert exactly(long_double(repr(number).encode())) != 0
        assert float(exactly(long_double(repr(number).encode()))) == number
        assert exactly(long_double(number.hex().encode())) == Fraction(number)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_64_bit_integer_is_read(number):
    assert parse_integer(b"%d" % number) == number
    assert integer(b"%d" % number) == number


@pytest.mark.parametrize(
    "text",
    [b"", b"+1", b" 1", b"1 ", b"01", b"-0", b"-", b"1_0", b"1.0", b"0x1", b"1\n", b"\xd9\xa1", b"1\x00"]
    + [b"9223372036854775808", b"-9223372036854775809", b"9" * 5000],
)
def test_what_redis_does_not_take_for_an_integer(text):
    assert parse_integer(text) is None

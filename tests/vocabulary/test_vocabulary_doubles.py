"""Doubles: read as C's strtod and Redis's string2d read them, printed as Redis 7.2 prints them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leto.vocabulary.numbers import double, double_text, lenient_double, parse_double
from leto.vocabulary.replies import NOT_A_FLOAT, Refused


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1", 1.0),
        (b"+1", 1.0),
        (b"-.5", -0.5),
        (b"5.", 5.0),
        (b"1e3", 1000.0),
        (b"0e-400", 0.0),
        (b"1e-310", 1e-310),
        (b"inf", math.inf),
        (b"-Infinity", -math.inf),
        (b"0x10", 16.0),
        (b"0x.8p-2", 0.125),
    ],
)
def test_what_is_a_double(text: bytes, value: float) -> None:
    assert double(text) == lenient_double(text) == value


@pytest.mark.parametrize(
    "text",
    [b"", b" 1", b"1 ", b"1_0", b".", b"e5", b"0x", b"0x.p1", b"nan", b"1\0", b"1e400", b"1e-400", b"0x1p5000", b"1,5"],
)
def test_what_is_none(text: bytes) -> None:
    assert parse_double(text) is None
    with pytest.raises(Refused) as refused:
        double(text)
    assert refused.value.error == NOT_A_FLOAT


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"", 0.0),
        (b"\0x", 0.0),
        (b" \t7", 7.0),
        (b"7\0x", 7.0),
        (b"1e400", math.inf),
        (b"-1e400", -math.inf),
        (b"1e-400", 0.0),
        (b"-0x1p5000", -math.inf),
        (b"0x1p-5000", 0.0),
        (b" ", None),
        (b"7 ", None),
        (b"nan", None),
        (b"-", None),
        (b"0xp1", None),
    ],
)
def test_the_end_of_a_range(text: bytes, value: float | None) -> None:
    assert lenient_double(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, b"0"),
        (-0.0, b"-0"),
        (0.1, b"0.1"),
        (-1.5, b"-1.5"),
        (1e-5, b"0.00001"),
        (1.5e-7, b"1.5e-7"),
        (12345.678901, b"12345.678901"),
        (12345.6789012, b"1.23456789012e+4"),  # as Redis has it: seven decimals, and four digits before them
        (1e18, b"1000000000000000000"),
        (1e19, b"1e+19"),
        (1.2345678901234569e23, b"123456789012345690000000"),
        (1.7976931348623157e308, b"1.7976931348623157e+308"),
        (5e-324, b"5e-324"),
        (math.inf, b"inf"),
        (-math.inf, b"-inf"),
        (math.nan, b"nan"),
    ],
)
def test_how_a_double_is_printed(value: float, text: bytes) -> None:
    assert double_text(value) == text


@given(st.floats(allow_nan=False))
def test_what_is_printed_reads_back(value: float) -> None:
    read = double(double_text(value))
    assert read == value
    assert math.copysign(1, read) == math.copysign(1, value)

"""What is written with a checksum is read by any build of Leto: both libraries must compute the same."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from leto import checksums


@given(st.binary(max_size=200), st.integers(0, 2000), st.integers(0, (1 << 32) - 1))
def test_checksums_are_those_of_zlib(piece, times, start):
    data = piece * times
    assert checksums.crc32(data) == zlib.crc32(data)
    assert checksums.crc32(memoryview(data), start) == zlib.crc32(data, start)
    assert checksums.adler32(data) == zlib.adler32(data)


def test_checksums_of_a_long_value_are_those_of_zlib():
    data = bytes(range(256)) * 40_000
    assert checksums.crc32(data, 7) == zlib.crc32(data, 7)
    assert checksums.adler32(data) == zlib.adler32(data)

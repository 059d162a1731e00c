"""Bits of short strings and of long ones, which are kept in parts, against a plain model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from leto.keyspace import bits
from leto.keyspace.commands import bitfields, bitmaps
from leto.keyspace.types import long_string
from leto.keyspace.types.long_string import LongString
from leto.vocabulary.replies import Error
from tests.keyspace.batches import Bench

TEXTS = st.binary(max_size=60) | st.sampled_from([b"\xff" * 50, b"\0" * 50, b""])
PLACES = st.integers(-400, 400)


@contextmanager
def tiny_strings() -> Iterator[None]:
    """Strings of 32 bytes are long, and in parts of 8; two parts are a step's work."""
    with (
        patch.multiple(long_string, PART=8, LONG_STRING=32, _ZEROS=bytes(8), SUMMED=2),
        patch.multiple(bitmaps, PART=8, LONG_STRING=32, STEP_BYTES=16),
        patch.object(bits, "LONG_STRING", 32),
        patch.multiple(bitfields, SOME=2, SOME_IN_PARTS=2, LONG=4),
    ):
        yield


def digits(text):
    """All its bits, in order."""
    return "".join(f"{byte:08b}" for byte in text)


def bounds(start, last, length):
    start = max(start + length, 0) if start < 0 else start
    last = max(last + length, 0) if last < 0 else last
    return start, min(last, length - 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 1)), max_size=12), TEXTS)
def test_bits_that_are_set_are_there(changes, text):
    bench, model = Bench(), digits(text)
    with tiny_strings():
        bench.write([b"SET", b"b", text])
        for offset, bit in changes:
            model = model.ljust(-(-(offset + 1) // 8) * 8, "0")
            assert bench.write(f"SETBIT b {offset} {bit}") == int(model[offset])
            model = f"{model[:offset]}{bit}{model[offset + 1 :]}"
            assert bench.read(f"GETBIT b {offset}") == bit
        value = bench.read("GET b")
        assert digits(bytes(value)) == model
        assert bench.read("BITCOUNT b") == model.count("1")
        assert bench.copy().machine.digest() == bench.machine.digest()


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(0, 1), PLACES, PLACES, st.booleans())
def test_counts_and_first_bits_of_a_range(text, bit, start, last, in_bits):
    bench = Bench()
    with tiny_strings():
        bench.write([b"SET", b"b", text])
        if len(text) >= 32:
            bench.write([b"SETRANGE", b"b", b"0", text[:1]])
        unit = "BIT" if in_bits else "BYTE"
        first, end = bounds(start, last, len(text) * (8 if in_bits else 1))
        if not in_bits:
            first, end = 8 * first, 8 * end + 7
        within = digits(text)[first : end + 1] if first <= end else ""
        backwards = start < 0 and last < 0 and start > last
        assert bench.read(f"BITCOUNT b {start} {last} {unit}") == (0 if backwards else within.count("1"))
        found = within.find(str(bit))
        assert bench.read(f"BITPOS b {bit} {start} {last} {unit}") == (found if found < 0 else first + found)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5), st.sampled_from(["AND", "OR", "XOR", "NOT"]))
def test_combinations_go_byte_by_byte(texts, name):
    texts = texts[:1] if name == "NOT" else texts
    length = max(map(len, texts))
    numbers = [int.from_bytes(text.ljust(length, b"\0"), "big") for text in texts]
    expected = numbers[0] ^ (1 << 8 * length) - 1
    if name != "NOT":
        expected = numbers[0]
        for number in numbers[1:]:
            expected = {"AND": expected & number, "OR": expected | number, "XOR": expected ^ number}[name]
    bench = Bench()
    with tiny_strings():
        for number, text in enumerate(texts):
            bench.write([b"SET", b"%d" % number, text])
        keys = [b"%d" % number for number in range(len(texts))]
        assert bench.write([b"BITOP", name.encode(), b"0", *keys]) == length
        value = bench.read("GET 0") or b""
        assert bytes(value) == expected.to_bytes(length, "big")
        assert isinstance(value, LongString) == (length >= 32)
        assert bench.copy().machine.digest() == bench.machine.digest()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 63), st.booleans(), st.integers(0, 200), st.integers(-(2**63), 2**63 - 1)), max_size=8
    )
)
def test_integers_that_are_set_are_read_again(fields):
    bench = Bench()
    with tiny_strings():
        for width, signed, offset, number in fields:
            kind = f"{'i' if signed else 'u'}{width}"
            expected = number & (1 << width) - 1
            if signed and expected >> width - 1:
                expected -= 1 << width
            words = f"BITFIELD b SET {kind} {offset} {number} GET {kind} {offset} INCRBY {kind} {offset} 0"
            assert bench.write(words)[1:] == [expected, expected]
            many = " ".join([f"GET {kind} {offset}"] * 3)
            assert bench.read(f"BITFIELD_RO b {many}") == [expected] * 3


def test_a_bit_of_the_longest_string_is_set_without_a_copy_of_it():
    bench = Bench(checked=False)
    assert bench.write("SETBIT b 4294967295 1") == 0
    assert bench.read("STRLEN b") == 512 << 20
    assert bench.write("SETBIT b 4294967296 1") == Error(b"ERR bit offset is not an integer or out of range")
    longest = 0.0
    for number in range(20):
        began = process_time()
        assert bench.write(f"SETBIT b {number * 200_000_000} 1") == 0
        assert bench.write(f"BITFIELD b INCRBY u8 {number * 200_000_000} 1") == [129]
        longest = max(longest, process_time() - began)
    assert longest < 0.02  # a copy takes a hundred milliseconds and more
    assert bench.read("GETBIT b 4294967295") == 1
    assert bench.read("BITPOS b 1 480000000") == 8 * (512 << 20) - 1


def test_a_long_string_is_looked_through_in_steps():
    bench = Bench(checked=False)
    bench.write("SETBIT b 80000000 1")
    bench.write("SETBIT b 0 1")
    assert bench.read("BITCOUNT b") == 2
    assert bench.read("BITPOS b 1 1") == 80_000_000
    assert bench.write("BITOP NOT c b") == 10_000_001
    assert bench.read("BITCOUNT c") == 8 * 10_000_001 - 2
    assert bench.write("BITOP AND c b c") == 10_000_001
    assert bench.read("BITCOUNT c") == 0
    assert bench.read("BITPOS c 0 0 -1") == 0
    assert bench.read("BITPOS c 1") == -1

"""HyperLogLog's registers, sparse and dense, and what they estimate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leto.keyspace import hyperloglog as hll
from leto.keyspace.commands.hyperloglogs import DAMAGED
from leto.vocabulary.replies import OK
from tests.keyspace.batches import Bench


@pytest.mark.parametrize("count", [10, 100, 1000, 5000, 50_000])
def test_an_estimate_is_near_and_alike_in_both_encodings(count: int) -> None:
    data = hll.new()
    for number in range(count):
        hll.add(data, b"element:%d" % number)
    estimate = hll.cardinality(hll.registers(data))
    assert abs(estimate - count) <= max(1, 0.03 * count)
    assert (data[4] == hll.SPARSE) == (len(data) <= hll.SPARSE_BYTES)
    before = hll.registers(data)
    hll.make_dense(data)
    assert len(data) == hll.DENSE_BYTES
    assert hll.registers(data) == before
    assert not hll.add(data, b"element:0")


@given(st.lists(st.tuples(st.integers(0, hll.REGISTERS - 1), st.integers(1, 50)), max_size=60), st.booleans())
def test_registers_keep_the_largest_they_were_given(puts: list[tuple[int, int]], dense: bool) -> None:
    data, model = hll.new(), dict[int, int]()
    if dense:
        hll.make_dense(data)
    for register, value in puts:
        assert hll.put(data, register, value) == (value > model.get(register, 0))
        model[register] = max(value, model.get(register, 0))
    values = hll.registers(data)
    assert {register: value for register, value in enumerate(values) if value} == model
    if data[4] == hll.SPARSE:
        assert sum(length for _, _, length in hll.runs(data)) == hll.REGISTERS


@given(st.binary(max_size=40))
def test_damaged_registers_are_told(tail: bytes) -> None:
    bench = Bench()
    value = b"HYLL\x01" + bytes(10) + b"\x80" + tail
    bench.write(b"SET", b"h", value)
    for command in ((b"PFCOUNT", b"h"), (b"PFMERGE", b"d", b"h"), (b"PFADD", b"h", b"x")):
        assert bench.write(*command) in (0, 1, OK, DAMAGED) or hll.registers(value)
    assert bench.read(b"GET", b"h")[:4] == b"HYLL"

"""No step is long, whatever is done to one large value (figures: python -m tests.keyspace.large_values)."""

from __future__ import annotations

import pytest

from leto.keyspace.types.crc_map import PART_ELEMENTS
from tests.keyspace.large_values import SLICE, filled, measure

ELEMENTS = 20_000


@pytest.mark.soak
def test_no_step_of_a_million_elements_takes_five_milliseconds():
    assert {
        name: 1000 * longest.seconds for name, longest in measure(1_000_000).items() if longest.seconds > 0.005
    } == {}


def test_what_is_done_to_a_large_value_is_done_part_by_part():
    found = measure(ELEMENTS)
    parts = ELEMENTS / PART_ELEMENTS
    for name in ("restore: step", "catch-up: step", "DEL: freed in a step", "FLUSHALL: freed in a step"):
        assert found[name].steps > parts, name
    slow = {name: longest.seconds for name, longest in found.items() if longest.seconds > 0.1}
    assert slow == {}, "generous, for a machine whose cores are busy"


def test_a_slice_of_a_snapshot_is_about_as_long_as_asked():
    writer = filled(ELEMENTS).machine.snapshot()
    sizes = list(map(len, iter(lambda: writer.next_slice(SLICE), b"")))
    assert len(sizes) > 5
    assert max(sizes) < 1.5 * SLICE


def test_a_change_during_a_snapshot_copies_one_part_of_it():
    """And the snapshot has the part as it was."""
    bench = filled(ELEMENTS)
    expected = bench.machine.digest()
    content = bench.machine.database.data[b"k"].value.content
    before = list(content.parts)
    writer = bench.machine.snapshot()
    chunks = [writer.next_slice(1)]
    bench.write("TALLYSET k field:1 x")
    assert sum(part is not old for part, old in zip(content.parts, before, strict=True)) == 1
    chunks += iter(lambda: writer.next_slice(SLICE), b"")
    other = filled(1)
    other.machine.restore(chunks, expected[0])
    assert other.machine.digest() == expected
    assert other.read("TALLYGET k field:1") == b"value:1"


@pytest.mark.parametrize("change", ["DEL k", "SET k x", "FLUSHALL", "RENAME k j", "EXPIRE k 1"])
def test_a_snapshot_has_a_large_value_that_goes_while_it_is_written(change):
    bench = filled(ELEMENTS)
    expected = bench.machine.digest()
    writer = bench.machine.snapshot()
    chunks = [writer.next_slice(SLICE), writer.next_slice(SLICE)]
    bench.write(change)
    key = "j" if change.startswith("RENAME") else "k"
    for number in range(0, ELEMENTS, 1000):  # what it still needs is neither changed nor freed
        bench.machine.free_waste(1000)
        bench.batch("DEL k" if change.startswith("SET") else "GET none", f"TALLYSET {key} field:{number} new")
    chunks += iter(lambda: writer.next_slice(SLICE), b"")
    other = filled(1)
    other.machine.restore(chunks, expected[0])
    assert other.machine.digest() == expected
    assert len(other.read("TALLYALL k")) == ELEMENTS


def test_waste_of_values_is_freed_while_a_snapshot_is_taken():
    bench = filled(ELEMENTS)
    writer = bench.machine.snapshot()
    bench.write("DEL k")
    while bench.machine.free_waste(200):
        pass
    assert not bench.machine.has_waste
    assert sum(map(len, iter(lambda: writer.next_slice(SLICE), b""))) > 10 * ELEMENTS

"""No step is long, whatever is done to one large value (figures: python -m tests.keyspace.large_values)."""

from __future__ import annotations

import pytest

from leto.keyspace.database import WORTHWHILE
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


def freed(machine) -> int:
    """In how many pieces of 200 objects all waste was freed."""
    pieces = 0
    while machine.free_waste(200):
        pieces += 1
    assert not machine.has_waste
    return pieces


@pytest.mark.parametrize("change", ["DEL k", "UNLINK k", "SET k x", "SET k x EX 100", "FLUSHALL", "COPY s k REPLACE"])
@pytest.mark.parametrize("others", [0, WORTHWHILE])
def test_a_large_value_that_goes_is_freed_in_pieces(change, others):
    bench = filled(ELEMENTS)
    bench.batch("SET s 1", *(f"SET other:{number} v" for number in range(others)))
    bench.write(change)
    assert freed(bench.machine) >= ELEMENTS / PART_ELEMENTS


def test_an_expired_large_value_is_freed_in_pieces():
    bench = filled(ELEMENTS)
    bench.write("PEXPIRE k 5")
    bench.wait(6)
    bench.packed(bench.machine.expired(bench.now, 10))
    assert freed(bench.machine) >= ELEMENTS / PART_ELEMENTS


@pytest.mark.parametrize("change", ["RENAME k j", "EXPIRE k 100", "PERSIST k", "TALLY k field:1x", "COPY k j"])
def test_a_large_value_that_stays_is_no_waste(change):
    bench = filled(ELEMENTS)
    bench.write(change)
    assert not bench.machine.has_waste


def test_a_large_value_is_written_once_whatever_changes_while_it_is_written():
    bench = filled(ELEMENTS)
    quiet = bench.machine.snapshot()
    expected = sum(map(len, iter(lambda: quiet.next_slice(SLICE), b"")))
    quiet.close()
    writer = bench.machine.snapshot()
    total = len(writer.next_slice(SLICE)) + len(writer.next_slice(SLICE))
    bench.write("TALLYSET k field:1 x")
    total += sum(map(len, iter(lambda: writer.next_slice(SLICE), b"")))
    assert total == expected


def test_of_a_keyspace_that_is_emptied_a_large_value_is_freed_in_pieces_too():
    pieces = []
    for elements in (1, ELEMENTS):
        bench = filled(elements)
        bench.batch(*(f"SET other:{number} v" for number in range(WORTHWHILE)))
        bench.write("FLUSHALL")
        pieces.append(freed(bench.machine))
    assert pieces[1] - pieces[0] >= ELEMENTS / PART_ELEMENTS


def test_what_a_snapshot_that_is_given_up_was_the_last_to_hold_is_freed_in_pieces():
    bench = filled(ELEMENTS)
    writer = bench.machine.snapshot()
    writer.next_slice(SLICE)
    bench.write("DEL k")
    freed(bench.machine)
    writer.close()
    assert freed(bench.machine) > ELEMENTS / PART_ELEMENTS / 2

"""A large keyspace that is emptied or replaced is freed in pieces, and never while a snapshot needs it."""

from __future__ import annotations

from leto.keyspace.database import WORTHWHILE
from leto.keyspace.machine import Machine
from leto.keyspace.waste import Waste
from tests.keyspace.batches import Bench


def full(keys: int) -> Bench:
    bench = Bench()
    bench.batch(*[f"SET key:{number} v EX 1000" for number in range(keys)])
    return bench


def emptied(machine: Machine, most: int) -> int:
    """How many pieces of 100 objects it took."""
    pieces = 0
    while machine.free_waste(100):
        pieces += 1
        assert pieces < most
    return pieces


def test_waste_is_freed_in_pieces() -> None:
    waste = Waste()
    waste.add({number: str(number) for number in range(1000)})
    waste.add([str(number) for number in range(1000)], 10)
    waste.add([])
    pieces = 0
    while waste:
        waste.free(200)
        pieces += 1
    assert 5 + 50 <= pieces <= 5 + 50 + 2
    waste.free(10)


def test_what_flushall_leaves_is_freed_in_pieces() -> None:
    bench = full(WORTHWHILE)
    machine = bench.machine
    old = machine.database.data
    assert not machine.has_waste
    bench.write("FLUSHALL")
    assert (machine.has_waste, len(list(old)), len(machine.database.data)) == (True, WORTHWHILE, 0)
    bench.write("SET a b")
    assert emptied(machine, 10_000) > 2 * WORTHWHILE / 100
    assert (machine.has_waste, old.segments, bench.read("GET a")) == (False, [], b"b")


def test_a_small_keyspace_goes_at_once() -> None:
    bench = full(100)
    bench.write("FLUSHALL")
    assert not bench.machine.has_waste
    assert not bench.machine.free_waste(1)


def test_a_snapshot_being_taken_keeps_what_it_needs() -> None:
    bench = full(WORTHWHILE)
    machine = bench.machine
    index, digest = machine.digest()
    writer = machine.snapshot()
    payload = [writer.next_slice(1000)]
    bench.write("FLUSHALL")
    assert machine.has_waste
    while data := writer.next_slice(10_000):
        assert not machine.free_waste(1000) or not machine.has_waste or machine.database.observer is None
        payload.append(data)
    writer.close()
    other = Machine(random=lambda: 0.5)
    other.restore(payload, index)
    assert other.digest() == (index, digest)
    emptied(machine, 10_000)
    assert not machine.has_waste


def test_a_snapshot_that_is_taken_over_leaves_the_old_state_to_be_freed() -> None:
    writer = full(3).machine.snapshot()
    payload = [writer.next_slice(1 << 20)]
    machine = full(WORTHWHILE).machine
    old = machine.database.data
    machine.applied = 0
    machine.restore(payload, 1)
    assert (machine.has_waste, len(machine.database.data), len(list(old))) == (True, 3, WORTHWHILE)
    emptied(machine, 10_000)
    assert (machine.has_waste, len(machine.database.data), old.segments) == (False, 3, [])

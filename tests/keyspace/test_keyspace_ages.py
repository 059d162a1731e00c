"""OBJECT IDLETIME: how long ago a key was written, told by the log alone."""

from __future__ import annotations

from leto.keyspace.ages import SAMPLES, Ages
from leto.keyspace.machine import Machine
from tests.keyspace.batches import NOW, Bench


def test_idle_time_counts_from_the_last_write():
    bench = Bench()
    bench.write("SET a 1")
    bench.now += 10_000
    bench.write("SET b 1")
    bench.now += 5_000
    bench.write("SET c 1")
    assert [bench.read(f"OBJECT IDLETIME {key}") for key in "abc"] == [15, 5, 0]
    bench.now += 60_000
    assert [bench.read(f"OBJECT IDLETIME {key}") for key in "abc"] == [75, 65, 60]
    bench.write("APPEND a 2")
    assert bench.read("OBJECT IDLETIME a") == 0


def test_a_key_that_came_with_a_snapshot_counts_from_that():
    bench = Bench()
    bench.write("SET a 1")
    bench.now += 10_000
    bench.write("SET b 1")
    writer = bench.machine.snapshot()
    chunks = list(iter(lambda: writer.next_slice(1 << 20), b""))
    writer.close()
    restored = Machine(random=lambda: 0.5)
    restored.restore(chunks, bench.machine.applied)
    ages = [restored.query([b"OBJECT", b"IDLETIME", key], NOW + 17_000) for key in (b"a", b"b")]
    assert ages == [7, 7]


def test_samples_are_bounded_and_recent_ages_stay_exact():
    ages = Ages()
    count = 20 * SAMPLES
    for second in range(count):
        time_ms = second * 1000
        if time_ms >= ages.due:
            ages.note(second, time_ms)
    assert len(ages._indexes) < SAMPLES
    for second in range(count - 1000, count):
        assert ages.written_at(second) == second * 1000
    told = [ages.written_at(second) for second in range(0, count, 97)]
    assert told == sorted(told)
    assert all(told <= second * 1000 for told, second in zip(told, range(0, count, 97), strict=True))

"""500 seeds of whole nodes in every run of the tests; `python -m tests.simulation` runs as many as you like."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.simulation.plan import SIZES, Plan
from tests.simulation.runs import run

NODES = [int(size) for size in SIZES.split(",")]
SEEDS, CHUNK, STEPS = 500, 20, 300


@pytest.fixture
def garbage_waits() -> Iterator[None]:
    """A world is thrown away as a whole: looking for garbage while it lives finds none."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_fault_breaks_a_promise(first: int, garbage_waits: None):
    """Whole nodes through crashes, partitions, failing disks, pauses, jumps of clocks and changes of members."""
    done: Counter[str] = Counter()
    for seed in range(first, first + CHUNK):
        outcome = run(Plan(seed, NODES[seed % len(NODES)], STEPS))
        done.update(
            committed=outcome.committed, answered=outcome.answered, histories=outcome.counts.get("histories", 0)
        )
    assert done["committed"] > 5 * CHUNK and done["answered"] > 5 * CHUNK and done["histories"] > CHUNK, done


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10_000, 12_000))
def test_no_fault_breaks_a_promise_for_long(seed: int):
    """The same, longer and for many more seeds."""
    assert run(Plan(seed, NODES[seed % len(NODES)], 10_000)).committed > 1

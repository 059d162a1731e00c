"""A slice of the simulation of whole nodes in every run of the tests; `python -m tests.simulation.whole` runs more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.whole.plants import BUGS, planted
from tests.simulation.whole.world import Plan, SimulationFailed, World

ROOT = Path(__file__).parents[3]
SIZES = (3, 5, 3, 2, 3, 1, 3, 4)
FOUND_WITHIN = 40  # seeds, for every planted bug


@pytest.mark.parametrize("seed", range(16))
def test_no_fault_breaks_a_promise(seed: int):
    """Whole nodes through crashes, partitions, failing disks, pauses, jumps of clocks and changes of members."""
    outcome = World(Plan(seed, SIZES[seed % len(SIZES)], steps=40)).run()
    assert outcome.committed > 1
    assert outcome.counts["histories"] > 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10_000, 12_000))
def test_no_fault_breaks_a_promise_for_long(seed: int):
    """The same, longer and for many more seeds."""
    assert World(Plan(seed, SIZES[seed % len(SIZES)], steps=120)).run().committed > 1


def test_a_run_reaches_what_it_is_for():
    """The slice is no idle run: terms change, operations are answered and refused, nodes die, join and snapshot."""
    total: dict[str, int] = {}
    for seed in range(100, 106):
        outcome = World(Plan(seed, 3, steps=60)).run()
        for name, count in outcome.counts.items():
            total[name] = total.get(name, 0) + count
        total["terms"] = total.get("terms", 0) + outcome.terms
    for name, least in {"terms": 15, "answered": 400, "NotLeader": 50, "down": 10, "join": 2, "snapshot": 3}.items():
        assert total[name] >= least, total


def test_the_same_seed_gives_the_same_trace():
    """Event for event."""
    first, second = (World(Plan(7, 3, steps=40)).run() for _ in range(2))
    assert first == second
    assert World(Plan(8, 3, steps=40)).run().trace != first.trace


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_seed_gives_the_same_trace_in_another_process(hash_seed: str):
    """Also under another PYTHONHASHSEED: nothing depends on the order of a set or on memory addresses."""
    here = World(Plan(11, 5, steps=40)).run()
    script = "from tests.simulation.whole.world import *; print(World(Plan(11, 5, steps=40)).run().trace)"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.strip() == here.trace


@pytest.mark.parametrize("name", sorted(BUGS))
def test_planted_bugs_are_found(name: str):
    """The simulation bites: each bug that is planted is found, and for what it is."""
    with planted(name) as world_class:
        for seed in range(FOUND_WITHIN):
            try:
                world_class(Plan(seed, (3, 5)[seed % 2], 50, name), keep=0).run()
            except SimulationFailed as failure:
                assert re.search(BUGS[name][1], failure.sentence), f"after {seed + 1} seeds: {failure.sentence}"
                return
    raise AssertionError(f"{name} was not found within {FOUND_WITHIN} seeds")


def test_a_failure_names_the_command_that_replays_it():
    """And shows the last events; run again, it fails in the same way."""
    plan = Plan(0, 3, 50, "read-without-confirmation")
    sentences = []
    with planted(plan.bug) as world_class:
        for _ in range(2):
            with pytest.raises(SimulationFailed) as failed:
                world_class(plan).run()
            sentences.append(str(failed.value))
    assert sentences[0] == sentences[1]
    command = "python -m tests.simulation.whole --seed 0 --nodes 3 --steps 50 --bug read-without-confirmation"
    assert command in sentences[0] and "last events" in sentences[0]

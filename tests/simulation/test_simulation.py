"""A slice of the simulation in every test run; `python -m tests.simulation` and --soak run many more seeds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.planted import BUGS, planted
from tests.simulation.simulation import Plan, Simulation, SimulationFailed

ROOT = Path(__file__).parents[2]
SIZES = (3, 5, 1, 3, 2, 5, 3, 4, 7, 3)


@pytest.mark.parametrize("seed", range(40))
def test_no_fault_breaks_a_promise(seed: int):
    """Crashes, partitions, losses, membership changes, snapshots, slow disks: nothing is violated, all comes
    to rest."""
    outcome = Simulation(Plan(seed, SIZES[seed % len(SIZES)], steps=80)).run()
    assert outcome.committed > 1
    assert outcome.counts["op"] > 10


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_no_fault_breaks_a_promise_for_long(seed: int):
    """The same, longer and for many more seeds."""
    assert Simulation(Plan(seed, SIZES[seed % len(SIZES)], steps=400)).run().committed > 1


def test_a_run_reaches_what_it_is_for():
    """The slice is no idle run: terms change, writes commit, reads are confirmed, members and snapshots come and go."""
    total: dict[str, int] = {}
    for seed in range(5):
        outcome = Simulation(Plan(seed, 3, steps=120)).run()
        for name, count in outcome.counts.items():
            total[name] = total.get(name, 0) + count
        total["terms"] = total.get("terms", 0) + outcome.terms
    assert total["terms"] > 10 and total["commit"] > 200 and total["read"] > 50 and total["changed"] > 20, total


def test_the_same_seed_gives_the_same_trace():
    """Event for event; nothing depends on the order of a set or on memory addresses."""
    first, second = (Simulation(Plan(7, 5, steps=100)).run() for _ in range(2))
    assert first == second
    assert Simulation(Plan(8, 5, steps=100)).run().trace != first.trace


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_seed_gives_the_same_trace_in_another_process(hash_seed: str):
    """Also under another PYTHONHASHSEED."""
    here = Simulation(Plan(11, 5, steps=60)).run()
    script = "from tests.simulation.simulation import *; print(Simulation(Plan(11, 5, steps=60)).run().trace)"
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


def seeds_until_found(name: str, most: int, steps: int, sizes: tuple[int, ...] = (3, 5)) -> tuple[int, str]:
    """(number of seeds it took, the violation) of the planted bug. Fails if `most` seeds do not find it."""
    with planted(name) as simulation_class:
        for seed in range(most):
            try:
                simulation_class(Plan(seed, sizes[seed % len(sizes)], steps, name), keep=0).run()
            except SimulationFailed as failure:
                return seed + 1, failure.sentence
    raise AssertionError(f"{name} was not found within {most} seeds")


SLOW = {
    "lease-without-end",
    "overwritten-configuration-stays",
    "rounds-of-any-term",
    "vote-forgotten",
}  # dozens of seeds; the others take a few


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.soak if n in SLOW else ()) for n in sorted(BUGS)])
def test_planted_bugs_are_found(name: str):
    """The simulation bites: each bug that is planted is found, and for what it is."""
    seeds, sentence = seeds_until_found(name, most=2000, steps=120)
    assert re.search(BUGS[name][1], sentence), f"after {seeds} seeds: {sentence}"


def test_a_failure_names_the_command_that_replays_it():
    """And shows the last events; run again, it fails in the same way."""
    plan = Plan(0, 3, 120, "acknowledge-before-durable")
    with planted(plan.bug) as simulation_class:
        sentences = []
        for _ in range(2):
            with pytest.raises(SimulationFailed) as failed:
                simulation_class(plan).run()
            sentences.append(str(failed.value))
    assert sentences[0] == sentences[1]
    command = "python -m tests.simulation --seed 0 --nodes 3 --steps 120 --bug acknowledge-before-durable"
    assert command in sentences[0] and "last events" in sentences[0]

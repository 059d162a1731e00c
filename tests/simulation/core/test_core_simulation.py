"""A slice of the core's simulation in every test run; `python -m tests.simulation --core` and --soak run many more."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.simulation.lanes import MODES
from tests.simulation.plan import Plan
from tests.simulation.runs import bugs_of, run, seeds_until_found

SIZES = (3, 5, 1, 3, 2, 5, 3, 4, 7, 3)
FOUND_WITHIN = 2000  # seeds, for every planted bug
SLOW = {
    "lane-looks-at-no-term-before",
    "lease-as-long-as-the-leaders-timeout",
    "lease-without-end",
    "overwritten-configuration-stays",
    "rounds-of-any-term",
    "vote-for-an-old-log",
    "vote-forgotten",
}  # dozens of seeds; the others take a few


@pytest.mark.parametrize("seed", range(40))
def test_no_fault_breaks_a_promise(seed: int):
    """Crashes, partitions, losses, membership changes, snapshots, slow disks: nothing is violated, all comes
    to rest."""
    outcome = run(Plan(seed, SIZES[seed % len(SIZES)], steps=800, core=True))
    assert outcome.committed > 1
    assert outcome.counts["op"] > 2


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_no_fault_breaks_a_promise_for_long(seed: int):
    """The same, longer and for many more seeds."""
    assert run(Plan(seed, SIZES[seed % len(SIZES)], steps=8000, core=True)).committed > 1


def test_a_run_reaches_what_it_is_for():
    """The slice is no idle run: terms change, writes commit, reads are confirmed, members and snapshots come and go."""
    total: Counter[str] = Counter()
    for seed in range(5):
        outcome = run(Plan(seed, 3, steps=2500, core=True))
        total.update(outcome.counts)
        total["terms"] += outcome.terms
    assert total["terms"] > 10 and total["commit"] > 200 and total["read"] > 50 and total["changed"] > 20, total


def test_the_same_seed_gives_the_same_trace():
    """Event for event; nothing depends on the order of a set or on memory addresses."""
    first, second = (run(Plan(7, 5, steps=2000, core=True)) for _ in range(2))
    assert first == second
    assert run(Plan(8, 5, steps=2000, core=True)).trace != first.trace


def test_whichever_lanes_are_taken_the_trace_is_the_same():
    """Event for event: all of them, none, some, by some nodes, or now and then."""
    for seed in range(20, 26):
        plan = Plan(seed, SIZES[seed % len(SIZES)], steps=800, core=True)
        assert len({run(plan, mode=mode).trace for mode in MODES}) == 1, seed


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.soak if n in SLOW else ()) for n in bugs_of(core=True).names()]
)
def test_planted_bugs_are_found(name: str):
    """The simulation bites: each bug that is planted is found, and for what it is."""
    seeds, sentence = seeds_until_found(name, FOUND_WITHIN, steps=2500, core=True)
    assert re.search(bugs_of(core=True).shows_as(name), sentence), f"after {seeds} seeds: {sentence}"

"""Short runs of chaos on three real nodes: one that finds nothing, one that must find something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.planted import BUGS
from tests.chaos.run import Plan, run

ACTIONS = ("kill-leader", "pause-leader", "isolate-leader", "one-way", "resets", "transfer", "snapshot")


@pytest.mark.timeout(240)
def test_a_short_run_of_chaos_finds_nothing(tmp_path: Path) -> None:
    outcome = run(Plan(seed=1, nodes=3, seconds=12.0, clients=6, think=0.02, only=ACTIONS), tmp_path)
    assert outcome.passed, outcome.text()
    assert sum(outcome.actions.values()) >= 3, outcome.text()
    assert outcome.judgement.operations >= outcome.reads + outcome.writes


@pytest.mark.timeout(240)
def test_stale_reads_are_found(tmp_path: Path) -> None:
    """Nodes that answer reads from what they have break the promise, and the run says which read did."""
    plan = Plan(
        seed=2, nodes=3, seconds=3.0, clients=9, think=0.002, only=("delay",), node_options=("--reads", "local")
    )
    outcome = run(plan, tmp_path)
    assert outcome.judgement.violations, outcome.text()
    assert any(failure.startswith("not linearizable: ") for failure in outcome.failures)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, tmp_path: Path) -> None:
    """Within three seeds of twelve seconds."""
    for seed in (4, 5, 6):
        plan = Plan(seed, nodes=3, seconds=12.0, clients=16, only=("isolate-leader",), planted=bug)
        if run(plan, tmp_path / str(seed)).judgement.violations:
            return
    raise AssertionError(f"{bug} was not found")

"""Short runs of chaos on three real nodes: some that find nothing, one that must find something."""

from __future__ import annotations

import itertools
import shutil
import sys
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos import clocks
from tests.chaos.jobs import choose_network, run_all
from tests.chaos.plan import Plan
from tests.chaos.planted import BUGS

ACTIONS = ("kill-leader", "pause-leader", "isolate-leader", "one-way", "resets", "transfer", "snapshot", "skew")


def networks() -> dict[str, tuple[str, ...]]:
    """What this machine has."""
    network, words, _ = choose_network("auto")
    return {"proxies": (), network: words}


def reports_of(*plans: Plan) -> list[dict[str, Any]]:
    """Run them side by side; their reports."""
    found: list[dict[str, Any]] = []
    for job, report in run_all(plans, networks(), len(plans), tell=lambda line: print(line, file=sys.stderr)):
        found.append(report)
        sys.stderr.write((job.directory / "worker.log").read_text(errors="replace"))
        shutil.rmtree(job.directory)
    return found


@pytest.mark.timeout(300)
def test_a_short_run_of_chaos_finds_nothing() -> None:
    """In every kind of network that can be had here, side by side."""
    plans = [
        Plan(seed=1, nodes=3, seconds=6.0, clients=6, think=0.02, only=ACTIONS, network=network)
        for network in networks()
    ]
    for report in reports_of(*plans):
        assert report["passed"], report["failures"]
        assert sum(report["actions"].values()) >= 2, report
        assert report["judgement"]["operations"] >= report["reads"] + report["writes"]


@pytest.mark.timeout(300)
def test_stale_reads_are_found() -> None:
    """Nodes that answer reads from what they have break the promise, and the run says which read did."""
    for seed in (2, 3, 4):
        options = ("--reads", "local", "--on-follower", "refuse")
        plan = Plan(seed, seconds=4.0, clients=9, think=0.005, only=("isolate-leader", "delay"), node_options=options)
        (report,) = reports_of(plan)
        if report["judgement"]["violations"]:
            assert any(failure.startswith("not linearizable: ") for failure in report["failures"])
            return
    raise AssertionError("stale reads were not found")


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    """Within three seeds of twenty seconds."""
    action = {"clocks-of-their-own": "skew", "a-clock-that-waits": "jump"}.get(bug, "isolate-leader")
    preload = clocks.library() if action != "isolate-leader" else ""
    only = (action,)
    lease = ("--reads", "lease") if bug == "leases-for-ever" else ()
    common = Plan(0, seconds=20.0, clients=16, think=0.01, only=only, node_options=lease, planted=bug, preload=preload)
    kinds = ("expiring",) if preload else ()
    plans = (replace(common, seed=seed, kinds=kinds) for seed in itertools.count(4))
    wanted = {"skew": ("skew", "jumps"), "jump": ("jumps",)}.get(action, ("",))
    fitting = (plan for plan in plans if plan.setting.clocks in wanted)
    for plan in itertools.islice(fitting, 3):
        (report,) = reports_of(plan)
        if report["judgement"]["violations"]:
            return
    raise AssertionError(f"{bug} was not found")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_three_minutes_of_most_actions_find_nothing() -> None:
    """In every kind of network that can be had here."""
    for network in networks():
        plan = Plan(50, nodes=5, seconds=180.0, network=network, preload=clocks.library())
        (report,) = reports_of(plan)
        assert report["passed"], report["failures"]
        assert len(report["actions"]) >= 15


def test_a_run_that_dies_is_a_failed_run() -> None:
    (report,) = reports_of(Plan(seed=3, nodes=0))
    assert not report["passed"]
    assert "ended with status 1 and no report" in report["failures"][0]
    assert "Traceback" in report["failures"][0]

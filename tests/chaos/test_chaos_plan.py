"""What a seed draws, how it is repeated, and what many runs are summed up to."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from typing import Any

from tests.chaos.__main__ import main, parser, plans
from tests.chaos.actions import ACTIONS
from tests.chaos.jobs import failed
from tests.chaos.plan import Plan
from tests.chaos.report import quantile, summed, table, verdict


def test_a_plan_survives_json() -> None:
    plan = Plan(7, nodes=5, only=("kill", "halves"), node_options=("--reads", "local"), network="namespaces")
    assert Plan.from_data(json.loads(json.dumps(asdict(plan)))) == plan


def test_the_command_of_a_plan_gives_that_plan() -> None:
    plan = Plan(
        7, nodes=5, seconds=9.5, clients=3, think=0.2, only=("kill", "halves"), node_options=("--reads", "local")
    )
    words = shlex.split(plan.command)[3:]
    assert list(plans(parser().parse_args(words), plan.network, "")) == [plan]


def test_seeds_draw_what_the_machine_has() -> None:
    everything = [Plan(seed, network="namespaces", preload="lib").setting for seed in range(60)]
    drawn = {feature for setting in everything for feature in setting.features}
    assert drawn | {"namespaces", ""} >= {action.needs for action in ACTIONS.values()}
    assert {setting.lease for setting in everything} == {True, False}
    assert {setting.through_proxies for setting in everything} == {True, False}
    for seed in range(60):
        setting = Plan(seed).setting
        assert setting.features == {"proxies"}
        assert setting.lease == ("lease" in setting.options)
    assert not any(Plan(seed, node_options=("--reads", "local")).setting.lease for seed in range(60))


def test_an_unknown_action_is_named(capsys: Any) -> None:
    assert main(["--only", "kill,rain"]) == 2
    assert "no such action: rain; they are kill," in capsys.readouterr().err
    assert main(["--kinds", "hash"]) == 2
    assert "no such kind of keys: hash; they are register," in capsys.readouterr().err


def test_runs_are_summed_up() -> None:
    good = failed(Plan(1), "") | {
        "passed": True,
        "actions": {"kill": 3, "halves": 2},
        "operations": {"register read": {"ok": 90, "refused: NOQUORUM": 4}, "register write": {"unknown: closed": 2}},
        "reads": 90,
        "writes": 40,
        "seconds": 60.0,
        "failovers": [0.5, 0.7],
        "healing_seconds": 2.5,
        "judgement": {"groups": 9, "operations": 132, "violations": [], "undecided": [], "hardest": 5},
    }
    bad = failed(Plan(2, nodes=5), "it ended with status 1")
    sums = summed([good, bad])
    assert (sums["runs"], sums["failed_seeds"], sums["faults"]) == (2, [2], 5)
    assert (sums["refused"], sums["unknown"], sums["minutes_under_faults"]) == (4, 2, 1.0)
    assert sums["failovers"]["longest"] == 0.7
    rows = table([good, bad]).splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["proxies, 3", "proxies, 5", "all"]
    assert len({row.count("|") for row in rows}) == 1
    assert "90, 40" in rows[-1]
    assert verdict([good]).endswith("all passed")
    assert verdict([good, bad]).endswith("FAILED: seeds 2")


def test_quantiles() -> None:
    assert quantile([], 0.5) == 0.0
    assert quantile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 3.0], 0.95) == 3.0

"""A short version of each scenario; `python -m tests.overload all` runs them at full length. Those that keep both cores
of a small machine busy run with --soak.

An election timeout of 3 s: other work on the machine may keep a node from its core for longer than the default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.overload.report import Report
from tests.overload.scenarios import SCENARIOS
from tests.overload.watching import Latency, later_than

PATIENT = ("--election-timeout-ms", "3000")
SHORT: dict[str, dict[str, Any]] = {
    "flood": {"seconds": 5.0, "clients": 200, "pipeline": 100, "writers": 5},
    "idle": {"connections": 1000, "seconds": 2.0},
    "value": {"megabytes": 8, "times": 1},
    "unread": {"seconds": 2.0, "clients": 30, "large_mb": 4},
    "stopped": {"seconds": 4.0},
    "behind": {"entries": 2000, "state_mb": 2, "seconds": 1.0},
}


LIGHT = ("idle", "value")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name", [name if name in LIGHT else pytest.param(name, marks=pytest.mark.soak) for name in SCENARIOS]
)
def test_every_promise_holds_under_load(name: str, tmp_path: Path) -> None:
    report = SCENARIOS[name](tmp_path, PATIENT, **SHORT[name])
    print(report.text())
    assert report.passed, report.text()


def test_a_report_tells_what_was_broken() -> None:
    report = Report("x")
    report.expect(True, "this holds")
    assert report.passed
    report.expect(False, "this does not")
    report.figure("speed", "3 m/s")
    assert not report.passed
    assert report.text() == "x: FAILED\n  speed  3 m/s\n  BROKEN: this does not"


def test_latencies_and_lateness_are_counted() -> None:
    latency = Latency([0.001 * number for number in range(1, 101)])
    assert (latency.at(0.5), latency.at(0.99), latency.longest) == pytest.approx((0.051, 0.1, 0.1))
    before, after = {"0.1": 5.0, "+Inf": 6.0}, {"0.1": 9.0, "+Inf": 13.0}
    assert later_than(before, after, "0.1") == 3

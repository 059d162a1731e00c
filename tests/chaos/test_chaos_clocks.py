"""Clocks that are wrong by as much as was said, while the monotonic one stays right."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos import clocks
from tests.chaos.clocks import Clock, Offsets, library
from tests.chaos.plan import Plan
from tests.integration.cluster import wait_for

READER = """
import sys, time
for line in sys.stdin:
    print(time.time(), time.monotonic(), flush=True)
"""


def test_a_clock_is_set_while_its_process_runs(tmp_path: Path) -> None:
    preload = library()
    if not preload:
        assert Plan(1, preload=preload).setting.clocks == ""  # nothing of it is tried
        return
    clock = Clock(tmp_path / "id1.clock", preload)
    with subprocess.Popen(
        [sys.executable, "-c", READER],
        env=clock.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def read() -> tuple[float, float]:
            """How far its wall clock and its monotonic clock are from ours."""
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            wall, monotonic = map(float, process.stdout.readline().split())
            return wall - time.time(), monotonic - time.monotonic()

        try:
            for offset in (0.0, 2.5, -3600.0, 0.0):
                clock.set(offset)
                wait_for(lambda offset=offset: abs(read()[0] - offset) < 0.25, f"the clock is {offset} s off", 20)  # type: ignore[misc]
                assert abs(read()[1]) < 0.25
            assert clock.environment()["LD_PRELOAD"] == preload
        finally:
            process.stdin.close()
            process.wait(10)
            clock.forget(process.pid)
    assert not [path for path in Path("/dev/shm").iterdir() if path.name.endswith(f"_{process.pid}")]


def test_where_the_library_is_missing_no_seed_draws_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "PLACES", ("/nowhere/libfaketimeMT.so.1",))
    assert library() == ""
    assert {Plan(seed, preload=library()).setting.clocks for seed in range(40)} == {""}
    assert {Plan(seed, preload="lib").setting.clocks for seed in range(40)} == {"", "skew", "jumps"}


def test_the_spread_is_what_was_ever_set() -> None:
    offsets = Offsets()
    assert offsets.are_alike
    assert offsets.spread < 0.1
    offsets.add([0.5])
    offsets.add([-1.5, 0.0])
    assert not offsets.are_alike
    assert 2.0 <= offsets.spread < 2.1

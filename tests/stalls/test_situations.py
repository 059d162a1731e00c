"""The scenarios of `python -m tests.stalls` with few keys: that they bring about what they say, and are measured. How
long the pauses may be is no matter of a test that shares its machine with others.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stalls.measuring import Result, run, table
from tests.stalls.meters import Reading
from tests.stalls.pace import Outcome
from tests.stalls.scenarios import SCENARIOS, Measures

FEW = Measures(keys=5000, expiring=1000, deleted=2000, missed=2000, written_mb=4, seconds=1.0, rate=500)
PATIENT = ("--election-timeout-ms", "3000", "--segment-bytes", "1mb", "--trailing-entries", "10")
QUICK = ("snapshot", "expiry", "delete", "flush")


def _all_are_measured(directory: Path, names: tuple[str, ...]) -> None:
    results = list(run(directory, names, FEW, *PATIENT))
    assert [result.name for result in results] == list(names)
    for result in results:
        for reading in (result.leader, *result.followers):
            assert reading.iterations > 0
            assert reading.most_cpu <= reading.longest + 10
        assert result.stream.answered > 0
        assert 0 < result.stream.p50 <= result.stream.p999 <= result.stream.longest


@pytest.mark.timeout(120)
def test_the_quick_ones(tmp_path: Path) -> None:
    _all_are_measured(tmp_path, QUICK)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_all_of_them(tmp_path: Path) -> None:
    _all_are_measured(tmp_path, tuple(SCENARIOS))


def test_the_table_has_every_nodes_longest_pause() -> None:
    readings = [Reading(f"id{n}", 10.0 * n, 5.0, 4.0 * n, "apply:9.0", n, 1000, 0.5) for n in (1, 2, 3)]
    stream = Outcome(100, 0.001, 0.002, 0.003, 0.004)
    result = Result("flush", "FLUSHALL", readings[0], tuple(readings[1:]), stream, 1.0)
    assert result.longest == 30.0
    assert (
        table([result]).splitlines()[2] == "| FLUSHALL | 10.0 | 20.0, 30.0 | 4.0, 8.0, 12.0 | 1.0 | 2.0 | 3.0 | 4.0 |"
    )
    assert "id2 20.0 ms (5.0 of it computing, in apply:9.0), 2 over 20 ms; computing at most 8.0" in result.text()

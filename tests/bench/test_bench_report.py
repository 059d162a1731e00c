"""What is told of measurements, and when it is doubted."""

from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from leto.bench.failover import Failover
from leto.bench.load import Outcome
from leto.bench.measure import Measurement
from leto.bench.report import as_json, doubts, print_report
from leto.bench.usage import Usage
from leto.bench.workloads import Workload

SETS = Workload("SET, 3 clients", 3, 1, 100)
MACHINE = {
    "cores": 2,
    "load_average_before": 0.1,
    "system": "Linux",
    "python": "3.11",
    "leto": "1",
    "load_generator": "redis-benchmark",
}


def measurement(*throughputs: float, written: int = 4096) -> Measurement:
    runs = [Outcome(1000, throughput, 1.0, 2.0, 3.0) for throughput in throughputs]
    used = [{"a": Usage(0.002, written), "b": Usage(0.005, written)} for _ in runs]
    return Measurement(SETS, "leto", "b", runs, used)


def test_costs_are_per_request_and_the_asked_node_comes_first() -> None:
    measured = measurement(100, 120)
    assert measured.throughput == 110
    assert list(measured.cpu().items()) == [("b", pytest.approx(5.0)), ("a", pytest.approx(2.0))]
    assert measured.written() == pytest.approx(8.192)


def test_what_is_not_told_is_null() -> None:
    measured = measurement(100, written=-1)
    assert math.isnan(measured.written())
    value = json.loads(json.dumps(as_json(MACHINE, [measured], []), allow_nan=False))
    assert value["measurements"][0]["bytes_written_per_operation"] is None


def test_a_quiet_machine_raises_no_doubts() -> None:
    assert doubts(MACHINE, [measurement(100, 110)]) == []


def test_noise_and_a_busy_machine_are_told() -> None:
    found = doubts(MACHINE | {"load_average_before": 3.0}, [measurement(100, 110), measurement(100, 200)])
    assert "load average of 3.0 on 2 cores" in found[0]
    assert "1 of 2 measurements" in found[1]


def test_the_tables() -> None:
    out = io.StringIO()
    failover = Failover("kill -9", (0.02, 0.03, 0.2))
    print_report(Console(file=out, width=180), MACHINE, [measurement(1234.0)], [failover])
    text = out.getvalue()
    for words in ("SET, 3 clients", "1,234", "5.0 + 2.0", "kill -9", "30", "200", "2 cores, Linux"):
        assert words in text
    assert "doubtful" not in text
    assert as_json(MACHINE, [], [failover])["failovers"][0]["median"] == 0.03

"""What is told of measurements, and when it is doubted."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from rich.console import Console

from leto.bench.failover import Failover
from leto.bench.footprint import Memory
from leto.bench.histogram import of
from leto.bench.load import Outcome
from leto.bench.machine import Ticks, parse_stat
from leto.bench.measure import Measurement
from leto.bench.openloop import OpenLoopRow, Paced
from leto.bench.report import Found, as_markdown, doubts, merged, print_report
from leto.bench.tables import tables
from leto.bench.usage import Usage
from leto.bench.workloads import BenchError, Workload

SETS = Workload("SET, 3 clients", 3, 1, 100)
MACHINE = {
    "cores": 2,
    "load_average_before": 0.1,
    "load_average_after": 0.7,
    "stolen": 0.0,
    "system": "Linux",
    "python": "3.11",
    "leto": "1",
    "load_generator": "redis-benchmark",
}


def measurement(*throughputs: float, written: int = 4096, target: str = "leto", log: int = 120_000) -> Measurement:
    runs = [Outcome(1000, throughput, 1.0, 2.0, 3.0) for throughput in throughputs]
    used = [{"a": Usage(0.002, written, log), "b": Usage(0.005, written, log)} for _ in runs]
    return Measurement(SETS, target, "b", runs, used)


def report(*measurements: Measurement, machine: dict[str, Any] = MACHINE, **parts: Any) -> dict[str, Any]:
    """As it is after it was kept and read again."""
    value = Found(list(measurements), **parts).as_json(machine)
    read: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    return read


def paced(late: int = 0) -> OpenLoopRow:
    run = Paced(of([1.0, 2.0, 30.0]), 100, 1.0, late, 0.5)
    return OpenLoopRow(SETS, "leto", 0.8, [125.0], [run])


def test_costs_are_per_request_and_the_asked_node_comes_first() -> None:
    measured = measurement(100, 120)
    assert measured.throughput == 110
    assert list(measured.cpu().items()) == [("b", pytest.approx(5.0)), ("a", pytest.approx(2.0))]
    assert measured.written() == pytest.approx(8.192)


def test_the_log_s_growth_is_set_against_keys_and_values() -> None:
    measured = measurement(100)
    assert measured.logged() == 120
    assert measured.amplification() == pytest.approx(120 / (16 + 64))


def test_runs_in_which_the_log_was_compacted_do_not_count() -> None:
    measured = measurement(100, 100)
    measured.used[1]["b"] = Usage(0.005, 0, -1)
    assert measured.logged() == 120
    measured.used[0]["b"] = Usage(0.005, 0, -1)
    assert math.isnan(measured.logged())


def test_what_is_not_told_is_null() -> None:
    measured = measurement(100, written=-1, log=-1)
    assert math.isnan(measured.written())
    (row,) = report(measured)["measurements"]
    assert row["bytes_written_per_operation"] is row["log_bytes_per_operation"] is row["log_amplification"] is None


def test_a_quiet_machine_raises_no_doubts() -> None:
    assert doubts(report(measurement(100, 110), open_loop=[paced()])) == []


def test_noise_and_a_busy_machine_are_told() -> None:
    busy = MACHINE | {"load_average_before": 3.0, "stolen": 0.05}
    found = report(measurement(100, 110), measurement(100, 200), machine=busy, open_loop=[paced(late=50)])["doubts"]
    assert "load average of 3.0 on 2 cores" in found[0]
    assert "5% of all cores' time to other machines" in found[1]
    assert "1 of 2 measurements" in found[2]
    assert "1 of 1 rows of the open loop" in found[3]


def test_stolen_time_is_a_share_of_all() -> None:
    before = parse_stat("cpu  10 0 10 70 0 0 0 10 5 0\ncpu0 1 2 3\n")
    assert before == Ticks(100, 10)
    assert Ticks(300, 20).stolen_since(before) == 0.05
    assert before.stolen_since(before) == 0
    with pytest.raises(ValueError, match="no line"):
        parse_stat("cpu0 1 2 3 4 5 6 7 8\n")


def test_the_tables() -> None:
    out = io.StringIO()
    memory = Memory("leto", "n1", 500_000, (50_000_000, 100_000_000), (50_000_000, 90_000_000))
    failover = Failover("kill -9", (0.02, 0.03, 0.2))
    kept = report(
        measurement(1234.0),
        measurement(2468.0, target="redis"),
        open_loop=[paced(late=50)],
        memory=[memory],
        failovers=[failover],
    )
    print_report(Console(file=out, width=190), kept)
    text = out.getvalue()
    words = ["SET, 3 clients", "1,234", "5.0 + 2.0", "kill -9", "30", "200", "2 cores, Linux", "leto to redis", "0.50"]
    words += ["1.50", "80%", "30.00", "not kept", "50.0%", "100.0", "80.0", "7.0"]
    for each in words:
        assert each in text, each
    assert "load average 0.1 before, 0.7 after" in text
    assert kept["failovers"][0]["median"] == 0.03


def test_ratios_are_of_runs_beside_each_other() -> None:
    kept = report(measurement(100, 50), measurement(200, 100, target="redis"))
    (ratios,) = [table for table in tables(kept) if table.title.endswith("as ratios")]
    assert ratios.rows == [("SET, 3 clients", "0.50 (spread 0%)")]


def test_a_single_run_has_no_spread() -> None:
    once = [measurement(100), measurement(200, target="redis")]
    requests, ratios, *_ = tables(report(*once))
    assert [row[-1] for row in requests.rows] == ["-", "-"]
    assert ratios.rows == [("SET, 3 clients", "0.50")]
    requests, *_ = tables(report(measurement(100, 110)))
    assert [row[-1] for row in requests.rows] == ["10%"]


def test_markdown_has_the_same_rows_and_marks_doubtful_ones() -> None:
    text = as_markdown(report(measurement(100, 200)))
    assert "| workload | on | per second | p50 ms | p99 ms | p99.9 ms | CPU us a request | spread |" in text
    assert "| SET, 3 clients (doubtful) | leto | 150 | 1.000 | 2.000 | 3.000 | 5.0 + 2.0 | 67% |" in text
    assert "Doubtful: in 1 of 1 measurements" in text


def test_several_kept_reports_are_one() -> None:
    one, other = report(measurement(100)), report(measurement(200, 500))
    del one["open_loop"], one["memory"]  # as versions before these kept it
    whole = merged([one, other])
    assert [row["throughput"] for row in whole["measurements"]] == [100, 350]
    assert len(whole["doubts"]) == 1
    for wrong in ([], {}, {"measurements": []}, "x"):
        with pytest.raises(BenchError, match="no report"):
            merged([wrong])  # type: ignore[list-item]

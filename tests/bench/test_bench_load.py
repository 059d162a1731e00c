"""Workloads as requests, redis-benchmark's command line and its report."""

from __future__ import annotations

import hiredis
import pytest

from leto.bench import load
from leto.bench.load import Outcome, arguments, parse
from leto.bench.loop import pipelines
from leto.bench.sweeps import sweeps_called
from leto.bench.usage import Usage, parse_io
from leto.bench.workloads import FULL, QUICK, BenchError, Workload, chosen
from leto.config import Address

REPORT = """\
====== SET ======
  20000 requests completed in 0.30 seconds\r
  20 parallel clients

Latency by percentile distribution:
0.000% <= 0.047 milliseconds (cumulative count 4)
50.000% <= 0.479 milliseconds (cumulative count 10052)
98.438% <= 6.047 milliseconds (cumulative count 19688)
99.219% <= 9.383 milliseconds (cumulative count 19844)
99.902% <= 11.727 milliseconds (cumulative count 19984)
100.000% <= 11.783 milliseconds (cumulative count 20000)

Cumulative distribution of latencies:
50.100% <= 0.103 milliseconds (cumulative count 220)

Summary:
  throughput summary: 66006.60 requests per second
  latency summary (msec):
          avg       min       p50       p95       p99       max
        0.775     0.040     0.479     2.351     7.815    11.783
"""


def test_a_report_is_read() -> None:
    outcome = parse(REPORT, 20000)
    assert (outcome.operations, outcome.throughput) == (20000, 66006.6)
    assert (outcome.p50, outcome.p99, outcome.p999) == (0.479, 9.383, 11.727)


def test_a_pilot_run_that_is_over_within_a_millisecond_is_repeated_with_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-benchmark then reports an infinite throughput."""
    asked: list[int] = []

    def run(address: Address, workload: Workload, operations: int, keys: int, password: str | None) -> Outcome:
        asked.append(operations)
        throughput = "inf" if len(asked) == 1 else "10000.00"
        return parse(REPORT.replace("66006.60", throughput), operations)

    monkeypatch.setattr(load, "run", run)
    assert load.calibrate(Address("", 7), Workload("w", 1, 1, 100), 3.0, 99) == 30_000
    assert asked[:2] == [20, 401]


@pytest.mark.parametrize("text", ["", "Error: no", REPORT.partition("Summary")[0], REPORT.partition("Latency")[2]])
def test_what_is_no_whole_report_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="no report"):
        parse(text, 1)


def test_the_command_line_of_redis_benchmark() -> None:
    argv = arguments("rb", Address("", 7), Workload("w", 5, 16, 100, 1024), 800, 99)
    assert argv[:9] == ["rb", "-h", "127.0.0.1", "-p", "7", "-t", "set", "-n", "800"]
    assert argv[9:17] == ["-c", "5", "-P", "16", "-d", "1024", "-r", "99"]
    assert "get" in arguments("rb", Address("h", 7), Workload("r", 1, 1, 0), 1, 1)


@pytest.mark.parametrize("percent", [0, 20, 100])
def test_a_mix_has_its_share_of_writes(percent: int) -> None:
    workload = Workload("mix", 1, 4, percent, 10)
    commands = []
    for group in pipelines(workload, 50):
        reader = hiredis.Reader()
        reader.feed(group)
        found = [reader.gets() for _ in range(4)]
        assert reader.gets() is False
        commands += found
    writes = [command for command in commands if command[0] == b"SET"]
    assert abs(len(writes) * 100 / len(commands) - percent) < 1
    assert all(command[2] == b"x" * 10 for command in writes)
    assert len({command[1] for command in commands}) > 30
    assert all(int(command[1].removeprefix(b"key:")) < 50 for command in commands)


def test_large_values_have_fewer_keys() -> None:
    assert Workload("small", 1, 1, 100, 64).keys(1000) == 1000
    assert Workload("large", 1, 1, 100, 1 << 20).keys(1000) == 64
    assert Workload("hot", 1, 1, 100, 64, key_space=1).keys(1000) == 1


def test_quick_workloads_are_some_of_all_and_names_are_unique() -> None:
    assert set(QUICK) < set(FULL)
    assert len({workload.name for workload in FULL}) == len(FULL)


def test_sweeps_name_their_workloads_apart() -> None:
    for sweep in sweeps_called("all"):
        assert len({workload.name for workload in sweep.workloads}) == len(sweep.workloads)
    assert [sweep.name for sweep in sweeps_called("nodes,reads")] == ["nodes", "reads"]
    with pytest.raises(BenchError, match="no sweep is called 'x'"):
        sweeps_called("nodes,x")


def test_workloads_are_chosen_by_their_name() -> None:
    assert {w.name for w in chosen("PIPELINE 16")} == {"SET, 50 clients, pipeline 16", "GET, 50 clients, pipeline 16"}
    with pytest.raises(BenchError, match="no workload is called 'ZADD'"):
        chosen("ZADD")


def test_usage_between_two_moments() -> None:
    assert Usage(3.0, 500).since(Usage(1.0, 100)) == Usage(2.0, 400)
    assert Usage(3.0, 500).since(Usage(1.0, -1)).written == -1
    assert Usage(3.0, 0, 900, 7).since(Usage(1.0, 0, 500, 7)).log == 400
    assert Usage(3.0, 0, 900, 8).since(Usage(1.0, 0, 500, 7)).log == -1  # compacted
    assert parse_io(["rchar: 5", "write_bytes: 4096", "cancelled_write_bytes: 1"]) == 4096
    assert parse_io([]) == -1

"""Puts a workload on a server: by redis-benchmark where it is on PATH, else, and for mixed ones, by a loop of ours."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass

from leto.bench.loop import Loop, pipelines
from leto.bench.statistics import percentile
from leto.bench.workloads import BenchError, Workload
from leto.config import Address

RUN_TIMEOUT = 300.0  # seconds after which a run is given up
PILOT_SECONDS = 0.2  # a pilot run that is shorter is repeated with more requests
_DISTRIBUTION = re.compile(r"^([0-9.]+)% <= ([0-9.]+) milliseconds \(cumulative count [0-9]+\)$", re.MULTILINE)
_THROUGHPUT = re.compile(r"throughput summary: ([0-9.]+|inf) requests per second")  # inf: within a millisecond
_HEADING = "Latency by percentile distribution:"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: requests answered, a second; latencies in milliseconds."""

    operations: int
    throughput: float
    p50: float
    p99: float
    p999: float


def redis_benchmark() -> str | None:
    """Where redis-benchmark is."""
    return shutil.which("redis-benchmark")


def run(address: Address, workload: Workload, operations: int, keys: int, password: str | None = None) -> Outcome:
    """`operations` requests of the workload. Raises BenchError for an error reply, a lost connection, a hang."""
    program = redis_benchmark()
    if program is None or password is not None or 0 < workload.write_percent < 100:
        return _by_loop(address, workload, operations, keys, password)
    argv = arguments(program, address, workload, operations, keys)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=RUN_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{workload.name} on {address} took more than {RUN_TIMEOUT:g} s") from None
    if done.returncode or "Error from server" in done.stdout + done.stderr:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise BenchError(f"{workload.name} on {address} failed: {words[-1] if words else 'no reason given'}")
    return parse(done.stdout, operations)


def arguments(program: str, address: Address, workload: Workload, operations: int, keys: int) -> list[str]:
    """redis-benchmark's command line."""
    test = "set" if workload.write_percent else "get"
    argv = [program, "-h", address.host or "127.0.0.1", "-p", str(address.port), "-t", test, "-n", str(operations)]
    argv += ["-c", str(workload.clients), "-P", str(workload.pipeline), "-d", str(workload.value_bytes)]
    return [*argv, "-r", str(keys), "--precision", "3"]


def parse(text: str, operations: int) -> Outcome:
    """What redis-benchmark (6.2 or later) printed. Raises BenchError if that is no whole report."""
    text = text.replace("\r", "\n")
    throughput = _THROUGHPUT.search(text)
    head, _, rest = text.partition(_HEADING)
    steps = [(float(p), float(ms)) for p, ms in _DISTRIBUTION.findall(rest.partition("Cumulative distribution")[0])]
    if throughput is None or not steps:
        raise BenchError("redis-benchmark printed no report that this version can read")

    def at(percent: float) -> float:
        return next((ms for reached, ms in steps if reached >= percent), steps[-1][1])

    return Outcome(operations, float(throughput.group(1)), at(50), at(99), at(99.9))


def _by_loop(address: Address, workload: Workload, operations: int, keys: int, password: str | None) -> Outcome:
    requests = pipelines(workload, keys)
    with Loop(address, workload.clients, workload.pipeline, requests, password) as loop:
        started = time.perf_counter()
        latencies = loop.run(operations)
        seconds = time.perf_counter() - started
    latencies.sort()
    return Outcome(
        operations,
        operations / seconds,
        percentile(latencies, 50) * 1000,
        percentile(latencies, 99) * 1000,
        percentile(latencies, 99.9) * 1000,
    )


def calibrate(address: Address, workload: Workload, seconds: float, keys: int, password: str | None = None) -> int:
    """How many requests take about `seconds`; finding that out warms the server up."""
    operations = max(workload.group, 20)
    while True:
        throughput = run(address, workload, operations, keys, password).throughput
        took = operations / throughput
        if took >= min(PILOT_SECONDS, seconds):
            break
        operations = int(operations * (min(20.0, 1.5 * PILOT_SECONDS / took) if took else 20.0)) + 1
    rounds = max(1, round(throughput * seconds / workload.group))
    return rounds * workload.group

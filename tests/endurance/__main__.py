"""python -m tests.endurance --minutes 10: three nodes under half the load they can carry, snapshots going on.

Memory, descriptors, threads and latency are sampled all the time; a line through the samples, the first third left
out, must not rise by more than the bounds. Exit status 0: it did not. The figures are those of this machine, and of
whatever else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.endurance.judging import Sample, growth
from tests.endurance.load import Interval, Plan
from tests.integration.cluster import ROOT, Node
from tests.overload.report import Report
from tests.overload.scene import Scene
from tests.overload.watching import PAGE

MEMORY_GROWTH = 0.05  # of the memory at the first third, at most
MEMORY_SLACK = 4e6  # bytes that never count
DESCRIPTOR_GROWTH = 4
LATENCY_GROWTH = 0.5  # of the median of p50 (of p99), at most
LATENCY_SLACK = 0.01  # seconds that never count


def look(node: Node, at: float) -> Sample:
    """The node as the system sees it now."""
    with open(f"/proc/{node.pid}/statm") as statm:
        resident = int(statm.read().split()[1]) * PAGE
    return Sample(at, resident, len(os.listdir(f"/proc/{node.pid}/fd")), len(os.listdir(f"/proc/{node.pid}/task")))


def endure(directory: Path, *, minutes: float, rate: float | None, interval: float, options: tuple[str, ...]) -> Report:
    """One run and its verdict. `rate`: requests a second; None: half of what the cluster was seen to answer."""
    report = Report(f"endurance, {minutes:g} minutes")
    with Scene(directory, report, *options) as scene:
        if rate is None:
            rate = scene.capacity(3.0, 2, pipeline=1) / 2
        plan = Plan(port=scene.port, rate=rate, seconds=minutes * 60, interval=interval)
        samples: dict[str, list[Sample]] = {node.id: [] for node in scene.cluster}
        intervals: list[Interval] = []
        snapshots = snapshot_index(scene.leader)
        started = time.monotonic()
        load = subprocess.Popen(
            [sys.executable, "-m", "tests.endurance.load", json.dumps(asdict(plan))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert load.stdout is not None
            for line in load.stdout:
                interval_seen = Interval(**json.loads(line))
                intervals.append(interval_seen)
                for node in scene.cluster:
                    samples[node.id].append(look(node, time.monotonic() - started))
                print(describe(interval_seen, samples), flush=True)
            status = load.wait(60)
        finally:
            if load.poll() is None:
                load.kill()
                load.wait()
        report.expect(status == 0, f"the load ended with status {status}")
        report.figure(
            "requests a second", f"{rate:.0f} due, {sum(i.answered for i in intervals) / plan.seconds:.0f} answered"
        )
        report.expect(
            snapshot_index(scene.leader) > snapshots, "no snapshot was taken meanwhile: the run was too short"
        )
        judge(report, samples, intervals)
        scene.expect_peace()
        scene.expect_equal()
    return report


def snapshot_index(node: Node) -> int:
    """Of the node's newest snapshot; 0 without one."""
    return int(node.info()["raft_snapshot_index"])


def describe(interval: Interval, samples: dict[str, list[Sample]]) -> str:
    """One line about an interval."""
    nodes = "; ".join(
        f"{name} {some[-1].resident / 1e6:.1f} MB {some[-1].descriptors} fds {some[-1].threads} threads"
        for name, some in samples.items()
    )
    return (
        f"{interval.at:6.0f} s: {interval.answered} answered, {interval.waiting} wait, {interval.errors} errors, p50"
        f" {interval.p50 * 1e3:.2f} ms, p99 {interval.p99 * 1e3:.1f} ms, longest {interval.longest * 1e3:.0f} ms;"
        f" {nodes}"
    )


def judge(report: Report, samples: dict[str, list[Sample]], intervals: list[Interval]) -> None:
    """Hold the samples against the bounds."""
    for name, some in samples.items():
        if len(some) < 6:
            report.expect(False, f"{name}: {len(some)} samples are too few to judge by")
            continue
        early = some[len(some) // 3].resident
        grown = growth([(sample.at, sample.resident) for sample in some])
        report.figure(
            f"{name} memory",
            f"{some[0].resident / 1e6:.1f} to {some[-1].resident / 1e6:.1f} MB, line {grown / 1e6:+.1f} MB",
        )
        report.expect(
            grown <= early * MEMORY_GROWTH + MEMORY_SLACK, f"{name}: memory grows, by {grown / 1e6:.1f} MB in the run"
        )
        descriptors = growth([(sample.at, sample.descriptors) for sample in some])
        report.expect(descriptors <= DESCRIPTOR_GROWTH, f"{name}: descriptors grow, by {descriptors:.0f}")
        threads = max(sample.threads for sample in some[len(some) // 3 :]) - some[len(some) // 3].threads
        report.expect(threads <= 0, f"{name}: there are {threads} threads more than at the first third")
    for what in ("p50", "p99") if intervals else ():
        points = [(interval.at, float(getattr(interval, what))) for interval in intervals]
        grown = growth(points)
        middle = sorted(value for _, value in points)[len(points) // 2]
        report.figure(what, f"median of the intervals {middle * 1e3:.2f} ms, line {grown * 1e3:+.2f} ms")
        report.expect(
            grown <= middle * LATENCY_GROWTH + LATENCY_SLACK, f"{what} grows, by {grown * 1e3:.1f} ms in the run"
        )
    errors = sum(interval.errors for interval in intervals)
    report.expect(not errors, f"{errors} requests were refused at half the load")
    waiting = intervals[-1].waiting if intervals else 0
    report.expect(not waiting, f"{waiting} requests were never answered")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.endurance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, help="requests a second (half of the capacity)")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument(
        "--node-options", default="--snapshot-entries 5000", help="more options of every node, in one word"
    )
    parser.add_argument("--directory", help="where the nodes keep their data")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: the nodes end with this process
    with tempfile.TemporaryDirectory(prefix="leto-endurance-", dir=options.directory) as directory:
        report = endure(
            Path(directory),
            minutes=options.minutes,
            rate=options.rate,
            interval=options.interval,
            options=tuple(options.node_options.split()),
        )
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    report.figure("load average of the machine", f"{load}, {os.cpu_count()} cores")
    print(report.text(), flush=True)
    if options.report is not None:
        options.report.write_text(json.dumps(report.as_data(), indent=1))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

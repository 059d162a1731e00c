"""Runs the workloads against all targets in turns (A B A B), so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from leto.bench import load
from leto.bench.loop import preload
from leto.bench.servers import Target, settle
from leto.bench.statistics import is_noisy, median, spread
from leto.bench.usage import Usage, usage
from leto.bench.workloads import Workload

Say = Callable[[str], None]


@dataclass(slots=True)
class Measurement:
    """One workload on one target: every run, and what each node used in it."""

    workload: Workload
    target: str
    asked: str  # the node that was asked
    runs: list[load.Outcome] = field(default_factory=list)
    used: list[dict[str, Usage]] = field(default_factory=list)  # by node; one a run
    sweep: str = ""  # that it belongs to

    @property
    def throughput(self) -> float:
        """Requests a second: the median run's."""
        return median([run.throughput for run in self.runs])

    def latency(self, name: str) -> float:
        """The median of the runs' p50, p99 or p999, in milliseconds."""
        return median([getattr(run, name) for run in self.runs])

    @property
    def spread(self) -> float:
        return spread([run.throughput for run in self.runs])

    @property
    def is_noisy(self) -> bool:
        return is_noisy([run.throughput for run in self.runs])

    def cpu(self) -> dict[str, float]:
        """CPU seconds per million requests of each node, the one that was asked first; nan where it is not told."""
        operations = sum(run.operations for run in self.runs)
        names = sorted(self.used[0], key=lambda name: (name != self.asked, name))
        return {name: sum(run[name].cpu for run in self.used) / operations * 1e6 for name in names}

    def written(self) -> float:
        """Bytes per request that all nodes together gave to the disk; nan where it is not told."""
        amounts = [amount.written for run in self.used for amount in run.values()]
        if min(amounts) < 0:
            return math.nan
        return sum(amounts) / sum(run.operations for run in self.runs)

    def logged(self) -> float:
        """Bytes per request by which the log of the asked node grew; nan where it is not told.

        Runs in which the log was compacted do not count.
        """
        told = [
            (used[self.asked].log, run.operations)
            for run, used in zip(self.runs, self.used, strict=True)
            if used[self.asked].log >= 0
        ]
        return sum(grew for grew, _ in told) / sum(count for _, count in told) if told else math.nan

    def amplification(self) -> float:
        """Bytes of one node's log for each byte of the written keys and values; nan where nothing is written."""
        written = self.workload.payload_bytes * self.workload.write_percent / 100
        return self.logged() / written if written else math.nan

    def as_json(self) -> dict[str, Any]:
        """Values that JSON knows: what is not told is null."""
        return {
            "sweep": self.sweep,
            "workload": asdict(self.workload),
            "target": self.target,
            "asked": self.asked,
            "throughput": self.throughput,
            "p50_ms": self.latency("p50"),
            "p99_ms": self.latency("p99"),
            "p999_ms": self.latency("p999"),
            "spread": self.spread,
            "noisy": self.is_noisy,
            "cpu_seconds_per_million": {node: told(seconds) for node, seconds in self.cpu().items()},
            "bytes_written_per_operation": told(self.written()),
            "log_bytes_per_operation": told(self.logged()),
            "log_amplification": told(self.amplification()),
            "runs": [asdict(run) for run in self.runs],
        }


def told(value: float) -> float | None:
    """nan as JSON knows it."""
    return None if math.isnan(value) else value


def measure(
    targets: Sequence[Target],
    workloads: Sequence[Workload],
    *,
    rounds: int,
    seconds: float,
    most_keys: int,
    say: Say,
    sweep: str = "",
) -> list[Measurement]:
    """`rounds` runs of about `seconds` each of every workload on every target that can take it.

    Raises BenchError. Keys are set beforehand.
    """
    measurements: list[Measurement] = []
    loaded = (0, 0)  # bytes of the values that are there, and how many keys have one
    for workload in workloads:
        keys = workload.keys(most_keys)
        if workload.write_percent < 100 and loaded != (workload.value_bytes, keys):
            loaded = (workload.value_bytes, keys)
            for target in targets:
                address = target.address()
                assert address is not None
                preload(address, keys, workload.value_bytes, target.password)
        elif workload.value_bytes != loaded[0]:
            loaded = (0, 0)  # the values are of other sizes now
        row: list[tuple[Measurement, Target, int]] = []
        for target in targets:
            settle(target)
            address = target.address(workload.on_follower)
            if address is None:
                continue
            asked = next(name for name, node in target.nodes.items() if node == address)
            operations = load.calibrate(address, workload, seconds, keys, target.password)
            row.append((Measurement(workload, target.name, asked, sweep=sweep), target, operations))
        for _ in range(rounds):
            for measurement, target, operations in row:
                before = _used(target)
                address = target.nodes[measurement.asked]
                measurement.runs.append(load.run(address, workload, operations, keys, target.password))
                after = _used(target)
                measurement.used.append({name: after[name].since(before[name]) for name in after})
        for measurement, _, _ in row:
            say(f"{workload.name} on {measurement.target}: {measurement.throughput:,.0f}/s")
            measurements.append(measurement)
    return measurements


def _used(target: Target) -> dict[str, Usage]:
    return {name: usage(address, target.password) for name, address in target.nodes.items()}

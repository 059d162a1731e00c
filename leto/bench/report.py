"""What was measured, for people (tables) and for programs (JSON)."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from leto import __version__
from leto.bench.failover import Failover
from leto.bench.load import redis_benchmark
from leto.bench.measure import Measurement
from leto.bench.statistics import median

BUSY_LOAD = 0.5  # load average per core above which the machine was busy before anything began


def machine(load_average: float) -> dict[str, Any]:
    """What the figures depend on; `load_average` as it was before the first run."""
    return {
        "cores": os.cpu_count() or 1,
        "load_average_before": load_average,
        "system": platform.platform(),
        "python": platform.python_version(),
        "leto": __version__,
        "load_generator": "redis-benchmark" if redis_benchmark() else "leto bench",
    }


def doubts(machine: dict[str, Any], measurements: Sequence[Measurement]) -> list[str]:
    """Why not to believe the figures; [] if nothing speaks against them."""
    found = []
    cores, load = machine["cores"], machine["load_average_before"]
    if load > BUSY_LOAD * cores:
        found.append(f"the machine was busy before it began: a load average of {load:.1f} on {cores} cores")
    noisy = [each for each in measurements if each.is_noisy]
    if noisy:
        worst = max(noisy, key=lambda each: each.spread)
        found.append(
            f"in {len(noisy)} of {len(measurements)} measurements the runs of one target differ by more than a fifth "
            f"(at worst by {worst.spread:.0%}: {worst.workload.name} on {worst.target}): too noisy for absolute figures"
        )
    return found


def as_json(machine: dict[str, Any], measurements: Sequence[Measurement], failovers: Sequence[Failover]) -> Any:
    """One value with everything."""
    return {
        "machine": machine,
        "doubts": doubts(machine, measurements),
        "measurements": [each.as_json() for each in measurements],
        "failovers": [each.as_json() for each in failovers],
    }


def print_report(
    console: Console, machine: dict[str, Any], measurements: Sequence[Measurement], failovers: Sequence[Failover]
) -> None:
    """The tables, then the doubts."""
    if measurements:
        console.print(throughput_table(measurements))
    if failovers:
        console.print(failover_table(failovers))
    console.print(
        f"{machine['cores']} cores, {escape(machine['system'])}, Python {machine['python']}, "
        f"load made by {machine['load_generator']}",
        soft_wrap=True,
    )
    for doubt in doubts(machine, measurements):
        console.print(f"[red]doubtful:[/red] {escape(doubt)}", soft_wrap=True)


def throughput_table(measurements: Sequence[Measurement]) -> Table:
    """One row a workload and target."""
    table = Table(title="requests", title_justify="left")
    table.add_column("workload", no_wrap=True)
    table.add_column("on", no_wrap=True)
    for column in ("per second", "p50 ms", "p99 ms", "p99.9 ms", "CPU s per million", "bytes written", "spread"):
        table.add_column(column, justify="right", no_wrap=True)
    before = ""
    for each in measurements:
        if each.workload.name != before and before:
            table.add_section()
        first = each.workload.name != before
        before = each.workload.name
        table.add_row(
            escape(each.workload.name) if first else "",
            escape(each.target),
            f"{each.throughput:,.0f}",
            *(f"{each.latency(name):.3f}" for name in ("p50", "p99", "p999")),
            " + ".join(_number(seconds, 1) for seconds in each.cpu().values()),
            _number(each.written(), 0),
            f"{each.spread:.0%}",
            style="dim" if each.is_noisy else None,
        )
    return table


def failover_table(failovers: Sequence[Failover]) -> Table:
    """One row a way to end."""
    table = Table(title="the leader ends under load: writes stop for", title_justify="left")
    table.add_column("how")
    for column in ("trials", "median ms", "worst ms"):
        table.add_column(column, justify="right")
    for each in failovers:
        middle, worst = median(each.gaps) * 1000, max(each.gaps) * 1000
        table.add_row(each.kind, str(len(each.gaps)), f"{middle:,.0f}", f"{worst:,.0f}")
    return table


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"

"""What was measured, for people (tables) and for programs (JSON)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import table as rich_table
from rich.console import Console
from rich.markup import escape

from leto.bench.failover import Failover
from leto.bench.footprint import Memory
from leto.bench.machine import doubts_of
from leto.bench.measure import Measurement
from leto.bench.openloop import OpenLoopRow
from leto.bench.statistics import NOISY_SPREAD
from leto.bench.tables import Row, Table, markdown, tables
from leto.bench.workloads import BenchError

NEEDED = ("machine", "measurements", "failovers")
PARTS = ("measurements", "open_loop", "memory", "failovers")


@dataclass(slots=True)
class Found:
    """All that one run of the benchmark has measured."""

    measurements: list[Measurement] = field(default_factory=list)
    open_loop: list[OpenLoopRow] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    failovers: list[Failover] = field(default_factory=list)

    def as_json(self, machine: dict[str, Any]) -> Row:
        """One value with everything."""
        report: Row = {"machine": machine, "doubts": []}
        for part in PARTS:
            report[part] = [each.as_json() for each in getattr(self, part)]
        report["doubts"] = doubts(report)
        return report


def doubts(report: Row) -> list[str]:
    """Why not to believe the figures; [] if nothing speaks against them."""
    found = doubts_of(report["machine"])
    measured = report["measurements"]
    noisy = [row for row in measured if row["noisy"]]
    if noisy:
        worst = max(noisy, key=lambda row: row["spread"])
        found.append(
            f"in {len(noisy)} of {len(measured)} measurements the runs of one target differ by more than "
            f"{NOISY_SPREAD:.0%} (at worst by {worst['spread']:.0%}: {worst['workload']['name']} on "
            f"{worst['target']}): too noisy for absolute figures"
        )
    lagged = [row for row in report.get("open_loop", []) if not row["kept_timetable"]]
    if lagged:
        found.append(
            f"in {len(lagged)} of {len(report['open_loop'])} rows of the open loop the load generator could not keep "
            "its timetable: their latencies are also its own"
        )
    return found


def merged(reports: Sequence[Row]) -> Row:
    """Several reports as one: the first one's machine, everybody's rows and doubts. Raises BenchError."""
    for report in reports:
        if not isinstance(report, dict) or not all(name in report for name in NEEDED):
            raise BenchError("that is no report of leto bench")
    whole: Row = {"machine": reports[0]["machine"]}
    for part in ("doubts", *PARTS):
        whole[part] = [row for report in reports for row in report.get(part, [])]
    return whole


def print_report(console: Console, report: Row) -> None:
    """The tables, then the doubts."""
    for table in tables(report):
        console.print(as_rich(table))
    console.print(escape(about(report["machine"])), soft_wrap=True)
    for doubt in report["doubts"]:
        console.print(f"[red]doubtful:[/red] {escape(doubt)}", soft_wrap=True)


def as_markdown(report: Row) -> str:
    """The same to be put into a page."""
    parts = [about(report["machine"]) + "\n"]
    parts += [f"Doubtful: {doubt}.\n" for doubt in report["doubts"]]
    for table in tables(report):
        parts.append(f"**{table.title[:1].upper()}{table.title[1:]}**\n\n{markdown(table)}")
    return "\n".join(parts)


def about(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    line = (
        f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}, load made by "
        f"{machine['load_generator']}; load average {machine['load_average_before']:.1f} before"
    )
    if "load_average_after" in machine:
        line += f", {machine['load_average_after']:.1f} after"
    if "stolen" in machine:
        line += f"; {machine['stolen']:.1%} of the cores' time stolen"
    return line


def as_rich(table: Table) -> rich_table.Table:
    """For a terminal."""
    shown = rich_table.Table(title=escape(table.title), title_justify="left")
    for place, column in enumerate(table.columns):
        shown.add_column(escape(column), justify="left" if place < table.left else "right", no_wrap=place < table.left)
    before = None
    for place, row in enumerate(table.rows):
        is_new = row[0] != before
        if is_new and before is not None and table.left > 1:
            shown.add_section()
        before = row[0]
        cells = [row[0] if is_new else "", *row[1:]]
        shown.add_row(*map(escape, cells), style="dim" if place in table.doubtful else None)
    return shown

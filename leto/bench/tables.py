"""The tables of a report, from the value that is kept as JSON: so an earlier one can be shown again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from leto.bench.statistics import median, spread

Row = dict[str, Any]


@dataclass(slots=True)
class Table:
    """The first `left` columns hold words, the others numbers. `doubtful` are the rows not to be believed."""

    title: str
    columns: tuple[str, ...]
    left: int = 1
    rows: list[tuple[str, ...]] = field(default_factory=list)
    doubtful: set[int] = field(default_factory=set)

    def add(self, *cells: str, is_doubtful: bool = False) -> None:
        if is_doubtful:
            self.doubtful.add(len(self.rows))
        self.rows.append(cells)


def tables(report: Row) -> list[Table]:
    """All that have a row."""
    found = []
    measured = report["measurements"]
    for sweep, rows in groupby(measured, key=lambda row: row.get("sweep", "")):
        group = list(rows)
        title = f"requests: {sweep}" if sweep else "requests"
        found += [requests(title, group), ratios(title, group)]
    found += [
        open_loop(report.get("open_loop", [])),
        costs(measured),
        memory(report.get("memory", [])),
        failovers(report["failovers"]),
    ]
    return [table for table in found if table.rows]


def requests(title: str, measurements: Sequence[Row]) -> Table:
    """One row a workload and target."""
    columns = ("per second", "p50 ms", "p99 ms", "p99.9 ms", "CPU us a request", "spread")
    table = Table(title, ("workload", "on", *columns), left=2)
    for row in measurements:
        table.add(
            row["workload"]["name"],
            row["target"],
            number(row["throughput"], 0),
            *(number(row[name], 3) for name in ("p50_ms", "p99_ms", "p999_ms")),
            " + ".join(number(seconds, 1) for seconds in row["cpu_seconds_per_million"].values()),
            f"{row['spread']:.0%}" if len(row["runs"]) > 1 else "-",
            is_doubtful=row["noisy"],
        )
    return table


def ratios(title: str, measurements: Sequence[Row]) -> Table:
    """The first target's throughput as a ratio to that of each other: the median of the runs' own ratios."""
    names = list(dict.fromkeys(row["target"] for row in measurements))
    table = Table(f"{title}, as ratios", ("workload", *(f"{names[0]} to {name}" for name in names[1:])))
    if len(names) < 2:
        return table
    for workload, group in groupby(measurements, key=lambda row: row["workload"]["name"]):
        by_target = {row["target"]: row for row in group}
        if names[0] not in by_target:
            continue
        cells = []
        for name in names[1:]:
            found = run_ratios(by_target[names[0]], by_target[name]) if name in by_target else []
            cells.append(_ratio(found))
        table.add(workload, *cells)
    return table


def _ratio(found: Sequence[float]) -> str:
    """The median, and the spread where there is one to tell."""
    if len(found) < 2:
        return f"{found[0]:.2f}" if found else "-"
    return f"{median(found):.2f} (spread {spread(found):.0%})"


def run_ratios(one: Row, other: Row) -> list[float]:
    """Throughput of each run of `one` over that of the run of `other` beside it in time."""
    pairs = zip(one["runs"], other["runs"], strict=True)
    return [mine["throughput"] / theirs["throughput"] for mine, theirs in pairs]


def open_loop(rows: Sequence[Row]) -> Table:
    """One row a workload, target and rate."""
    columns = ("capacity a second", "at", "requests a second", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms")
    table = Table(
        "open loop: at a fixed rate, latency since a request was due",
        ("workload", "on", *columns, "sent late", "generator's CPU", "timetable"),
        left=2,
    )
    for row in rows:
        table.add(
            row["workload"]["name"],
            row["target"],
            number(row["capacity"], 0),
            f"{row['share']:.0%}",
            number(row["achieved"], 0),
            *(number(row[name], 2) for name in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")),
            f"{row['late']:.1%}",
            f"{row['generator_busy']:.0%}",
            "kept" if row["kept_timetable"] else "not kept",
            is_doubtful=not row["kept_timetable"],
        )
    return table


def costs(measurements: Sequence[Row]) -> Table:
    """What a million requests cost, where it is told."""
    columns = ("CPU s, all nodes", "log MB, one node", "log / payload", "MB by the kernel, all nodes")
    table = Table("a million requests cost", ("workload", "on", *columns), left=2)
    for row in measurements:
        seconds = list(row["cpu_seconds_per_million"].values())
        log, written = row.get("log_bytes_per_operation"), row["bytes_written_per_operation"]
        table.add(
            row["workload"]["name"],
            row["target"],
            number(None if None in seconds else sum(seconds), 1),
            number(log, 1),  # bytes a request are MB a million
            number(row.get("log_amplification"), 2),
            number(written, 1),
            is_doubtful=row["noisy"],
        )
    return table


def memory(rows: Sequence[Row]) -> Table:
    """One row a node."""
    columns = ("keys", "RSS before, MB", "RSS after, MB", "RSS, MB a million keys", "used_memory, MB a million keys")
    table = Table("memory of keys with values of 64 bytes", ("on", "node", *columns), left=2)
    for row in rows:
        megabytes = (row[f"resident_{what}"] / 1e6 for what in ("before", "after", "per_million_keys"))
        used = row["used_per_million_keys"] / 1e6
        table.add(row["target"], row["node"], f"{row['keys']:,}", *(number(each, 1) for each in (*megabytes, used)))
    return table


def failovers(rows: Sequence[Row]) -> Table:
    """One row a way to end."""
    table = Table("the leader ends under load: writes stop for", ("how", "trials", "median ms", "worst ms"))
    for row in rows:
        middle, worst = (number(row[name] * 1000, 0) for name in ("median", "worst"))
        table.add(row["kind"], str(len(row["gaps"])), middle, worst)
    return table


def number(value: float | None, digits: int) -> str:
    """With commas; "-" for what is not told."""
    return "-" if value is None else f"{value:,.{digits}f}"


def markdown(table: Table) -> str:
    """As Markdown, without the title. A doubtful row says so in its first cell."""
    lines = [_line(table.columns), _line(["---"] * table.left + ["---:"] * (len(table.columns) - table.left))]
    for place, row in enumerate(table.rows):
        first = row[0] + (" (doubtful)" if place in table.doubtful else "")
        lines.append(_line([first, *row[1:]]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

"""Which charts a report gives: file names and SVG. Pure but for `write`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from leto.bench.svg import DASHES, Series, dots, lines
from leto.bench.sweeps import SIZES
from leto.bench.tables import Row

PER_SECOND = "requests a second"
BYTES = "size of a value"
LATENCIES = {"p50": "p50_ms", "p90": "p90_ms", "p99": "p99_ms", "p99.9": "p999_ms", "max": "max_ms"}


def charts(report: Row) -> dict[str, str]:
    """SVG by file name, of all that the report has the figures for."""
    found = {}
    measured = report["measurements"]
    usual = [row for row in measured if not row.get("sweep")]
    if usual:
        found["throughput.svg"] = _dots("Throughput", usual)
    for command in ("SET", "GET"):
        of_command = [row for row in report.get("open_loop", []) if _command(row) == command]
        if of_command:
            found[f"latency-{command.lower()}.svg"] = _latency(command, of_command)
    for sweep, title, unit, at in (
        ("clients", "Throughput by clients", "clients", _clients),
        ("values", "Throughput by size of the values", BYTES, _bytes),
    ):
        rows = [row for row in measured if row.get("sweep") == sweep]
        if rows:
            found[f"{sweep}.svg"] = _against(title, unit, rows, at)
    nodes = [row for row in measured if row.get("sweep") == "nodes"]
    if nodes:
        found["nodes.svg"] = _by_nodes(nodes)
    for sweep, title in (("reads", "Throughput by mode of reads"), ("mixes", "Mixes"), ("keys", "Hot and many keys")):
        rows = [row for row in measured if row.get("sweep") == sweep]
        if rows:
            found[f"{sweep}.svg"] = _dots(title, rows)
    return found


def write(report: Row, directory: Path) -> list[Path]:
    """Into `directory`, made if it is not there; the files. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in charts(report).items():
        path = directory / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _dots(title: str, rows: Sequence[Row]) -> str:
    workloads = list(dict.fromkeys(row["workload"]["name"] for row in rows))
    series = [
        Series(
            target,
            tuple(
                (float(workloads.index(row["workload"]["name"])), row["throughput"])
                for row in rows
                if row["target"] == target
            ),
            colour,
        )
        for colour, target in enumerate(_targets(rows))
    ]
    return dots(title, f"{PER_SECOND} (logarithmic)", workloads, series)


def _latency(command: str, rows: Sequence[Row]) -> str:
    targets = _targets(rows)
    shares = sorted({row["share"] for row in rows})
    series = []
    for row in rows:
        name = f"{row['target']}, {row['share']:.0%} of capacity: {row['achieved']:,.0f} a second"
        if not row["kept_timetable"]:
            name += " (timetable not kept)"
        points = tuple((float(place), row[key]) for place, key in enumerate(LATENCIES.values()))
        series.append(Series(name, points, targets.index(row["target"]), shares.index(row["share"]) % len(DASHES)))
    labels = [(float(place), name) for place, name in enumerate(LATENCIES)]
    title = f"Latency of {command} at a fixed rate, 50 clients"
    return lines(title, "percentile", "milliseconds since due (logarithmic)", series, labels, x_is_logarithmic=False)


def _against(title: str, unit: str, rows: Sequence[Row], at: Callable[[Row], float]) -> str:
    targets = _targets(rows)
    series = []
    for dash, command in enumerate(("SET", "GET")):
        for colour, target in enumerate(targets):
            found = [row for row in rows if row["target"] == target and _command(row) == command]
            if found:
                points = tuple((at(row), row["throughput"]) for row in found)
                series.append(Series(f"{command}, {target}", points, colour, dash))
    labels = [(float(value_bytes), name) for name, value_bytes in SIZES.items()] if unit == BYTES else ()
    return lines(title, f"{unit} (logarithmic)", f"{PER_SECOND} (logarithmic)", series, labels)


def _by_nodes(rows: Sequence[Row]) -> str:
    workloads = list(dict.fromkeys(row["workload"]["name"] for row in rows))
    series = [
        Series(
            name,
            tuple(
                (float(len(row["cpu_seconds_per_million"])), row["throughput"])
                for row in rows
                if row["workload"]["name"] == name
            ),
            colour,
        )
        for colour, name in enumerate(workloads)
    ]
    return lines("Throughput by nodes", "nodes", f"{PER_SECOND} (logarithmic)", series, x_is_logarithmic=False)


def _targets(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["target"] for row in rows))


def _command(row: Row) -> str:
    return "SET" if row["workload"]["write_percent"] else "GET"


def _clients(row: Row) -> float:
    return float(row["workload"]["clients"])


def _bytes(row: Row) -> float:
    return float(row["workload"]["value_bytes"])

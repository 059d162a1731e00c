"""`leto bench`: measure a cluster that it starts itself, or one that runs; show what was measured; compare versions."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from leto.bench import charts
from leto.bench.arguments import parser
from leto.bench.compare import WORSE, compared, comparison_table
from leto.bench.failover import failovers
from leto.bench.footprint import memory
from leto.bench.machine import machine, ticks
from leto.bench.measure import measure
from leto.bench.openloop import open_loop
from leto.bench.report import Found, as_markdown, as_rich, doubts, merged, print_report
from leto.bench.servers import LocalCluster, RedisServer, Target, cluster_at, redis_is_installed
from leto.bench.sweeps import Sweep, sweeps_called
from leto.bench.tables import Row, markdown
from leto.bench.versions import source_of
from leto.bench.workloads import COMPARED, FULL, QUICK, BenchError, Workload, chosen

DONE, FAILED, USAGE = 0, 1, 64
TABLE_WIDTH = 180  # columns, where the output is no terminal
COMPARE_ROUNDS = 8

Startable = TypeVar("Startable", LocalCluster, RedisServer)


def main(argv: Sequence[str]) -> int:
    """Run `leto bench <argv>`; returns the exit status: 0, 1 if it could not be carried out or a comparison found a
    workload worse, 64 for a bad command.
    """
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as exit_:
        return USAGE if exit_.code else DONE
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the nodes would outlive us
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else TABLE_WIDTH, highlight=False)
    try:
        if arguments.against:
            return DONE if compare(arguments, console) else FAILED
        show(arguments, console, merged(_kept(arguments.kept)) if arguments.kept else bench(arguments))
    except (BenchError, OSError) as error:
        sys.stderr.write(f"leto: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("leto: interrupted\n")
        return FAILED
    finally:
        signal.signal(signal.SIGTERM, before)
    return DONE


def show(arguments: argparse.Namespace, console: Console, report: Row) -> None:
    """Print it, and keep what is to be kept. Raises OSError."""
    if arguments.markdown:
        sys.stdout.write(as_markdown(report))
    else:
        print_report(console, report)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")
        say(f"kept in {arguments.json}")
    if arguments.charts:
        for path in charts.write(report, Path(arguments.charts)):
            say(f"drawn: {path}")


def bench(arguments: argparse.Namespace) -> Row:
    """Measure; the report. Raises BenchError, OSError."""
    load_before, ticks_before = os.getloadavg()[0], ticks()
    found = Found()
    rounds = arguments.rounds or 2
    seconds = arguments.seconds or (0.7 if arguments.quick else 3.0)
    with ExitStack() as undo:
        directory = _directory(arguments, undo)
        if arguments.sweep:
            for sweep in sweeps_called(arguments.sweep):
                _sweep(arguments, sweep, directory, found, rounds, seconds)
        else:
            _usual(arguments, directory, found, rounds, seconds)
    about = machine(load_before) | {
        "load_average_after": os.getloadavg()[0],
        "stolen": ticks().stolen_since(ticks_before),
    }
    return found.as_json(about)


def _usual(arguments: argparse.Namespace, directory: Path, found: Found, rounds: int, seconds: float) -> None:
    workloads = chosen(arguments.only, FULL) if arguments.only else QUICK if arguments.quick else FULL
    with ExitStack() as undo:
        targets, cluster = _targets(arguments, directory, undo)
        if cluster is not None and not arguments.only:
            fresh = [target for target in targets if target.name not in dict(arguments.peer)]
            found.memory = memory(fresh, 50_000 if arguments.quick else 200_000, say)
        most_keys = 10_000 if arguments.quick else 100_000
        if not arguments.only or arguments.open_loop:  # first: large values keep a disk busy for some seconds more
            found.open_loop = open_loop(targets, rounds=1 if arguments.quick else rounds, seconds=seconds, say=say)
        found.measurements = measure(targets, workloads, rounds=rounds, seconds=seconds, most_keys=most_keys, say=say)
        trials = arguments.failovers if arguments.failovers is not None else (1 if arguments.quick else 5)
        if cluster is not None and trials:
            found.failovers = failovers(cluster, trials, say)


def _sweep(
    arguments: argparse.Namespace, sweep: Sweep, directory: Path, found: Found, rounds: int, seconds: float
) -> None:
    if sweep.clusters and arguments.addr is not None:
        raise BenchError(f"the sweep {sweep.name!r} needs nodes of its own: it cannot be told --addr")
    workloads = chosen(arguments.only, sweep.workloads) if arguments.only else sweep.workloads
    place = directory / f"sweep-{sweep.name}"
    place.mkdir()
    with ExitStack() as undo:
        if sweep.clusters:
            targets = []
            for nodes in sweep.clusters:
                options = (*arguments.leto_option, *nodes.options)
                targets.append(_start(LocalCluster(place, nodes.size, options, name=nodes.name), undo).target)
        else:
            targets, _ = _targets(arguments, place, undo)
        say(f"sweep: {sweep.what}")
        found.measurements += measure(
            targets, workloads, rounds=rounds, seconds=seconds, most_keys=100_000, say=say, sweep=sweep.name
        )


def compare(arguments: argparse.Namespace, console: Console) -> bool:
    """Whether no workload is worse than in the version `--against`. Raises BenchError, OSError."""
    load_before, ticks_before = os.getloadavg()[0], ticks()
    workloads: tuple[Workload, ...] = chosen(arguments.only, FULL) if arguments.only else COMPARED
    threshold = arguments.threshold / 100
    new, base = "this version", arguments.against
    with ExitStack() as undo:
        directory = _directory(arguments, undo)
        source = source_of(arguments.against, directory)
        targets = [
            _start(LocalCluster(directory, options=arguments.leto_option, name=name, source=where), undo).target
            for name, where in ((new, None), ("base", source))
        ]
        measured = measure(
            targets,
            workloads,
            rounds=arguments.rounds or COMPARE_ROUNDS,
            seconds=arguments.seconds or 1.0,
            most_keys=10_000,
            say=say,
        )
    comparisons = compared(measured, new, "base")
    table = comparison_table(comparisons, threshold, new, base)
    about = machine(load_before) | {
        "load_average_after": os.getloadavg()[0],
        "stolen": ticks().stolen_since(ticks_before),
    }
    report = Found(measured).as_json(about)
    if arguments.markdown:
        sys.stdout.write(markdown(table))
    else:
        console.print(as_rich(table))
    for doubt in doubts(report):
        say(f"doubtful: {doubt}")
    if arguments.json:
        report["comparison"] = {"base": base, "threshold": threshold} | {
            each.workload: each.as_json(threshold) for each in comparisons
        }
        Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")
        say(f"kept in {arguments.json}")
    worse = [each.workload for each in comparisons if each.verdict(threshold) == WORSE]
    for name in worse:
        say(f"worse than {base} by more than {threshold:.0%}: {name}")
    return not worse


def _targets(
    arguments: argparse.Namespace, directory: Path, undo: ExitStack
) -> tuple[list[Target], LocalCluster | None]:
    """What is measured; and the cluster if it is one of our own."""
    targets: list[Target] = []
    cluster = None
    if arguments.addr is not None:
        password = None
        if arguments.password_file:
            password = Path(arguments.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        targets.append(cluster_at(arguments.addr, password))
    else:
        cluster = _start(LocalCluster(directory, options=arguments.leto_option), undo)
        targets.append(cluster.target)
        if redis_is_installed() and not arguments.no_redis:
            for name, durable in (("redis", False), ("redis, appendfsync always", True)):
                targets.append(_start(RedisServer(name, directory, durable=durable), undo).target)
    targets += [Target(name, {name: address}, is_cluster=False) for name, address in arguments.peer]
    return targets, cluster


def _start(one: Startable, undo: ExitStack) -> Startable:
    undo.callback(one.stop)
    one.start()
    return one


def _directory(arguments: argparse.Namespace, undo: ExitStack) -> Path:
    return Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="leto-bench-", dir=arguments.directory)))


def _kept(files: Sequence[str]) -> list[Any]:
    """Reports kept earlier. Raises BenchError, OSError."""
    found = []
    for file in files:
        try:
            found.append(json.loads(Path(file).read_text()))
        except ValueError as error:
            raise BenchError(f"{file} is no JSON: {error}") from None
    return found


def say(line: str) -> None:
    """Tell how far it is, apart from the result."""
    sys.stderr.write(line + "\n")

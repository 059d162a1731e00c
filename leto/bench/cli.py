"""`leto bench`: measure a cluster that it starts itself, or one that runs."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from leto.bench.failover import Failover, failovers
from leto.bench.measure import measure
from leto.bench.report import as_json, machine, print_report
from leto.bench.servers import LocalCluster, RedisServer, Target, cluster_at, redis_is_installed
from leto.bench.workloads import FULL, QUICK, BenchError, chosen
from leto.config import Address

DONE, FAILED, USAGE = 0, 1, 64
TABLE_WIDTH = 180  # columns, where the output is no terminal


def main(argv: Sequence[str]) -> int:
    """Run `leto bench <argv>`; returns the exit status: 0, 1 if it could not be carried out, 64 for a bad command."""
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as exit_:
        return USAGE if exit_.code else DONE
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else TABLE_WIDTH, highlight=False)
    try:
        bench(arguments, console)
    except (BenchError, OSError) as error:
        sys.stderr.write(f"leto: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("leto: interrupted\n")
        return FAILED
    return DONE


def bench(arguments: argparse.Namespace, console: Console) -> None:
    """Raises BenchError, OSError."""
    about = machine(os.getloadavg()[0])
    workloads = QUICK if arguments.quick else FULL
    if arguments.only:
        workloads = chosen(arguments.only, FULL)
    seconds = arguments.seconds or (0.7 if arguments.quick else 3.0)
    password = None
    if arguments.password_file:
        password = Path(arguments.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    stopped: list[Failover] = []
    with ExitStack() as undo:
        targets: list[Target] = []
        cluster = None
        if arguments.addr is not None:
            targets.append(cluster_at(arguments.addr, password))
        else:
            place = tempfile.TemporaryDirectory(prefix="leto-bench-", dir=arguments.directory)
            directory = Path(undo.enter_context(place))
            cluster = LocalCluster(directory, options=arguments.leto_option)
            undo.callback(cluster.stop)
            cluster.start()
            targets.append(cluster.target)
            if redis_is_installed() and not arguments.no_redis:
                for name, durable in (("redis", False), ("redis, appendfsync always", True)):
                    redis = RedisServer(name, directory, durable=durable)
                    undo.callback(redis.stop)
                    redis.start()
                    targets.append(redis.target)
        for name, address in arguments.peer:
            targets.append(Target(name, {name: address}, is_cluster=False))

        def say(line: str) -> None:
            sys.stderr.write(line + "\n")

        rounds = arguments.rounds or 2
        keys = 10_000 if arguments.quick else 100_000
        measured = measure(targets, workloads, rounds=rounds, seconds=seconds, most_keys=keys, say=say)
        trials = arguments.failovers if arguments.failovers is not None else (1 if arguments.quick else 5)
        if cluster is not None and trials:
            stopped = failovers(cluster, trials, say)
    print_report(console, about, measured, stopped)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(as_json(about, measured, stopped), indent=2) + "\n")
        console.print(f"kept in {arguments.json}", markup=False)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="leto bench",
        description="Measure throughput, latency, cost and failover. Without --addr it starts three nodes of its own "
        "on this machine, and redis-server beside them where it is installed.",
    )
    parser.add_argument("--addr", type=_address, metavar="host:port", help="any node of a running cluster to measure")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        type=_peer,
        metavar="NAME=host:port",
        help="another server of the Redis protocol, measured beside; may be repeated",
    )
    parser.add_argument("--quick", action="store_true", help="a few workloads, short runs: within a minute")
    parser.add_argument("--only", metavar="words", help="only the workloads whose name contains this")
    parser.add_argument("--rounds", type=_count, help="runs of each workload on each target [2]")
    parser.add_argument("--seconds", type=_seconds, help="length of a run [3; 0.7 with --quick]")
    parser.add_argument("--failovers", type=_trials, metavar="n", help="trials of each way to end a leader [5; 1]")
    parser.add_argument("--no-redis", action="store_true", help="do not start redis-server beside")
    parser.add_argument("--json", metavar="file", help="keep everything as JSON")
    parser.add_argument("--directory", metavar="dir", help="where the nodes' data goes: on the disk to measure [/tmp]")
    parser.add_argument("--password-file", metavar="file", help="file that holds the cluster's password (--addr)")
    parser.add_argument(
        "--leto-option",
        action="append",
        default=[],
        metavar="--option=value",
        help="passed to the nodes that it starts, as in --leto-option=--fsync=everysec; may be repeated",
    )
    return parser


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _peer(text: str) -> tuple[str, Address]:
    name, equals, address = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=host:port")
    return name, _address(address)


def _count(text: str) -> int:
    return _number(text, 1, 1000)


def _trials(text: str) -> int:
    return _number(text, 0, 1000)


def _number(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {low} to {high}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 3600")
    return seconds

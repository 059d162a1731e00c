"""The command line of `leto bench`."""

from __future__ import annotations

import argparse

from leto.bench.sweeps import SWEEPS
from leto.config import Address


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
    parser.add_argument("--rounds", type=_count, help="runs of each workload on each target [2; 8 with --against]")
    parser.add_argument("--seconds", type=_seconds, help="length of a run [3; 0.7 with --quick; 1 with --against]")
    parser.add_argument(
        "--failovers", type=_trials, metavar="n", help="trials of each way to end a leader [5; 1 if --quick]"
    )
    parser.add_argument("--no-redis", action="store_true", help="do not start redis-server beside")
    parser.add_argument(
        "--sweep",
        nargs="?",
        const="all",
        metavar="names",
        help=f"vary one thing at a time instead of the usual: {', '.join(SWEEPS)}, with commas between, or all",
    )
    parser.add_argument("--open-loop", action="store_true", help="latency at fixed rates with --only, too")
    parser.add_argument(
        "--against", metavar="version", help="compare with a commit or a directory; status 1 if a workload is worse"
    )
    parser.add_argument(
        "--threshold", type=_percent, default=10, metavar="percent", help="how much worse matters (--against) [10]"
    )
    parser.add_argument(
        "--from",
        action="append",
        dest="kept",
        metavar="file",
        help="measure nothing, show what --json kept; several files are one report",
    )
    parser.add_argument("--charts", metavar="dir", help="draw charts (SVG) into this directory")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
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


def _percent(text: str) -> int:
    return _number(text, 1, 90)


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

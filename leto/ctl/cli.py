"""The operator's command line: `leto status`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from leto.config import Address
from leto.ctl import admin_client
from leto.ctl.resp_client import AskFailed
from leto.ctl.table import print_cluster
from leto.ctl.view import ask_any
from leto.errors import ConfigError
from leto.status import cluster_problems, cluster_report

HEALTHY, DEGRADED, UNREACHABLE, USAGE = 0, 1, 2, 64
DEFAULT_ADDRESS = "127.0.0.1:5379"
TABLE_WIDTH = 160  # columns, where the output is no terminal


def main(argv: Sequence[str]) -> int:
    """Run `leto <argv>` and return its exit status.

    status: 0 healthy, 1 degraded, 2 no node could be asked; 64 for a command line that makes no sense.
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as exit_:
        return USAGE if exit_.code else 0
    try:
        password = _password(arguments.password_file)
    except ConfigError as error:
        print(f"leto: {error}", file=sys.stderr)
        return USAGE
    if arguments.admin and arguments.addr:
        print("leto: --addr and --admin are two ways to ask: give one of them", file=sys.stderr)
        return USAGE

    def ask() -> tuple[dict[str, Any], list[str]]:
        if arguments.admin:
            return admin_client.ask_any(arguments.admin, timeout=arguments.timeout)
        addresses = arguments.addr or [Address.parse(DEFAULT_ADDRESS)]
        return ask_any(addresses, password=password, timeout=arguments.timeout)

    return status(ask, as_json=arguments.json)


def status(ask: Callable[[], tuple[dict[str, Any], list[str]]], *, as_json: bool) -> int:
    """Print the cluster as the first node that answers sees it; returns the exit status."""
    try:
        cluster, failures = ask()
    except AskFailed as error:
        if as_json:
            print(json.dumps({"healthy": False, "error": str(error)}))
        else:
            print(f"leto: {error}", file=sys.stderr)
        return UNREACHABLE
    for failure in failures:
        print(f"leto: {failure}", file=sys.stderr)
    problems = cluster_problems(cluster)
    if as_json:
        print(json.dumps(cluster_report(cluster), indent=2))
    else:
        print_cluster(cluster, Console(file=sys.stdout, width=None if sys.stdout.isatty() else TABLE_WIDTH))
    return DEGRADED if problems else HEALTHY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="leto", description="Ask a Leto cluster about itself.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "status",
        help="show every member of the cluster",
        description="Ask any node of the cluster and show all its members. "
        "Exit status: 0 healthy, 1 degraded, 2 no node could be asked.",
    )
    command.add_argument(
        "--addr",
        action="extend",
        nargs="+",
        type=_address,
        metavar="host:port",
        help=f"client addresses, asked in turn until one answers (default {DEFAULT_ADDRESS})",
    )
    command.add_argument(
        "--admin",
        action="extend",
        nargs="+",
        type=_address,
        metavar="host:port",
        help="admin ports (--admin-listen) to ask over HTTP instead; no password is needed there",
    )
    command.add_argument("--json", action="store_true", help="print JSON for programs")
    command.add_argument(
        "--password-file",
        metavar="file",
        help="file that holds the password (else LETO_REQUIREPASS is used, where it is set)",
    )
    command.add_argument("--timeout", type=_seconds, default=3.0, metavar="seconds", help="patience with each node")
    # It has a command line of its own (leto.bench.cli); here it is named among the others.
    commands.add_parser("bench", help="measure throughput, latency and failover", add_help=False)
    return parser


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 3600")
    return seconds


def _password(path: str | None) -> str | None:
    """The password: the file without its line end, else LETO_REQUIREPASS, else None. Raises ConfigError."""
    if path is None:
        return os.environ.get("LETO_REQUIREPASS") or None
    try:
        with open(path, encoding="utf-8") as file:
            password = file.read().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"--password-file {path} cannot be read: {reason}") from None
    if not password:
        raise ConfigError(f"--password-file {path} is empty")
    return password

"""python -m tests.chaos --nodes 3 --seconds 60 --seed 7: real processes, real faults, and a verdict on every reply.

`--seeds 20` runs twenty, `--minutes 30` as many as can begin in that time, `--jobs 4` four side by side. Exit status 0:
nothing was found; 1: something was, and the logs, data and the report of each failed run are kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.chaos import clocks
from tests.chaos.actions import ACTIONS
from tests.chaos.clients import GROUPS
from tests.chaos.jobs import choose_network, end_on_term, lower_priority, run_all
from tests.chaos.namespaces import Unavailable
from tests.chaos.plan import NETWORKS, Plan
from tests.chaos.report import Report, faults, summed, table, verdict


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    for what, known, given in (("action", ACTIONS, options.only), ("kind of keys", GROUPS, options.kinds)):
        unknown = set(filter(None, given.split(","))) - set(known)
        if unknown:
            print(f"chaos: no such {what}: {', '.join(sorted(unknown))}; they are {', '.join(known)}", file=sys.stderr)
            return 2
    lower_priority(options.nice)
    end_on_term()
    try:
        network, words, instead = choose_network(options.network)
    except Unavailable as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    preload = "" if options.no_clocks else clocks.library()
    if instead:
        print(f"chaos: {instead}", flush=True)
    if not preload and not options.no_clocks:
        print("chaos: libfaketime is not installed: clocks are left alone (apt-get install libfaketime)", flush=True)
    until = time.monotonic() + options.minutes * 60 if options.minutes else None
    reports: list[Report] = []
    for job, report in run_all(
        plans(options, network, preload), {network: words}, options.jobs, until=until, tell=tell
    ):
        reports.append(report)
        text = job.directory / "report.txt"
        print(text.read_text() if text.exists() else "\n".join(report["failures"]), flush=True)
        if report["passed"] and not options.keep:
            shutil.rmtree(job.directory)
        else:
            print(f"  kept in     {job.directory}", flush=True)
        if options.report is not None:
            write(options.report, reports)
    print(table(reports))
    print(f"\nFaults: {faults(reports)}.\n")
    print(verdict(reports))
    return 0 if reports and all(report["passed"] for report in reports) else 1


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--nodes", default="3", help="cluster size, or several (3,5) in turn")
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults, each run")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--minutes", type=float, help="begin run after run for this long instead")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument(
        "--network",
        choices=("auto", *NETWORKS),
        default="auto",
        help="a network namespace for each node, or all on loopback behind proxies; auto: the former where it can be",
    )
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--think", type=float, default=0.05, help="seconds a client rests between requests, on average")
    parser.add_argument("--no-clocks", action="store_true", help="leave the nodes' clocks alone")
    parser.add_argument("--only", default="", help="some actions of the nemesis alone: kill,halves,...")
    parser.add_argument("--kinds", default="", help=f"some kinds of keys alone, of {','.join(GROUPS)}")
    parser.add_argument("--node-options", default="", help="more options of every node, in one word")
    parser.add_argument("--planted", default="", help="a bug that the run should find: see tests/chaos/planted.py")
    parser.add_argument("--nice", type=int, default=0, help="give way to others on the machine")
    parser.add_argument("--report", type=Path, help="write the reports, and their sums, to this file as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the logs and data of passed runs too")
    return parser


def plans(options: argparse.Namespace, network: str, preload: str) -> Iterator[Plan]:
    """One a seed; without end if time is what ends it."""
    sizes = [int(size) for size in options.nodes.split(",")]
    for number in itertools.count() if options.minutes else range(options.seeds):
        yield Plan(
            seed=options.seed + number,
            nodes=sizes[number % len(sizes)],
            seconds=options.seconds,
            clients=options.clients,
            think=options.think,
            only=tuple(filter(None, options.only.split(","))),
            kinds=tuple(filter(None, options.kinds.split(","))),
            node_options=tuple(options.node_options.split()),
            planted=options.planted,
            network=network,
            preload=preload,
        )


def tell(line: str) -> None:
    print(line, flush=True)


def write(path: Path, reports: list[Report]) -> None:
    path.write_text(json.dumps({"all": summed(reports), "runs": reports}, indent=1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""python -m tests.chaos --nodes 3 --seconds 60 --seed 7: real processes, real faults, and a verdict on every reply.

`--seeds 20` runs twenty in a row, `--minutes 30` as many as fit. Exit status 0: nothing was found; 1: something was,
and the logs, data and the report of each failed run are kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.run import Outcome, Plan, lower_priority, run, total


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--nodes", default="3", help="cluster size, or several (3,5) in turn")
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults, each run")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--minutes", type=float, help="run seed after seed for this long instead")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--only", default="", help="some actions of the nemesis alone: kill,halves,...")
    parser.add_argument("--node-options", default="", help="more options of every node, in one word")
    parser.add_argument("--planted", default="", help="a bug that the run should find: see tests/chaos/planted.py")
    parser.add_argument("--nice", type=int, default=0, help="give way to others on the machine")
    parser.add_argument("--report", type=Path, help="write the reports to this file as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the logs and data of passed runs too")
    options = parser.parse_args(arguments)
    lower_priority(options.nice)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: the nodes end with this process
    sizes = [int(size) for size in options.nodes.split(",")]
    only = tuple(filter(None, options.only.split(",")))
    until = time.monotonic() + options.minutes * 60 if options.minutes else None
    outcomes: list[Outcome] = []
    while time.monotonic() < until if until is not None else len(outcomes) < options.seeds:
        seed = options.seed + len(outcomes)
        plan = Plan(
            seed,
            sizes[len(outcomes) % len(sizes)],
            options.seconds,
            options.clients,
            only=only,
            node_options=tuple(options.node_options.split()),
            planted=options.planted,
        )
        directory = Path(tempfile.mkdtemp(prefix=f"leto-chaos-{seed}-"))
        outcome = run(plan, directory)
        outcomes.append(outcome)
        print(outcome.text(), flush=True)
        if outcome.passed and not options.keep:
            shutil.rmtree(directory)
        else:
            (directory / "report.json").write_text(json.dumps(outcome.as_data(), indent=1))
            (directory / "report.txt").write_text(outcome.text())
            print(f"  kept in     {directory}", flush=True)
        if options.report is not None:
            options.report.write_text(json.dumps([each.as_data() for each in outcomes], indent=1))
    print(total(outcomes))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

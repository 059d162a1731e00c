"""python -m tests.simulation --seeds 1000 --nodes 3,5,7 --steps 3000: many runs of whole nodes, on all cores.

Shows progress; a run that fails is shown with the one command that replays it and its last events.
`--seed 17` replays one run, and `--trace` prints every event of it. `--core` runs the bare Raft core instead.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests.simulation.plan import SIZES, STEPS, Plan, SimulationFailed
from tests.simulation.runs import bugs_of, prepare, run, run_all


def replay(plan: Plan, trace: bool) -> int:
    try:
        outcome = run(plan, keep=100, show=print if trace else None)
    except SimulationFailed as failure:
        print(f"FAILED: {failure}")
        return 1
    print(f"passed: {outcome}")
    return 0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds, a run each")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--nodes", default=SIZES, help=f"cluster sizes, one a run in turn ({SIZES})")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"events under faults, a run ({STEPS})")
    parser.add_argument("--core", action="store_true", help="the bare Raft core instead of whole nodes")
    parser.add_argument("--bug", default="", help="plant this bug: " + ", ".join(bugs_of(False).names()))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every event")
    parser.add_argument("--failures", type=int, default=3, help="stop after so many")
    options = parser.parse_args(argv)
    bugs = bugs_of(options.core).names()
    if options.bug and options.bug not in bugs:
        parser.error(f"no such bug; there are: {', '.join(bugs)}")
    sizes = [int(size) for size in options.nodes.split(",")]
    if not all(1 <= size <= 7 for size in sizes):
        parser.error("--nodes: 1 to 7")
    prepare()

    def plan(seed: int, size: int) -> Plan:
        return Plan(seed, size, options.steps, options.bug, options.core)

    if options.seed is not None:
        return max(replay(plan(options.seed, size), options.trace) for size in sizes)
    seeds = range(options.first, options.first + options.seeds)
    return run_all([plan(seed, sizes[seed % len(sizes)]) for seed in seeds], options.jobs, options.failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

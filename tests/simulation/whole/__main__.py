"""python -m tests.simulation.whole --seeds 1000 --nodes 3,5 --steps 100: many runs of whole nodes, on all cores.

Shows progress; a run that fails is shown with the one command that replays it and its last events.
`--seed 17` replays one run, and `--trace` prints every event of it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time

from twisted.logger import globalLogBeginner

from tests.simulation.whole.plants import BUGS, planted
from tests.simulation.whole.world import Outcome, Plan, SimulationFailed


def run(plan: Plan) -> tuple[Plan, Outcome | None, str]:
    """One run in a worker process: (plan, its outcome or None, the failure's text)."""
    try:
        with planted(plan.bug) as world_class:
            return plan, world_class(plan).run(), ""
    except SimulationFailed as failure:
        return plan, None, str(failure)


def replay(plan: Plan, trace: bool) -> int:
    with planted(plan.bug) as world_class:
        try:
            outcome = world_class(plan, keep=100, show=print if trace else None).run()
        except SimulationFailed as failure:
            print(f"FAILED: {failure}")
            return 1
    print(f"passed: {outcome}")
    return 0


def quiet() -> None:
    """The nodes' own log lines go nowhere: the trace says what happens."""
    globalLogBeginner.beginLoggingTo([lambda event: None], redirectStandardIO=False, discardBuffer=True)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.whole", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--nodes", default="3,5", help="cluster sizes, one a seed in turn")
    parser.add_argument("--steps", type=int, default=100, help="operations a run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--bug", default="", choices=["", *BUGS], help="plant this bug")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every event")
    parser.add_argument("--failures", type=int, default=3, help="stop after so many")
    options = parser.parse_args(argv)
    quiet()
    sizes = [int(size) for size in options.nodes.split(",")]
    if options.seed is not None:
        return max(replay(Plan(options.seed, size, options.steps, options.bug), options.trace) for size in sizes)
    plans = [
        Plan(seed, sizes[seed % len(sizes)], options.steps, options.bug)
        for seed in range(options.first_seed, options.first_seed + options.seeds)
    ]
    return run_all(plans, options.jobs, options.failures)


def run_all(plans: list[Plan], jobs: int, most_failures: int) -> int:
    failed = done = committed = answered = events = 0
    simulated = 0.0
    began = shown = time.monotonic()
    with multiprocessing.Pool(jobs) as pool:
        for plan, outcome, failure in pool.imap_unordered(run, plans, chunksize=1):
            done += 1
            if outcome is None:
                failed += 1
                print(f"\nFAILED seed {plan.seed}: {failure}", flush=True)
                if failed >= most_failures:
                    pool.terminate()
                    break
            else:
                committed += outcome.committed
                answered += outcome.answered
                simulated += outcome.seconds
                events += outcome.events
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                rate = done / (shown - began)
                print(f"{done}/{len(plans)} runs, {failed} failed, {rate:.1f} runs/s", file=sys.stderr, flush=True)
    print(
        f"{done} runs, {failed} failed: {simulated / 3600:.2f} hours of simulated time, {events} events,"
        f" {committed} entries committed, {answered} operations answered, in {time.monotonic() - began:.1f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

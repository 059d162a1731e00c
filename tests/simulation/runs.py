"""Running plans: one, or many on all cores, with progress shown and every failure."""

from __future__ import annotations

import gc
import multiprocessing
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from twisted.logger import globalLogBeginner

from tests.simulation.core.plants import BUGS as CORE_BUGS
from tests.simulation.lanes import mode_of, taken
from tests.simulation.plan import Outcome, Plan, SimulationFailed
from tests.simulation.whole.plants import BUGS as WHOLE_BUGS

SHOW_EVERY = 5.0  # seconds between lines of progress
COLLECT_EVERY = 20  # runs


def bugs_of(core: bool) -> Any:
    """What can be planted in the bare core, or in whole nodes."""
    return CORE_BUGS if core else WHOLE_BUGS


def run(plan: Plan, keep: int = 60, show: Callable[[str], None] | None = None, mode: str = "") -> Outcome:
    """Raises SimulationFailed. `keep`: how many of the last events it shows. `mode`: which lanes are taken (empty: as
    the seed decides)."""
    with bugs_of(plan.core).planted(plan.bug) as run_class, taken(mode or mode_of(plan.seed, plan.bug), plan.seed):
        outcome: Outcome = run_class(plan, keep=keep, show=show).run()
    return outcome


def seeds_until_found(bug: str, most: int, steps: int, *, core: bool = False) -> tuple[int, str]:
    """(how many seeds it took, the violation). Fails if `most` do not find it.

    What else follows from the bug does not end the search: the check that is meant must see it as well.
    """
    also = bugs_of(core).also_shows_as(bug)
    for seed in range(most):
        try:
            run(Plan(seed, (3, 5)[seed % 2], steps, bug, core), keep=0)
        except SimulationFailed as failure:
            if not also or not re.search(also, failure.sentence):
                return seed + 1, failure.sentence
    raise AssertionError(f"{bug} was not found within {most} seeds")


def in_worker(plan: Plan) -> tuple[Plan, Outcome | None, str, float]:
    """One run in a worker process: (plan, its outcome or None, the failure's text, seconds of CPU)."""
    began = time.process_time()
    try:
        return plan, run(plan), "", time.process_time() - began
    except SimulationFailed as failure:
        return plan, None, str(failure), time.process_time() - began
    finally:
        if plan.seed % COLLECT_EVERY == 0:
            gc.collect()


def prepare() -> None:
    """The nodes' own log lines go nowhere: the trace says what happens. Garbage is collected between runs."""
    globalLogBeginner.beginLoggingTo([lambda event: None], redirectStandardIO=False, discardBuffer=True)
    gc.collect()
    gc.freeze()
    gc.disable()


def run_all(plans: list[Plan], jobs: int, most_failures: int) -> int:
    """Run them, show progress and failures, and sum up; an interrupt ends it early. 1 if any failed."""
    sums: Counter[str] = Counter()
    failed: list[int] = []
    seconds = cpu = 0.0
    began = shown = time.monotonic()
    with multiprocessing.Pool(jobs, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        runs: Iterable[tuple[Plan, Outcome | None, str, float]] = pool.imap_unordered(in_worker, plans)
        try:
            for plan, outcome, failure, used in runs:
                sums["done"] += 1
                cpu += used
                if outcome is None:
                    failed.append(plan.seed)
                    print(f"\nFAILED seed {plan.seed}: {failure}", flush=True)
                    if len(failed) >= most_failures:
                        break
                else:
                    seconds += outcome.seconds
                    sums.update(events=outcome.events, terms=outcome.terms)
                    sums.update(committed=outcome.committed, answered=outcome.answered)
                if time.monotonic() - shown > SHOW_EVERY:
                    shown = time.monotonic()
                    rate = sums["done"] / (shown - began)
                    left = (len(plans) - sums["done"]) / rate
                    line = (
                        f"{sums['done']}/{len(plans)} runs, {len(failed)} failed, {rate:.1f} runs/s, {left:.0f} s left"
                    )
                    print(line, file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough: the workers end, then comes the sum
            print("interrupted", file=sys.stderr)
    print(
        f"{sums['done']} runs, {len(failed)} failed{': seeds ' + str(sorted(failed)) if failed else ''};"
        f" {seconds / 3600:.2f} h of simulated time, {sums['events']} events, {sums['terms']} terms,"
        f" {sums['committed']} entries committed, {sums['answered']} operations answered;"
        f" {cpu:.0f} s of CPU, {time.monotonic() - began:.0f} s in all"
    )
    return 1 if failed else 0

"""python -m tests.conformance: random commands, at Leto and at a redis-server, with the same replies."""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
import tempfile
import time

from tests.conformance.comparison import STREAM, Tally, differs, shortest, stream
from tests.conformance.differences import RULES
from tests.conformance.sides import Incomparable, Redis
from tests.conformance.stream import FAMILIES, load

SHOW_EVERY = 5.0  # seconds
ALL_MET = 900_000  # commands in which every allowed difference is met
CHUNK = 20  # seeds that a worker takes at a time


def compared(arguments: tuple[int, int, list[str]]) -> tuple[Tally, list[tuple[int, str]]]:
    """So many seeds from the first on."""
    first, count, families = arguments
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))  # whoever ends it has its server ended too
    load()
    tally, found = Tally(), []
    with tempfile.TemporaryDirectory(prefix="leto-conformance-") as directory:
        redis = Redis(directory)
        try:
            for seed in range(first, first + count):
                difference = differs(redis, seed, stream(seed, families), tally)
                if difference is not None:
                    found.append((seed, str(shortest(redis, seed, difference))))
        finally:
            redis.close()
    return tally, found


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--commands", type=int, default=100_000, help="about so many [%(default)s]")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed [%(default)s]")
    parser.add_argument("--seed", type=int, help="this one alone, as a run printed it")
    parser.add_argument("--families", default="", help="some alone, with commas between; as in the run to replay")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--most", type=int, default=10, help="end after so many differences [%(default)s]")
    options = parser.parse_args(argv)
    load()
    families = [name for name in options.families.split(",") if name]
    if unknown := set(families) - set(FAMILIES):
        parser.error(f"no such family: {', '.join(sorted(unknown))}; there are {', '.join(sorted(FAMILIES))}")
    first, seeds = (options.seed, 1) if options.seed is not None else (options.first, -(-options.commands // STREAM))
    work = [(at, min(CHUNK, first + seeds - at), families) for at in range(first, first + seeds, CHUNK)]
    total, failed = Tally(), 0
    began = shown = time.monotonic()
    with multiprocessing.Pool(options.jobs) as pool:
        try:
            for tally, found in pool.imap_unordered(compared, work):
                total.commands.update(tally.commands)
                total.errors.update(tally.errors)
                total.rules.update(tally.rules)
                for seed, text in found:
                    failed += 1
                    chosen = f" --families {options.families}" if families else ""
                    print(f"\nDIFFERS: python -m tests.conformance --seed {seed}{chosen}\n{text}", flush=True)
                if failed >= options.most:
                    break
                if time.monotonic() - shown > SHOW_EVERY:
                    shown = time.monotonic()
                    done = total.commands.total()
                    print(f"{done} commands, {done / (shown - began):.0f} per second", file=sys.stderr, flush=True)
        except Incomparable as error:
            print(f"nothing to compare with: {error}", file=sys.stderr)
            return 2
    print("\ncommands: " + ", ".join(f"{name} {count}" for name, count in sorted(total.commands.items())))
    print("errors: " + ", ".join(f"{text!r} {count}" for text, count in total.errors.most_common()))
    unused = [rule.reason for number, rule in enumerate(RULES) if rule.is_needed and not total.rules[number]]
    seconds = time.monotonic() - began
    done = total.commands.total()
    print(f"{done} commands compared, {failed} streams differ; {seconds:.0f} s, {done / seconds:.0f} per second")
    if unused and not families and done >= ALL_MET:
        print("allowed differences that nothing needed: " + "; ".join(unused))
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

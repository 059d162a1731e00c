"""python -m tests.stalls all: three nodes with a million keys, and how long each of them is away from its clients while

nothing   nothing but the stream goes on        expiry    many keys expire at one instant
snapshot  a snapshot is taken                   delete    many keys are deleted
rotation  the log rotates and is compacted      flush     FLUSHALL deletes all of them
log       a follower is brought what it missed  install   a follower is brought a snapshot

A steady stream of SETs goes to the leader all the time. The pauses are those of the nodes' own meters (INFO stalls);
the stream's latencies count from the time that a request was due. Exit status 0: no pause above --most.
The figures are those of this machine, and of whatever else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from tests.stalls.measuring import Result, run, table
from tests.stalls.scenarios import SCENARIOS, Measures


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.stalls", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="+", choices=[*SCENARIOS, "all"])
    for field in fields(Measures):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    parser.add_argument("--most", type=float, default=20.0, help="milliseconds a node may be away from its clients")
    parser.add_argument("--node-options", default="", help="more options of every node, in one word")
    parser.add_argument("--directory", help="where the nodes keep their data")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: the nodes end with this process
    measures = Measures(**{field.name: getattr(options, field.name) for field in fields(Measures)})
    names = [name for name in SCENARIOS if name in options.scenario or "all" in options.scenario]
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="leto-stalls-", dir=options.directory) as directory:
        for result in run(Path(directory), names, measures, *options.node_options.split()):
            results.append(result)
            print(result.text(), flush=True)
            if options.report is not None:
                options.report.write_text(json.dumps([each.as_data() for each in results], indent=1))
    print(f"{measures.keys:,} keys, {measures.rate:,} SETs a second, {os.cpu_count()} cores; milliseconds")
    print(table(results))
    return 0 if all(result.longest <= options.most for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

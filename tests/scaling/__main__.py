"""python -m tests.scaling restart|memory|log: what a node costs as its keys, its log and its cluster grow.

restart   seconds from exec to the first read, by keys in the snapshot, entries behind it, and nodes
memory    bytes a key above key and value, the time and peak of a snapshot, CPU a SET, by keys
log       bytes the log grows by over the bytes of the requests, by clients and value size

The figures are those of this machine, and of whatever else it does. Directories for `restart` are made without
clients, by the store itself (tests/scaling/directories.py).
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
from pathlib import Path

from tests.scaling.living import amplification, loaded
from tests.scaling.restarting import restart


def numbers(text: str) -> list[int]:
    return [int(float(word)) for word in text.split(",")]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["restart", "memory", "log"])
    parser.add_argument("--nodes", type=numbers, default=[1, 3])
    parser.add_argument("--keys", type=numbers, default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--entries", type=numbers, default=[0, 100_000, 300_000])
    parser.add_argument("--clients", type=numbers, default=[1, 50])
    parser.add_argument("--value-bytes", type=numbers, default=[64])
    parser.add_argument("--requests", type=int, default=5_000, help="of log")
    parser.add_argument("--node-options", default="", help="more options of every node, in one word")
    parser.add_argument("--directory", help="where the nodes keep their data")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: the nodes end with this process
    more = tuple(options.node_options.split())
    if options.what == "restart":
        cases = itertools.product(options.nodes, options.keys, options.entries, options.value_bytes)
        print("nodes  keys  entries behind  value bytes  seconds  CPU s  bytes a key")
    elif options.what == "memory":
        cases = itertools.product(options.nodes, options.keys, options.value_bytes, [0])
        print("keys  role  bytes a key  after a snapshot  peak in it  snapshot s  CPU us a SET")
    else:
        cases = itertools.product(options.clients, options.value_bytes, [0], [0])
        print("clients  value bytes  log bytes / request bytes")
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="leto-scaling-", dir=options.directory) as name:
            directory = Path(name)
            if options.what == "restart":
                nodes, keys, entries, value_bytes = case
                r = restart(directory, nodes=nodes, keys=keys, entries=entries, value_bytes=value_bytes, options=more)
                print(
                    f"{nodes}  {keys}  {entries}  {value_bytes}  {r.seconds:.2f}  {r.cpu:.2f}  {r.bytes_a_key:.0f}",
                    flush=True,
                )
            elif options.what == "memory":
                nodes, keys, value_bytes, _ = case
                for each in loaded(directory, nodes=nodes, keys=keys, value_bytes=value_bytes, options=more):
                    print(
                        f"{keys}  {each.role}  {each.bytes_a_key:.0f}  {each.after_snapshot:.0f}"
                        f"  {each.peak_in_snapshot:.0f}  {each.snapshot_seconds:.2f}  {each.cpu_us_a_set:.2f}",
                        flush=True,
                    )
            else:
                clients, value_bytes, _, _ = case
                a = amplification(
                    directory, clients=clients, value_bytes=value_bytes, requests=options.requests, options=more
                )
                print(f"{clients}  {value_bytes}  {a.ratio:.2f}", flush=True)
    print(f"load average {' '.join(f'{average:.1f}' for average in os.getloadavg())}, {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""python -m tests.calls: the Python functions that one client's SET and GET call, by room and by function."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter

from tests.calls.cluster import Cluster
from tests.calls.counting import Place, count, count_together, of_leto

REQUESTS = {
    "SET": b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$64\r\n" + b"x" * 64 + b"\r\n",
    "GET": b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n",
}
CLIENTS = 50  # that ask at once


def show(title: str, calls: Counter[Place], functions: bool) -> None:
    rooms: Counter[str] = Counter()
    for (room, _), number in calls.items():
        rooms[room] += number
    parts = ", ".join(f"{room} {number}" for room, number in rooms.most_common())
    print(f"{title}: {of_leto(calls)} calls of Leto's functions, {calls.total()} in all ({parts})")
    if functions:
        for (room, name), number in sorted(calls.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
            print(f"    {room:<9} {number:>4} {name}")


def per_request(calls: Counter[Place]) -> float:
    """Of CLIENTS requests' calls; what the harness itself calls is none of theirs."""
    return (calls.total() - sum(number for (room, _), number in calls.items() if room == "harness")) / CLIENTS


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.calls", description=__doc__)
    parser.add_argument("--functions", action="store_true", help="list every function")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(directory)
        for name, request in REQUESTS.items():
            calls = count(cluster, request)
            show(f"{name}, leader", calls.leader, options.functions)
            show(f"{name}, follower", calls.follower, options.functions)
            print(f"{name}: {calls.synced} from the follower's fdatasync to its acknowledgement's sending, ", end="")
            print(f"{calls.answered} from that to the client's reply")
        cluster.connect(CLIENTS - 1)
        for name, request in REQUESTS.items():
            together = count_together(cluster, request)
            show(f"{name} of {CLIENTS} clients, leader", together, options.functions)
            print(f"{name} of {CLIENTS} clients: {per_request(together):.2f} calls per request")
        cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

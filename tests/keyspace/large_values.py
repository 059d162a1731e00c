"""The longest step of whatever is done to one large value, in milliseconds of CPU time:

python -m tests.keyspace.large_values [elements]
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from itertools import count
from time import process_time

from leto.keyspace.machine import Machine
from leto.keyspace.snapshot import LEVELS
from leto.keyspace.types.value import size
from tests.keyspace.batches import Bench
from tests.keyspace.tally import COMMANDS

SLICE = 1 << 16  # bytes of a snapshot's slice
OBJECTS = 200  # freed in a step (leto.replica.disposal)
PAIRS = 500  # of names and counts that one entry brings, while the value is made


class Longest:
    """The longest of the steps of one kind, and how many there were."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.steps = 0

    def __call__(self, step: Callable[[], object]) -> object:
        """Do it, and take its time."""
        began = process_time()
        result = step()
        self.seconds = max(self.seconds, process_time() - began)
        self.steps += 1
        return result


def filled(elements: int) -> Bench:
    """A bench with so many elements under k."""
    bench = Bench(commands=COMMANDS, checked=False)
    for start in range(0, elements, PAIRS):
        numbers = range(start, min(start + PAIRS, elements))
        bench.write(["TALLYSET", "k", *(word for n in numbers for word in (f"field:{n}", f"value:{n}"))])
    return bench


def emptied(machine: Machine, step: Callable[[Callable[[], object]], object]) -> None:
    while step(lambda: machine.free_waste(OBJECTS)):
        pass


def measure(elements: int) -> dict[str, Longest]:
    """The longest steps by what was done."""
    found: dict[str, Longest] = {}

    def kind(name: str) -> Longest:
        return found.setdefault(name, Longest())

    bench = filled(elements)
    machine = bench.machine
    gc.collect()
    gc.freeze()  # as the service does
    kind("change")(lambda: bench.write("TALLYSET k field:1 x"))
    index, digest = machine.digest()
    writer = kind("snapshot: begin")(machine.snapshot)
    fields = (f"field:{7919 * number % elements}" for number in count())
    chunks = []
    while chunk := kind("snapshot: slice")(lambda: writer.next_slice(SLICE)):
        chunks.append(chunk)
        kind("change during a snapshot")(lambda: bench.write(f"TALLYSET k {next(fields)} new"))
    writer.close()
    other = Machine(random=lambda: 0.5, commands=COMMANDS)
    other.level = LEVELS[3]
    restoring = other.restoring(chunks, index)
    while kind("restore: step")(lambda: next(restoring, True)) is None:
        pass
    assert other.digest() == (index, digest)
    kind("COPY")(lambda: bench.write("COPY k j"))
    kind("change after COPY")(lambda: bench.write("TALLYSET j field:1 y"))
    kind("RENAME")(lambda: bench.write("RENAME j i"))
    kind("EXPIRE")(lambda: bench.write("EXPIRE i 100"))
    kind("size")(lambda: size(b"k", machine.database.data[b"k"]))
    kind("digest")(machine.digest)
    kind("DEL")(lambda: bench.write("DEL i"))
    emptied(machine, kind("DEL: freed in a step"))
    bench.write("COPY k j")
    kind("overwrite")(lambda: bench.write("SET j x"))
    kind("FLUSHALL")(lambda: bench.write("FLUSHALL"))
    emptied(machine, kind("FLUSHALL: freed in a step"))
    writer = other.snapshot()  # into the place of a state that is as large
    chunks = list(iter(lambda: writer.next_slice(SLICE), b""))
    behind = filled(elements // 2).machine
    restoring = behind.restoring(chunks, index)
    while kind("catch-up: step")(lambda: next(restoring, True)) is None:
        pass
    emptied(behind, kind("catch-up: freed in a step"))
    return found


def main() -> None:
    elements = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for name, longest in measure(elements).items():
        print(f"{name:28s} {1000 * longest.seconds:8.2f} ms, the longest of {longest.steps}")


if __name__ == "__main__":
    main()

"""Runs scenarios one after another on one cluster, each beside the stream, and tells what the meters saw."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.integration.cluster import Cluster
from tests.stalls.meters import Reading, read, set_back
from tests.stalls.pace import Outcome, Pace
from tests.stalls.scenarios import SCENARIOS, Measures, Stage

# So that a log of the length that a minute makes rotates, is compacted, and is too short for who comes back empty.
SHORT_LOG = ("--segment-bytes", "16mb", "--trailing-entries", "1000")


@dataclass(frozen=True)
class Result:
    """One scenario's: the leader's reading, the followers', the stream's outcome; the machine's load average."""

    name: str
    what: str
    leader: Reading
    followers: tuple[Reading, ...]
    stream: Outcome
    load: float

    @property
    def longest(self) -> float:
        """Of all nodes, milliseconds."""
        return max(reading.longest for reading in (self.leader, *self.followers))

    def text(self) -> str:
        readings = "\n".join(f"  {reading.text()}" for reading in (self.leader, *self.followers))
        return f"{self.name}: {self.what}\n{readings}\n  stream: {self.stream.text()}\n  load average {self.load:.1f}"

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def run(directory: Path, names: Sequence[str], measures: Measures, *options: str) -> Iterator[Result]:
    """Each result as it comes. The first node of each result leads."""
    with Cluster(directory, 3, *SHORT_LOG, *options) as cluster:
        stage = Stage(cluster, measures)
        stage.fill()
        for name in names:
            prepare, act = SCENARIOS[name]
            stage.rest()
            if prepare is not None:
                prepare(stage)
            around = measures.seconds / 5  # before and after it the stream goes on for so long
            with Pace(port=stage.leader.client_port.number, rate=measures.rate) as pace:
                time.sleep(around)
                set_back(cluster.running)
                act(stage)
                time.sleep(around)
            assert not pace.outcome.errors, f"{name}: the stream met {pace.outcome.errors}"
            assert cluster.wait_leader() is stage.leader, f"{name}: the leader has changed"
            yield Result(
                name,
                act.__doc__ or name,
                read(stage.leader),
                tuple(read(node) for node in cluster if node is not stage.leader),
                pace.outcome,
                os.getloadavg()[0],
            )
        stage.rest()
        cluster.wait_same_state()


def table(results: Sequence[Result]) -> str:
    """All in one table, as docs/performance.md has it: milliseconds."""
    lines = [
        "| | leader's longest pause | followers' | longest computing in one go | SET p50 | p99 | p99.9 | longest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        stream = result.stream
        cells = (
            result.what,
            f"{result.leader.longest:.1f}",
            ", ".join(f"{reading.longest:.1f}" for reading in result.followers),
            ", ".join(f"{reading.most_cpu:.1f}" for reading in (result.leader, *result.followers)),
            *(f"{value * 1000:.1f}" for value in (stream.p50, stream.p99, stream.p999, stream.longest)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)

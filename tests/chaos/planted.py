"""python -m tests.chaos.planted BUG ...: a node with a bug planted on purpose, to see that chaos finds it.

The rest of the command line is the node's own. The code under test has no switch for these.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from typing import Any

from leto import main
from leto.raft import clock, reads, replication
from leto.raft.state import State
from leto.replica import reads as replica_reads
from tests.simulation.lanes import taken


def commits_alone() -> None:
    """A leader takes what it has on its own disk for committed."""

    class Hasty:
        @staticmethod
        def agreed(voters: Collection[str], outgoing: Collection[str], reached: Callable[[str], Any]) -> Any:
            return max(map(reached, {*voters, *outgoing}))

    replication.quorum = Hasty  # type: ignore[assignment, misc]


def reads_without_a_round() -> None:
    """A leader answers reads because it believes to lead."""
    reads.echoed = lambda s: s.round  # type: ignore[assignment]


def leases_for_ever() -> None:
    """A leader that was confirmed once answers by its lease from then on."""
    reads.lease_holds = lambda s: s.settings.lease and s.lease_until >= 0


def clocks_of_their_own() -> None:
    """Each node judges expiry by its own wall clock."""

    def serve(batch: Any, clock_ms: int) -> None:
        for waiter in batch.waiting:
            waiter.confirmed(int(time.time() * 1000))

    replica_reads._serve = serve


def a_clock_that_waits() -> None:
    """The cluster's clock is the highest wall clock that any leader had, and stands still while it is ahead."""

    def advance(s: State, wall_ms: int, now: float) -> None:
        s.wall = wall_ms - now * 1000
        s.clock_ms = max(s.clock_ms, wall_ms)

    clock.advance = advance
    clock.passed = lambda s, now: s.clock_ms


BUGS: dict[str, Callable[[], None]] = {
    "commits-alone": commits_alone,
    "reads-without-a-round": reads_without_a_round,
    "leases-for-ever": leases_for_ever,
    "clocks-of-their-own": clocks_of_their_own,
    "a-clock-that-waits": a_clock_that_waits,
}

if __name__ == "__main__":
    BUGS[sys.argv[1]]()
    del sys.argv[1]
    with taken("none", 0):  # the bugs are in the general way
        sys.exit(main.main())

"""What a core is told once: its id, its timing and its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from leto.raft.configuration import Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Durations are seconds, sizes are payload bytes."""

    id: str
    incarnation: str | None = None  # of this data directory (leto.raft.configuration.Member); None: any is meant
    election_timeout: float = 0.8  # each timeout is drawn from [1, 1.5) times this
    heartbeat_interval: float = 0.1
    fast_election_delay: float = (
        0.05  # upper bound of the random delay before the pre-vote once the leader's link closed
    )
    commit_notice: float = 0.01  # a follower that no append goes to is told of a commit after so long (0: at once)
    max_append_bytes: int = 256 << 10  # in one AppendEntries (one entry may exceed it)
    max_inflight_appends: int = 64  # per follower, unanswered
    max_inflight_bytes: int = 16 << 20  # per follower, unanswered (one entry may exceed it)
    max_uncommitted_bytes: int = 256 << 20  # a leader without a quorum takes no more (one entry may exceed it)
    cache_bytes: int = 32 << 20  # durable entries kept in memory for followers; older ones are read from disk
    max_clock_offset: float = 5.0  # a leader's wall clock further from what a majority's stand for is not followed
    # The leader confirms reads by lease while it holds. A node without it promises no leader anything: it may vote
    # right after its restart.
    lease: bool = False
    clock_drift: float = 0.1  # fraction of the election timeout taken off the lease
    # Raises ValueError for the payload of a COMMAND entry that this node could not apply, whatever it holds: asked
    # before a leader's entry is appended.
    check_command: Callable[[bytes], None] = lambda payload: None
    check_members: Callable[[Configuration], None] = lambda configuration: None  # likewise, of a configuration

    @property
    def promise_ms(self) -> int:
        """Milliseconds: the longest lease that this node asks for, or promises. It must keep its promise over a
        restart, which takes away the memory of it: so for no longer than it then waits in any case."""
        return int(self.election_timeout * 1000)

    def validate(self) -> None:
        """Raises ValueError with a sentence for the first setting that cannot work."""
        if not self.id:
            raise ValueError("the server id must not be empty")
        if not self.election_timeout > 0:
            raise ValueError(f"the election timeout must be positive, not {self.election_timeout} s")
        if not 0 < self.heartbeat_interval < self.election_timeout:
            raise ValueError(
                f"the heartbeat interval ({self.heartbeat_interval} s) must be positive and below the election"
                f" timeout ({self.election_timeout} s), or idle followers would campaign"
            )
        if self.commit_notice < 0:
            raise ValueError(f"the delay of a commit's notice must not be negative, as {self.commit_notice} s is")
        if not 0 <= self.fast_election_delay <= self.election_timeout:
            raise ValueError("the fast election delay must lie between 0 and the election timeout")
        for name in ("max_append_bytes", "max_inflight_appends", "max_inflight_bytes", "max_uncommitted_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, or nothing could be replicated")
        if self.cache_bytes < 0:
            raise ValueError("cache_bytes must not be negative")
        if not self.max_clock_offset > 0:
            raise ValueError(f"the largest offset of clocks must be positive, not {self.max_clock_offset} s")
        if not 0 <= self.clock_drift < 1:
            raise ValueError(f"the clock drift must be a fraction in [0, 1), not {self.clock_drift}")

"""How far a follower is, as its leader knows it (paper figure 2: nextIndex, matchIndex; flow control).

probe      the leader does not know where the logs part: one append, then wait for its answer or the next heartbeat
replicate  the logs agree at next - 1: entries are sent as they come, `next` running ahead of the answers
snapshot   the entries it needs are compacted: a snapshot is on its way, only heartbeats are sent
"""

from __future__ import annotations

import math
from collections import deque

PROBE = "probe"
REPLICATE = "replicate"
SNAPSHOT = "snapshot"


class Progress:
    """0 <= match < next. `match` is durable at the follower and never goes back within a term."""

    __slots__ = (
        "awaits_commit",
        "beat",
        "catch_up_since",
        "catch_up_target",
        "commit_sent",
        "incarnation",
        "inflight",
        "inflight_bytes",
        "joining",
        "last_contact",
        "lease_round",
        "lease_until",
        "match",
        "next",
        "pending_snapshot",
        "probe_sent",
        "resend_after",
        "round",
        "round_floor",
        "state",
        "trip",
    )

    def __init__(self, next_index: int, now: float, *, joining: bool = False, incarnation: str = "") -> None:
        self.state = PROBE
        self.match = 0
        self.next = next_index
        self.last_contact = now  # seconds; when it last answered in this term
        self.round = 0  # highest read round it echoed
        self.lease_round = 0  # highest round it echoed with a promise
        self.lease_until = -1.0  # seconds; it votes for no one else before, by what it promised
        self.beat = 0  # round of the last heartbeat it answered
        self.round_floor = 0  # answers that echo an older round are another disk's
        self.trip = math.inf  # seconds that its last echo of a new round took; none yet in this term
        self.pending_snapshot = 0  # index of the snapshot that it is being sent
        self.probe_sent = False  # probe: the one append is on its way
        self.commit_sent = 0  # highest commit index it was told to reach
        self.awaits_commit = False  # a read of its own waits there for the commit index to be told
        self.inflight: deque[tuple[int, int]] = deque()  # (last index, payload bytes) of each unanswered append
        self.inflight_bytes = 0
        self.resend_after = 0.0  # seconds; till then a gap it reports may be a big append overtaken by a small one
        self.joining = joining  # a learner to be promoted once it has caught up
        self.incarnation = incarnation  # the data directory that this is the progress of
        self.catch_up_target = 0  # dissertation 4.2.1: the round under way ends there ...
        self.catch_up_since = now  # ... and began then

    def become_probe(self, next_index: int, *, wait: bool = False) -> None:
        """`wait`: the next heartbeat is the probe."""
        self.state = PROBE
        self.next = max(next_index, self.match + 1)
        self.pending_snapshot = 0
        self.probe_sent = wait
        self._clear_inflight()

    def become_replicate(self, next_index: int) -> None:
        self.state = REPLICATE
        self.next = max(next_index, self.match + 1)
        self.pending_snapshot = 0
        self.probe_sent = False
        self._clear_inflight()

    def become_snapshot(self, index: int) -> None:
        self.state = SNAPSHOT
        self.pending_snapshot = index
        self.probe_sent = False
        self._clear_inflight()

    def is_full(self, max_appends: int, max_bytes: int) -> bool:
        """Whether no more may be sent before an answer."""
        return len(self.inflight) >= max_appends or self.inflight_bytes >= max_bytes

    def sent(self, last_index: int, size: int) -> None:
        """An append up to last_index with `size` payload bytes left (replicate)."""
        self.next = last_index + 1
        self.inflight.append((last_index, size))
        self.inflight_bytes += size

    def acknowledged(self, index: int) -> bool:
        """Everything up to `index` is durable there. Whether that is news."""
        if index <= self.match:
            return False
        self.match = index
        if index >= self.next:
            self.next = index + 1
        inflight = self.inflight
        while inflight and inflight[0][0] <= index:
            self.inflight_bytes -= inflight.popleft()[1]
        return True

    def _clear_inflight(self) -> None:
        self.inflight.clear()
        self.inflight_bytes = 0
        self.resend_after = 0.0

    def __repr__(self) -> str:
        return f"<{self.state} match={self.match} next={self.next} inflight={len(self.inflight)}>"

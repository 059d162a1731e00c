"""Writes on their way: gathered, appended, resolved; which request waits for which part of which entry."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from leto.errors import LetoError, OutcomeUnknown
from leto.interfaces.replica import WriteRequest
from leto.raft.messages import Entry

CONGESTED_REQUESTS = 16_384  # enough to fill the largest batches; a fraction of a second's work

_PAYLOAD, _COUNT = attrgetter("payload"), attrgetter("count")
UNCERTAIN = "the write was appended, but leadership was lost before it committed: it may or may not apply"


class Proposals:
    """One entry holds the writes of many clients; each request waits for its own slice of the replies."""

    def __init__(self, max_batch_bytes: int, congested_bytes: int = 128 << 20) -> None:
        self._max_batch_bytes = max_batch_bytes
        self.congested_bytes = congested_bytes
        self._gathered: deque[WriteRequest] = deque()
        # (index, term, who waits): terms ascend, and the indexes within a term; a later term may begin at a lower index
        self._appended: deque[tuple[int, int, list[WriteRequest]]] = deque()
        self.gathered_bytes = 0
        self.gathered_requests = 0
        self.gathered_returning = 0  # of these, whose clients were answered just now
        self.waiting_requests = 0  # gathered or appended, and not answered
        self.waiting_bytes = 0  # their payload

    @property
    def is_congested(self) -> bool:
        """So much waits that more would only wait longer: clients are better left unread."""
        return self.waiting_requests > CONGESTED_REQUESTS or self.waiting_bytes > self.congested_bytes

    @property
    def is_gathering(self) -> bool:
        """Something waits to be appended."""
        return bool(self._gathered)

    @property
    def is_empty(self) -> bool:
        return not self._gathered and not self._appended

    @property
    def awaits_fate(self) -> bool:
        """Something was appended and is not resolved."""
        return bool(self._appended)

    def submit(self, request: WriteRequest) -> None:
        """Queue it for the next entry."""
        self._gathered.append(request)
        size = len(request.payload)
        self.gathered_bytes += size
        self.gathered_requests += request.count
        if request.returns:
            self.gathered_returning += request.count
        self.waiting_requests += request.count
        self.waiting_bytes += size

    def next_batch(self) -> tuple[bytes, int, list[WriteRequest]]:
        """Take what one entry may hold: (requests, their number, who waits). At least one request."""
        gathered = self._gathered
        if self.gathered_bytes <= self._max_batch_bytes:
            waiting = list(gathered)
            gathered.clear()
        else:
            waiting = [gathered.popleft()]
            size = len(waiting[0].payload)
            while gathered and size + len(gathered[0].payload) <= self._max_batch_bytes:
                size += len(gathered[0].payload)
                waiting.append(gathered.popleft())
        requests = b"".join(map(_PAYLOAD, waiting))
        self.gathered_bytes -= len(requests)
        count = sum(map(_COUNT, waiting))
        self.gathered_requests -= count
        if not gathered:
            self.gathered_returning = 0
        return requests, count, waiting

    def appended(self, index: int, term: int, waiting: list[WriteRequest]) -> None:
        """The batch is the entry at `index` of this node's own `term`."""
        self._appended.append((index, term, waiting))

    def applied(self, entry: Entry, replies: Sequence[Any], microseconds: float = 0.0) -> None:
        """`entry` was applied, in so much time: answer those who wait for it. Those whose entry was overwritten learn
        that the fate of their write is not theirs to know: it was appended once, so it is not a plain refusal.

        Terms never fall along a log: behind an entry of a later term none of an earlier one can follow, wherever it
        was appended."""
        appended = self._appended
        at, of = entry.index, entry.term
        while appended and (appended[0][0] <= at or appended[0][1] < of):
            index, term, waiting = appended.popleft()
            if index != at or term != of:
                self.refuse(waiting, lambda: OutcomeUnknown(UNCERTAIN))
                continue
            self.waiting_requests -= len(replies)
            each = microseconds / (len(replies) or 1)
            start = size = 0
            for request in waiting:
                size += len(request.payload)
                request.applied(replies, start, each)
                start += request.count
            self.waiting_bytes -= size

    def refuse_gathered(self, error: Callable[[], LetoError]) -> None:
        """Nothing of this was appended, and none of it will be."""
        refused, self._gathered = self._gathered, deque()
        self.gathered_bytes = self.gathered_requests = self.gathered_returning = 0
        self.refuse(refused, error)

    def overtaken(self, index: int, term: int) -> None:
        """A snapshot of everything up to `index`, whose last entry is of `term`, became the keyspace: what it holds
        was not applied here one by one."""
        self._abandon(lambda at, of: at <= index or of < term)

    def abandon(self, term: int | None = None) -> None:
        """Give up waiting for the fate of what was appended in `term` or before it (None: of all)."""
        self._abandon(lambda at, of: term is None or of <= term)

    def _abandon(self, is_lost: Callable[[int, int], bool]) -> None:
        """Tell those whose entry, by its index and term, `is_lost`."""
        appended, self._appended = self._appended, deque()
        for item in appended:
            if is_lost(item[0], item[1]):
                self.refuse(item[2], lambda: OutcomeUnknown(UNCERTAIN))
            else:
                self._appended.append(item)

    def refuse(self, waiting: Iterable[WriteRequest], error: Callable[[], LetoError]) -> None:
        """They wait no longer, and are told so."""
        for request in waiting:
            self.waiting_requests -= request.count
            self.waiting_bytes -= len(request.payload)
            request.refused(error())

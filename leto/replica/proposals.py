"""Writes on their way: gathered, appended, resolved; which request waits for which part of which entry."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from leto.errors import LetoError, OutcomeUnknown
from leto.interfaces import WriteRequest
from leto.raft.messages import Entry
from leto.requests import DeferredWrite

UNCERTAIN = "the write was appended, but leadership was lost before it committed: it may or may not apply"


class Proposals:
    """One entry holds the writes of many clients; each request waits for its own slice of the replies."""

    def __init__(self, max_batch_bytes: int) -> None:
        self._max_batch_bytes = max_batch_bytes
        self._gathered: deque[WriteRequest] = deque()
        self._appended: deque[tuple[int, int, list[WriteRequest]]] = deque()  # (index, term, who waits), ascending
        self.gathered_bytes = 0

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
        self.gathered_bytes += len(request.payload)

    def gather(self, payload: bytes, count: int) -> Deferred[list[Any]]:
        """Queue `count` requests for the next entry; fires with their replies."""
        request = DeferredWrite(payload, count)
        self.submit(request)
        return request.done

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
        requests = b"".join([request.payload for request in waiting])
        self.gathered_bytes -= len(requests)
        return requests, sum([request.count for request in waiting]), waiting

    def appended(self, index: int, term: int, waiting: list[WriteRequest]) -> None:
        """The batch is the entry at `index` of this node's own `term`."""
        self._appended.append((index, term, waiting))

    def applied(self, entry: Entry, replies: Sequence[Any], microseconds: float = 0.0) -> None:
        """`entry` was applied, in so much time: answer those who wait for it. Those whose entry was overwritten learn
        that the fate of their write is not theirs to know: it was appended once, so it is not a plain refusal."""
        appended = self._appended
        while appended and appended[0][0] <= entry.index:
            index, term, waiting = appended.popleft()
            if index != entry.index or term != entry.term:
                _fail(waiting)
                continue
            each = microseconds / (len(replies) or 1)
            start = 0
            for request in waiting:
                request.applied(replies, start, each)
                start += request.count

    def refuse_gathered(self, error: Callable[[], LetoError]) -> None:
        """Nothing of this was appended, and none of it will be."""
        refused, self._gathered = self._gathered, deque()
        self.gathered_bytes = 0
        for request in refused:
            request.refused(error())

    def abandon_appended(self, index: int | None = None) -> None:
        """Give up waiting for the fate of what was appended (up to `index`, or all of it)."""
        while self._appended and (index is None or self._appended[0][0] <= index):
            _fail(self._appended.popleft()[2])


def _fail(waiting: list[WriteRequest]) -> None:
    for request in waiting:
        request.refused(OutcomeUnknown(UNCERTAIN))

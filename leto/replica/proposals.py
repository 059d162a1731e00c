"""Writes on their way: gathered, appended, resolved; which client waits for which part of which entry."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from leto.errors import LetoError, OutcomeUnknown
from leto.raft.messages import Entry

Waiting = list[tuple[int, "Deferred[list[Any]]"]]  # (number of requests, who waits for their replies)

UNCERTAIN = "the write was appended, but leadership was lost before it committed: it may or may not apply"


class Proposals:
    """One entry holds the writes of many clients; each client waits for its own slice of the replies."""

    def __init__(self, max_batch_bytes: int) -> None:
        self._max_batch_bytes = max_batch_bytes
        self._gathered: deque[tuple[bytes, int, Deferred[list[Any]]]] = deque()
        self._appended: deque[tuple[int, int, Waiting]] = deque()  # (index, term, waiting), ascending
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

    def gather(self, payload: bytes, count: int) -> Deferred[list[Any]]:
        """Queue `count` requests for the next entry; fires with their replies."""
        waiter: Deferred[list[Any]] = Deferred()
        self._gathered.append((payload, count, waiter))
        self.gathered_bytes += len(payload)
        return waiter

    def next_batch(self) -> tuple[bytes, int, Waiting]:
        """Take what one entry may hold: (requests, their number, who waits). At least one client's run."""
        gathered = self._gathered
        payload, count, waiter = gathered.popleft()
        size = len(payload)
        waiting: Waiting = [(count, waiter)]
        parts = [payload]
        while gathered and size + len(gathered[0][0]) <= self._max_batch_bytes:
            payload, more, waiter = gathered.popleft()
            size += len(payload)
            count += more
            parts.append(payload)
            waiting.append((more, waiter))
        self.gathered_bytes -= size
        return (b"".join(parts) if len(parts) > 1 else parts[0]), count, waiting

    def appended(self, index: int, term: int, waiting: Waiting) -> None:
        """The batch is the entry at `index` of this node's own `term`."""
        self._appended.append((index, term, waiting))

    def applied(self, entry: Entry, replies: Sequence[Any]) -> None:
        """`entry` was applied: answer those who wait for it. Those whose entry was overwritten learn that the fate
        of their write is not theirs to know: it was appended once, so it is not a plain refusal."""
        appended = self._appended
        while appended and appended[0][0] <= entry.index:
            index, term, waiting = appended.popleft()
            if index != entry.index or term != entry.term:
                _fail(waiting, lambda: OutcomeUnknown(UNCERTAIN))
                continue
            start = 0
            for count, waiter in waiting:
                waiter.callback(list(replies[start : start + count]))
                start += count

    def refuse_gathered(self, error: Callable[[], LetoError]) -> None:
        """Nothing of this was appended, and none of it will be."""
        refused, self._gathered = self._gathered, deque()
        self.gathered_bytes = 0
        for _, _, waiter in refused:
            waiter.errback(error())

    def abandon_appended(self, index: int | None = None) -> None:
        """Give up waiting for the fate of what was appended (up to `index`, or all of it)."""
        while self._appended and (index is None or self._appended[0][0] <= index):
            _fail(self._appended.popleft()[2], lambda: OutcomeUnknown(UNCERTAIN))


def _fail(waiting: Waiting, error: Callable[[], LetoError]) -> None:
    for _, waiter in waiting:
        waiter.errback(error())

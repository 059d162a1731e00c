"""Reads that wait: for a leader, for a quorum, for the log to be applied far enough. Batched and bounded."""

from __future__ import annotations

import heapq

from leto.errors import LetoError, NoQuorum
from leto.interfaces.replica import ReadRequest
from leto.raft.ready import ReadState


class Batch:
    """All reads that arrived in one turn: they share one read index."""

    __slots__ = ("deadline", "asked_at", "returning", "waiting")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.asked_at = 0.0
        self.waiting: list[ReadRequest] = []
        self.returning = 0  # of these, whose clients were answered just now


class Reads:
    """Every read waits at most `timeout` seconds; one that got no answer within `retry` seconds is asked again."""

    def __init__(self, timeout: float, retry: float) -> None:
        self._timeout = timeout
        self._retry = retry
        self.gathering: Batch | None = None  # open: the next turn asks for it, if there is a leader to ask
        self.unasked: list[Batch] = []  # have waited already: their leader changed, or did not answer
        self._refused: list[Batch] = []  # to be asked when the leader changes or the retry is due
        self._asked: dict[int, Batch] = {}  # context -> batch, in the order asked
        self.confirmed: list[tuple[int, int, int, Batch]] = []  # heap: (index, context, clock_ms, batch)
        self.batches = 0  # that are neither served nor failed, the one that is gathered included
        self._next_context = 1

    @property
    def wants_to_ask(self) -> bool:
        return self.gathering is not None or bool(self.unasked)

    @property
    def asked(self) -> int:
        """Reads that wait for the leader's answer."""
        count = 0
        for batch in self._asked.values():
            count += len(batch.waiting)
        return count

    @property
    def waiting(self) -> int:
        """Reads that are not asked for yet, or wait for the leader's answer."""
        return self.asked + (len(self.gathering.waiting) if self.gathering is not None else 0)

    def begin(self, now: float) -> Batch:
        """Open a batch: none is open. Reads that are added to it are confirmed when they may be served."""
        batch = self.gathering = Batch(now + self._timeout)
        self.batches += 1
        return batch

    def ask(self, now: float) -> list[int]:
        """The contexts to hand to the core now, one a batch."""
        batches, self.unasked = self.unasked, []
        if self.gathering is not None:
            batches.append(self.gathering)
            self.gathering = None
        contexts = []
        for batch in batches:
            context = self._next_context
            self._next_context += 1
            batch.asked_at = now
            self._asked[context] = batch
            contexts.append(context)
        return contexts

    def answered(self, state: ReadState, applied: int) -> None:
        """The core's answer: serve now, once applied, or (index 0) ask again later."""
        batch = self._asked.pop(state.context, None)
        if batch is None:
            return  # timed out, or asked again under another context
        if state.index == 0:
            self._refused.append(batch)
        elif state.index <= applied:
            self.batches -= 1
            _serve(batch, state.clock_ms)
        else:
            heapq.heappush(self.confirmed, (state.index, state.context, state.clock_ms, batch))

    def applied(self, index: int) -> None:
        """The keyspace holds everything up to `index`."""
        confirmed = self.confirmed
        while confirmed and confirmed[0][0] <= index:
            _, _, clock_ms, batch = heapq.heappop(confirmed)
            self.batches -= 1
            _serve(batch, clock_ms)

    def leader_changed(self) -> None:
        """Whoever was asked may never answer: ask the new one."""
        self.unasked += self._refused
        self._refused = []
        self.unasked += self._asked.values()
        self._asked.clear()

    def tick(self, now: float) -> None:
        """Fail what waited too long, ask again what got no answer."""
        for context, batch in list(self._asked.items()):
            if now - batch.asked_at >= self._retry or now >= batch.deadline:
                del self._asked[context]
                self._refused.append(batch)
        self.unasked += self._refused
        self._refused = []
        late = [batch for batch in self.unasked if batch.deadline <= now]
        self.unasked = [batch for batch in self.unasked if batch.deadline > now]
        late += [item[3] for item in self.confirmed if item[3].deadline <= now]
        self.confirmed = [item for item in self.confirmed if item[3].deadline > now]
        heapq.heapify(self.confirmed)
        if self.gathering is not None and self.gathering.deadline <= now:
            late.append(self.gathering)
            self.gathering = None
        for batch in late:
            self.batches -= 1
            _fail(batch, NoQuorum("no quorum confirmed the read in time; nothing was read"))

    def fail_all(self, error: LetoError) -> None:
        batches = [*self.unasked, *self._refused, *self._asked.values(), *(item[3] for item in self.confirmed)]
        if self.gathering is not None:
            batches.append(self.gathering)
        self.gathering = None
        self.unasked, self._refused, self.confirmed = [], [], []
        self._asked.clear()
        self.batches -= len(batches)
        for batch in batches:
            _fail(batch, error)


def _serve(batch: Batch, clock_ms: int) -> None:
    for request in batch.waiting:
        request.confirmed(clock_ms)


def _fail(batch: Batch, error: LetoError) -> None:
    for request in batch.waiting:
        request.refused(error)

"""Time in a simulated world: one timeline for all, and on it each process's own monotonic clock.

A process's clock may run fast or slow, be paused (what comes due waits, and comes all at once later) and dies with
its process. Calls of one instant run in the order in which they were made.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.task import Clock

EARLY = 1e-9  # seconds of rounding between a process's time and the timeline's


class Owner(Protocol):
    """Whose clock a call was made on."""

    def fire(self, call: Call) -> None:
        """The call's time has come on the timeline."""


class Call:
    """A delayed call, as IDelayedCall tells of it. `due` is on its owner's clock."""

    __slots__ = ("args", "cancelled", "due", "function", "kwargs", "owner")

    def __init__(self, owner: Owner, due: float, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self.owner = owner
        self.due = due
        self.function: Callable[..., Any] | None = function
        self.args = args
        self.kwargs = kwargs
        self.cancelled = False

    def active(self) -> bool:
        return self.function is not None

    def getTime(self) -> float:
        return self.due

    def cancel(self) -> None:
        if self.function is None:
            raise AlreadyCancelled if self.cancelled else AlreadyCalled
        self.function = None
        self.cancelled = True

    def run(self) -> None:
        function, self.function = self.function, None
        if function is not None:
            function(*self.args, **self.kwargs)


class Timeline(Clock):
    """task.Clock with a heap for its calls, that runs event by event: seconds() is each event's own time."""

    def __init__(self) -> None:
        super().__init__()
        self._heap: list[tuple[float, int, Call]] = []
        self._made = 0
        self.events = 0
        self.after: list[Callable[[], None]] = []  # what an event leaves to be done once it is over

    def callLater(self, when: float, what: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call = Call(self, self.rightNow + when, what, args, kwargs)
        self.put(call.due, call)
        return call

    def put(self, time: float, call: Call) -> None:
        """Have `call` fire at that time."""
        self._made += 1
        heapq.heappush(self._heap, (max(time, self.rightNow), self._made, call))

    def fire(self, call: Call) -> None:
        call.run()

    def advance(self, amount: float, most_events: float = math.inf) -> None:
        """Run what comes due in the next `amount` seconds, and what that brings about; no further than to the event of
        that number."""
        until = self.rightNow + amount
        while self._heap and self._heap[0][0] <= until:
            if self.events > most_events:
                return
            self.step()
        self.rightNow = max(self.rightNow, until)

    def step(self) -> None:
        """Run the next event, and what it left to be done."""
        time, _, call = heapq.heappop(self._heap)
        if call.active():
            self.rightNow = time
            self.events += 1
            call.owner.fire(call)
            self.settle()

    def settle(self) -> None:
        """Do what was left to be done."""
        while self.after:
            self.after.pop(0)()

    def getDelayedCalls(self) -> list[Call]:
        return [call for _, _, call in sorted(self._heap, key=lambda item: item[:2]) if call.active()]


class ProcessClock:
    """The reactor's clock of one process: `run(call)` is how the process runs what has come due."""

    def __init__(self, timeline: Timeline, rate: float, run: Callable[[Call], None]) -> None:
        self._timeline = timeline
        self._run = run
        self._rate = rate
        self._since = timeline.seconds()
        self._local = 100.0
        self._frozen = False

    def seconds(self) -> float:
        if self._frozen:
            return self._local
        return self._local + (self._timeline.rightNow - self._since) * self._rate

    def callLater(self, delay: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Call:
        call = Call(self, self.seconds() + delay, function, args, kwargs)
        self._timeline.put(self._timeline.rightNow + delay / self._rate, call)
        return call

    def freeze(self) -> None:
        """Stand still, as a suspended machine's clock does."""
        self._local = self.seconds()
        self._frozen = True

    def thaw(self) -> None:
        """Go on from where it stood."""
        if self._frozen:
            self._frozen = False
            self._since = self._timeline.rightNow

    def lose(self, seconds: float) -> None:
        """The process was busy for so long within one event."""
        self._local += seconds

    def fire(self, call: Call) -> None:
        remaining = call.due - self.seconds()
        if remaining > EARLY and not self._frozen:
            self._timeline.put(self._timeline.rightNow + remaining / self._rate, call)
        else:
            if remaining > 0 and not self._frozen:  # by rounding alone: it is due, also to whoever looks at the clock
                self._local, self._since = call.due, self._timeline.rightNow
            self._run(call)

"""How long the reactor's thread is away from its sockets and timers, and over what: the stalls that clients feel.

The meter stands between the reactor and its epoll object. From one return of epoll to the next call of it the thread
does everything that was due: that time is an iteration, and whatever comes meanwhile, a heartbeat included, waits for
its end. An epoll that returns later than its timeout (another thread held the interpreter, or the machine had no core
to give) counts as well. Activities that may take long tell the meter how long they took (`spent`), so a long iteration
can be explained; what took long by itself is an event, as Redis's LATENCY knows them.

Everything here belongs to the reactor's thread; the garbage collector's calls, which come from any, only leave a note.
What many clients keep waiting is hundreds of thousands of objects, and a full collection looks at all of them: 0.2 s
for 850,000. So a long one is the last that looks at what it leaves, which is freed without it when it is done with.
"""

from __future__ import annotations

import gc
import select
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from leto.reactor.sockets import MOST_EVENTS

BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)  # seconds; the last bucket is open
SHORT: Final = BOUNDS[0]  # iterations up to here are only counted
STALL: Final = 0.02  # seconds: an iteration that is called a stall, unless CONFIG SET latency-monitor-threshold differs
LONG: Final = 0.1  # seconds: one that is counted as a long one besides
LONG_COLLECTION: Final = 0.01  # seconds of a full collection from which what it left is left alone from then on
KEPT: Final = 16  # longest stalls that are kept with what was going on
HISTORY: Final = 160  # samples an event keeps, one a second, as in Redis
MINUTE: Final = 60
ITERATION: Final = "reactor-stall"  # the event that is a whole iteration; the others are parts of one, or of a thread


@dataclass(frozen=True, slots=True)
class Stall:
    """An iteration that took long. Seconds, but for `at`: the wall clock at its end. `cpu`: what the reactor's thread
    computed; the rest it waited, for a core, the interpreter or the disk. `parts`: activity -> seconds, one may hold
    another."""

    seconds: float
    cpu: float
    at: float
    parts: dict[str, float]

    def during(self) -> str:
        """The parts in words, the longest first: "snapshot:12.1+gc:3.0" (milliseconds); "" if nobody told."""
        ordered = sorted(self.parts.items(), key=lambda part: -part[1])
        return "+".join(f"{name}:{seconds * 1000:.1f}" for name, seconds in ordered)


class Event:
    """What one kind of thing took whenever it took long: the last HISTORY seconds in which it did."""

    __slots__ = ("longest", "samples")

    def __init__(self) -> None:
        self.samples: deque[tuple[int, float]] = deque(maxlen=HISTORY)  # (second of the wall clock, longest in it)
        self.longest = 0.0

    def add(self, at: int, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        if self.samples and self.samples[-1][0] == at:
            self.samples[-1] = at, max(self.samples[-1][1], seconds)
        else:
            self.samples.append((at, seconds))


class StallMeter:
    """Measures from watch() to close()."""

    def __init__(
        self,
        seconds: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        thread_time: Callable[[], float] = time.thread_time,
    ) -> None:
        self._seconds = seconds
        self._wall_clock = wall_clock
        self._thread_time = thread_time
        self.threshold = STALL  # seconds from which something is an event; 0: nothing is
        self._parts: dict[str, float] = {}  # of the iteration under way
        self._recent: deque[tuple[int, float]] = deque()  # (monotonic second, longest in it), the last minute
        self._reactor: Any = None
        self._poller: Any = None
        self._gc_started = self._gc_started_cpu = 0.0
        self._skips = False  # the iteration under way
        self.sockets: Sockets | None = None
        self.collections: deque[tuple[int, float]] = deque()  # (generation, seconds) of long ones, not yet seen to
        self.reset()

    def reset(self) -> None:
        """Forget everything, events included."""
        self.iterations = 0
        self.counts = [0] * (len(BOUNDS) + 1)  # of iterations by length; those up to SHORT are not in it
        self.total_seconds = 0.0  # of all iterations
        self.stalls = 0  # iterations beyond STALL
        self.long_stalls = 0  # ... and beyond LONG
        self.longest = 0.0
        self.longest_cpu = 0.0  # that the reactor's thread computed in one iteration
        self.longest_collection = 0.0
        self.worst: list[Stall] = []  # the longest first
        self.events: dict[str, Event] = {}
        self._recent.clear()

    @property
    def threshold_ms(self) -> int:
        return round(self.threshold * 1000)

    @threshold_ms.setter
    def threshold_ms(self, milliseconds: int) -> None:
        self.threshold = milliseconds / 1000

    def begin(self) -> None:
        """The node serves from now on: forget what its start took, this iteration included."""
        self.reset()
        self._skips = True

    def reset_events(self, names: Iterable[str] | None = None) -> int:
        """Forget these events, or all: how many there were."""
        known = list(self.events) if names is None else [name for name in names if name in self.events]
        for name in known:
            del self.events[name]
        return len(known)

    # what is measured --------------------------------------------------------------------------------

    def watch(self, reactor: Any) -> None:
        """Measure that reactor's iterations, if it has an epoll, and the garbage collector."""
        gc.callbacks.append(self._collecting)
        if hasattr(getattr(reactor, "_poller", None), "poll"):
            self._reactor, self._poller = reactor, reactor._poller
            reactor._poller = WatchedPoller(reactor, self, self._seconds, self._thread_time)
            if self.sockets is not None:
                reactor._poller.serve(self.sockets)

    def serve(self, sockets: Sockets) -> None:
        """Before watch() or behind it: while the reactor's epoll is watched, these are served straight from there."""
        self.sockets = sockets
        if self._reactor is not None:
            self._reactor._poller.serve(sockets)

    def close(self) -> None:
        """Give the reactor its own epoll back."""
        if self._collecting in gc.callbacks:
            gc.callbacks.remove(self._collecting)
        if self._reactor is not None:
            self._reactor._poller.close()
            self._reactor._poller = self._poller
            self._reactor = self._poller = None

    @property
    def measures(self) -> bool:
        """Whether iterations are seen: a reactor without epoll shows none."""
        return self._reactor is not None

    def spent(self, activity: str, seconds: float) -> None:
        """The iteration under way spent so long on that."""
        if seconds > SHORT:
            parts = self._parts
            parts[activity] = parts.get(activity, 0.0) + seconds
            self.took(activity, seconds)

    def took(self, event: str, seconds: float) -> None:
        """Something took so long, in whatever thread."""
        if seconds >= self.threshold > 0:
            self.events.setdefault(event, Event()).add(int(self._wall_clock()), seconds)

    def _long_iteration(self, seconds: float, cpu: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        second = int(self._seconds())
        recent = self._recent
        if recent and recent[-1][0] == second:
            recent[-1] = second, max(recent[-1][1], seconds)
        else:
            recent.append((second, seconds))
            while recent[0][0] <= second - MINUTE:
                recent.popleft()
        self.longest = max(self.longest, seconds)
        self.longest_cpu = max(self.longest_cpu, cpu)
        if seconds > STALL:
            self.stalls += 1
            self.long_stalls += seconds > LONG
            worst = self.worst
            if len(worst) < KEPT or seconds > worst[-1].seconds:
                worst.append(Stall(seconds, cpu, self._wall_clock(), self._parts.copy()))
                worst.sort(key=lambda stall: -stall.seconds)
                del worst[KEPT:]
        self.took(ITERATION, seconds)

    def end_iteration(self, seconds: float, cpu: float) -> None:
        """It took so long, and the reactor's thread computed so long."""
        if self._skips:
            self._skips = False
            self.collections.clear()
            self._parts.clear()
            return
        self.iterations += 1
        self.total_seconds += seconds
        while self.collections:
            generation, took = self.collections.popleft()
            self.spent(f"gc{generation}", took)
        if seconds > SHORT:
            self._long_iteration(seconds, cpu)
        if self._parts:
            self._parts.clear()

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        is_full = info["generation"] == 2
        if phase == "start":
            self._gc_started = self._seconds()
            if is_full:
                self._gc_started_cpu = self._thread_time()
            return
        seconds = self._seconds() - self._gc_started
        if is_full and self._thread_time() - self._gc_started_cpu > LONG_COLLECTION:
            gc.freeze()  # or the next one would look at all of that again, and at what has come besides
        if seconds > self.longest_collection:
            self.longest_collection = seconds
        if seconds > SHORT:  # it holds the interpreter, so it is the reactor's time whichever thread it runs in
            self.collections.append((info["generation"], seconds))

    # what is told --------------------------------------------------------------------------------------

    @property
    def longest_last_minute(self) -> float:
        """Seconds; 0.0 if no iteration was longer than SHORT."""
        since = self._seconds() - MINUTE
        return max((seconds for second, seconds in self._recent if second > since), default=0.0)

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative histogram buckets as Prometheus wants them: (upper bound, count), the last bound "+Inf"."""
        running = self.iterations - sum(self.counts)
        result: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            running += count
            result.append((bound, float(running)))
        return result


class Sockets(Protocol):
    """Connections' sockets behind one descriptor (leto.reactor.sockets.SocketReaders)."""

    fd: int

    wait: Callable[[float, int], list[tuple[int, int]]]  # as epoll.poll

    def serve(self, ready: list[tuple[int, int]]) -> None:
        """Do what wait() found, and what is to be done behind it."""

    def watch(self, fd: int, readable: Callable[[], object]) -> None:
        """Call `readable` whenever that descriptor is."""

    def unwatch(self, fd: int) -> None: ...


class WatchedPoller:
    """In the place of the reactor's epoll object. All but waiting is the object's own.

    The reactor's way from an event to what handles it, and back to the next wait, takes two dozen calls. Nearly every
    event is that of the meter's `sockets`, which log in their own name. So while they are served here, it is their
    epoll that is waited for, with the reactor's own as one more descriptor in it; and the reactor has its turn when it
    has an event, a timer that is due, or one that is new.
    """

    def __init__(
        self, reactor: Any, meter: StallMeter, seconds: Callable[[], float], thread_time: Callable[[], float]
    ) -> None:
        self._reactor = reactor
        self._poller = reactor._poller
        self._meter = meter
        self._seconds = seconds
        self._thread_time = thread_time
        self._began = 0.0  # 0.0: nothing was measured yet
        self._cpu = 0.0
        self._sockets: Sockets | None = None
        self._is_reactors = False  # its epoll has an event
        self.modify = self._poller.modify

    def serve(self, sockets: Sockets) -> None:
        """Wait with these from now on."""
        self._sockets = sockets
        if sockets.fd in self._reactor._selectables:  # neither of the two may hold the other
            self._poller.unregister(sockets.fd)
        sockets.watch(self._poller.fileno(), self._note_reactors)

    def close(self) -> None:
        """Everything is the epoll's again."""
        sockets = self._sockets
        if sockets is not None:
            sockets.unwatch(self._poller.fileno())
            self._sockets = None
            if sockets.fd in self._reactor._selectables:
                self._poller.register(sockets.fd, select.EPOLLIN)

    def fileno(self) -> int:
        """Readable while there is any event."""
        fd: int = self._poller.fileno() if self._sockets is None else self._sockets.fd
        return fd

    def register(self, fd: int, events: int) -> None:
        if self._sockets is None or fd != self._sockets.fd:
            self._poller.register(fd, events)

    def unregister(self, fd: int) -> None:
        if self._sockets is None or fd != self._sockets.fd:
            self._poller.unregister(fd)

    def poll(self, timeout: float = -1, maxevents: int = -1) -> list[tuple[int, int]]:
        """epoll.poll, without the events of the meter's `sockets`. From one wait to the next is an iteration."""
        sockets, reactor = self._sockets, self._reactor
        seconds, meter, thread_time = self._seconds, self._meter, self._thread_time
        timers = reactor._pendingTimedCalls if sockets is not None else ()
        entered = seconds()
        while True:
            cpu = thread_time()
            if self._began:
                spent = entered - self._began
                if spent <= SHORT and not (meter._skips or meter._parts or meter.collections):
                    meter.iterations += 1
                    meter.total_seconds += spent
                else:
                    meter.end_iteration(spent, cpu - self._cpu)
            self._cpu = cpu
            ready: list[tuple[int, int]]
            ready = self._poller.poll(timeout, maxevents) if sockets is None else sockets.wait(timeout, MOST_EVENTS)
            left = seconds()
            if 0 <= timeout < left - entered - SHORT:
                meter.spent("woken late", left - entered - timeout)
                left = entered + timeout
            self._began = left
            if sockets is None or not ready:
                return ready
            sockets.serve(ready)  # should it raise, the reactor logs that, and comes again
            if self._is_reactors:
                self._is_reactors = False
                return self._poller.poll(0, maxevents)  # type: ignore[no-any-return]
            entered = seconds()
            if reactor._newTimedCalls or reactor._justStopped or (timers and timers[0].time <= entered):
                return []
            if timeout:  # else whoever called does not want to wait
                if not reactor.running:
                    return []
                timeout = timers[0].time - entered if timers else -1

    def _note_reactors(self) -> None:
        self._is_reactors = True

"""The meter of the reactor's stalls."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor

from leto.reactor.sockets import SocketReaders
from leto.reactor.stalls import HISTORY, KEPT, StallMeter


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Poller:
    """An epoll whose poll() takes as long as it is told."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self.waits = 0.0
        self.events = [(3, 1)]

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        self._time.now += self.waits
        return self.events.copy()

    register = modify = unregister = poll

    def fileno(self) -> int:
        return EPOLL


EPOLL = 5  # the reactor's epoll's descriptor


class Call:
    """A timer of the reactor's."""

    def __init__(self, time: float) -> None:
        self.time = time


class Reactor:
    def __init__(self, time: Time) -> None:
        self._poller: Any = Poller(time)
        self._selectables: dict[int, Any] = {}
        self._pendingTimedCalls: list[Call] = []
        self._newTimedCalls: list[Call] = []
        self._justStopped = False
        self.running = True


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cpu() -> Time:
    return Time()


@pytest.fixture
def reactor(time: Time) -> Reactor:
    return Reactor(time)


@pytest.fixture
def meter(time: Time, cpu: Time, reactor: Reactor) -> Iterator[StallMeter]:
    meter = StallMeter(time, lambda: time.now + 1_000_000, cpu)
    meter.watch(reactor)
    reactor._poller.poll(-1, 1)
    yield meter
    meter.close()


def work(reactor: Reactor, time: Time, seconds: float, timeout: float = -1) -> None:
    time.now += seconds
    reactor._poller.poll(timeout, 1)


def test_an_iteration_is_the_time_between_two_polls(meter: StallMeter, reactor: Reactor, time: Time) -> None:
    reactor._poller._poller.waits = 5.0
    for seconds in (0.03, 0.0004, 0.3):
        work(reactor, time, seconds)
    assert (meter.iterations, meter.stalls, meter.long_stalls) == (3, 2, 1)
    assert meter.longest == pytest.approx(0.3)
    assert meter.total_seconds == pytest.approx(0.3304)
    buckets = dict(meter.buckets())
    assert [buckets[bound] for bound in ("0.001", "0.02", "0.05", "0.2", "0.5", "+Inf")] == [1, 1, 2, 2, 3, 3]


def test_the_longest_of_the_last_minute_is_forgotten_the_minute_after(
    meter: StallMeter, reactor: Reactor, time: Time
) -> None:
    work(reactor, time, 0.5)
    work(reactor, time, 0.04)
    assert meter.longest_last_minute == pytest.approx(0.5)
    time.now += 30.0
    reactor._poller._began = time.now
    work(reactor, time, 0.03)
    time.now += 40.0
    assert meter.longest_last_minute == pytest.approx(0.03)
    time.now += 40.0
    assert (meter.longest_last_minute, meter.longest) == (0.0, pytest.approx(0.5))


def test_a_stall_tells_what_was_going_on_and_who_computed(
    meter: StallMeter, reactor: Reactor, time: Time, cpu: Time
) -> None:
    meter.spent("snapshot", 0.012)
    meter.spent("snapshot", 0.012)
    meter.spent("apply", 0.03)
    meter.spent("peers", 0.0001)
    cpu.now += 0.05
    work(reactor, time, 0.06)
    work(reactor, time, 0.07)
    silent, told = meter.worst
    assert meter.longest_cpu == pytest.approx(0.05)
    assert (told.during(), told.cpu, told.at) == ("apply:30.0+snapshot:24.0", pytest.approx(0.05), 1_000_100.06)
    assert (silent.during(), silent.cpu) == ("", 0.0)


def test_only_the_worst_are_kept(meter: StallMeter, reactor: Reactor, time: Time) -> None:
    for number in range(3 * KEPT):
        work(reactor, time, 0.03 + (number * 7 % 48) / 1000)
    lengths = [round(stall.seconds, 3) for stall in meter.worst]
    assert len(lengths) == KEPT
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == 0.077


def test_a_late_return_of_the_poll_counts(meter: StallMeter, reactor: Reactor, time: Time) -> None:
    poller = reactor._poller._poller
    poller.waits = 0.25
    reactor._poller.poll(0.2, 1)
    poller.waits = 0.0
    work(reactor, time, 0.01)
    assert meter.longest == pytest.approx(0.06)
    assert meter.worst[0].during() == "woken late:50.0"


def test_events_keep_the_longest_of_each_second(meter: StallMeter, time: Time) -> None:
    for seconds, passed in ((0.03, 0.1), (0.05, 0.1), (0.019, 0.1), (0.04, 5.0)):
        meter.took("fsync", seconds)
        time.now += passed
    meter.took("fsync", 0.021)
    assert list(meter.events["fsync"].samples) == [(1_000_100, 0.05), (1_000_105, 0.021)]
    assert meter.events["fsync"].longest == 0.05
    for _ in range(2 * HISTORY):
        time.now += 1.0
        meter.took("fsync", 0.021)
    assert len(meter.events["fsync"].samples) == HISTORY


def test_the_threshold_of_events_can_be_moved_and_switched_off(meter: StallMeter) -> None:
    meter.threshold = 0.1
    meter.took("fsync", 0.09)
    meter.threshold = 0.0
    meter.took("fsync", 9.0)
    assert meter.events == {}


def test_collections_of_the_garbage_collector_are_part_of_the_iteration(
    meter: StallMeter, reactor: Reactor, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    (collecting,) = [call for call in gc.callbacks if getattr(call, "__self__", None) is meter]
    collecting("start", {"generation": 2})
    time.now += 0.08
    collecting("stop", {"generation": 2})
    work(reactor, time, 0.0)
    assert meter.worst[0].during() == "gc2:80.0"
    assert meter.longest_collection == pytest.approx(0.08)
    assert meter.events["gc2"].longest == pytest.approx(0.08)


@pytest.mark.parametrize(
    ("generation", "seconds", "is_left_alone"), [(2, 0.02, True), (2, 0.005, False), (1, 0.02, False)]
)
def test_what_a_long_full_collection_leaves_is_not_looked_at_again(
    meter: StallMeter, cpu: Time, generation: int, seconds: float, is_left_alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    (collecting,) = [call for call in gc.callbacks if getattr(call, "__self__", None) is meter]
    collecting("start", {"generation": generation})
    cpu.now += seconds
    collecting("stop", {"generation": generation})
    assert bool(frozen) is is_left_alone


def test_objects_that_are_left_alone_are_freed_all_the_same() -> None:
    meter = StallMeter(thread_time=count(0.0, 1.0).__next__)  # every collection is a long one
    meter.watch(object())
    try:
        before = gc.get_freeze_count()
        kept = [[number] for number in range(10_000)]
        gc.collect()
        assert gc.get_freeze_count() > before + len(kept)
        frozen = gc.get_freeze_count()
        kept.clear()
        assert gc.get_freeze_count() <= frozen - 10_000
    finally:
        meter.close()
        gc.unfreeze()


def test_reset_forgets_everything(meter: StallMeter, reactor: Reactor, time: Time) -> None:
    work(reactor, time, 0.5)
    meter.took("fsync", 0.5)
    assert meter.reset_events(["fsync", "unknown"]) == 1
    assert list(meter.events) == ["reactor-stall"]
    meter.reset()
    assert (meter.iterations, meter.longest, meter.longest_last_minute, meter.worst, meter.events) == (0, 0, 0, [], {})


def test_what_a_start_takes_is_forgotten(meter: StallMeter, reactor: Reactor, time: Time) -> None:
    work(reactor, time, 0.5)
    meter.spent("turn", 0.4)
    meter.begin()
    work(reactor, time, 0.6)
    assert (meter.iterations, meter.longest) == (0, 0.0)
    work(reactor, time, 0.1)
    assert [(stall.seconds, stall.during()) for stall in meter.worst] == [(pytest.approx(0.1), "")]


def test_a_reactor_gets_its_own_epoll_back(time: Time) -> None:
    reactor = Reactor(time)
    poller, meter = reactor._poller, StallMeter()
    callbacks = len(gc.callbacks)
    meter.watch(reactor)
    assert meter.measures
    meter.close()
    assert (reactor._poller, len(gc.callbacks), meter.measures) == (poller, callbacks, False)


def test_a_real_reactor_is_measured() -> None:
    reactor = EPollReactor()
    meter = StallMeter()
    meter.watch(reactor)
    try:
        reactor.iterate(0)
        reactor.callLater(0, sum, range(3_000_000))
        reactor.iterate(0)
        reactor.iterate(0)
    finally:
        meter.close()
        reactor.removeAll()
        reactor._poller.close()
    assert meter.iterations >= 2
    assert meter.longest > 0.002


class Sockets:
    """What a SocketReaders is to the meter; it has one event after another, as told."""

    fd = 7

    def __init__(self, time: Time, *events: Any) -> None:
        self._time = time
        self.events = list(events)
        self.watched: dict[int, Any] = {}
        self.timeouts: list[float] = []

    def wait(self, timeout: float, most: int) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        return [(3, 1)] if self.events else []

    def serve(self, ready: list[tuple[int, int]]) -> None:
        assert ready
        event = self.events.pop(0)
        event()

    def watch(self, fd: int, readable: Any) -> None:
        self.watched[fd] = readable

    def unwatch(self, fd: int) -> None:
        del self.watched[fd]

    def reactors(self) -> None:
        """Its own epoll has an event."""
        self.watched[EPOLL]()


@pytest.fixture
def serving(reactor: Reactor, time: Time) -> Iterator[Sockets]:
    """Sockets that are served from the poll."""
    sockets = Sockets(time)
    meter = StallMeter(time, time, time)
    meter.serve(sockets)
    meter.watch(reactor)
    yield sockets
    meter.close()
    assert not sockets.watched


def test_one_event_of_the_sockets_after_another_is_served_until_the_reactor_has_one(
    serving: Sockets, reactor: Reactor
) -> None:
    served: list[str] = []
    serving.events += [lambda: served.append("a"), lambda: served.append("b"), serving.reactors, served.clear]
    assert reactor._poller.poll(-1, 3) == [(3, 1)]
    assert served == ["a", "b"]
    assert serving.timeouts == [-1, -1, -1]


def test_the_reactor_has_its_turn_for_a_timer(serving: Sockets, reactor: Reactor, time: Time) -> None:
    def pass_time() -> None:
        time.now += 0.4

    reactor._pendingTimedCalls.append(Call(time.now + 1.0))
    serving.events += [pass_time] * 4
    assert reactor._poller.poll(1.0, 3) == []
    assert serving.timeouts == pytest.approx([1.0, 0.6, 0.2])  # then it was due
    reactor._pendingTimedCalls.clear()
    serving.events[:] = [lambda: reactor._newTimedCalls.append(Call(0.0)), pass_time]
    assert reactor._poller.poll(-1, 3) == []
    assert serving.events == [pass_time]


@pytest.mark.parametrize("change", [{"_justStopped": True}, {"running": False}])
def test_a_reactor_that_is_told_to_stop_stops(serving: Sockets, reactor: Reactor, change: dict[str, bool]) -> None:
    serving.events += [lambda: vars(reactor).update(change), lambda: None]
    assert reactor._poller.poll(-1, 3) == []
    assert len(serving.events) == 1


def test_a_fault_of_the_sockets_is_the_reactors_to_log(serving: Sockets, reactor: Reactor) -> None:
    serving.events += [lambda: [][0], serving.reactors]
    with pytest.raises(IndexError):
        reactor._poller.poll(0, 3)
    assert reactor._poller.poll(0, 3) == [(3, 1)]


def test_what_sockets_take_belongs_to_the_iteration(reactor: Reactor, time: Time) -> None:
    def be_slow() -> None:
        time.now += 0.03

    meter, sockets = StallMeter(time, time, time), Sockets(time, be_slow, be_slow)
    meter.serve(sockets)
    meter.watch(reactor)
    reactor._poller.poll(-1, 1)
    meter.close()
    assert meter.iterations == 2
    assert [stall.seconds for stall in meter.worst] == [pytest.approx(0.03)] * 2


def test_neither_epoll_holds_the_other_twice() -> None:
    """A real reactor's, before, while and after its sockets are served from its poll."""
    reactor = EPollReactor()
    readers = SocketReaders(reactor)
    one, other = socket.socketpair()
    came: list[bytes] = []
    readers.watch(one.fileno(), lambda: came.append(one.recv(9)))
    meter = StallMeter()
    meter.serve(readers)
    try:
        for _ in range(2):
            meter.watch(reactor)
            other.send(b"watched")
            reactor.iterate(0)
            meter.close()
            other.send(b"not")
            reactor.iterate(0)
        readers.unwatch(one.fileno())
        meter.watch(reactor)
        readers.watch(one.fileno(), lambda: came.append(one.recv(9)))
        other.send(b"again")
        reactor.iterate(0)
        readers.unwatch(one.fileno())
        meter.close()
        assert readers not in reactor.getReaders()
    finally:
        reactor.removeAll()
        reactor._poller.close()
        one.close()
        other.close()
    assert came == [b"watched", b"not"] * 2 + [b"again"]

"""The flush seam: jobs in order, their ends in the reactor's thread, nothing after stop."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from queue import SimpleQueue

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from leto.errors import Stopping
from leto.reactor.cores import seconds_without_a_core
from leto.storage import AdaptiveFlusher, InlineFlusher, ThreadFlusher
from leto.storage.flush import (
    BESIDE_SECONDS,
    CONTRARY_JOBS,
    FIRST_BAN,
    HANG_SECONDS,
    QUICK_SECONDS,
    REST_SECONDS,
)
from leto.twins.store import MemoryFlusher


class Reactor:
    """A reactor's thread that runs what other threads hand to it, when asked."""

    def __init__(self):
        self._calls = SimpleQueue()

    def callFromThread(self, callable, *args, **kwargs):
        self._calls.put(lambda: callable(*args, **kwargs))

    def turn_until(self, done):
        while not done():
            self._calls.get(timeout=10)()


class Kept:
    """What became of a Deferred, and in which thread."""

    def __init__(self, deferred: Deferred):
        self.fired = False
        self.error = None
        deferred.addCallbacks(self._done, self._failed)

    def _done(self, result):
        assert result is None
        self.fired = True
        self.thread = threading.current_thread()

    def _failed(self, reason):
        self.fired = True
        self.error = reason.value
        self.thread = threading.current_thread()


class Flushing:
    def __init__(self, kind):
        self.kind = kind
        self.reactor = Reactor()
        self.flusher = {
            "thread": lambda: ThreadFlusher(self.reactor.callFromThread),
            "inline": InlineFlusher,
            "auto": lambda: AdaptiveFlusher(Clock(), ThreadFlusher(self.reactor.callFromThread), lambda: None),
            "memory": MemoryFlusher,
        }[kind]()

    def submit(self, job):
        return Kept(self.flusher.submit(job))

    def settle(self, *kept):
        if self.kind == "memory":
            self.flusher.run()
        if self.kind in ("thread", "auto"):
            self.reactor.turn_until(lambda: all(each.fired for each in kept))
        assert all(each.fired for each in kept)


@pytest.fixture(params=["thread", "inline", "memory", "auto"])
def flushing(request):
    made = Flushing(request.param)
    yield made
    stopped = Kept(made.flusher.stop())
    if not stopped.fired and stopped.error is None:
        made.settle(stopped)


def test_jobs_run_in_order_and_report_in_order(flushing):
    ran, reported = [], []
    kept = []
    for number in range(50):
        each = flushing.flusher.submit(lambda number=number: ran.append(number))
        each.addCallback(lambda _, number=number: reported.append(number))
        kept.append(Kept(each))
    flushing.settle(*kept)
    assert ran == reported == list(range(50))


def test_a_jobs_end_is_told_in_the_reactors_thread(flushing):
    threads = []
    good = flushing.submit(lambda: threads.append(threading.current_thread()))
    flushing.settle(good)
    assert good.thread is threading.current_thread()
    assert (threads[0] is threading.current_thread()) == (flushing.kind not in ("thread", "auto"))


@pytest.mark.parametrize("error", [ValueError("bad"), OSError(5, "I/O error"), RecursionError()])
def test_what_a_job_raises_is_its_deferreds_error_and_the_next_still_run(flushing, error):
    def fail():
        raise error

    bad, good = flushing.submit(fail), flushing.submit(lambda: None)
    flushing.settle(bad, good)
    assert bad.error is error
    assert good.error is None


def test_jobs_submitted_by_a_jobs_callback_follow(flushing):
    ran = []
    kept = []

    def again(_):
        kept.append(flushing.submit(lambda: ran.append("second")))

    first = flushing.flusher.submit(lambda: ran.append("first"))
    first.addCallback(again)
    flushing.settle(Kept(first))
    flushing.settle(*kept)
    assert ran == ["first", "second"]


def test_stop_fires_after_all_jobs_and_takes_no_more(flushing):
    ran = []
    jobs = [flushing.submit(lambda: ran.append(1)) for _ in range(3)]
    stopped = Kept(flushing.flusher.stop())
    flushing.settle(*jobs, stopped)
    assert ran == [1, 1, 1]
    late = flushing.submit(lambda: ran.append(2))
    assert isinstance(late.error, Stopping)
    assert isinstance(Kept(flushing.flusher.stop()).error, Stopping)
    assert ran == [1, 1, 1]


def test_stop_without_a_job_fires_at_once():
    for flusher in (ThreadFlusher(Reactor().callFromThread), InlineFlusher(), MemoryFlusher()):
        assert Kept(flusher.stop()).fired


def test_no_thread_before_the_first_job():
    """A daemon forks after it was set up: a thread would stay behind."""
    before = threading.active_count()
    ThreadFlusher(Reactor().callFromThread)
    assert threading.active_count() == before


def test_the_writer_thread_ends_with_stop():
    reactor = Reactor()
    flusher = ThreadFlusher(reactor.callFromThread)
    threads = []
    job = Kept(flusher.submit(lambda: threads.append(threading.current_thread())))
    stopped = Kept(flusher.stop())
    reactor.turn_until(lambda: job.fired and stopped.fired)
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_an_inline_job_that_submits_one_does_not_run_it_inside_itself():
    flusher = InlineFlusher()
    ran = []

    def outer():
        flusher.submit(lambda: ran.append("inner"))
        ran.append("outer")

    flusher.submit(outer)
    assert ran == ["outer", "inner"]


def test_memory_jobs_wait_for_the_test():
    flusher = MemoryFlusher()
    ran = []
    first, second = (Kept(flusher.submit(lambda n=n: ran.append(n))) for n in (1, 2))
    assert (flusher.pending, ran) == (2, [])
    flusher.run_one()
    assert (first.fired, second.fired, ran) == (True, False, [1])
    assert flusher.run() == 1


def test_the_writer_thread_rests_once_after_the_last_job():
    reactor = Reactor()
    order = SimpleQueue()
    flusher = ThreadFlusher(reactor.callFromThread, rest=lambda: order.put("rest"))
    for _ in range(2):
        gate = threading.Event()
        jobs = [Kept(flusher.submit(lambda gate=gate: gate.wait(10) and None))]
        jobs += [Kept(flusher.submit(lambda: order.put("job"))) for _ in range(3)]
        gate.set()
        reactor.turn_until(lambda jobs=jobs: all(job.fired for job in jobs))
        assert [order.get(timeout=10) for _ in range(4)] == ["job", "job", "job", "rest"]
    stopped = Kept(flusher.stop())
    reactor.turn_until(lambda: stopped.fired)
    assert order.empty(), "nothing had changed since"


class Disk:
    """Jobs of a given length, under an AdaptiveFlusher; `ran` says which thread ran each: "here" or "there"."""

    def __init__(self):
        self.clock = Clock()
        self.reactor = Reactor()
        self.ran = []
        self.rests = 0
        self.coreless = 0.0
        self.snapshots = ThreadFlusher(self.reactor.callFromThread)
        self.flusher = AdaptiveFlusher(
            self.clock,
            ThreadFlusher(self.reactor.callFromThread),
            self._rest,
            self.snapshots,
            lambda: self.coreless,
        )

    def _rest(self):
        assert threading.current_thread() is not threading.main_thread()
        self.rests += 1

    def submit(self, seconds=0.0001, *, brief=True, coreless=0.0):
        def job():
            self.clock.rightNow += seconds
            self.coreless += coreless
            self.ran.append("here" if threading.current_thread() is threading.main_thread() else "there")

        done = self.flusher.submit_brief(job) if brief else self.flusher.submit(job)
        return Kept(done or succeed(None))

    def write(self, count=1, seconds=0.0001, coreless=0.0):
        """Brief jobs one after another, -> where the last ran."""
        for _ in range(count):
            kept = self.submit(seconds, coreless=coreless)
            self.reactor.turn_until(lambda kept=kept: kept.fired)
        return self.ran[-1]

    def stop(self):
        for flusher in (self.flusher, self.snapshots):
            stopped = Kept(flusher.stop())
            self.reactor.turn_until(lambda stopped=stopped: stopped.fired)


@pytest.fixture
def disk():
    made = Disk()
    yield made
    made.stop()


def test_a_brief_job_runs_at_once_while_the_disk_is_quick(disk):
    ran = []
    assert disk.flusher.submit_brief(lambda: ran.append(True)) is None
    assert ran == [True]
    assert disk.submit().fired
    assert disk.ran == ["here"]


def test_a_long_job_runs_in_the_writers_thread_and_brief_ones_behind_it(disk):
    long, brief = disk.submit(brief=False), disk.submit()
    assert not brief.fired
    disk.reactor.turn_until(lambda: long.fired and brief.fired)
    assert disk.ran == ["there", "there"]
    assert disk.write() == "there"
    disk.clock.rightNow += BESIDE_SECONDS
    assert disk.write() == "here"


def test_beside_another_flushers_jobs_brief_ones_run_in_the_writers_thread_and_prove_nothing(disk):
    other = Kept(disk.snapshots.submit(lambda: None))
    disk.reactor.turn_until(lambda: other.fired)
    assert disk.write(2 * CONTRARY_JOBS, QUICK_SECONDS * 1.5) == "there"
    assert disk.write(1, 2 * HANG_SECONDS) == "there"
    disk.clock.rightNow += BESIDE_SECONDS
    assert disk.write() == "here"


def test_a_brief_jobs_error_is_its_deferreds(disk):
    def fail():
        raise OSError(28, "No space left on device")

    kept = Kept(disk.flusher.submit_brief(fail))
    assert isinstance(kept.error, OSError)
    assert disk.write() == "here"


def test_a_disk_that_turns_slow_is_left_to_the_writers_thread_until_it_is_quick_again(disk):
    assert disk.write(CONTRARY_JOBS, 0.003) == "here"
    assert disk.write(CONTRARY_JOBS, 0.003) == "there"
    assert disk.write(CONTRARY_JOBS) == "there"
    disk.clock.advance(2 * FIRST_BAN)
    assert disk.write(2) == "here"


def test_a_few_slow_jobs_say_nothing(disk):
    for _ in range(CONTRARY_JOBS):
        disk.write(1, 0.003)
        disk.write(2)
    assert disk.write() == "here"


def test_a_disk_is_not_held_for_slow_where_the_process_had_no_core(disk):
    assert disk.write(3 * CONTRARY_JOBS, 0.003, coreless=0.0025) == "here"
    assert disk.write(3, 0.5, coreless=0.498) == "here"
    assert disk.write() == "here"


def test_nor_is_one_that_hangs_excused_by_what_was_lacked_before(disk):
    disk.coreless += 5.0
    disk.write(1, 0.5)  # how much of this was lacked nobody knows
    disk.coreless += 5.0
    assert disk.write(1, 0.5) == "here"
    assert disk.write() == "there"


def test_it_is_quick_again_though_the_writers_thread_had_no_core(disk):
    disk.write(1, 0.5)
    assert disk.write(CONTRARY_JOBS, 0.003, coreless=0.0025) == "there"
    disk.clock.advance(2 * FIRST_BAN)
    assert disk.write(2, 0.003, coreless=0.0025) == "here"


def test_the_kernel_tells_how_long_a_thread_had_no_core():
    first = seconds_without_a_core()
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * (os.cpu_count() or 1))]
    try:
        until = time.monotonic() + 20
        while seconds_without_a_core() - first < 0.05:
            assert time.monotonic() < until, "a thread that shares its core with others is made to wait"
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def test_one_hang_is_enough_and_each_is_remembered_for_longer(disk):
    for ban in (2 * FIRST_BAN, 4 * FIRST_BAN):
        disk.write(1, 0.5)
        assert disk.write(CONTRARY_JOBS) == "there"
        disk.clock.advance(ban - 0.5)
        assert disk.write(2) == "there"
        disk.clock.advance(0.5)
        assert disk.write(2) == "here"


def test_after_a_while_without_jobs_the_writers_thread_rests_once(disk):
    disk.write()
    disk.clock.advance(REST_SECONDS / 2)
    disk.write()
    disk.clock.advance(REST_SECONDS * 0.6)
    assert disk.write() == "here"
    disk.clock.advance(REST_SECONDS)
    kept = disk.submit()
    disk.reactor.turn_until(lambda: kept.fired)
    assert disk.rests == 1
    assert not [call for call in disk.clock.getDelayedCalls() if call.getTime() < disk.clock.seconds()]

"""The flush seam: where the store's mutators run, and how their ends reach the reactor's thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from leto.errors import Stopping
from leto.reactor.cores import seconds_without_a_core

Job = Callable[[], None]
REST_SECONDS = 0.05  # without a job, after which the writer thread has time for what could wait

# AdaptiveFlusher's judgement of the disk:
QUICK_SECONDS = 0.001  # a brief job that takes no longer costs less in the reactor's thread than handed to another
CONTRARY_JOBS = 64  # so many more slow ones than quick ones, and the disk is slow; or the other way round
HANG_SECONDS = 0.005  # one job as long as this is enough
BESIDE_SECONDS = 1.0  # for which the disk is held for shared after such a job of another flusher, or a long one
FIRST_BAN, LONGEST_BAN = 1.0, 60.0  # seconds for which a disk that has turned slow is not trusted, doubled each time


def _stopped() -> Deferred[None]:
    return fail(Stopping("the disk writer has stopped"))


def _run(job: Job) -> Failure | None:
    try:
        job()
    except BaseException:  # noqa: BLE001 - whatever it is, the Deferred's holder decides; the thread must not die of it
        failure = Failure()
        failure.cleanFailure()
        return failure
    return None


def _fire(done: Deferred[None], failure: Failure | None) -> None:
    if failure is None:
        done.callback(None)
    else:
        done.errback(failure)


class ThreadFlusher:
    """One writer thread. It starts with the first job, so that it survives a daemon's fork, and it is a daemon
    thread: a disk that hangs cannot keep a process alive that has decided to end.

    `rest` is run in the thread, once, when no job has come for REST_SECONDS after the last one. It must not raise.
    """

    def __init__(
        self, wake: Callable[[Callable[[], None]], object], name: str = "leto-writer", rest: Job | None = None
    ) -> None:
        """`wake` has what it is given called in the reactor's thread; it is called from the writer's (the reactor's
        callFromThread, or something cheaper)."""
        self._wake = wake
        self._name = name
        self._rest = rest
        self._jobs: SimpleQueue[tuple[Job, Deferred[None]] | None] = SimpleQueue()
        self._done: deque[tuple[Deferred[None], Failure | None]] = deque()
        self._thread: threading.Thread | None = None
        self._stopping: Deferred[None] | None = None
        self.jobs = 0  # that it was ever given

    def submit(self, job: Job) -> Deferred[None]:
        if self._stopping is not None:
            return _stopped()
        self.jobs += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        done: Deferred[None] = Deferred()
        self._jobs.put((job, done))
        return done

    def submit_brief(self, job: Job) -> Deferred[None]:
        return self.submit(job)

    def stop(self) -> Deferred[None]:
        """A second call errbacks with Stopping."""
        if self._stopping is not None:
            return _stopped()
        done: Deferred[None] = Deferred()
        self._stopping = done
        if self._thread is None:
            done.callback(None)
        else:
            self._jobs.put(None)
        return done

    def _next(self) -> tuple[Job, Deferred[None]] | None:
        if self._rest is not None:
            try:
                return self._jobs.get(timeout=REST_SECONDS)
            except Empty:
                self._rest()
        return self._jobs.get()

    def _run(self) -> None:
        while (item := self._next()) is not None:
            job, done = item
            self._done.append((done, _run(job)))
            self._wake(self._deliver)
            del item, job, done  # nothing is kept alive while waiting
        self._wake(self._deliver_stop)

    def _deliver(self) -> None:
        # one call a job: each takes the oldest, so the order is the jobs' order
        done, failure = self._done.popleft()
        _fire(done, failure)

    def _deliver_stop(self) -> None:
        assert self._stopping is not None
        self._stopping.callback(None)


class AdaptiveFlusher:
    """Brief jobs run in the reactor's thread while the disk is quick: on such a disk the hand-over to another thread
    and back costs more than the job. All else, and all jobs once the disk is slow, run in the writer's thread.

    The brief jobs themselves tell how quick the disk is, whichever thread runs them. The time in which that thread had
    no core is not the disk's. A disk that hangs without warning
    does stop the reactor, once, for as long as it hangs; after that it is not trusted for a time that doubles.
    Where another flusher has just given the disk more to do, a snapshot, or a long job has, brief ones go the same way.
    """

    def __init__(
        self,
        clock: Any,
        writer: ThreadFlusher,
        rest: Job,
        beside: ThreadFlusher | None = None,
        coreless: Callable[[], float] = seconds_without_a_core,
    ) -> None:
        """`rest` is run in the writer's thread, once, when no job has come for REST_SECONDS; `writer` has none of its
        own, which could run beside a job in the reactor's thread. `beside`: whose jobs go to the same disk. `coreless`
        tells for how long the calling thread has waited for a core, in seconds."""
        self._clock = clock
        self._coreless = coreless
        self._had_no_core = 0.0  # the reactor's thread, when it was last looked at
        self._doubts = False  # there was a slow job of late: that is looked at before each
        self._writer = writer
        self._rest = rest
        self._beside = beside
        self._beside_jobs = 0  # that it had when it was looked at last
        self._shared_until: float = 0.0
        self._in_thread = 0  # jobs that the writer's thread has, or whose ends are not told yet
        self._running = False
        self.is_quick = True  # brief jobs run in the reactor's thread at present
        self._balance = 0  # of slow jobs over quick ones, or the opposite while the disk is held for slow
        self._ban = FIRST_BAN
        self._banned_until = 0.0
        self._trusted_since = clock.seconds()
        self._last_job = 0.0
        self._rest_call: Any = None
        self._stopped = False

    def submit(self, job: Job) -> Deferred[None]:
        if self._stopped:
            return _stopped()
        if self._rest_call is None:
            self._rest_call = self._clock.callLater(REST_SECONDS, self._rest_due)
        self._last_job = started = self._clock.seconds()
        if self._beside is not None:
            self._beside_jobs = self._beside.jobs
        self._shared_until = started + BESIDE_SECONDS
        return self._hand_over(job, False)

    def submit_brief(self, job: Job) -> Deferred[None] | None:
        if self._stopped:
            return _stopped()
        if self._rest_call is None:
            self._rest_call = self._clock.callLater(REST_SECONDS, self._rest_due)
        seconds, beside = self._clock.seconds, self._beside
        self._last_job = started = seconds()
        if beside is not None and beside.jobs != self._beside_jobs:
            self._beside_jobs = beside.jobs
            self._shared_until = started + BESIDE_SECONDS
        # There was another flusher's job of late, or a long one, whose bytes may still be on their way.
        is_shared = started < self._shared_until
        if not self.is_quick or self._in_thread or self._running or is_shared:
            return self._hand_over(job, not is_shared)
        failure = None
        self._running = True
        if self._doubts:
            self._had_no_core = self._coreless()
        try:
            job()
        except BaseException:  # noqa: BLE001 - as in _run()
            failure = Failure()
            failure.cleanFailure()
        self._running = False
        taken = seconds() - started
        if taken > QUICK_SECONDS:
            had_no_core = self._coreless()
            self._judge(taken - (had_no_core - self._had_no_core))
            self._had_no_core, self._doubts = had_no_core, True
        elif self._balance:  # what _judge() would do, nearly always
            self._balance -= 1
        else:
            self._doubts = False
        return None if failure is None else fail(failure)

    def stop(self) -> Deferred[None]:
        """A second call errbacks with Stopping."""
        self._stopped = True
        if self._rest_call is not None:
            self._rest_call.cancel()
            self._rest_call = None
        return self._writer.stop()

    def _hand_over(self, job: Job, judged: bool) -> Deferred[None]:
        seconds, coreless = self._clock.seconds, self._coreless
        taken = [0.0]

        def timed() -> None:
            began, started = coreless(), seconds()
            try:
                job()
            finally:
                taken[0] = seconds() - started - (coreless() - began)

        def ended(result: Any) -> Any:
            self._in_thread -= 1
            if judged:
                self._judge(taken[0])
            return result

        self._in_thread += 1
        return self._writer.submit(timed).addBoth(ended)

    def _judge(self, taken: float) -> None:
        """A brief job took so many seconds, without those in which its thread had no core."""
        is_slow = taken > QUICK_SECONDS
        if is_slow is self.is_quick:  # it speaks against what is held of the disk
            self._balance += 1
        elif self._balance:
            self._balance -= 1
        now = self._clock.seconds()
        if not self.is_quick:
            if self._balance >= CONTRARY_JOBS and now >= self._banned_until:
                self.is_quick = True
                self._balance = 0
                self._trusted_since = now
        elif self._balance >= CONTRARY_JOBS or taken >= HANG_SECONDS:
            self.is_quick = False
            self._balance = 0
            self._ban = FIRST_BAN if now - self._trusted_since > LONGEST_BAN else min(2 * self._ban, LONGEST_BAN)
            self._banned_until = now + self._ban

    def _rest_due(self) -> None:
        self._rest_call = None
        left = self._last_job + REST_SECONDS - self._clock.seconds()
        if left > 0:
            self._rest_call = self._clock.callLater(left, self._rest_due)
        else:
            self._hand_over(self._rest, False)


class InlineFlusher:
    """Runs each job at once in the reactor's thread; the Deferred has fired when submit() returns, unless a job
    itself submitted this one."""

    def __init__(self) -> None:
        self._jobs: deque[tuple[Job, Deferred[None]]] = deque()
        self._running = False
        self._stopped = False

    def submit(self, job: Job) -> Deferred[None]:
        if self._stopped:
            return _stopped()
        done: Deferred[None] = Deferred()
        self._jobs.append((job, done))
        if not self._running:
            self._running = True
            try:
                while self._jobs:
                    due, waiting = self._jobs.popleft()
                    _fire(waiting, _run(due))
            finally:
                self._running = False
        return done

    def submit_brief(self, job: Job) -> Deferred[None]:
        return self.submit(job)

    def stop(self) -> Deferred[None]:
        """A second call errbacks with Stopping."""
        if self._stopped:
            return _stopped()
        self._stopped = True
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

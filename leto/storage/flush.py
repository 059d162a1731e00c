"""The flush seam: where the store's mutators run, and how their ends reach the reactor's thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from leto.errors import Stopping

Job = Callable[[], None]
REST_SECONDS = 0.05  # without a job, after which the writer thread has time for what could wait


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

    def submit(self, job: Job) -> Deferred[None]:
        if self._stopping is not None:
            return _stopped()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        done: Deferred[None] = Deferred()
        self._jobs.put((job, done))
        return done

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

    def stop(self) -> Deferred[None]:
        """A second call errbacks with Stopping."""
        if self._stopped:
            return _stopped()
        self._stopped = True
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

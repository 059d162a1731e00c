"""One life of a node's process: it runs, stands still, and dies at any point; a dead one has no effect any more.

Python code cannot be killed in the middle, so the dead go on until their call returns: but what they send is lost,
their disk refuses every operation, and nobody hears their answers.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from leto.errors import NoRoom, NothingToSnapshot, ProtocolError, Stopping, StorageError
from leto.interfaces.transport import PeerListener
from leto.twins.disk import PowerLost
from tests.simulation.whole.timeline import Call, ProcessClock

FATAL_WITHIN = 1.0  # seconds from a failed job's report to the process's end

if TYPE_CHECKING:
    from leto.raft.messages import Message
    from tests.simulation.whole.host import Host


class Process:
    """Whatever happens to a node happens through `enter`: it guards, and checks afterwards."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.alive = True
        self.paused = False
        self.stopping = False
        self.store: Any = None
        self.replica: Any = None
        self.transport: Any = None
        self.flushers: list[SlowFlusher] = []
        self.fatal_by: float | None = None  # until when an injected disk error must have ended the process
        self.crash_at_operation = 0  # the disk operation, counted from now, at which it dies; 0: none
        self.crash_at_send = 0
        self.fail_at_operation: tuple[int, int] | None = None  # (operation counted from now, errno)
        self.fails_to_sync = False  # the next sync: what it was to write counts as clean, and is on no disk
        self.failed_disk = False  # an error was injected, or the disk is full
        self.commit = self.applied = self.term = 0  # the highest seen
        self.led = self.led_to = 0  # the term it leads or led last, and where its log ended then
        self.clock = ProcessClock(host.world.timeline, host.rate, self._due)
        self._asleep = 0.0  # seconds on the timeline in which it was paused
        self._paused_at = 0.0
        self._held: deque[Callable[[], Any]] = deque()
        self._depth = 0

    def enter(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run something of this process's, unless it is dead."""
        if not self.alive:
            return None
        self._depth += 1
        try:
            return function(*args)
        except PowerLost:
            return None
        finally:
            self._depth -= 1
            if not self._depth and self.alive:
                self.host.world.oracle.check(self)

    def deliver(self, function: Callable[..., Any], *args: Any) -> None:
        """Something arrives at the process: now, or once it is no longer paused."""
        if self.paused:
            self._held.append(lambda: function(*args))
        elif self._depth:
            if self.alive:
                function(*args)
        else:
            self.enter(function, *args)

    def _due(self, call: Call) -> None:
        if self.paused:
            self._held.append(call.run)
        else:
            self.enter(call.run)

    def waking_time(self) -> float:
        """Seconds on the timeline, without those in which it was paused."""
        return self.host.world.timeline.rightNow - self._asleep

    def pause(self, freeze: bool) -> None:
        self.paused = True
        self._paused_at = self.host.world.timeline.rightNow
        if freeze:
            self.clock.freeze()

    def resume(self, shuffled: Random | None) -> None:
        """All that waited comes at once."""
        self.paused = False
        self._asleep += self.host.world.timeline.rightNow - self._paused_at
        self.clock.thaw()
        held, self._held = list(self._held), deque()
        if shuffled is not None:
            shuffled.shuffle(held)
        for function in held:
            self.enter(function)

    def die(self, power: bool, noticed: bool) -> None:
        """From here on it has no effect. `power`: what was not synced is lost. `noticed`: its peers hear of it."""
        if self.alive:
            self.alive = False
            self.host.world.timeline.after.append(lambda: self.host.ended(self, power, noticed))

    def before_operation(self, operation: str, path: str) -> None:
        """SimulatedDisk.before: injected errors, and death at any operation."""
        if not self.alive:
            raise PowerLost
        if self.fail_at_operation is not None:
            left, number = self.fail_at_operation
            self.fail_at_operation = (left - 1, number) if left > 1 else None
            if left <= 1:
                self.failed_disk = True
                self.host.world.record("fault", f"{self.host.name}: error {number} at {operation} {path}")
                raise OSError(number, "injected", path)
        if self.fails_to_sync and operation == "sync":
            self.fails_to_sync = False
            self.failed_disk = True
            self.host.world.record("fault", f"{self.host.name}: the sync of {path} fails")
            raise OSError(errno.EIO, "injected", path)
        if self.crash_at_operation:
            self.crash_at_operation -= 1
            if not self.crash_at_operation:
                self.host.world.record("fault", f"{self.host.name} dies at {operation} {path}")
                self.die(power=self.host.world.random.random() < 0.8, noticed=self.host.world.random.random() < 0.5)
                raise PowerLost

    def before_send(self, message: Message) -> bool:
        """Whether the message leaves; it may be the point of death."""
        if not self.alive:
            return False
        if self.crash_at_send:
            self.crash_at_send -= 1
            if not self.crash_at_send:
                self.host.world.record("fault", f"{self.host.name} dies before a send to {message.to}")
                self.die(power=self.host.world.random.random() < 0.5, noticed=self.host.world.random.random() < 0.5)
                return False
        return True


class SlowFlusher:
    """leto.interfaces.store.Flusher whose jobs take the disk's time: done at some moment, reported at a later one."""

    def __init__(self, process: Process, delays: Callable[[], tuple[float, float]]) -> None:
        """`delays()`: until a job is done, and from then until its end is reported, in seconds."""
        self._process = process
        self._delays = delays
        self._jobs: deque[tuple[Callable[[], None], Deferred[None]]] = deque()
        self._busy = False
        self._stopping: Deferred[None] | None = None

    def submit(self, job: Callable[[], None]) -> Deferred[None]:
        if self._stopping is not None:
            return fail(Stopping("the disk writer has stopped"))
        done: Deferred[None] = Deferred()
        self._jobs.append((job, done))
        if not self._busy:
            self._begin()
        return done

    def submit_brief(self, job: Callable[[], None]) -> Deferred[None]:
        return self.submit(job)

    def stop(self) -> Deferred[None]:
        self._stopping = Deferred()
        done = self._stopping
        if not self._busy:
            done.callback(None)
        return done

    def _begin(self) -> None:
        host = self._process.host
        self._busy = True
        before, after = self._delays()
        host.world.timeline.callLater(before, self._when_free, self._run, after)

    def _when_free(self, function: Callable[..., Any], *args: Any) -> None:
        host = self._process.host
        if host.disk_hangs:
            host.waits_for_disk.append(lambda: self._when_free(function, *args))
        else:
            self._process.deliver(function, *args)

    def _run(self, after: float) -> None:
        job, done = self._jobs.popleft()
        process = self._process
        failure: Failure | None = None
        try:
            job()
        except PowerLost:
            return
        except BaseException:
            failure = Failure()
            if failure.check(StorageError, NothingToSnapshot) is None:
                raise
            process.host.world.record("disk", f"{process.host.name}: {failure.getErrorMessage()}")
        process.host.world.timeline.callLater(after, self._when_free, self._report, done, failure)

    def _report(self, done: Deferred[None], failure: Failure | None) -> None:
        if failure is None:
            done.callback(None)
        else:
            if self._process.fatal_by is None and not failure.check(NoRoom, NothingToSnapshot):
                self._process.fatal_by = self._process.host.world.timeline.rightNow + FATAL_WITHIN
            done.errback(failure)
        if self._jobs:
            self._begin()
        else:
            self._busy = False
            if self._stopping is not None:
                self._stopping.callback(None)


class Gate:
    """leto.interfaces.transport.PeerListener in front of the replica: what arrives at a paused process waits."""

    def __init__(self, process: Process, listener: PeerListener) -> None:
        self._process = process
        self._listener = listener

    def peer_message(self, message: Message) -> None:
        self._process.deliver(self._message, message)

    def _message(self, message: Message) -> None:
        try:
            self._listener.peer_message(message)
        except ProtocolError as error:
            self._process.host.world.oracle.fail(f"{self._process.host.name} refuses a peer's message: {error}")

    def peer_request(self, sender: str, body: bytes) -> Deferred[bytes]:
        answer: Deferred[bytes] = Deferred()
        self._process.deliver(self._request, sender, body, answer)
        return answer

    def _request(self, sender: str, body: bytes, answer: Deferred[bytes]) -> None:
        try:
            self._listener.peer_request(sender, body).addBoth(self._reply, answer)
        except ProtocolError:
            answer.errback(Failure())

    def _reply(self, result: bytes | Failure, answer: Deferred[bytes]) -> None:
        if not self._process.alive:
            return  # it died on the way here, with the answer unsent
        if isinstance(result, Failure):
            answer.errback(result)
        else:
            answer.callback(result)

    def peer_connected(self, server_id: str) -> None:
        self._process.deliver(self._listener.peer_connected, server_id)

    def peer_disconnected(self, server_id: str) -> None:
        self._process.deliver(self._listener.peer_disconnected, server_id)

    def removed_by(self, server_id: str, configuration_index: int) -> None:
        self._process.deliver(self._listener.removed_by, server_id, configuration_index)

    def admits(self, server_id: str, incarnation: str) -> bool:
        return self._listener.admits(server_id, incarnation)

    @property
    def configuration_index(self) -> int:
        return self._listener.configuration_index

    @property
    def level(self) -> int:
        return self._listener.level

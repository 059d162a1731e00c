"""Does what the core's Readys ask for, in their order: send, write, apply. Turn by turn, one flush in flight.

The duties are those of leto.raft.ready. What the owner does with the outcome (whom to answer, when to snapshot) is
the owner's; what must happen before what is decided here alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.errors import InapplicableEntry, ProtocolError, StorageError, UnknownEntry
from leto.interfaces.machine import StateMachine
from leto.interfaces.store import Flusher, SnapshotSource, Store
from leto.interfaces.transport import Transport
from leto.keyspace.effects import Applied
from leto.raft.messages import Entry, InstallSnapshot, Message, SnapshotMeta
from leto.raft.node import Node
from leto.raft.ready import ReadState, Ready
from leto.reactor.stalls import SHORT, StallMeter

APPLY_SECONDS = 0.004  # how long one turn may apply entries before others have theirs
RESTORE_CHUNK = 1 << 20
BRIEF_BYTES = 128 << 10  # a flush of no more may run in the reactor's thread


class Owner(Protocol):
    """Whom the driver works for."""

    def begin_turn(self, now: float) -> bool:
        """Hand the core whatever waits for it: called before each Ready is asked for. Whether something did."""

    def entry_applied(self, entry: Entry, applied: Applied, seconds: float) -> None:
        """It was applied, in so much time."""

    def half_applied(self, is_half: bool) -> None:
        """An entry that takes long is begun: until it is told to be whole again nobody may read the keyspace."""

    def applied_up_to(self, index: int, payload_bytes: int) -> None:
        """Some entries were applied, this many bytes of them."""

    def read_answered(self, state: ReadState) -> None: ...

    def snapshot_wanted(self, message: InstallSnapshot) -> None:
        """The core wants the newest snapshot streamed to a follower."""

    def snapshot_installing(self, meta: SnapshotMeta) -> None:
        """The keyspace is going to be replaced by the leader's snapshot."""

    def snapshot_installed(self, meta: SnapshotMeta) -> None:
        """It was: the keyspace is the leader's at meta.index."""

    def end_turn(self, now: float) -> None:
        """The core has nothing more to do for now: see what changed, arm the timers."""


class Driver:
    """One node's core, disk and keyspace, kept in step. `on_fatal` is told of the end: nothing happens here after
    it."""

    log = Logger()

    def __init__(
        self,
        clock: Any,
        node: Node,
        store: Store,
        flusher: Flusher,
        machine: StateMachine,
        transport: Transport,
        wall_clock: Callable[[], float],
        soon: Callable[[Callable[[], None]], object],
        meter: StallMeter,
        on_fatal: Callable[[str], None],
        skip_entries: frozenset[int] = frozenset(),
    ) -> None:
        """`skip_entries`: indexes of the entries that are passed over if they cannot be applied."""
        self._clock = clock
        self._soon = soon
        self._node = node
        self._store = store
        self._flusher = flusher
        self._machine = machine
        self._transport = transport
        self._wall_clock = wall_clock
        self._owner: Owner  # from start() on
        self._on_fatal = on_fatal
        self._meter = meter
        self._skip_entries = skip_entries
        self._running = False
        self._failed = False
        self.is_scheduled = False
        self._scheduled_turn = partial(self._turn, True)
        self._in_turn = False
        self._may_be_due = False  # more of the core's, by what became durable in this turn
        self._tick_due = False
        self._to_write: list[Ready] = []
        self._in_flight: list[Ready] = []
        self.is_flushing = False  # something is in flight
        self._flush_started = 0.0
        self._to_apply: deque[Entry] = deque()
        self._applies_later = False
        self._is_held = False  # by a read
        self._is_wanted = False  # by a snapshot that is going to replace the keyspace
        self._owes_applying = False  # since the last one of these
        self._is_half_applied = False  # the first of those to be applied
        self._applying_seconds = 0.0  # that its turns before this one took
        self.restored_bytes = 0  # of the snapshot that the keyspace was made of last
        self.flushes = 0
        self.entries_applied = 0

    @property
    def has_failed(self) -> bool:
        return self._failed

    @property
    def flush_bytes(self) -> int:
        """Payload of the flush in flight."""
        return sum(len(entry.payload) for ready in self._in_flight for entry in ready.entries)

    def flush_seconds(self) -> float:
        """How long the flush in flight has taken so far; 0.0 without one."""
        return self._clock.seconds() - self._flush_started if self._in_flight else 0.0

    def wall_ms(self) -> int:
        """To be asked for before the monotonic time that goes with it: a process that stands still between the two
        then takes its wall clock to be behind, which does no harm."""
        return int(self._wall_clock() * 1000)

    @property
    def is_running(self) -> bool:
        """From start() to stop()."""
        return self._running

    def start(self, owner: Owner) -> None:
        """Take turns from now on, and tell `owner` of what comes of them."""
        self._owner = owner
        self._running = True
        self.turn()

    def stop(self) -> None:
        """No turn after this one. A flush in flight ends by itself; nothing is sent or answered for it."""
        self._running = False

    def schedule(self) -> None:
        """Have a turn once everything that this turn of the reactor brought has been handed in."""
        if not self.is_scheduled:
            self.is_scheduled = True
            self._soon(self._scheduled_turn)

    def tick(self) -> None:
        """A timer fired: have a turn that begins with the core's clockwork, once what has come is read.

        A process that stood still, or was busy for long, finds its timers due before it has read what the others sent
        meanwhile: it must not take its own silence for theirs.
        """
        self._clock.callLater(0, self.tick_now)

    def hold(self) -> bool:
        """Apply nothing before release(): a read needs one instant for longer than a turn. False, with nothing held,
        while another one does, or before what was committed meanwhile has had a turn."""
        if self._is_held or self._is_wanted or self._owes_applying or self._is_half_applied:
            return False
        self._is_held = True
        return True

    def release(self) -> None:
        """Go on applying."""
        self._is_held = False
        self._owes_applying = bool(self._to_apply)
        self.schedule()

    def step(self, message: Message) -> None:
        """A peer's message. Raises ProtocolError, nothing changed, for one that no correct peer sends."""
        if not self._running or self._failed:
            return
        try:
            if self._node.step(message, self._clock.seconds()) and not self.is_scheduled:
                self.is_scheduled = True  # as schedule() does
                self._soon(self._scheduled_turn)
        except ProtocolError:
            raise
        except Exception:  # noqa: BLE001 - as in turn()
            self._broken()

    def turn(self) -> None:
        """Have one now."""
        self._turn(False)

    def fail(self, message: str) -> None:
        """Fail-stop: nothing is written, sent or acknowledged from here on."""
        if not self._failed:
            self._failed = True
            self._on_fatal(message)

    def restore(self) -> None:
        """Make the keyspace the store's snapshot. Raises CorruptStorage."""
        for _ in self._restoring():
            pass

    def _restoring(self) -> Iterator[None]:
        source = self._store.open_snapshot()
        if source is None:
            raise RuntimeError("the store names a snapshot that it cannot open")
        try:
            yield from self._machine.restoring(_chunks(source), source.meta.index)
            self.restored_bytes = source.size
        finally:
            source.close()

    def tick_now(self) -> None:
        """tick() for a timer that is not late: nothing can have come that was not read in time."""
        self._tick_due = True
        self.turn()

    def _turn(self, is_scheduled: bool) -> None:
        if is_scheduled:
            self.is_scheduled = False
        if self._failed or not self._running or self._in_turn:
            return
        self._in_turn = True
        node, owner, seconds, wall_clock = self._node, self._owner, self._clock.seconds, self._wall_clock
        try:
            now = seconds()
            if self._tick_due:
                self._tick_due = False
                node.tick(now)
            goes_on = is_news = True  # something came of which the core may make a Ready
            while goes_on:
                goes_on = False
                if owner.begin_turn(now) or is_news:
                    is_news = False
                    ready = node.ready(int(wall_clock() * 1000), seconds())  # in this order: see wall_ms()
                    if ready is not None:
                        self._may_be_due = False
                        self._process(ready)
                        if self._to_write and not self._in_flight:
                            self._start_flush()
                        # What was made durable meanwhile may commit, and there may be more to send; else that was all.
                        if (self._may_be_due or ready.snapshots_to_send) and not self._in_flight:
                            goes_on = is_news = True
                if self._to_apply and not self._applies_later and not self._is_held:
                    goes_on = self._apply(now + APPLY_SECONDS)
                    is_news = is_news or node.commit > self._machine.applied
            owner.end_turn(now)
            taken = seconds() - now
            if taken > SHORT:
                self._meter.spent("turn", taken)
        except Exception:  # noqa: BLE001 - whatever it is, to go on could break a promise
            self._broken()
        finally:
            self._in_turn = False

    def _process(self, ready: Ready) -> None:
        if ready.messages:
            self._transport.send(ready.messages)
        for message in ready.snapshots_to_send:
            self._owner.snapshot_wanted(message)
        if self._to_write or self._in_flight or ready.entries or ready.hard_state or ready.snapshot:
            self._to_write.append(ready)
        else:  # _written() without its call
            if self._node.persisted(ready.number):
                self._may_be_due = True
            if ready.messages_after_persist:
                self._transport.send(ready.messages_after_persist)
        if ready.committed:
            self._to_apply.extend(ready.committed)
        for state in ready.reads:
            self._owner.read_answered(state)

    def _start_flush(self) -> None:
        readies = self._to_write
        while readies and not ((first := readies[0]).entries or first.hard_state or first.snapshot):
            self._written(readies.pop(0))
        if not readies:
            return
        self._to_write = []
        self._in_flight = readies
        self.is_flushing = True
        started = self._flush_started = self._clock.seconds()
        self.flushes += 1
        store, flusher = self._store, self._flusher
        count = size = 0
        for ready in readies:
            count += len(ready.entries)
            for entry in ready.entries:
                size += len(entry.payload)
            if ready.snapshot is not None:
                size = BRIEF_BYTES + 1  # it takes long
        if len(readies) == 1 and ready.snapshot is None:  # as _write() does
            job = partial(store.write, ready.hard_state, ready.entries, ready.must_sync)
        else:
            job = partial(_write, store, readies)
        flush: Deferred[None] | None
        if size <= BRIEF_BYTES and not store.rotates_with(count, size):
            flush = flusher.submit_brief(job)
        else:
            flush = flusher.submit(job)
        if flush is not None:
            flush.addCallback(self._flushed).addErrback(self._disk_failed)
            return
        taken = self._clock.seconds() - started
        if taken > SHORT:
            self._meter.spent("fsync", taken)  # it ran here: the reactor's thread waited for the disk
        if self._running and not self._failed:
            self._end_flush()

    def _flushed(self, _: None) -> Deferred[None] | None:
        if self._failed or not self._running:
            return None
        for ready in reversed(self._in_flight):
            if ready.snapshot is not None:
                return Deferred.fromCoroutine(self._adopt(ready.snapshot))
        taken = self._clock.seconds() - self._flush_started
        if taken >= SHORT:
            self._meter.took("fsync", taken)
        self._end_flush()
        return None

    async def _adopt(self, meta: SnapshotMeta) -> None:
        """The store holds the leader's snapshot as this node's own: the keyspace becomes it. The flush that brought it
        is not over before, so nothing is acknowledged, and the others have their turns meanwhile."""
        self._owner.snapshot_installing(meta)
        seconds = self._clock.seconds
        began = seconds()
        for _ in self._restoring():
            if seconds() - began > APPLY_SECONDS:
                self._meter.spent("install", seconds() - began)
                await deferLater(self._clock, 0)
                began = seconds()
            if self._is_held:  # the next step may be the one that replaces the keyspace
                self._is_wanted = True
                while self._is_held:
                    await deferLater(self._clock, APPLY_SECONDS)
                self._is_wanted = False
                began = seconds()
        self._meter.spent("install", seconds() - began)
        if self._failed or not self._running:
            return
        while self._to_apply and self._to_apply[0].index <= meta.index:
            self._to_apply.popleft()
        if self._is_half_applied:  # one of these: the snapshot holds it
            self._is_half_applied = False
            self._owner.half_applied(False)
        self._owner.snapshot_installed(meta)
        self.log.info("installed the leader's snapshot at index {index}", index=meta.index)
        self._end_flush()

    def _end_flush(self) -> None:
        node = self._node
        readies, self._in_flight = self._in_flight, []
        self.is_flushing = False
        for ready in readies:  # _written() without its call
            if node.persisted(ready.number):
                self._may_be_due = True
            if ready.messages_after_persist:
                self._transport.send(ready.messages_after_persist)
            if ready.snapshot is not None:
                node.applied(ready.snapshot.index, self._machine.time_ms)
                self._owner.applied_up_to(ready.snapshot.index, 0)
        if self._to_write:
            self._start_flush()
        if not self._in_turn:  # else it goes on by itself
            self.turn()

    def _written(self, ready: Ready) -> None:
        if self._node.persisted(ready.number):
            self._may_be_due = True
        if ready.messages_after_persist:
            self._transport.send(ready.messages_after_persist)

    def _apply(self, until: float) -> bool:
        """Apply what is committed; True when all of it was and there is time for more, False when others must have
        their turn first."""
        queue, begin, applied = self._to_apply, self._machine.begin, self._owner.entry_applied
        seconds = self._clock.seconds
        began = started = ended = seconds()
        size = 0
        while queue:
            entry = queue[0]
            try:
                done = self._machine.go_on() if self._is_half_applied else begin(entry)
                if done is None and (done := self._go_on(until)) is None:
                    self._applying_seconds += seconds() - started
                    break
            except InapplicableEntry as error:
                done = self._inapplicable(entry, error)
                if self._failed:
                    return False
            queue.popleft()
            ended = seconds()
            if self._is_half_applied:
                self._is_half_applied = False
                self._owner.half_applied(False)
                started -= self._applying_seconds
            applied(entry, done, ended - started)
            if self._failed:
                return False
            size += len(entry.payload)
            self.entries_applied += 1
            if queue:
                started = seconds()
                if started > until:
                    break
        self._owes_applying = False
        machine = self._machine
        self._node.applied(machine.applied, machine.time_ms)
        self._owner.applied_up_to(machine.applied, size)
        taken = seconds() - began
        if taken > SHORT:
            self._meter.spent("apply", taken)
        if ended <= until and not queue:
            return True
        self._applies_later = True  # even if nothing is left: more may be committed, and is handed out by the slice
        self._clock.callLater(0, self._yielded)
        return False

    def _go_on(self, until: float) -> Applied | None:
        """Further steps of the entry that was begun: what it did, None if others must have their turn before it is
        applied as a whole."""
        seconds = self._clock.seconds
        done = None
        while done is None and seconds() <= until:
            done = self._machine.go_on()
        if done is None and not self._is_half_applied:
            self._is_half_applied = True
            self._applying_seconds = 0.0
            self._owner.half_applied(True)
        return done

    def _inapplicable(self, entry: Entry, error: InapplicableEntry) -> Applied:
        """The log holds what no leader of this version appends. To pass over it silently could part the nodes."""
        if isinstance(error, UnknownEntry):
            self.fail(
                f"entry {entry.index} of the log is of a later version: {error}. "
                "Start a version of Leto on this node that the other members run too"
            )
        elif entry.index in self._skip_entries:
            self.log.warn(
                "passed over entry {index} of the log, as --skip-entry says: {error}",
                index=entry.index,
                error=str(error),
            )
            self._machine.skip(entry.index)
        else:
            self.fail(
                f"entry {entry.index} of the log cannot be applied, by any node: {error}. To get past it start every "
                f"member with --skip-entry {entry.index} (docs/operations.md, When it stops)"
            )
        return Applied([])

    def _yielded(self) -> None:
        # A call made here comes behind the next look at the sockets; one made while they were served came before it.
        self._clock.callLater(0, self._apply_on)

    def _apply_on(self) -> None:
        self._applies_later = False
        self.turn()

    def _disk_failed(self, reason: Failure) -> None:
        if reason.check(StorageError) is None:  # a failing disk is told in one line, a fault of ours with its traceback
            self.log.failure("a flush failed", reason)
        self.fail(reason.getErrorMessage())

    def _broken(self) -> None:
        self.log.failure("the replica failed")
        self.fail(f"internal error, see the log: {Failure().getErrorMessage()}")


def _chunks(source: SnapshotSource) -> Iterator[bytes]:
    offset = 0
    while data := source.read(offset, RESTORE_CHUNK):
        offset += len(data)
        yield data


def _write(store: Store, readies: list[Ready]) -> None:
    """One flush: everything that gathered since the last, made durable by one fsync."""
    must_sync = False
    last = None
    for ready in readies:
        must_sync = must_sync or ready.must_sync
        if ready.entries or ready.hard_state:
            last = ready
    for ready in readies:
        if ready.snapshot is not None:
            store.install_snapshot(ready.snapshot)
        if ready.entries or ready.hard_state:
            store.write(ready.hard_state, ready.entries, must_sync and ready is last)

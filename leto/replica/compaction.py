"""Snapshots of the own keyspace, written while it serves, and the compaction of the log that they allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from leto.errors import NoRoom, NothingToSnapshot, Stopping
from leto.interfaces.machine import SnapshotWriter, StateMachine
from leto.interfaces.store import Flusher, SnapshotSink, Store
from leto.raft.messages import SnapshotMeta
from leto.reactor.stalls import StallMeter

T = TypeVar("T")

SLICE_BYTES = 64 << 10  # a slice is about a millisecond of the reactor's time ...
REST = 0.5  # ... after which others have it for as many times as long
WRITE_BYTES = 256 << 10  # handed to the writer's thread at once: a hand-over costs both threads a wake-up
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 600.0  # seconds, doubled: after a snapshot that found no room
LOW_PAUSE, LOW_REST = 10.0, 4.0  # seconds, or times the last one took, between two because the disk is low
HELD = 2  # times the newest snapshot (or max_bytes): how much log is kept for a follower that installs one
LOOK_SECONDS = 0.005  # between two looks whether an entry that is being applied is whole
PIECE_BYTES = 1 << 20  # of a large value: the thread copies it, and nobody else can run meanwhile

ABANDONED = "the snapshot was abandoned: the keyspace is being replaced, or the node stops"


async def run_on(flusher: Flusher, job: Callable[[], T]) -> T:
    """Run `job` by the flusher and give its result."""
    result: list[T] = []
    await flusher.submit(lambda: result.append(job()))
    return result[0]


def staggered(members: Sequence[str], own: str, after: str) -> float:
    """The share of a period after which `own` takes its next snapshot, where `after` took one at its start: in (0, 1].

    Each of `members` (sorted) has a time of its own within the period, so that no two share a disk's, or a quorum's,
    attention with their snapshots: all apply the same log, and would else come to the same decision at once.
    """
    if own not in members or after not in members:
        return 1.0
    return ((members.index(after) - members.index(own)) % len(members)) / len(members) or 1.0


def _write_parts(sink: SnapshotSink, parts: list[bytes]) -> None:
    for part in parts:
        sink.write(part)


class Compaction:
    """Takes one snapshot at a time. `begin()` says what a snapshot taken now stands for."""

    log = Logger()

    def __init__(
        self,
        clock: Any,
        store: Store,
        machine: StateMachine,
        log_flusher: Flusher,
        snapshot_flusher: Flusher,
        *,
        begin: Callable[[], SnapshotMeta],
        taken: Callable[[SnapshotMeta], None],
        compacted: Callable[[int], None],
        max_bytes: int,
        max_entries: int,
        trailing_entries: int,
        trailing_bytes: int = 64 << 20,
        snapshot_bytes: int = 0,
        needed_behind: Callable[[], int | None] = lambda: None,
        meter: StallMeter | None = None,
    ) -> None:
        """A snapshot is due after `max_bytes` of requests or `max_entries`. Where the newest (of `snapshot_bytes` at
        first) is larger than `max_bytes`, after as many times that as it is larger: then what snapshots write is in
        proportion to the log, however large the keyspace is. The first one of a node's own is due sooner (staggered()).

        Behind a snapshot, at most `trailing_entries` of at most `trailing_bytes` are kept.
        `needed_behind`: the index behind which a follower that is being brought a snapshot needs the log.
        """
        self._clock = clock
        self._store = store
        self._machine = machine
        self._log_flusher = log_flusher
        self._snapshot_flusher = snapshot_flusher
        self._begin = begin
        self._taken = taken
        self._compacted = compacted
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._trailing_entries = trailing_entries
        self._trailing_bytes = trailing_bytes
        self._needed_behind = needed_behind
        self._meter = meter or StallMeter()
        self._bytes_since = 0
        self._bytes_before = 0  # as above, when the one that is under way began
        self._snapshot_bytes = snapshot_bytes
        self._snapshot_index = store.snapshot.index if store.snapshot else 0
        self._share = 1.0  # of the period, that the next snapshot is due after
        self._running: list[Deferred[SnapshotMeta]] | None = None
        self._writer: SnapshotWriter | None = None
        self._cancelled = False
        self._keys = 0  # when the last one was begun
        self._took = 0.0  # seconds, by the last one
        self._pause = FIRST_PAUSE  # after the next one that finds no room
        self._not_before = 0.0  # when one may be due again after one that found no room
        self.is_low = False  # so little room is left that nothing of the log is kept for others; set by the owner
        self.found_no_room = False  # the last one

    @property
    def in_progress(self) -> bool:
        return self._running is not None

    def applied(self, index: int, payload_bytes: int) -> bool:
        """Account for applied entries up to `index`; True if a snapshot is due."""
        self._bytes_since += payload_bytes
        if self._running is not None or (self.found_no_room and not self._is_time_again()):
            return False
        period = self._share * max(1.0, self._snapshot_bytes / self._max_bytes)
        return (
            self._bytes_since >= self._max_bytes * period or index - self._snapshot_index >= self._max_entries * period
        )

    def _is_time_again(self) -> bool:
        return float(self._clock.seconds()) >= self._not_before

    @property
    def may_help(self) -> bool:
        """Whether a snapshot now could give room back, and none is under way, nor was one in vain of late: unless half
        of the keys are gone since."""
        if self._running is not None or self._machine.applied <= self._snapshot_index:
            return False
        return self._is_time_again() or 2 * self._machine.key_count < self._keys

    def members_are(self, members: Sequence[str], own: str) -> None:
        """Who takes snapshots of the same log; sorted."""
        if members and not self._snapshot_index:
            self._share = staggered(members, own, members[0])

    def installed(self, index: int, size: int, share: float) -> None:
        """A leader's snapshot of `size` bytes replaced the state: one of our own in progress is pointless. The next is
        due after that share of a period."""
        self.cancel()
        self._share = share
        self._snapshot_index = index
        self._snapshot_bytes = size
        self._bytes_since = 0

    def cancel(self) -> None:
        """Abandon the snapshot in progress, if any. The keyspace may be replaced at once afterwards."""
        self._cancelled = True  # also one whose last byte is written: it may be durable, but nobody needs it any more
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def take(self) -> Deferred[SnapshotMeta]:
        """Snapshot now, or join the one in progress. Errbacks NothingToSnapshot, Stopping (abandoned), StorageError;
        of these NoRoom leaves all as it was, and the next one is due after a pause."""
        waiter: Deferred[SnapshotMeta] = Deferred()
        if self._running is not None:
            self._running.append(waiter)
            return waiter
        if not self._is_worth_one:
            waiter.errback(NothingToSnapshot())
            return waiter
        self._running = [waiter]
        Deferred.fromCoroutine(self._take()).addCallbacks(self._finish, self._fail)
        return waiter

    @property
    def _is_worth_one(self) -> bool:
        stored = self._store.snapshot  # maybe the leader's, which the keyspace is only becoming
        return self._machine.applied > max(self._snapshot_index, stored.index if stored is not None else 0)

    def _droppable(self, index: int, size: int, needed: int | None) -> int:
        """Up to where the log may go, given a snapshot of `size` bytes at `index`."""
        if self.is_low:
            return index
        behind = self._store.behind
        droppable = max(0, index - self._trailing_entries, behind(index, self._trailing_bytes))
        if needed is not None:
            # What is held for a follower costs no more room than the keyspace does: a log longer than that takes longer
            # to bring than another snapshot, and a follower that falls behind so far meanwhile catches up by neither.
            droppable = min(droppable, max(needed, behind(index, HELD * max(size, self._max_bytes))))
        return droppable

    def _finish(self, meta: SnapshotMeta) -> None:
        waiting, self._running = self._running or [], None
        self.found_no_room = False
        self._pause = FIRST_PAUSE
        if self.is_low:  # what it gave back may be little, and the next one gives no more
            self._not_before = self._clock.seconds() + max(LOW_PAUSE, LOW_REST * self._took)
        for waiter in waiting:
            waiter.callback(meta)

    def _fail(self, reason: Any) -> None:
        waiting, self._running = self._running or [], None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if reason.check(NoRoom):
            self.found_no_room = True
            self._bytes_since += self._bytes_before
            self._not_before = self._clock.seconds() + self._pause
            self.log.warn(
                "{error}: the log stays as it is, and the next one comes in {pause:.0f} s at the earliest; make room, "
                "or delete data and take a SNAPSHOT",
                error=reason.getErrorMessage(),
                pause=self._pause,
            )
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        for waiter in waiting:
            waiter.errback(reason)

    async def _write(self, writer: SnapshotWriter, sink: SnapshotSink) -> int:
        """All that `writer` has to `sink`, in slices with rests between them. Gives its bytes."""
        seconds, submit = self._clock.seconds, self._snapshot_flusher.submit
        parts: list[bytes] = []
        size = waiting = 0
        writing: Deferred[None] = succeed(None)  # one write is on its way while the next slices are taken
        while not self._cancelled:
            began = seconds()
            data = writer.next_slice(SLICE_BYTES)
            taken = seconds() - began
            self._meter.spent("snapshot", taken)
            if not data:
                break
            size += len(data)
            for start in range(0, len(data), PIECE_BYTES):
                if start:
                    await deferLater(self._clock, 0)  # others' turn, also where the flusher is inline
                parts.append(data[start : start + PIECE_BYTES])
                waiting += len(parts[-1])
                if waiting >= WRITE_BYTES:
                    await writing
                    writing = submit(partial(_write_parts, sink, parts))
                    parts, waiting = [], 0
            await deferLater(self._clock, taken * REST)
        await writing
        if not self._cancelled:
            await submit(partial(_write_parts, sink, parts))
        return size

    async def _take(self) -> SnapshotMeta:
        seconds, spent = self._clock.seconds, self._meter.spent
        while not self._machine.is_whole:  # half an entry is no state to keep
            await deferLater(self._clock, LOOK_SECONDS)
        if not self._is_worth_one:
            raise NothingToSnapshot()
        meta = self._begin()
        self._cancelled = False
        self._bytes_before, self._bytes_since = self._bytes_since, 0
        self._keys = self._machine.key_count
        started = seconds()
        writer = self._writer = self._machine.snapshot()
        spent("snapshot", seconds() - started)
        sink = await run_on(self._snapshot_flusher, lambda: self._store.create_snapshot(meta))
        size = await self._write(writer, sink)
        if self._cancelled:
            await run_on(self._snapshot_flusher, sink.abort)
            raise Stopping(ABANDONED)
        writer.close()
        self._writer = None
        await run_on(self._snapshot_flusher, sink.commit)
        if self._cancelled:
            raise Stopping(ABANDONED)
        self._took = seconds() - started
        self._snapshot_index = meta.index
        self._snapshot_bytes = size
        self._share = 1.0
        began = seconds()
        self._taken(meta)
        spent("compaction", seconds() - began)
        needed = self._needed_behind()
        first_index = await run_on(self._log_flusher, lambda: self._compact(meta.index, size, needed))
        began = seconds()
        self._compacted(first_index)
        spent("compaction", seconds() - began)
        await self._snapshot_flusher.submit(self._store.free_compacted)
        self.log.info(
            "snapshot of {size} bytes at index {index} in {seconds:.2f} s; the log now starts at {first}",
            size=size,
            index=meta.index,
            seconds=seconds() - started,
            first=first_index,
        )
        return meta

    def _compact(self, index: int, size: int, needed: int | None) -> int:
        """In the log's thread. Gives where the log starts now: asked later, it may be what a job after this did."""
        self._store.compact(self._droppable(index, size, needed))
        return self._store.first_index

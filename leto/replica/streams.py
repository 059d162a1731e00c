"""The snapshot streams of one node: which follower is brought which snapshot, and what it is being brought itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.errors import NoRoom, StorageError
from leto.interfaces.transport import Transport
from leto.peer.requests import SnapshotChunk, SnapshotFinish, SnapshotOffer, SnapshotProgress
from leto.raft.messages import InstallSnapshot
from leto.raft.node import Node
from leto.replica.catchup import SnapshotHasNoRoom, SnapshotReceiver, SnapshotSender
from leto.replica.compaction import run_on
from leto.replica.driver import Driver
from leto.replica.surroundings import Disk

T = TypeVar("T")

HOLD_SECONDS = 60.0  # how long the log behind a snapshot that was sent is kept: to install it takes a while
NO_ROOM_SECONDS, LONGEST_NO_ROOM = 2.0, 60.0  # until a follower that had no room is offered one again; doubled
CHUNK_BYTES = 256 << 10


class Streams:
    """Sends and takes them (leto.replica.catchup), and tells the core how they ended. `sent` counts those begun."""

    log = Logger(namespace="leto.replica")

    def __init__(self, clock: Any, node: Node, driver: Driver, disk: Disk, transport: Transport, rate: int) -> None:
        """`rate` bounds each stream, in bytes per second."""
        self._clock = clock
        self._node = node
        self._driver = driver
        self._store = disk.store
        self._flusher = disk.snapshot_flusher
        self._sender = SnapshotSender(transport, clock, rate, CHUNK_BYTES)
        self._receiver = SnapshotReceiver(
            disk.store.receive_snapshot,
            self._submit,
            driver.step,
            follows=self._follows,
            is_installing=lambda: node.is_installing,
            check=node.check,
        )
        self.sent = 0
        self._streams: dict[str, Deferred[None]] = {}
        self._untold: dict[str, Any] = {}  # follower without room -> the call that tells the core so, after a pause
        self._pauses: dict[str, float] = {}  # follower -> the next pause, while it has no room
        # follower -> the snapshot it is brought, and until when it counts
        self._held: dict[str, tuple[int, float]] = {}

    def stop(self) -> None:
        """End the streams; a follower resumes with the next leader."""
        for stream in list(self._streams.values()):
            stream.cancel()
        for peer in list(self._untold):
            self._forget_end(peer)
        self._receiver.stop()

    def answer(
        self, sender: str, request: SnapshotOffer | SnapshotChunk | SnapshotFinish
    ) -> Deferred[SnapshotProgress]:
        """Take the next of a snapshot that the leader streams."""
        return self._receiver.answer(sender, request)

    def needed_behind(self) -> int | None:
        """The oldest snapshot that a follower is being brought, or installs: without the log behind it, it would need
        another one, and so on for as long as the load lasts."""
        now = self._clock.seconds()
        return min((index for index, until in self._held.values() if until > now), default=None)

    def send(self, message: InstallSnapshot) -> None:
        """Stream the newest snapshot to a follower; the core hears how it ended."""
        self.sent += 1
        node = self._node
        source = self._store.open_snapshot() if message.to not in self._streams else None
        if source is None:
            node.snapshot_sent(message.to, message.meta.index, False, self._clock.seconds())
            return
        self._forget_end(message.to)
        sent = msgspec.structs.replace(message, meta=source.meta)
        self.log.info("streaming the snapshot at {index} to {peer}", index=sent.meta.index, peer=message.to)
        self._held[message.to] = sent.meta.index, math.inf
        stream = self._streams[message.to] = self._sender.send(message.to, source, sent)

        def ended(result: Any) -> None:
            del self._streams[message.to]
            source.close()
            ok = not isinstance(result, Failure)
            self._held[message.to] = sent.meta.index, self._clock.seconds() + HOLD_SECONDS
            if not ok:
                self.log.warn("the snapshot did not reach {peer}: {why}", peer=message.to, why=result.getErrorMessage())
            if ok or not result.check(SnapshotHasNoRoom):
                self._pauses.pop(message.to, None)
                tell(ok)
            else:
                pause = self._pauses.get(message.to, NO_ROOM_SECONDS)
                self._pauses[message.to] = min(2 * pause, LONGEST_NO_ROOM)
                self._untold[message.to] = self._clock.callLater(pause, tell, False)

        def tell(ok: bool) -> None:
            self._untold.pop(message.to, None)
            node.snapshot_sent(message.to, sent.meta.index, ok, self._clock.seconds())
            self._driver.schedule()

        stream.addBoth(ended)

    def _forget_end(self, peer: str) -> None:
        """The core need not hear any more how the stream before ended: it asks for another, in another term."""
        call = self._untold.pop(peer, None)
        if call is not None:
            call.cancel()

    def _submit(self, job: Callable[[], T]) -> Deferred[T]:
        def failed(reason: Failure) -> Failure:
            if reason.check(StorageError) and not reason.check(NoRoom):
                self._driver.fail(reason.getErrorMessage())  # storage is fail-stop
            return reason

        return Deferred.fromCoroutine(run_on(self._flusher, job)).addErrback(failed)

    def _follows(self, sender: str, term: int) -> bool:
        node = self._node
        return term > node.term or (term == node.term and node.leader_id in ("", sender))

"""Streams a snapshot from the leader to a follower, in chunks, over requests between members (leto.peer.requests).

    offer  -> where to go on (an interrupted transfer of the same file resumes)
    chunk  -> the offset wanted next, each in turn
    finish -> durable

The leader's side paces itself and survives reconnections; the follower's side takes one transfer at a time, writes
in order, and tells its replica only of a snapshot that is wholly there and durable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.logger import Logger

from leto.errors import LetoError, NoRoom, ProtocolError
from leto.interfaces.store import SnapshotSink, SnapshotSource
from leto.interfaces.transport import Transport
from leto.peer.requests import (
    SnapshotChunk,
    SnapshotFinish,
    SnapshotOffer,
    SnapshotProgress,
    decode_answer,
    encode,
)
from leto.raft.messages import InstallSnapshot, SnapshotMeta

T = TypeVar("T")

REQUEST_SECONDS: Final = 10.0  # for an offer or a chunk to be answered
FINISH_SECONDS: Final = 120.0  # for the follower to sync, read back and verify all of it
MAX_FAILURES: Final = 20  # in a row, without a byte of progress between them
_FIRST_PAUSE: Final = 0.05  # seconds after a failure, doubled up to the longest
_LONGEST_PAUSE: Final = 1.0


class SnapshotRefused(LetoError):
    """The follower does not want this snapshot: it follows a later leader, say."""


class SnapshotHasNoRoom(SnapshotRefused):
    """The follower's disk has no room for it."""


class SnapshotUndelivered(LetoError):
    """The follower could not be reached for too long, or answered nonsense."""


class Submit(Protocol):
    """Runs jobs that block on the disk, in order; fires with what the job returned."""

    def __call__(self, job: Callable[[], T], /) -> Deferred[T]: ...


class SnapshotSender:
    """The leader's side. Stateless between transfers; several may run, to different followers."""

    def __init__(self, transport: Transport, reactor: Any, rate_bytes_per_s: int, chunk_bytes: int) -> None:
        """`rate_bytes_per_s` bounds each transfer on its own."""
        self._transport = transport
        self._reactor = reactor
        self._rate = rate_bytes_per_s
        self._chunk_bytes = chunk_bytes

    def send(self, server_id: str, source: SnapshotSource, message: InstallSnapshot) -> Deferred[None]:
        """Fires once the follower has all of `source` durable. Cancellable. The caller closes `source`.

        Errbacks SnapshotRefused, SnapshotUndelivered, CorruptStorage (the source).
        """
        return Deferred.fromCoroutine(_Stream(self, server_id, source, message).run())

    async def ask(
        self, server_id: str, request: SnapshotOffer | SnapshotChunk | SnapshotFinish, seconds: float
    ) -> SnapshotProgress:
        """One request. Raises SnapshotRefused, ConnectionError, TimeoutError, ProtocolError."""
        progress = decode_answer(await self._transport.request(server_id, encode(request), seconds))
        if not isinstance(progress, SnapshotProgress):
            raise ProtocolError(f"{server_id!r} answered a {type(progress).__name__} to a snapshot")
        if progress.refused:
            kind = SnapshotHasNoRoom if progress.has_no_room else SnapshotRefused
            raise kind(f"{server_id!r} refused the snapshot: {progress.refused}")
        return progress

    @property
    def chunk_bytes(self) -> int:
        """Payload of one chunk, at most."""
        return self._chunk_bytes

    def pause(self, seconds: float) -> Deferred[None]:
        """Fires after that long."""
        return deferLater(self._reactor, seconds)

    def now(self) -> float:
        """The reactor's time."""
        return float(self._reactor.seconds())

    @property
    def rate(self) -> int:
        """Bytes a second."""
        return self._rate


class _Stream:
    """One transfer."""

    def __init__(
        self, sender: SnapshotSender, server_id: str, source: SnapshotSource, message: InstallSnapshot
    ) -> None:
        self._sender = sender
        self._server_id = server_id
        self._source = source
        self._offer = SnapshotOffer(message, source.size, source.token)
        self._furthest = 0  # offset that the follower has confirmed
        self._failures = 0
        self._due = 0.0  # when the next chunk may leave

    async def run(self) -> None:
        while True:
            try:
                if await self._attempt():
                    return
            except (ConnectionError, TimeoutError, ProtocolError) as error:
                self._failures += 1
                if self._failures > MAX_FAILURES:
                    raise SnapshotUndelivered(
                        f"gave up the snapshot for {self._server_id!r} at {self._furthest} of {self._source.size} "
                        f"bytes: {error}"
                    ) from error
                await self._sender.pause(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (self._failures - 1)))

    async def _attempt(self) -> bool:
        """From the offer on; True when the follower has it all, False to offer again."""
        ask, size = self._sender.ask, self._source.size
        progress = await ask(self._server_id, self._offer, REQUEST_SECONDS)
        transfer = progress.transfer
        self._due = self._sender.now()
        while not progress.done:
            offset = progress.offset
            if progress.transfer != transfer or offset > size:
                raise ProtocolError(f"{self._server_id!r} wants offset {offset} of transfer {progress.transfer}")
            if offset > self._furthest:
                self._furthest = offset
                self._failures = 0
            if offset == size:
                progress = await ask(self._server_id, SnapshotFinish(transfer), FINISH_SECONDS)
                if not progress.done:
                    raise ProtocolError(f"{self._server_id!r} did not finish the snapshot")
                break
            data = self._source.read(offset, self._sender.chunk_bytes)
            if not data:
                raise SnapshotUndelivered(f"the snapshot ends at {offset}, short of its {size} bytes")
            await self._throttle(len(data))
            progress = await ask(self._server_id, SnapshotChunk(transfer, offset, data), REQUEST_SECONDS)
            if progress.offset <= offset and not progress.done:
                raise ProtocolError(f"{self._server_id!r} wants offset {progress.offset} after a chunk at {offset}")
        return True

    async def _throttle(self, size: int) -> None:
        now = self._sender.now()
        if self._due > now:
            await self._sender.pause(self._due - now)
            now = self._sender.now()
        self._due = max(self._due, now - 0.1) + size / self._sender.rate  # what was missed is made up for 0.1 s


class _Transfer:
    """A snapshot that is being received."""

    __slots__ = ("message", "number", "offset", "sender", "sink", "size", "token")

    def __init__(self, number: int, sender: str, offer: SnapshotOffer, sink: SnapshotSink) -> None:
        self.number = number
        self.sender = sender
        self.message = offer.message
        self.size = offer.size
        self.token = offer.token
        self.sink = sink
        self.offset = sink.offset  # what is wanted next


class SnapshotReceiver:
    """The follower's side: one transfer at a time, from the leader of the highest term that has offered."""

    log = Logger()

    def __init__(
        self,
        open_sink: Callable[[SnapshotMeta, int, int], SnapshotSink],
        submit: Submit,
        on_complete: Callable[[InstallSnapshot], None],
        *,
        follows: Callable[[str, int], bool] = lambda sender, term: True,
        is_installing: Callable[[], bool] = lambda: False,
        check: Callable[[InstallSnapshot], None] = lambda message: None,
    ) -> None:
        """`open_sink(meta, size, token)` is Store.receive_snapshot; it, and all that the sink does, runs in `submit`.
        `on_complete` is called once the sink is committed. `follows(sender, term)`: whether that may be the current
        leader, as far as this node knows. `is_installing()`: whether a complete one is on its way into the log. `check`
        raises ProtocolError for what the core would refuse."""
        self._open_sink = open_sink
        self._submit = submit
        self._on_complete = on_complete
        self._follows = follows
        self._is_installing = is_installing
        self._check = check
        self._turn = DeferredLock()  # requests are served one at a time, in order
        self._term = 0  # the highest that has offered
        self._number = 0
        self._transfer: _Transfer | None = None
        self._done: tuple[int, SnapshotMeta, int, int] | None = None  # number, meta, size, token of the last complete
        self._stopped = False

    @property
    def receiving(self) -> SnapshotMeta | None:
        """What is under way."""
        return None if self._transfer is None else self._transfer.message.meta

    def answer(
        self, sender: str, request: SnapshotOffer | SnapshotChunk | SnapshotFinish
    ) -> Deferred[SnapshotProgress]:
        """Serve one request of the member `sender`. Errbacks with what the sink raised, but for NoRoom: refused."""
        return self._turn.run(lambda: Deferred.fromCoroutine(self._serve(sender, request)))

    def stop(self) -> Deferred[None]:
        """Close what is under way, so that it can be resumed. Fires when the disk is let go of."""
        self._stopped = True
        return self._turn.run(lambda: Deferred.fromCoroutine(self._abort(keep_partial=True)))

    async def _serve(self, sender: str, request: SnapshotOffer | SnapshotChunk | SnapshotFinish) -> SnapshotProgress:
        if self._stopped:
            return SnapshotProgress(refused="this node is stopping")
        try:
            return await self._take(sender, request)
        except NoRoom as error:
            self.log.warn("the leader's snapshot was given up: {error}", error=error)
            return SnapshotProgress(refused=str(error), has_no_room=True)

    async def _take(self, sender: str, request: SnapshotOffer | SnapshotChunk | SnapshotFinish) -> SnapshotProgress:
        if isinstance(request, SnapshotOffer):
            return await self._take_offer(sender, request)
        transfer = self._transfer
        if transfer is None or transfer.number != request.transfer or transfer.sender != sender:
            if self._done is not None and self._done[0] == request.transfer:
                return SnapshotProgress(request.transfer, self._done[2], done=True)  # its answer was lost
            raise ProtocolError(f"transfer {request.transfer} is not under way: offer the snapshot again")
        if isinstance(request, SnapshotChunk):
            return await self._take_chunk(transfer, request)
        return await self._finish(transfer)

    async def _take_offer(self, sender: str, offer: SnapshotOffer) -> SnapshotProgress:
        message = offer.message
        if message.sender != sender:
            raise ProtocolError(f"{sender!r} offers a snapshot in the name of {message.sender!r}")
        self._check(message)
        if message.term < self._term or not self._follows(sender, message.term):
            return SnapshotProgress(refused=f"{sender!r} (term {message.term}) is not the leader here any more")
        self._term = message.term
        same = (message.meta, offer.size, offer.token)
        if self._done is not None and self._done[1:] == same:
            # It is here already; what it was reported for may be past, so it is reported again.
            self._on_complete(message)
            return SnapshotProgress(self._done[0], offer.size, done=True)
        transfer = self._transfer
        if transfer is not None and (transfer.message.meta, transfer.size, transfer.token) == same:
            self._number += 1
            transfer.number, transfer.sender, transfer.message = self._number, sender, message
            return SnapshotProgress(transfer.number, transfer.offset)
        if self._is_installing():
            # The store keeps one received snapshot: to begin another would take away what is being installed.
            return SnapshotProgress(refused="the snapshot before this one is still being installed")
        await self._abort(keep_partial=False)
        self._done = None  # the store lets go of it for the one that begins
        sink = await self._submit(lambda: self._open_sink(message.meta, offer.size, offer.token))
        self._number += 1
        self._transfer = transfer = _Transfer(self._number, sender, offer, sink)
        return SnapshotProgress(transfer.number, transfer.offset)

    async def _take_chunk(self, transfer: _Transfer, chunk: SnapshotChunk) -> SnapshotProgress:
        if chunk.offset != transfer.offset or not chunk.data:
            return SnapshotProgress(transfer.number, transfer.offset)
        if chunk.offset + len(chunk.data) > transfer.size:
            raise ProtocolError(f"a chunk goes beyond the snapshot's {transfer.size} bytes")
        await self._run(transfer, lambda: transfer.sink.write(chunk.data))
        transfer.offset += len(chunk.data)
        return SnapshotProgress(transfer.number, transfer.offset)

    async def _finish(self, transfer: _Transfer) -> SnapshotProgress:
        if transfer.offset != transfer.size:
            return SnapshotProgress(transfer.number, transfer.offset)
        await self._run(transfer, transfer.sink.commit)
        self._transfer = None
        self._done = transfer.number, transfer.message.meta, transfer.size, transfer.token
        self._on_complete(transfer.message)
        return SnapshotProgress(transfer.number, transfer.size, done=True)

    async def _run(self, transfer: _Transfer, job: Callable[[], None]) -> None:
        """A job of the sink's; the transfer is over if it fails, and what was written is not trusted."""
        try:
            await self._submit(job)
        except Exception:
            self._transfer = None
            await self._submit(lambda: transfer.sink.abort(False))
            raise

    async def _abort(self, keep_partial: bool) -> None:
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            await self._submit(lambda: transfer.sink.abort(keep_partial))

"""What members ask of each other besides Raft's messages: forwarded writes, snapshot streams, status."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, fail, maybeDeferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.config import Config
from leto.errors import (
    DiskFull,
    LetoError,
    NoRoom,
    NotLeader,
    NotSent,
    OutcomeUnknown,
    Overloaded,
    ProtocolError,
    RequestRefused,
    RequestTooLarge,
    Stopping,
    StorageError,
)
from leto.interfaces.store import Flusher, Store
from leto.interfaces.transport import Transport
from leto.keyspace import batch
from leto.keyspace.admission import checking
from leto.keyspace.registry import KEYSPACE
from leto.keyspace.types.long_string import plain
from leto.peer import requests
from leto.peer.requests import ForwardReply, Outcome, StatusQuery, StatusReply
from leto.raft.messages import InstallSnapshot
from leto.reactor.notices import Notices
from leto.replica.catchup import SnapshotHasNoRoom, SnapshotReceiver, SnapshotSender
from leto.replica.compaction import run_on
from leto.status import status_data

if TYPE_CHECKING:
    from leto.replica.replica import Replica

T = TypeVar("T")

STATUS_SECONDS = 1.0
CHECK_SECONDS = 0.004  # how long one turn checks a forwarded write that is long
HOLD_SECONDS = 60.0  # how long the log behind a snapshot that was sent is kept: to install it takes a while
NO_ROOM_SECONDS, LONGEST_NO_ROOM = 2.0, 60.0  # until a follower that had no room is offered one again; doubled
MAX_FORWARDS = 512  # half of the requests that a connection takes: beyond it clients are not read from
CHUNK_BYTES = 256 << 10
FATE_UNKNOWN = "the write was forwarded to the leader, which did not answer: it may or may not apply"
OUTCOMES: dict[type[LetoError], int] = {
    NotLeader: Outcome.NOT_LEADER,
    Overloaded: Outcome.OVERLOADED,
    Stopping: Outcome.STOPPING,
    OutcomeUnknown: Outcome.UNKNOWN,
    RequestRefused: Outcome.REFUSED,
    RequestTooLarge: Outcome.REFUSED,
    DiskFull: Outcome.DISK_FULL,
}
ERRORS: dict[int, type[LetoError]] = {
    Outcome.OVERLOADED: Overloaded,
    Outcome.STOPPING: Stopping,
    Outcome.REFUSED: RequestRefused,
    Outcome.DISK_FULL: DiskFull,
}


class Peering:
    """Sends and answers the requests of leto.peer.requests for one replica."""

    log = Logger()

    def __init__(
        self,
        clock: Any,
        config: Config,
        replica: Replica,
        store: Store,
        transport: Transport,
        snapshot_flusher: Flusher,
    ) -> None:
        self._clock = clock
        self._notices = Notices(self.log, clock.seconds)
        self._checks = DeferredLock()  # forwarded writes are checked in the order they came
        self._config = config
        self._replica = replica
        self._store = store
        self._transport = transport
        self._flusher = snapshot_flusher
        self._sender = SnapshotSender(transport, clock, config.snapshot_rate, CHUNK_BYTES)
        self._receiver = SnapshotReceiver(
            store.receive_snapshot,
            self._submit,
            replica.peer_message,
            follows=self._follows,
            is_installing=lambda: replica.node.is_installing,
            check=lambda message: replica.node.check(message),
        )
        self._streams: dict[str, Deferred[None]] = {}
        self._untold: dict[str, Any] = {}  # follower without room -> the call that tells the core so, after a pause
        self._pauses: dict[str, float] = {}  # follower -> the next pause, while it has no room
        self._held: dict[
            str, tuple[int, float]
        ] = {}  # follower -> the snapshot it is brought, and until when it counts
        self._forwards: dict[Deferred[bytes], int] = {}  # writes that wait for the leader's answer: of which term

    def stop(self) -> None:
        """End the streams; a follower resumes with the next leader."""
        for stream in list(self._streams.values()):
            stream.cancel()
        for peer in list(self._untold):
            self._forget_end(peer)
        self._receiver.stop()

    def answer(self, sender: str, body: bytes) -> Deferred[bytes]:
        """A peer's request. Raises ProtocolError for bytes that are none."""
        request = requests.decode_request(body)
        if isinstance(request, requests.Forward):
            return self._answer_forward(sender, request)
        if isinstance(request, StatusQuery):
            return succeed(requests.encode(StatusReply(msgspec.json.encode(status_data(self._replica.status())))))
        return self._receiver.answer(sender, request).addCallback(requests.encode)

    # writes that a follower's client sent -------------------------------------------------------------

    @property
    def is_congested(self) -> bool:
        """Whether so many writes wait for the leader's answer that clients are better left unread."""
        return len(self._forwards) > MAX_FORWARDS

    def abandon(self, term: int) -> None:
        """Wait no longer for the answers of leaders of `term` or before it."""
        for asked in [asked for asked, of in self._forwards.items() if of <= term]:
            asked.cancel()

    def forward(self, leader_id: str, payload: bytes, count: int) -> Deferred[list[Any]]:
        """Have the leader do it. Sent once, never again: a lost answer is an unknown outcome."""
        if not self._transport.is_connected(leader_id):
            return fail(NotLeader(leader_id))
        return Deferred.fromCoroutine(self._forward(leader_id, payload, count))

    async def _forward(self, leader_id: str, payload: bytes, count: int) -> list[Any]:
        body = requests.encode(requests.Forward(payload, count))
        asked = self._transport.request(leader_id, body, self._config.write_timeout * 2)
        self._forwards[asked] = self._replica.node.term
        try:
            answer = requests.decode_answer(await asked)
        except NotSent as error:
            raise Overloaded(str(error)) from error
        except (ConnectionError, TimeoutError, ProtocolError, CancelledError) as error:
            raise OutcomeUnknown(FATE_UNKNOWN) from error
        finally:
            del self._forwards[asked]
        if not isinstance(answer, ForwardReply):
            raise OutcomeUnknown(FATE_UNKNOWN)
        if answer.error == Outcome.DONE:
            try:
                await self._replica.read()  # this node must show the write to the reads that follow it
            except LetoError as error:
                # The write is done, whatever this node can show: to call it refused would be untrue.
                self.log.warn("a forwarded write is done but cannot be shown here yet: {error}", error=error)
            return requests.decode_replies(answer.replies)
        if answer.error == Outcome.NOT_LEADER:
            raise NotLeader(answer.leader_id or None, answer.leader_address or None)
        raise ERRORS.get(answer.error, OutcomeUnknown)(answer.reason)

    def _answer_forward(self, sender: str, request: requests.Forward) -> Deferred[bytes]:
        def refused(reason: Failure) -> ForwardReply:
            error = reason.value
            if not isinstance(error, LetoError) or type(error) not in OUTCOMES:
                return reason  # type: ignore[return-value]  # the transport logs it and closes
            hint = (error.leader_id or "", error.leader_address or "") if isinstance(error, NotLeader) else ("", "")
            return ForwardReply(OUTCOMES[type(error)], b"", str(error), *hint)

        def done(replies: list[Any]) -> ForwardReply:
            return ForwardReply(Outcome.DONE, requests.encode_replies(plain(replies)))

        return self._append_checked(sender, request).addCallbacks(done, refused).addCallback(requests.encode)

    def _append_checked(self, sender: str, request: requests.Forward) -> Deferred[list[Any]]:
        """Check it, in turns if that takes long, and write it. What came later waits for what is being checked."""
        written = self._checks.run(lambda: self._check(sender, request))
        return written.addCallback(lambda asked: asked[0])  # the check is over once it is asked for

    def _check(self, sender: str, request: requests.Forward) -> Deferred[tuple[Deferred[list[Any]]]]:
        """Fires with the write, once that is asked for: in a tuple, for nobody is to wait here for its outcome."""
        steps = checking(
            request.payload,
            request.count,
            commands=KEYSPACE,
            longest=self._config.max_bulk_bytes,
            level=self._replica.machine.level,
            why_refused=self._replica.machine.why_refused,
        )
        if len(request.payload) < batch.LARGE:
            return maybeDeferred(self._checked, sender, request, steps)
        return Deferred.fromCoroutine(self._check_in_turns(sender, request, steps))

    async def _check_in_turns(
        self, sender: str, request: requests.Forward, steps: Iterator[None]
    ) -> tuple[Deferred[list[Any]]]:
        seconds = self._clock.seconds
        began = seconds()
        try:
            for _ in steps:
                if seconds() - began > CHECK_SECONDS:
                    await deferLater(self._clock, 0)
                    began = seconds()
        except RequestRefused as error:
            self._say_refused(sender, error)
            raise
        return self._checked(sender, request, steps)

    def _checked(self, sender: str, request: requests.Forward, steps: Iterator[None]) -> tuple[Deferred[list[Any]]]:
        """Do the steps that are left, and write it."""
        if not self._replica.is_leader:  # never twice
            raise NotLeader(self._replica.node.leader_id, self._replica.addresses.of_leader())
        try:
            for _ in steps:
                pass
        except RequestRefused as error:
            self._say_refused(sender, error)
            raise
        return (self._replica.write(request.payload, request.count),)

    def _say_refused(self, sender: str, error: RequestRefused) -> None:
        self._notices.warn(
            ("forward", sender), "refused writes that {peer} forwarded: {reason}", peer=sender, reason=str(error)
        )

    # snapshots ---------------------------------------------------------------------------------------------

    def needed_behind(self) -> int | None:
        """The oldest snapshot that a follower is being brought, or installs: without the log behind it, it would need
        another one, and so on for as long as the load lasts."""
        now = self._clock.seconds()
        return min((index for index, until in self._held.values() if until > now), default=None)

    def send_snapshot(self, message: InstallSnapshot) -> None:
        """Stream the newest snapshot to a follower; the core hears how it ended."""
        node = self._replica.node
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
            self._replica.driver.schedule()

        stream.addBoth(ended)

    def _forget_end(self, peer: str) -> None:
        """The core need not hear any more how the stream before ended: it asks for another, in another term."""
        call = self._untold.pop(peer, None)
        if call is not None:
            call.cancel()

    def _submit(self, job: Callable[[], T]) -> Deferred[T]:
        def failed(reason: Failure) -> Failure:
            if reason.check(StorageError) and not reason.check(NoRoom):
                self._replica.driver.fail(reason.getErrorMessage())  # storage is fail-stop
            return reason

        return Deferred.fromCoroutine(run_on(self._flusher, job)).addErrback(failed)

    def _follows(self, sender: str, term: int) -> bool:
        node = self._replica.node
        return term > node.term or (term == node.term and node.leader_id in ("", sender))

    # status --------------------------------------------------------------------------------------------------

    def status_of(self, peer: str) -> Deferred[Mapping[str, Any]]:
        """What that member says of itself: leto.status.status_data. Errbacks ConnectionError, TimeoutError,
        ProtocolError, msgspec.DecodeError."""

        def decoded(answer: bytes) -> Mapping[str, Any]:
            reply = requests.decode_answer(answer)
            if not isinstance(reply, StatusReply):
                raise ProtocolError("it answered something else")
            return msgspec.json.decode(reply.json, type=dict[str, Any])

        return self._transport.request(peer, requests.encode(StatusQuery()), STATUS_SECONDS).addCallback(decoded)

    def cluster_status(self) -> Deferred[dict[str, Any]]:
        """The shape of leto.status: every member's own view, or why it gave none."""
        return Deferred.fromCoroutine(self._cluster_status())

    async def _cluster_status(self) -> dict[str, Any]:
        own = self._config.id
        nodes = {own: status_data(self._replica.status())}
        unreachable: dict[str, str] = {}
        asked = {peer: self.status_of(peer) for peer in self._replica.node.configuration.ids() if peer != own}
        for peer, answer in asked.items():
            try:
                nodes[peer] = dict(await answer)
            except (ConnectionError, TimeoutError, ProtocolError, msgspec.DecodeError) as error:
                unreachable[peer] = str(error) or "no connection to it"
        return {"id": own, "nodes": nodes, "unreachable": unreachable}

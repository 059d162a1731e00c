"""Writes that came to a node that does not lead: sent to the leader, which checks them, appends them and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredLock, fail, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.config import Config
from leto.errors import (
    DiskFull,
    LetoError,
    NotLeader,
    NotSent,
    OutcomeUnknown,
    Overloaded,
    ProtocolError,
    RequestRefused,
    RequestTooLarge,
    Stopping,
)
from leto.interfaces.machine import StateMachine
from leto.interfaces.transport import Transport
from leto.keyspace import batch
from leto.keyspace.admission import checking
from leto.keyspace.types.long_string import plain
from leto.peer import requests
from leto.peer.requests import TERM_LEVEL, Forward, ForwardInTerm, ForwardReply, Outcome
from leto.raft.node import Node
from leto.raft.state import Role
from leto.reactor.notices import Notices
from leto.vocabulary.registry import KEYSPACE

CHECK_SECONDS = 0.004  # how long one turn checks a forwarded write that is long
MAX_FORWARDS = 512  # half of the requests that a connection takes: beyond it clients are not read from
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


class Forwarding:
    """Both sides of it, for one replica."""

    log = Logger(namespace="leto.replica")

    def __init__(
        self,
        clock: Any,
        config: Config,
        node: Node,
        machine: StateMachine,
        transport: Transport,
        *,
        write: Callable[[bytes, int], Deferred[list[Any]]],
        read: Callable[[], Deferred[int]],
        not_leader: Callable[[], NotLeader],
    ) -> None:
        """`write` and `read` are leto.interfaces.replica.Replica's, `not_leader` says where to ask instead."""
        self._clock = clock
        self._config = config
        self._node = node
        self._machine = machine
        self._transport = transport
        self._write = write
        self._read = read
        self._not_leader = not_leader
        self._notices = Notices(self.log, clock.seconds)
        self._checks = DeferredLock()  # forwarded writes are checked in the order they came
        self._asked: dict[Deferred[bytes], int] = {}  # writes that wait for the leader's answer: of which term

    # the side that does not lead ------------------------------------------------------------------

    @property
    def is_congested(self) -> bool:
        """Whether so many writes wait for the leader's answer that clients are better left unread."""
        return len(self._asked) > MAX_FORWARDS

    def abandon(self, term: int) -> None:
        """Wait no longer for the answers of leaders of `term` or before it."""
        for asked in [asked for asked, of in self._asked.items() if of <= term]:
            asked.cancel()

    def forward(self, leader_id: str, payload: bytes, count: int) -> Deferred[list[Any]]:
        """Have the leader do it. Sent once, never again: a lost answer is an unknown outcome."""
        if not self._transport.is_connected(leader_id):
            return fail(NotLeader(leader_id))
        return Deferred.fromCoroutine(self._forward(leader_id, payload, count))

    async def _forward(self, leader_id: str, payload: bytes, count: int) -> list[Any]:
        term = self._node.term
        in_term = self._transport.level_of(leader_id) >= TERM_LEVEL
        body = requests.encode(ForwardInTerm(payload, count, term) if in_term else Forward(payload, count))
        asked = self._transport.request(leader_id, body, self._config.write_timeout * 2)
        self._asked[asked] = term
        try:
            answer = requests.decode_answer(await asked)
        except NotSent as error:
            raise Overloaded(str(error)) from error
        except (ConnectionError, TimeoutError, ProtocolError, CancelledError) as error:
            raise OutcomeUnknown(FATE_UNKNOWN) from error
        finally:
            del self._asked[asked]
        if not isinstance(answer, ForwardReply):
            raise OutcomeUnknown(FATE_UNKNOWN)
        if answer.error == Outcome.DONE:
            try:
                await self._read()  # this node must show the write to the reads that follow it
            except LetoError as error:
                # The write is done, whatever this node can show: to call it refused would be untrue.
                self.log.warn("a forwarded write is done but cannot be shown here yet: {error}", error=error)
            return requests.decode_replies(answer.replies)
        if answer.error == Outcome.NOT_LEADER:
            raise NotLeader(answer.leader_id or None, answer.leader_address or None)
        raise ERRORS.get(answer.error, OutcomeUnknown)(answer.reason)

    # the leader's side ------------------------------------------------------------------------------

    def answer(self, sender: str, request: Forward) -> Deferred[ForwardReply]:
        """Do what that member forwards, or say why not."""

        def refused(reason: Failure) -> ForwardReply:
            error = reason.value
            if not isinstance(error, LetoError) or type(error) not in OUTCOMES:
                return reason  # type: ignore[return-value]  # the transport logs it and closes
            hint = (error.leader_id or "", error.leader_address or "") if isinstance(error, NotLeader) else ("", "")
            return ForwardReply(OUTCOMES[type(error)], b"", str(error), *hint)

        def done(replies: list[Any]) -> ForwardReply:
            return ForwardReply(Outcome.DONE, requests.encode_replies(plain(replies)))

        return self._append_checked(sender, request).addCallbacks(done, refused)

    def _append_checked(self, sender: str, request: Forward) -> Deferred[list[Any]]:
        """Check it, in turns if that takes long, and write it. What came later waits for what is being checked."""
        written = self._checks.run(lambda: self._check(sender, request))
        return written.addCallback(lambda asked: asked[0])  # the check is over once it is asked for

    def _check(self, sender: str, request: Forward) -> Deferred[tuple[Deferred[list[Any]]]]:
        """Fires with the write, once that is asked for: in a tuple, for nobody is to wait here for its outcome."""
        steps = checking(
            request.payload,
            request.count,
            commands=KEYSPACE,
            longest=self._config.max_bulk_bytes,
            level=self._machine.level,
            why_refused=self._machine.why_refused,
        )
        if len(request.payload) < batch.LARGE:
            return maybeDeferred(self._checked, sender, request, steps)
        return Deferred.fromCoroutine(self._check_in_turns(sender, request, steps))

    async def _check_in_turns(self, sender: str, request: Forward, steps: Iterator[None]) -> tuple[Deferred[list[Any]]]:
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

    def _checked(self, sender: str, request: Forward, steps: Iterator[None]) -> tuple[Deferred[list[Any]]]:
        """Do the steps that are left, and write it."""
        if self._node.role is not Role.LEADER:  # never twice
            raise self._not_leader()
        if isinstance(request, ForwardInTerm) and request.term != self._node.term:
            raise self._not_leader()  # its client may have been answered by others since
        try:
            for _ in steps:
                pass
        except RequestRefused as error:
            self._say_refused(sender, error)
            raise
        return (self._write(request.payload, request.count),)

    def _say_refused(self, sender: str, error: RequestRefused) -> None:
        self._notices.warn(
            ("forward", sender), "refused writes that {peer} forwarded: {reason}", peer=sender, reason=str(error)
        )

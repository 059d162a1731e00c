"""Requests that wait for their answers on one connection: numbered, bounded, each with its timeout."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail

from leto.errors import NotSent, ProtocolError

MAX_OUTSTANDING: Final = 1024
NUMBER: Final = struct.Struct(">Q")  # a REQUEST's body: its number, then the request
ANSWER: Final = struct.Struct(">QB")  # an ANSWER's body: the number, the outcome, then the answer or a sentence
ANSWERED: Final = 0
FAILED: Final = 1


class RequestFailed(ConnectionError):
    """The peer could not answer: its own sentence says why."""


class Exchange:
    """The dialler's side. An answer that comes after its timeout is dropped."""

    def __init__(self, reactor: Any, peer: str, send: Callable[[bytes], bool]) -> None:
        """`send` queues a REQUEST's body; False if it does not fit."""
        self._reactor = reactor
        self._peer = peer
        self._send = send
        self._waiting: dict[int, tuple[Deferred[bytes], Any]] = {}  # number -> its Deferred, its timeout's call
        self._last = 0

    def request(self, body: bytes, timeout: float) -> Deferred[bytes]:
        """Errbacks with NotSent, ConnectionError (closed, RequestFailed) or TimeoutError."""
        if len(self._waiting) >= MAX_OUTSTANDING:
            return fail(NotSent(f"{MAX_OUTSTANDING} requests to {self._peer!r} wait for answers already"))
        self._last = number = self._last + 1
        if not self._send(NUMBER.pack(number) + body):
            return fail(NotSent(f"too much waits to be sent to {self._peer!r}"))
        answer: Deferred[bytes] = Deferred(lambda _: self._cancel(number))
        self._waiting[number] = answer, self._reactor.callLater(timeout, self._time_out, number, timeout)
        return answer

    def answered(self, body: bytes) -> None:
        """Take an ANSWER's body. Raises ProtocolError."""
        if len(body) < ANSWER.size:
            raise ProtocolError("an answer without a number")
        number, outcome = ANSWER.unpack_from(body)
        if number > self._last or outcome not in (ANSWERED, FAILED):
            raise ProtocolError(f"an answer {outcome} to request {number}; {self._last} were sent")
        waiting = self._drop(number)
        if waiting is None:
            return
        content = bytes(memoryview(body)[ANSWER.size :])
        if outcome == ANSWERED:
            waiting.callback(content)
        else:
            waiting.errback(RequestFailed(content.decode("utf-8", "replace")))

    def close(self, reason: str) -> None:
        """The connection is gone: nothing more will be answered."""
        for number in list(self._waiting):
            waiting = self._drop(number)
            if waiting is not None:
                waiting.errback(ConnectionError(reason))

    def _cancel(self, number: int) -> None:
        self._drop(number)

    def _time_out(self, number: int, timeout: float) -> None:
        answer, _ = self._waiting.pop(number)
        answer.errback(TimeoutError(f"{self._peer!r} did not answer within {timeout:g} s"))

    def _drop(self, number: int) -> Deferred[bytes] | None:
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return None
        answer, call = waiting
        call.cancel()
        return answer

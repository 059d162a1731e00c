"""Requests whose reply is not there at once. The client goes no further until it is: what it sends waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.python.failure import Failure

from leto.clients.outcomes import refusal
from leto.clients.pause import LONGEST_SECONDS
from leto.clients.runs import Client, Run
from leto.resp.codec import Request, encode
from leto.vocabulary.replies import Error, Reply

FOR_EVER: Final = 0.0  # seconds, as BLPOP's timeout says it


class LateRun(Run):
    """Its reply comes later, by end()."""

    __slots__ = ("argv", "client", "silent")
    reason = ""  # what its client is blocked by meanwhile

    def __init__(self, client: Client, argv: Request) -> None:
        super().__init__(sum(map(len, argv)))
        self.client = client
        self.argv = argv
        self.silent = client.silent

    def end(self, reply: Reply) -> None:
        """That is the reply."""
        try:
            if type(reply) is Error:
                self.client.accounts.count_error(reply, self.argv)
            self.output = b"" if self.silent else encode(reply, self.client.resp3)  # HELLO may have changed it
            self.client.resume(self.reason)
        except Exception:  # noqa: BLE001 - one client's misfortune is no other's
            self.client.fault()


class Task(LateRun):
    """A connection command that takes time: a Deferred brings its reply. Nothing is read from its client meanwhile."""

    __slots__ = ()
    reason = "task"

    def failed(self, failure: Failure) -> None:
        self.end(refusal(failure, False))


class WaitingRun(LateRun):
    """A client that waits for something to happen (BLPOP): it is served, its time is over, or it is cancelled,
    whichever is first. It is read from, so that its end is noticed, but no further than a piece of what comes next."""

    __slots__ = ("_gone", "_seconds", "_timed_out", "_timer", "is_over")
    reason = "wait"

    def __init__(
        self,
        client: Client,
        argv: Request,
        seconds: float = FOR_EVER,
        *,
        timed_out: Callable[[WaitingRun], object] | None = None,
        gone: Callable[[WaitingRun], object] | None = None,
    ) -> None:
        """`seconds`: how long, from its start on. `timed_out` is called when they are over, and end()s it then or
        later; by default it is answered null. `gone` is called if the client leaves before it is over."""
        super().__init__(client, argv)
        self._seconds = seconds
        self._timed_out = timed_out
        self._gone = gone
        self._timer: Any = None
        self.is_over = False

    def start(self) -> None:
        """Every write before it is decided: its time begins."""
        if self._seconds > FOR_EVER and not self.is_over:
            self._arm()

    def end(self, reply: Reply) -> None:
        """Serve it, or cancel it with an Error. Of two that come the first is heard."""
        if not self.is_over:
            self._stop()
            super().end(reply)

    def drop(self) -> None:
        """The connection is gone."""
        if not self.is_over:
            self._stop()
            if self._gone is not None:
                self._gone(self)

    def _arm(self) -> None:
        seconds = min(self._seconds, LONGEST_SECONDS)
        self._seconds -= seconds
        self._timer = self.client.state.reactor.callLater(seconds, self._time_is_over)

    def _time_is_over(self) -> None:
        self._timer = None
        if self._seconds > 0:
            self._arm()
        elif self._timed_out is not None:
            self._timed_out(self)
        else:
            self.end(None)

    def _stop(self) -> None:
        self.is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

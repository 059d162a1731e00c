"""One HTTP connection to the admin port, bounded: in the size of its headers, in time, and in what it may send."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

REQUEST_SECONDS: Final = 30.0  # from one request's end, or the connection's begin, to the end of the next one
BODY_BYTES: Final = 4096  # nothing here takes a body; a client that sends one all the same may be so chatty


class AdminRequest(Request):
    """A request, which has no use for a body."""

    channel: Any

    def gotLength(self, length: int | None) -> None:
        """How long the body is; None: nobody knows (chunked)."""
        if length is None or length > BODY_BYTES:
            self.channel.abort()
            length = 0
        super().gotLength(length)


class AdminChannel(HTTPChannel):
    """Told to its site (`leto.admin.site`) when it comes and goes. Sending a little now and then gives no more time."""

    maxHeaders = 100
    totalHeadersSize = 8192
    site: Any

    def __init__(self) -> None:
        super().__init__()
        self._deadline: Any = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self._await_request()
        self.site.opened(self)

    def allContentReceived(self) -> None:
        self._stop_waiting()
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        super().requestDone(request)
        self._await_request()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_waiting()
        super().connectionLost(reason)
        self.site.closed(self)

    def abort(self) -> None:
        """Close at once."""
        self._stop_waiting()
        transport: Any = self.transport
        transport.abortConnection()

    def _await_request(self) -> None:
        if self._deadline is None and self.connected:
            self._deadline = self.site.reactor.callLater(REQUEST_SECONDS, self._too_late)

    def _too_late(self) -> None:
        self._deadline = None
        self.abort()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

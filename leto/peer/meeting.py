"""Asking who is at an address, before a cluster counts on it: a handshake that ends as soon as that is proved."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from leto.config import Address
from leto.errors import ProtocolError
from leto.peer.frames import FrameReader
from leto.peer.greetings import Refusal, RefusalCode, describe
from leto.peer.handshake import DiallerHandshake, Session
from leto.peer.links import Connector, reason_of

ANOTHER_DIRECTORY: Final = "another data directory of that id answers there"


def meet(
    reactor: Any,
    connector: Connector,
    address: Address,
    handshake: DiallerHandshake,
    incarnation: str | None,
    timeout: float,
) -> Deferred[int]:
    """Fires with the level that the node understands once it has proved that it is at `address`, on the data directory
    of `incarnation` (None: any). Errbacks with ConnectionError or TimeoutError, whose words say what is wrong."""
    met = Deferred.fromCoroutine(_meet(connector, address, handshake, incarnation, timeout))
    met.addTimeout(timeout, reactor)
    return met.addErrback(_in_words)


async def _meet(
    connector: Connector, address: Address, handshake: DiallerHandshake, incarnation: str | None, timeout: float
) -> int:
    factory = Factory.forProtocol(lambda: Meeting(handshake))
    factory.noisy = False
    meeting: Meeting = await connector(address.host, address.port, timeout).connect(factory)
    try:
        result = await meeting.over
    finally:
        meeting.transport.abortConnection()
    if isinstance(result, Refusal) and not (result.code == RefusalCode.MET and result.by_peer and result.proved):
        raise ConnectionError(f"it refuses ({describe(result.code)}): {result.reason}")
    if incarnation is not None and not handshake.is_incarnation(incarnation):
        raise ConnectionError(ANOTHER_DIRECTORY)
    return handshake.peer_level


def _in_words(failure: Failure) -> NoReturn:
    if failure.check(TimeoutError, DeferredTimeoutError, CancelledError, ConnectingCancelledError):
        raise TimeoutError("no answer") from None
    if failure.check(ConnectError, ConnectionClosed, OSError):
        raise ConnectionError(reason_of(failure)) from None
    failure.raiseException()
    raise AssertionError


class Meeting(Protocol):
    """The dialler's side; `over` fires with what the handshake came to. Errbacks ConnectionError."""

    transport: Any

    def __init__(self, handshake: DiallerHandshake) -> None:
        self._handshake = handshake
        self._reader = FrameReader()
        self.over: Deferred[Session | Refusal] = Deferred()

    def connectionMade(self) -> None:
        """Twisted: the connection is up."""
        self.transport.write(self._handshake.open())

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes came."""
        try:
            for kind, body in self._reader.feed(data):
                if self.over.called:
                    return
                self.transport.write(self._handshake.receive(kind, body))
                if self._handshake.result is not None:
                    self.over.callback(self._handshake.result)
        except ProtocolError as error:
            if not self.over.called:
                self.over.errback(ConnectionError(f"what answers there is no node: {error}"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is gone."""
        if not self.over.called:
            self.over.errback(ConnectionError("it closed the connection"))

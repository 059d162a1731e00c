"""The outgoing side: one link per peer, dialled again and again until it is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionRefusedError
from twisted.internet.error import TimeoutError as TwistedTimeoutError
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from leto.config import Address
from leto.peer.dialled import DialledConnection
from leto.peer.greetings import Refusal, RefusalCode
from leto.peer.origins import dialable, is_ipv4, is_ipv6
from leto.reactor.notices import Notices

_FIRST_DELAY: Final = 0.02  # seconds before the second attempt, doubled up to the cap
_STUBBORN_CAP: Final = 5.0  # seconds between attempts after a refusal that only an operator can lift
# Not CLUSTER: the node there may be about to found another, and must hear soon that it is a member here.
_STUBBORN: Final = frozenset(
    (
        RefusalCode.VERSION,
        RefusalCode.OWN_ID,
        RefusalCode.AUTHENTICATION,
        RefusalCode.PROTECTED,
        RefusalCode.LEVEL,
    )
)


class Connector(Protocol):
    """Makes the endpoint (IStreamClientEndpoint) of one attempt."""

    def __call__(self, host: str, port: int, timeout: float) -> Any: ...


def tcp_connector(reactor: Any) -> Connector:
    """Plain TCP; a host name is resolved anew at every attempt."""

    def connect(host: str, port: int, timeout: float) -> Any:
        if is_ipv4(host):
            return TCP4ClientEndpoint(reactor, host, port, timeout)
        if is_ipv6(host):
            return TCP6ClientEndpoint(reactor, host, port, timeout)
        return HostnameEndpoint(reactor, host, port, timeout)

    return connect


class Link:
    """Keeps one connection to one peer.

    It dials the address that set_peers gave; when that fails or names no host, in turn with the one that the
    peer itself gave in its Hello. The handshake makes sure that who answers is who was meant.
    """

    def __init__(
        self,
        reactor: Any,
        server_id: str,
        *,
        connector: Connector,
        protocol: Callable[[str], DialledConnection],
        random: Callable[[], float],
        delay_cap: float,
        connect_timeout: float,
        notices: Notices,
    ) -> None:
        self.server_id = server_id
        self.configured = ""  # from set_peers; "" when it does not name this peer
        self.learned = ""  # from the peer's Hello
        self.connection: DialledConnection | None = None  # with its handshake complete
        self.reached_at = ""  # where it was dialled last
        self._reactor = reactor
        self._connector = connector
        self._protocol = protocol
        self._random = random
        self._delay_cap = delay_cap
        self._connect_timeout = connect_timeout
        self._notices = notices
        self._attempt: DialledConnection | None = None  # connected, its handshake under way
        self._dialling: Deferred[Any] | None = None
        self._call: Any = None
        self._attempts = 0  # since the last connection that lasted
        self._turn = 0  # which of its addresses is dialled; the next one after a failure
        self._since = 0.0  # when the last handshake was complete
        self._hasty = False  # the last connection was over as soon as it was up
        self._cap = delay_cap
        self._closed = False

    @property
    def address(self) -> str:
        """Where it dials next, "" if nowhere."""
        known = self._addresses()
        return str(known[self._turn % len(known)]) if known else ""

    def kick(self) -> None:
        """The peer is up, for it dialled: no need to wait, unless it closes connections as soon as they are made."""
        if not self._hasty:
            self.redial(now=True)

    def redial(self, now: bool = False) -> None:
        """See that an attempt is under way, or comes; `now`: at once, for there is a new address."""
        if self._closed or self.connection is not None or self._attempt is not None or self._dialling is not None:
            return
        if self._call is not None:
            if not now:
                return
            self._call.cancel()
            self._call = None
        if now or not self._attempts:
            self._dial()
        else:
            delay = min(self._cap, _FIRST_DELAY * 2 ** min(self._attempts - 1, 16))
            self._call = self._reactor.callLater(delay * (0.5 + self._random() / 2), self._dial)

    def move(self, configured: str | None = None, learned: str | None = None) -> None:
        """Take a new address, and dial it at once unless a connection is up."""
        before = self._addresses()
        if configured is not None:
            self.configured = configured
        if learned is not None:
            self.learned = learned
        moved = self._addresses() != before
        if moved:
            self._turn = 0
        self.redial(now=moved)

    def established(self, connection: DialledConnection) -> None:
        """The handshake is complete."""
        self.connection = connection
        self._attempt = None
        self._since = self._reactor.seconds()
        self._cap = self._delay_cap
        self._notices.forget(("dial", self.server_id))

    def refused(self, refusal: Refusal) -> None:
        """The peer refused, or was refused: dial on, more slowly if only an operator can help."""
        self._cap = max(self._delay_cap, _STUBBORN_CAP) if refusal.code in _STUBBORN else self._delay_cap
        self._attempts = max(self._attempts, 1)

    def lost(self, connection: DialledConnection) -> None:
        """A connection of this link is closed."""
        if connection is self.connection:
            self.connection = None
            self._hasty = self._reactor.seconds() - self._since < self._delay_cap
            if not self._hasty:
                self._attempts = 0
        elif connection is self._attempt:
            self._attempt = None
            self._turn += 1
        self.redial()

    def close(self) -> None:
        """Never dial again; what is queued is sent as far as one burst goes."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._dialling is not None:
            self._dialling.cancel()
        if self._attempt is not None:
            self._attempt.abort()
        if self.connection is not None:
            self.connection.close()

    def _addresses(self) -> list[Address]:
        known: list[Address] = []
        for text in (self.configured, self.learned):
            address = dialable(text)
            if address is not None and address not in known:
                known.append(address)
        return known

    def _dial(self) -> None:
        self._call = None
        known = self._addresses()
        if self._closed or not known:
            return  # move() dials once there is an address
        address = known[self._turn % len(known)]
        self.reached_at = str(address)
        self._attempts += 1
        endpoint = self._connector(address.host, address.port, self._connect_timeout)
        factory = Factory.forProtocol(lambda: self._protocol(self.server_id))
        factory.noisy = False
        self._dialling = dialling = endpoint.connect(factory)
        # Covers the name's resolution too, which the endpoint's own timeout does not.
        dialling.addTimeout(self._connect_timeout, self._reactor)
        dialling.addCallbacks(self._dialled, self._failed, errbackArgs=(address,))

    def _dialled(self, connection: DialledConnection) -> None:
        self._dialling = None
        if self._closed:
            connection.abort()
        elif not connection.is_over:
            self._attempt = connection
        else:
            self._turn += 1
            self.redial()

    def _failed(self, failure: Failure, address: Address) -> None:
        self._dialling = None
        if self._closed:
            return
        self._cap = self._delay_cap  # whoever refused is gone; who comes next may be another
        if failure.check(
            ConnectError, CancelledError, ConnectingCancelledError, TimeoutError, DeferredTimeoutError, OSError
        ):
            self._notices.info(
                ("dial", self.server_id),
                "cannot reach {peer} at {address}: {reason}",
                peer=self.server_id,
                address=str(address),
                reason=reason_of(failure),
            )
        else:
            self._notices.failure(("dial", self.server_id), "dialling {peer} failed", failure, peer=self.server_id)
        self._turn += 1
        self.redial()


def reason_of(failure: Failure) -> str:
    """Why an attempt failed, in words."""
    if failure.check(ConnectionRefusedError):
        return "nobody listens there"
    if failure.check(TimeoutError, TwistedTimeoutError, DeferredTimeoutError, CancelledError, ConnectingCancelledError):
        return "no answer"
    return failure.getErrorMessage() or str(failure.type)

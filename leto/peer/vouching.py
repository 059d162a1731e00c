"""Who a peer is, where no secret tells: the member itself is asked, at its own address, whether it dialled.

Anybody on this host, or on an open network, can say that it is a member. It cannot listen at that member's address
while the member does, and it does not see the nonce that the member sends to others. A member that only others know
yet (this node lags) is asked for first: the members at their own addresses say where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from leto.config import Address
from leto.errors import ProtocolError
from leto.interfaces.store import Identity
from leto.interfaces.transport import PeerListener
from leto.peer.dialled import DialledConnection
from leto.peer.frames import FrameReader, Kind, frame
from leto.peer.greetings import PROTOCOL_VERSION, Hello, Vouch, Vouched, check_address, decode, encode
from leto.peer.links import Connector
from leto.peer.origins import dial_back_address, dialable

_EARLIER: Final = "if it is of an earlier version, start this node with --confirm-peers no until all are replaced"


class _Unanswered(ConnectionError):
    """Somebody listens there, and closes the connection instead of an answer."""


# What becomes of a question when the other side is not there, or not what it should be.
_NO_ANSWER: Final = (
    ConnectError,
    ConnectingCancelledError,  # it took too long to find the host, or to connect
    ConnectionError,
    TimeoutError,
    DeferredTimeoutError,
    OSError,
    ProtocolError,
)


class Vouching:
    """Asks, for one node. Durations are seconds."""

    def __init__(
        self,
        reactor: Any,
        identity: Identity,
        connector: Connector,
        timeout: float,
        peers: Callable[[], Mapping[str, str]],
    ) -> None:
        """`timeout`: of each question. `peers` gives the members' own addresses by their ids."""
        self._reactor = reactor
        self._identity = identity
        self._connector = connector
        self._timeout = timeout
        self._peers = peers

    def confirm(self, hello: Hello, host: str, admitted: bool) -> Deferred[str]:
        """Whether the sender of `hello`, connected from `host`, is who it says: fires with "", or why that is not
        known. `admitted`: this node knows it as a member, or knows no members at all. May be cancelled."""
        return Deferred.fromCoroutine(self._confirm(hello, host, admitted))

    def answer(self, vouch: Vouch, listener: PeerListener | None, ours: Iterable[DialledConnection]) -> Vouched:
        """What another is told that asks: whether one of `ours` is the connection it means, or where that member is."""
        own = self._identity
        if vouch.cluster_id != own.cluster_id or listener is None:
            return Vouched(False)
        if vouch.claimed_id == own.server_id:
            return Vouched(any(one.server_id == vouch.asker_id and one.said(vouch.nonce) for one in ours))
        known = listener.admits(vouch.claimed_id, vouch.incarnation)
        return Vouched(False, self._peers().get(vouch.claimed_id, "") if known else "")

    async def _confirm(self, hello: Hello, host: str, admitted: bool) -> str:
        own = self._identity
        is_foreign = hello.cluster_id != own.cluster_id  # what it claims is to be a member of another cluster
        vouch = Vouch(
            PROTOCOL_VERSION, hello.cluster_id, own.server_id, hello.server_id, hello.incarnation, hello.nonce
        )
        given = "" if is_foreign else self._peers().get(hello.server_id, "")
        if not given and not admitted and not is_foreign:
            given = await self._where(vouch)
            if not given:
                return f"no member that this node reaches knows {hello.server_id!r}"
        own_words = dialable(dial_back_address(hello.address, host))
        # A node without any configuration has nothing but what it is told; a member that names no host is where it is.
        address = dialable(given) or own_words
        if address is None:
            return f"{hello.server_id!r} has no address at which it could be asked"
        try:
            answer: Vouched = await self._ask(address, vouch)
        except _NO_ANSWER as error:
            # Its incarnation is told to members alone: with it a member may have moved to another address.
            if not (admitted and hello.incarnation) or own_words in (None, address):
                reason = f"nobody at {address}, the address of {hello.server_id!r}, answers for this connection"
                return f"{reason} ({_EARLIER})" if isinstance(error, _Unanswered) else reason
            return await self._confirm_at(own_words, vouch)
        return _words(answer, vouch, address)

    async def _confirm_at(self, address: Address, vouch: Vouch) -> str:
        try:
            return _words(await self._ask(address, vouch), vouch, address)
        except _NO_ANSWER:
            return f"{vouch.claimed_id!r} answers neither at its address nor at {address}, which it gave"

    async def _where(self, vouch: Vouch) -> str:
        """Where the members say that the claimed one is."""
        known = [address for address in map(dialable, self._peers().values()) if address is not None]
        answers = await DeferredList([self._ask(address, vouch) for address in known], consumeErrors=True)
        return next((answer.address for ok, answer in answers if ok and dialable(answer.address)), "")

    def _ask(self, address: Address, vouch: Vouch) -> Deferred[Vouched]:
        asked = Deferred.fromCoroutine(self._ask_once(address, vouch))
        return asked.addTimeout(self._timeout, self._reactor)

    async def _ask_once(self, address: Address, vouch: Vouch) -> Vouched:
        factory = Factory.forProtocol(_Question)
        factory.noisy = False
        question: _Question = await self._connector(address.host, address.port, self._timeout).connect(factory)
        return await question.ask(vouch)


def _words(answer: Vouched, vouch: Vouch, address: Address) -> str:
    return "" if answer.dialled else f"{vouch.claimed_id!r}, asked at {address}, has not made this connection"


class _Question(TwistedProtocol):
    """A connection for one question."""

    transport: Any

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._answer: Deferred[Vouched] | None = None

    def ask(self, vouch: Vouch) -> Deferred[Vouched]:
        """Errbacks with _Unanswered or ProtocolError. May be cancelled."""
        answer: Deferred[Vouched] = Deferred(lambda _: self._end(CancelledError()))
        self._answer = answer
        self.transport.write(frame(Kind.VOUCH, encode(vouch)))
        return answer

    def dataReceived(self, data: bytes) -> None:
        try:
            for kind, body in self._reader.feed(data):
                if kind != Kind.VOUCHED:
                    raise ProtocolError(f"a frame of kind {kind} is no answer")
                vouched = decode(body, Vouched)
                check_address(vouched.address)
                self._end(vouched)
        except ProtocolError as error:
            self._end(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end(_Unanswered("it closed the connection"))

    def _end(self, outcome: Vouched | Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        self.transport.abortConnection()
        if isinstance(outcome, Vouched):
            answer.callback(outcome)
        else:
            answer.errback(outcome)

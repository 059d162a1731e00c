"""What the log is told of connections between nodes, one line a matter (leto.reactor.notices)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from leto.errors import ProtocolError
from leto.peer.accepted import AcceptedConnection
from leto.peer.connection import PeerConnection
from leto.peer.dialled import DialledConnection
from leto.peer.greetings import Refusal, describe
from leto.peer.origins import plain
from leto.reactor.notices import Notices
from leto.reactor.places import place_of


class Reports:
    """Whoever connects chooses the id that it gives: only a member's tells one line from another."""

    def __init__(self, notices: Notices, is_member: Callable[[str], bool]) -> None:
        self._notices = notices
        self._is_member = is_member

    def crowd(self, victim: AcceptedConnection) -> None:
        """It was closed, for there are too many strangers."""
        self._notices.warn(
            ("strangers", place_of(victim.remote_host)),
            "too many connections to the peers' port without a handshake from {place}: closing the oldest",
            place=plain(victim.remote_host),
        )

    def refused(self, connection: PeerConnection, peer: str, refusal: Refusal) -> None:
        """A handshake with one that calls itself `peer` ended so."""
        is_dialled = isinstance(connection, DialledConnection)
        name = peer if is_dialled or self._is_member(peer) else ""
        place = "" if is_dialled else place_of(connection.remote_host)
        self._notices.warn(
            ("refused", name, place, refusal.code, refusal.by_peer),
            "{who} refused this node ({code}): {reason}" if refusal.by_peer else "refused {who} ({code}): {reason}",
            who=f"{peer} at {connection.remote}" if peer else connection.remote,
            code=describe(refusal.code),
            reason=refusal.reason,
        )

    def broken(self, connection: PeerConnection, error: ProtocolError) -> None:
        """The other side sent what no node of this protocol sends."""
        who = connection.session.server_id if connection.session is not None else ""
        self._notices.warn(
            ("broken", who if self._is_member(who) else place_of(connection.remote_host)),
            "closed the connection with {who}: {error}",
            who=f"{who} at {connection.remote}" if who else connection.remote,
            error=str(error),
        )

    def failed(self, connection: PeerConnection, failure: Failure) -> None:
        """A request from a peer ended in an error that is this node's own fault."""
        self._notices.failure(("request",), "a request from {who} failed", failure, who=repr(connection))

    def oversized(self, connection: DialledConnection, size: int, limit: int) -> None:
        """An append that no peer takes was not sent."""
        self._notices.warn(
            ("oversized", connection.server_id),
            "cannot send {size} bytes of the log to {peer} at once: at most {limit} are taken",
            size=size,
            peer=connection.server_id,
            limit=limit,
        )

    def gave_up(self, connection: PeerConnection, reason: str) -> None:
        """This node closed it."""
        self._notices.info(
            ("gave up", place_of(connection.remote_host), reason),
            "closed the connection with {who}: {reason}",
            who=connection.remote,
            reason=reason,
        )

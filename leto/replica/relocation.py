"""The leader writes down where members are that it reaches at another address than the configuration has.

A member whose options name no host cannot tell that its host is another one now. It still dials the others, who then
find it where it came from (leto.peer.links); only the configuration, and what clients are told, would stay behind. One
that still answers at its old address too is left there; so are names: what they mean is for their owner to change.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.config import Address
from leto.errors import LetoError
from leto.interfaces.transport import Transport
from leto.peer.origins import is_ipv4, is_ipv6
from leto.raft.configuration import Member
from leto.raft.node import Node
from leto.raft.state import Role
from leto.replica.membership import MEET_SECONDS, Membership

LOOK_SECONDS = 1.0
LASTING_LOOKS = 5  # a member is held to have moved once it was seen elsewhere, and connected, so often in a row


class Relocation:
    """Looks once a second while the node runs."""

    log = Logger()

    def __init__(self, clock: Any, node: Node, membership: Membership, transport: Transport) -> None:
        self._clock = clock
        self._node = node
        self._membership = membership
        self._transport = transport
        self._seen: dict[str, tuple[str, int]] = {}  # member -> where it is reached, and for how many looks
        self._moving: Deferred[None] | None = None
        self._call: Any = None

    def start(self) -> None:
        """Begin to look."""
        self._call = self._clock.callLater(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self.start()
        seen, self._seen = self._seen, {}
        if self._node.role is not Role.LEADER:
            return
        for member in self._node.configuration.members:
            at = self._transport.reached_at(member.id)
            host = Address.parse(member.address).host
            if not at or at == member.address or not (is_ipv4(host) or is_ipv6(host)):
                continue
            before, looks = seen.get(member.id, ("", 0))
            looks = looks + 1 if before == at else 1
            self._seen[member.id] = at, looks
            if looks >= LASTING_LOOKS and self._moving is None:
                self._moving = Deferred.fromCoroutine(self._move(member, at))
                self._moving.addBoth(self._moved)

    async def _move(self, member: Member, at: str) -> None:
        try:
            await self._transport.meet(member.id, member.address, member.incarnation, MEET_SECONDS)
        except (ConnectionError, TimeoutError) as error:
            why = str(error)
        else:
            return
        self.log.info(
            "{member} is reached at {at}, not at {was} any more ({why})",
            member=member.id,
            at=at,
            was=member.address,
            why=why,
        )
        try:
            await self._membership.move(member.id, at, incarnation=member.incarnation)
        except LetoError as error:
            self.log.warn("the move of {member} is not written down: {why}", member=member.id, why=str(error))

    def _moved(self, result: object) -> None:
        self._moving = None
        self._seen.clear()
        if isinstance(result, Failure):
            self.log.failure("writing down a member's move failed", result)

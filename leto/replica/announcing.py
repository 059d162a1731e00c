"""A member that has moved tells the cluster where it is now.

It knows by its own options: they name another host or port than the configuration does. Where they name no host, it can
only guess, for it hears no leader; the member that it asks sees where it is. The leader meets it there, on its own data
directory, before the move is committed; else the log says what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from txredisapi import ResponseError

from leto.config import Address, Config
from leto.errors import LetoError
from leto.interfaces.store import Identity
from leto.replica.addresses import UNSPECIFIED, advertised, advertised_client, differs
from leto.replica.asking import UNREACHABLE, Asked, named_leader

if TYPE_CHECKING:
    from leto.replica.replica import Replica

FIRST_LOOK_SECONDS = 0.2
LOOK_SECONDS = 1.0
LONGEST_SECONDS = 10.0  # between attempts
SILENT_ELECTION_TIMEOUTS = 3  # without a leader for so long, a node may be cut off by its own move


class Announcer:
    """Looks once a second, as long as the node runs. `identity`: whose directory it runs on."""

    log = Logger()

    def __init__(self, reactor: Any, config: Config, identity: Identity, replica: Replica) -> None:
        self._reactor = reactor
        self._config = config
        self._identity = identity
        self._replica = replica
        self._peer, self._client = advertised(config), advertised_client(config)
        self._led_at = reactor.seconds()
        self._said = ""
        self._looking: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._looking = Deferred.fromCoroutine(self._look())
        self._looking.addErrback(self._ended)

    def stop(self) -> None:
        """Announce nothing any more."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()

    def _ended(self, failure: Failure) -> None:
        if self._looking is not None or not failure.check(CancelledError):
            self.log.failure("announcing this node's address failed", failure)

    async def _look(self) -> None:
        wait = FIRST_LOOK_SECONDS
        while True:
            await deferLater(self._reactor, wait)
            if not self._is_due():
                wait = LOOK_SECONDS
                continue
            try:
                await self._announce()
            except LetoError as error:
                self._say(str(error))
            wait = min(2 * wait, LONGEST_SECONDS)

    def _is_due(self) -> bool:
        node, now = self._replica.node, self._reactor.seconds()
        if node.leader_id:
            self._led_at = now
        own = node.configuration.member(node.id)
        if own is None or own.incarnation != self._identity.incarnation:
            return False
        if self._has_moved():
            return True
        # Where its options name the host, the configuration would name another one.
        alone = node.configuration.ids() == (node.id,)
        guesses = not (alone or self._peer.host and self._client.host)
        return guesses and now - self._led_at > SILENT_ELECTION_TIMEOUTS * self._config.election_timeout

    def _has_moved(self) -> bool:
        own = self._replica.node.configuration.member(self._config.id)
        return own is not None and (differs(self._peer, own.address) or differs(self._client, own.client_address))

    async def _announce(self) -> None:
        replica, id = self._replica, self._config.id
        if replica.is_leader:
            own = replica.node.configuration.member(id)
            host = Address.parse(own.address).host if own is not None else ""
            await replica.move_member(id, _at(self._peer, host), client_address=_at(self._client, host))
            return
        members = [
            Address.parse(address)
            for address in map(replica.addresses.of_client, replica.node.configuration.ids())
            if address and Address.parse(address).port
        ]
        others = [member for member in dict.fromkeys((*members, *self._config.join)) if member != self._client]
        reasons: list[str] = []
        is_certain = self._has_moved()  # else only a leader's refusal is worth a word: it may be that nobody leads
        for member in others:
            try:
                await self._tell(member)
            except ResponseError as error:
                reasons.append(f"{member} answers: {error}")
                is_certain = is_certain or str(error).startswith("ERR")
            except UNREACHABLE as error:
                reasons.append(f"{member} cannot be reached: {error or type(error).__name__}")
            else:
                return
        if is_certain:
            self._say("; ".join(reasons) or "it knows no other member's client address")

    async def _tell(self, member: Address) -> None:
        """RAFT MOVE there, or at the leader that it names."""
        leader = await self._tell_one(member)
        if leader is not None and await self._tell_one(leader) is not None:
            raise ResponseError("the leader is changing")

    async def _tell_one(self, member: Address) -> Address | None:
        """None once it is done; the leader, if that must be told."""
        asked = await Asked.connect(self._reactor, self._config, member)
        try:
            cluster = (await asked.raft_info())["raft_cluster_id"]
            if cluster != self._identity.cluster_id:
                raise ResponseError(f"it belongs to another cluster, {cluster}")
            own = self._config.id, str(self._peer), str(self._client), self._identity.incarnation
            try:
                await asked.call("RAFT", "MOVE", *own)
            except ResponseError as error:
                return named_leader(error)
            return None
        finally:
            asked.close()

    def _say(self, reason: str) -> None:
        own = self._replica.node.configuration.member(self._config.id)
        if reason != self._said and own is not None:
            self._said = reason
            self.log.warn(
                "members dial {id} at {configured}, and it is at {now} (its clients at {clients}), of which it could "
                "not tell them yet: {reason}. If that goes on, start it where it was, give it --advertise, or run "
                "RAFT MOVE {id} HOST:PORT on the leader",
                id=self._config.id,
                configured=own.address,
                now=str(self._peer),
                clients=str(self._client),
                reason=reason,
            )


def _at(address: Address, host: str) -> str:
    return str(Address(host, address.port) if address.host in UNSPECIFIED else address)

"""How a node whose directory is empty comes to a cluster: it is taken into one, or founds one.

Meanwhile both of its ports say who it is: clients hear that it waits, and who dials the peers' port is told no more
than that this node is there. A node that is to found a cluster listens there first: members of a cluster that lost
sight of a node of this id dial it again within half an election timeout, and a second cluster under their feet would
acknowledge writes that they never see.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from twisted.internet.task import deferLater

from leto.config import Config
from leto.interfaces.store import Identity
from leto.interfaces.transport import Claim
from leto.peer.door import Door
from leto.peer.transport import TcpTransport
from leto.reactor.listening import Listener
from leto.reactor.waiting import WaitingFactory
from leto.replica.addresses import advertised
from leto.replica.joining import Joiner

CLAIM_MARGIN_SECONDS = 0.1  # beyond the time in which members of another cluster dial a node that came up
NO_CLUSTER = ""

TransportFor = Callable[[Identity, Callable[[], str]], TcpTransport]


class Entrance:
    """One node's way in. The listeners stay open for what serves after it."""

    def __init__(
        self, reactor: Any, config: Config, clients: Listener, peers: Listener, transport_for: TransportFor
    ) -> None:
        self._reactor = reactor
        self._config = config
        self._clients = clients
        own_address = str(advertised(config))
        self._door = Door(reactor, peers, lambda identity: transport_for(identity, lambda: own_address))
        self._joiner: Joiner | None = None
        self.is_founding = False

    @property
    def waits_for(self) -> str:
        """Why it is not in yet, "" if nobody has said."""
        return self._joiner.waits_for if self._joiner is not None else ""

    async def come(self) -> Identity | None:
        """The identity that a cluster has taken this node under; None: it is to found one."""
        return await (self._join() if self._config.join else self._listen())

    async def _listen(self) -> None:
        """Let others claim this node as theirs (Transport's `on_claim`), as long as that may take them."""
        self._door.open(Identity(NO_CLUSTER, self._config.id))
        self.is_founding = True
        try:
            await deferLater(self._reactor, self._config.election_timeout / 2 + CLAIM_MARGIN_SECONDS)
        finally:
            self.is_founding = False
            await self._door.close()

    def claimed(self) -> None:
        """A member of a cluster dials this node by its id: there is one to be taken into, whatever others say."""
        if self._joiner is not None:
            self._joiner.may_found = False

    async def _join(self) -> Identity | None:
        waiting = WaitingFactory()
        incarnation = uuid.uuid4().hex
        self._joiner = Joiner(self._reactor, self._config, incarnation, self._door.open, waiting.announce)
        self._door.open(Identity(NO_CLUSTER, self._config.id))
        self._clients.serve(self._reactor, waiting)
        try:
            return await self._joiner.join()
        finally:
            await self._clients.pause()
            waiting.close()
            await self._door.close()


def claim_in_words(claim: Claim, config: Config, serves: bool) -> str:
    """Why a node must not serve a cluster of its own (any more, if it `serves` one), and what to do."""
    empty = f" (first move {config.raftdir} away: it holds a cluster that this node founded)" if serves else ""
    return (
        f"{claim.member_id} of cluster {claim.cluster_id}, at {claim.remote}, takes this node for its member "
        f"{config.id}: the directory of that member is lost, or its id is used twice. To come back as that member, "
        f"start this node with --join and the client address of any member{empty}; to have a cluster of its own, give "
        f"it another id or address, or remove {config.id} there (RAFT REMOVE {config.id})"
    )

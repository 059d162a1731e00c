"""What the peers' connections tell a replica: messages, requests, who came and went, who knows no such member."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from leto.peer import requests
from leto.peer.requests import Forward, StatusQuery
from leto.raft.node import Node
from leto.replica.cluster import Cluster
from leto.replica.driver import Driver
from leto.replica.forwarding import Forwarding
from leto.replica.membership import names
from leto.replica.status import Survey
from leto.replica.streams import Streams


class Listener:
    """The leto.interfaces.transport.PeerListener of one replica; `on_shut_out` is that of its Endings."""

    log = Logger(namespace="leto.replica")

    def __init__(
        self,
        clock: Any,
        node: Node,
        driver: Driver,
        cluster: Cluster,
        forwarding: Forwarding,
        streams: Streams,
        survey: Survey,
        on_shut_out: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._node = node
        self._driver = driver
        self._cluster = cluster
        self._forwarding = forwarding
        self._streams = streams
        self._survey = survey
        self._on_shut_out = on_shut_out
        self.peer_message = driver.step  # straight: nothing is between a message and the core

    def peer_request(self, sender: str, body: bytes) -> Deferred[bytes]:
        """Raises ProtocolError for bytes that are no request."""
        request = requests.decode_request(body)
        if isinstance(request, Forward):
            return self._forwarding.answer(sender, request).addCallback(requests.encode)
        if isinstance(request, StatusQuery):
            return self._survey.answer().addCallback(requests.encode)
        return self._streams.answer(sender, request).addCallback(requests.encode)

    def peer_connected(self, server_id: str) -> None:
        self.log.debug("connected to {peer}", peer=server_id)
        self._cluster.levels.consider()

    def peer_disconnected(self, server_id: str) -> None:
        if self._driver.is_running:
            if server_id == self._node.leader_id:
                self._node.leader_lost(self._clock.seconds())
            self._node.peer_unreachable(server_id)
            self._driver.schedule()

    def removed_by(self, server_id: str, configuration_index: int) -> None:
        # What counts is the newest configuration in the log that names this node: the removal itself may follow it
        # there, not known to be committed. A joiner that none names yet is not removed, whoever refuses it; nor is one
        # that came back, reads of its own past, and meets a member that lags: the leader that it hears knows better.
        node = self._node
        hears_leader = node.has_quorum(self._clock.seconds())
        from_leader = server_id == node.leader_id
        if 0 <= node.member_at < configuration_index and (from_leader or not hears_leader):
            self._cluster.removal.removed(by=server_id)
        elif node.member_at < 0 and from_leader and hears_leader:
            # It appends to this id, and refuses this directory: the id was given away, to an earlier life of this node
            # whose question was held up on its way, say.
            self._on_shut_out()
        elif node.member_at < 0 and from_leader and configuration_index > node.last_index:
            self._cluster.removal.left_out_by(server_id)

    def admits(self, server_id: str, incarnation: str) -> bool:
        current = self._node.configuration
        known = (current, self._cluster.dialling.farewell, self._node.applied_configuration[1])
        return not current.members or names(known, server_id, incarnation)

    @property
    def level(self) -> int:
        return self._node.configuration.level

    @property
    def configuration_index(self) -> int:
        return self._node.applied_configuration[0]

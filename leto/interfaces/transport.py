"""What the peers' connections are to the replica, and what they tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from leto.raft.messages import Message


class PeerListener(Protocol):
    """What the transport tells replica. All in the reactor's thread."""

    def peer_message(self, message: Message) -> None:
        """A valid Raft message from an authenticated peer of this cluster, its sender checked."""

    def peer_request(self, sender: str, body: bytes) -> Deferred[bytes]:
        """A request that wants an answer (a forwarded write, a snapshot chunk, a status query)."""

    def peer_connected(self, server_id: str) -> None:
        """Our connection to that peer is up (messages sent from now on may arrive)."""

    def peer_disconnected(self, server_id: str) -> None:
        """The connection from that peer, or ours to it, was closed or reset."""

    def removed_by(self, server_id: str, configuration_index: int) -> None:
        """That member refused us: we are in no configuration that it knows, the last set at that index."""

    def admits(self, server_id: str, incarnation: str) -> bool:
        """Whether that id may connect: a member of the configuration, or this node has none yet."""

    @property
    def configuration_index(self) -> int:
        """Index of the configuration this node knows."""

    @property
    def level(self) -> int:
        """What a member must understand, by the configuration in force."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A member of another cluster dialled this node by its id: it is, or was, a member there. Proved by the cluster
    secret, where there is one."""

    cluster_id: str
    member_id: str
    remote: str  # host:port that it came from


class Transport(Protocol):
    """Peers' connections: best effort, ordered within a connection, bounded queues; what does not fit is dropped."""

    def start(self, listener: PeerListener) -> None: ...

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        """server id -> host:port to dial; ids left out are disconnected."""

    def send(self, messages: Iterable[Message]) -> None:
        """Queue Raft messages, each to its `to`. Never blocks or raises for an absent peer."""

    def request(self, server_id: str, body: bytes, timeout: float) -> Deferred[bytes]:
        """Send `body` and fire with the peer's answer. Errbacks with NotSent (never left),
        ConnectionError or TimeoutError; never retried."""

    def meet(self, server_id: str, address: str, incarnation: str | None, timeout: float) -> Deferred[int]:
        """Dial `address` and have it proved that the node `server_id` of this cluster answers there, on the data
        directory of that incarnation (None: any); nothing else is said. Fires with the level that it understands.
        Errbacks with ConnectionError or TimeoutError, whose words say what is wrong."""

    def is_connected(self, server_id: str) -> bool: ...

    def reached_at(self, server_id: str) -> str:
        """host:port of our connection to that peer that is up: where it is configured, or where it said it is; "" if
        there is none."""

    def client_address(self, server_id: str) -> str:
        """The client address that peer gave in its handshake, "" when unknown."""

    def level_of(self, server_id: str) -> int:
        """What a connected peer understands, by its handshake; 0 for one that is not connected."""

    def release_of(self, server_id: str) -> str:
        """The version of Leto that peer said last, "" when unknown."""

    def stop(self) -> Deferred[None]: ...

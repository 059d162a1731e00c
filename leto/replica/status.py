"""What a node says of itself, and asks of the others: INFO raft, RAFT STATUS, /status, metrics are made from this."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed

import leto
from leto.errors import ProtocolError
from leto.interfaces.machine import StateMachine
from leto.interfaces.replica import PeerStatus, ReplicaStatus
from leto.interfaces.store import DiskSpace, Store
from leto.interfaces.transport import Transport
from leto.peer import requests
from leto.peer.requests import StatusQuery, StatusReply
from leto.raft.configuration import Member
from leto.raft.node import Node
from leto.raft.state import Role
from leto.status import status_data

ROLES = {
    Role.LEADER: "leader",
    Role.CANDIDATE: "candidate",
    Role.PRE_CANDIDATE: "pre-candidate",
    Role.FOLLOWER: "follower",
}


STATUS_SECONDS = 1.0  # for another member to answer


class Survey:
    """Status as members tell it each other. `status` is this node's own, whose node and transport these are."""

    def __init__(self, node: Node, transport: Transport, status: Callable[[], ReplicaStatus]) -> None:
        self._node = node
        self._transport = transport
        self._status = status

    def answer(self) -> Deferred[StatusReply]:
        """What a member hears that asks."""
        return succeed(StatusReply(msgspec.json.encode(status_data(self._status()))))

    def status_of(self, peer: str) -> Deferred[Mapping[str, Any]]:
        """What that member says of itself: leto.status.status_data. Errbacks ConnectionError, TimeoutError,
        ProtocolError, msgspec.DecodeError."""

        def decoded(answer: bytes) -> Mapping[str, Any]:
            reply = requests.decode_answer(answer)
            if not isinstance(reply, StatusReply):
                raise ProtocolError("it answered something else")
            return msgspec.json.decode(reply.json, type=dict[str, Any])

        return self._transport.request(peer, requests.encode(StatusQuery()), STATUS_SECONDS).addCallback(decoded)

    def cluster_status(self) -> Deferred[dict[str, Any]]:
        """The shape of leto.status: every member's own view, or why it gave none."""
        return Deferred.fromCoroutine(self._cluster_status())

    async def _cluster_status(self) -> dict[str, Any]:
        own = self._node.id
        nodes = {own: status_data(self._status())}
        unreachable: dict[str, str] = {}
        asked = {peer: self.status_of(peer) for peer in self._node.configuration.ids() if peer != own}
        for peer, answer in asked.items():
            try:
                nodes[peer] = dict(await answer)
            except (ConnectionError, TimeoutError, ProtocolError, msgspec.DecodeError) as error:
                unreachable[peer] = str(error) or "no connection to it"
        return {"id": own, "nodes": nodes, "unreachable": unreachable}


def describe(
    node: Node,
    store: Store,
    machine: StateMachine,
    transport: Transport,
    *,
    now: float,
    client_address_of: Callable[[str], str],
    uptime: float,
    snapshot_in_progress: bool,
    snapshot_found_no_room: bool,
    space: DiskSpace,
    disk_state: str,
    growth_refusal: str,
    counters: Mapping[str, int],
) -> ReplicaStatus:
    """One instant of the node, as plain values."""
    configuration = node.configuration
    own = configuration.member(node.id)
    role = ROLES[node.role]
    if node.removed:
        role = "removed"
    elif node.role is Role.FOLLOWER and own is not None and not own.voter:
        role = "learner"
    leads = node.role is Role.LEADER
    digest_index, digest = machine.digest()
    voting = {member.id for member in configuration.members}

    def clock_offset(id: str, itself: bool) -> float | None:
        known = node.clock_offset(id) if leads and not itself else None
        return None if known is None else round(known[0], 3)

    def peer(member: Member, kind: str) -> PeerStatus:
        progress = node.progress.get(member.id) if node.role is Role.LEADER else None
        itself = member.id == node.id
        contact = progress.last_contact if progress is not None else -math.inf
        return PeerStatus(
            id=member.id,
            address=member.address,
            client_address=client_address_of(member.id),
            role=kind,
            connected=itself or transport.is_connected(member.id),
            state=progress.state if progress is not None else "",
            match=progress.match if progress is not None else (node.persisted_index if itself else 0),
            next=progress.next if progress is not None else 0,
            last_contact=0.0 if itself else (now - contact if math.isfinite(contact) else -1.0),
            clock_offset=clock_offset(member.id, itself),
            level=machine.understands if itself else transport.level_of(member.id),
            version=leto.__version__ if itself else transport.release_of(member.id),
        )

    members = [peer(member, "voter" if member.voter else "learner") for member in configuration.members]
    members += [peer(member, "outgoing") for member in configuration.outgoing if member.id not in voting]
    snapshot = store.snapshot
    return ReplicaStatus(
        id=node.id,
        cluster_id=store.identity.cluster_id if store.identity else "",
        role=role,
        term=node.term,
        leader_id=node.leader_id,
        leader_address=client_address_of(node.leader_id) if node.leader_id else "",
        commit=node.commit,
        applied=machine.applied,
        first_index=store.first_index,
        last_index=node.last_index,
        persisted=node.persisted_index,
        snapshot_index=snapshot.index if snapshot else 0,
        snapshot_term=snapshot.term if snapshot else 0,
        configuration=configuration,
        configuration_index=node.configuration_index,
        has_quorum=node.has_quorum(now),
        digest=digest,
        digest_index=digest_index,
        members=tuple(members),
        transferring_to=node.transferring_to,
        snapshot_in_progress=snapshot_in_progress,
        log_bytes=store.log_bytes(),
        snapshot_found_no_room=snapshot_found_no_room,
        disk_free=space.free,
        disk_total=space.total,
        disk_min_free=space.min_free,
        disk_state=disk_state,
        growth_refusal=growth_refusal,
        counters=counters,
        version=leto.__version__,
        clock_ms=node.clock_ms,
        clock_ahead=round(node.clock_ahead, 3) if leads else 0.0,
        clock_error=round(node.clock_error, 3) if leads else 0.0,
        max_clock_offset=node.max_clock_offset,
        level=machine.understands,
        cluster_level=configuration.level,
        uptime=uptime,
        keys=machine.key_count,
    )

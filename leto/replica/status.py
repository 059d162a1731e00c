"""What a node says of itself: INFO raft, RAFT STATUS, /status and the metrics are all made from this."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import leto
from leto.interfaces.machine import StateMachine
from leto.interfaces.replica import PeerStatus, ReplicaStatus
from leto.interfaces.store import DiskSpace, Store
from leto.interfaces.transport import Transport
from leto.raft.configuration import Member
from leto.raft.node import Node
from leto.raft.state import Role

ROLES = {
    Role.LEADER: "leader",
    Role.CANDIDATE: "candidate",
    Role.PRE_CANDIDATE: "pre-candidate",
    Role.FOLLOWER: "follower",
}


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

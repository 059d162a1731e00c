"""Cluster views as RAFT STATUS gives them."""

from __future__ import annotations

from typing import Any

from leto.interfaces.replica import PeerStatus, ReplicaStatus
from leto.raft.configuration import Configuration, Member
from leto.status import status_data

IDS = ("id1", "id2", "id3")


def node_view(server_id: str, *, leader: str = "id1", ids: tuple[str, ...] = IDS, **changes: Any) -> dict[str, Any]:
    """A healthy member's own status, changed as told."""
    leads = server_id == leader
    members = tuple(Member(i, f"10.0.0.{i[-1]}:15379", True, client_address=f"10.0.0.{i[-1]}:5379") for i in ids)
    peers = tuple(
        PeerStatus(
            id=m.id,
            address=m.address,
            client_address=m.client_address,
            role="voter",
            connected=True,
            state="replicate" if leads and m.id != server_id else "",
        )
        for m in members
    )
    status = ReplicaStatus(
        id=server_id,
        cluster_id="c" * 32,
        role="leader" if leads else "follower",
        term=3,
        leader_id=leader,
        leader_address="10.0.0.1:5379",
        commit=50,
        applied=50,
        first_index=1,
        last_index=50,
        persisted=50,
        snapshot_index=20,
        snapshot_term=2,
        configuration=Configuration(members=members),
        configuration_index=5,
        has_quorum=True,
        digest=99,
        digest_index=50,
        members=peers,
    )
    return {**status_data(status), **changes}


def cluster_view(*nodes: dict[str, Any], unreachable: dict[str, str] | None = None) -> dict[str, Any]:
    return {"id": nodes[0]["id"], "nodes": {node["id"]: node for node in nodes}, "unreachable": unreachable or {}}


def healthy_cluster() -> dict[str, Any]:
    return cluster_view(*(node_view(i) for i in IDS))

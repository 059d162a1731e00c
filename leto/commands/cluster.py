"""CLUSTER: the least that a cluster-aware client needs to follow MOVED, where --on-follower is moved.

To such a client the whole cluster is one shard: all 16384 slots, their master the leader, the other members its
replicas. Elsewhere cluster support is disabled, as in a single Redis. See https://redis.io/commands/?group=cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leto.clients.table import command, container
from leto.config import Address
from leto.interfaces.replica import PeerStatus, ReplicaStatus
from leto.resp.codec import Request
from leto.resp.slots import SLOTS, key_slot
from leto.vocabulary.replies import Error, Reply, Verbatim

if TYPE_CHECKING:
    from leto.clients.session import Session

DISABLED = Error(b"ERR This instance has cluster support disabled")

container(
    "CLUSTER",
    group="cluster",
    since="3.0.0",
    summary="A container for cluster commands",
    help=(
        "INFO",
        "    Return information about the cluster.",
        "KEYSLOT <key>",
        "    Return the hash slot for <key>.",
        "MYID",
        "    Return the node id.",
        "NODES",
        "    Return cluster configuration seen by node. Output format:",
        "    <id> <ip:port@bus-port[,hostname]> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
        "SLOTS",
        "    Return information about slots range mappings. Each range is made of:",
        "    start, end, master and replicas IP addresses, ports and ids",
        "SHARDS",
        "    Return information about slot range mappings and the nodes associated with them.",
    ),
)


def _cluster(
    name: str, arity: int, since: str, summary: str, syntax: str = "", tips: str = "nondeterministic_output"
) -> Callable[[Any], Any]:
    def register(function: Callable[[Session, Request], Reply]) -> Any:
        def answer(session: Session, argv: Request) -> Reply:
            if session.state.config.on_follower != "moved":
                return DISABLED
            return function(session, argv)

        return command(
            name,
            arity,
            "stale",
            group="cluster",
            parent="CLUSTER",
            since=since,
            summary=summary,
            syntax=syntax,
            tips=tips,
        )(answer)

    return register


def _node_id(status: ReplicaStatus, server_id: str) -> bytes:
    """40 characters, as cluster clients expect, that stay the same for a server id."""
    return server_id.encode().hex().ljust(40, "0")[-40:].encode()


def _nodes(status: ReplicaStatus) -> list[tuple[PeerStatus, Address]]:
    """Members that clients can dial, the leader first."""
    found = []
    for member in status.members:
        try:
            address = Address.parse(member.client_address)
        except ValueError:
            continue  # not known yet
        found.append((member, address))
    return sorted(found, key=lambda pair: pair[0].id != status.leader_id)


@_cluster("INFO", 2, "3.0.0", "Provides info about Redis Cluster node state")
def info(session: Session, argv: Request) -> Reply:
    status = session.state.replica.status()
    up = bool(status.leader_id)
    return Verbatim(
        (
            f"cluster_enabled:1\r\ncluster_state:{'ok' if up else 'fail'}\r\n"
            f"cluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{SLOTS if up else 0}\r\n"
            f"cluster_slots_pfail:0\r\ncluster_slots_fail:{0 if up else SLOTS}\r\n"
            f"cluster_known_nodes:{len(status.members)}\r\ncluster_size:1\r\n"
            f"cluster_current_epoch:{status.term}\r\ncluster_my_epoch:{status.term}\r\n"
        ).encode()
    )


@_cluster("KEYSLOT", 3, "3.0.0", "Returns the hash slot of the specified key", "key", tips="")
def keyslot(session: Session, argv: Request) -> Reply:
    return key_slot(argv[2])


@_cluster("MYID", 2, "3.0.0", "Return the node id", tips="")
def myid(session: Session, argv: Request) -> Reply:
    status = session.state.replica.status()
    return _node_id(status, status.id)


@_cluster("SLOTS", 2, "3.0.0", "Get array of Cluster slot to node mappings")
def slots(session: Session, argv: Request) -> Reply:
    status = session.state.replica.status()
    nodes = _nodes(status)
    if not status.leader_id or not nodes or nodes[0][0].id != status.leader_id:
        return []
    return [
        [
            0,
            SLOTS - 1,
            *([address.host.encode(), address.port, _node_id(status, m.id), []] for m, address in nodes),
        ]
    ]


@_cluster("SHARDS", 2, "7.0.0", "Get array of cluster slots to node mappings")
def shards(session: Session, argv: Request) -> Reply:
    status = session.state.replica.status()
    return [
        {
            b"slots": [0, SLOTS - 1],
            b"nodes": [
                {
                    b"id": _node_id(status, member.id),
                    b"port": address.port,
                    b"ip": address.host.encode(),
                    b"endpoint": address.host.encode(),
                    b"role": b"master" if member.id == status.leader_id else b"replica",
                    b"replication-offset": member.match,
                    b"health": b"online" if member.connected else b"fail",
                }
                for member, address in _nodes(status)
            ],
        }
    ]


@_cluster("NODES", 2, "3.0.0", "Get Cluster config for the node")
def nodes(session: Session, argv: Request) -> Reply:
    status = session.state.replica.status()
    leader = _node_id(status, status.leader_id).decode() if status.leader_id else "-"
    lines = []
    for member, address in _nodes(status):
        leads = member.id == status.leader_id
        flags = ("myself," if member.id == status.id else "") + ("master" if leads else "slave")
        lines.append(
            f"{_node_id(status, member.id).decode()} {address.host}:{address.port}@0 {flags} {'-' if leads else leader}"
            f" 0 0 {status.term} {'connected' if member.connected else 'disconnected'}"
            + (f" 0-{SLOTS - 1}" if leads else "")
            + "\n"
        )
    return Verbatim("".join(lines).encode())

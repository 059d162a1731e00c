"""What a node and a cluster look like as plain data (JSON-able), and whether that is healthy.

The shape of a cluster's view, as RAFT STATUS, the admin port and `leto status` show it:

    {"id": the node that was asked,
     "nodes": {server id: that node's own status, a dict of ReplicaStatus's fields},
     "unreachable": {server id: one sentence why it did not answer}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import msgspec

from leto.interfaces.replica import PeerStatus, ReplicaStatus
from leto.raft.configuration import Configuration, Member

LAG_LIMIT = 10_000  # entries behind the highest known commit index beyond which a node counts as lagging

_STATUS_FIELDS = tuple(f.name for f in fields(ReplicaStatus))
_PEER_FIELDS = tuple(f.name for f in fields(PeerStatus))


def status_data(status: ReplicaStatus) -> dict[str, Any]:
    """`status` as plain data: its fields under their own names, members and configuration as lists of dicts."""
    data = {name: getattr(status, name) for name in _STATUS_FIELDS}
    data["configuration"] = configuration_data(status.configuration)
    data["members"] = [{name: getattr(peer, name) for name in _PEER_FIELDS} for peer in status.members]
    data["counters"] = dict(status.counters)
    return data


def configuration_data(configuration: Configuration) -> dict[str, Any]:
    """A configuration as plain data."""
    return {
        "members": [_member_data(member) for member in configuration.members],
        "outgoing": [_member_data(member) for member in configuration.outgoing],
        "level": configuration.level,
    }


def _member_data(member: Member) -> dict[str, Any]:
    """Without its incarnation: members alone know it, by which they know each other where there is no secret."""
    data = msgspec.structs.asdict(member)
    del data["incarnation"]
    return data


def cluster_leader(cluster: Mapping[str, Any]) -> str:
    """The id of the leader: the leading node of the highest term, else whom that term's nodes name; "" if nobody."""
    nodes: Mapping[str, Mapping[str, Any]] = cluster["nodes"]
    leaders = [node for node in nodes.values() if node["role"] == "leader"]
    if leaders:
        return str(max(leaders, key=lambda node: node["term"])["id"])
    named = [node for node in nodes.values() if node["leader_id"]]
    return str(max(named, key=lambda node: node["term"])["leader_id"]) if named else ""


def cluster_members(cluster: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every member of the newest configuration that any answering node knows: id -> PeerStatus's fields as the
    leader sees it (as the node of that newest configuration does, when the leader did not answer)."""
    nodes: Mapping[str, Mapping[str, Any]] = cluster["nodes"]
    if not nodes:
        return {}
    leader = cluster_leader(cluster)
    if leader in nodes and nodes[leader]["role"] == "leader":
        source = nodes[leader]
    else:
        source = max(nodes.values(), key=lambda node: (node["configuration_index"], node["term"]))
    members = {peer["id"]: dict(peer) for peer in source["members"]}
    configuration = source["configuration"]
    for member in (*configuration["members"], *configuration["outgoing"]):
        members.setdefault(
            member["id"],
            {
                "id": member["id"],
                "address": member["address"],
                "client_address": member["client_address"],
                "role": "voter" if member["voter"] else "learner",
                "connected": False,
                "state": "",
            },
        )
    return dict(sorted(members.items()))


def losses_survived(cluster: Mapping[str, Any]) -> int:
    """How many of the voters that answer may still be lost before no quorum is left; -1 if there is none already.
    During a joint change both configurations need theirs."""
    nodes = cluster["nodes"]
    members = cluster_members(cluster).values()
    old = [member["id"] for member in members if member["role"] == "outgoing"]
    new = [member["id"] for member in members if member["role"] == "voter"]
    spare = []
    for voters in filter(None, (new, old)):
        alive = sum(voter in nodes for voter in voters)
        spare.append(alive - (len(voters) // 2 + 1))
    return max(-1, min(spare, default=-1))


def cluster_problems(cluster: Mapping[str, Any]) -> list[str]:
    """One sentence for each thing that keeps the cluster from being healthy; [] when it is."""
    return list(_problems(cluster))


def cluster_report(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """The view with what follows from it in front: leader, healthy, problems, losses_survived."""
    problems = cluster_problems(cluster)
    verdict = {"healthy": not problems, "problems": problems, "losses_survived": losses_survived(cluster)}
    return {"leader": cluster_leader(cluster), **verdict, **cluster}


def _problems(cluster: Mapping[str, Any]) -> Iterator[str]:
    nodes: Mapping[str, Mapping[str, Any]] = cluster["nodes"]
    leader = cluster_leader(cluster)
    if not leader:
        yield "no leader is known"
    elif leader in nodes and nodes[leader]["role"] == "leader" and not nodes[leader]["has_quorum"]:
        yield f"the leader {leader} does not hear from a quorum"
    members = cluster_members(cluster)
    for server_id, reason in sorted(cluster["unreachable"].items()):
        yield f"{server_id} does not answer: {reason}"
    for server_id in members:
        if server_id not in nodes and server_id not in cluster["unreachable"]:
            yield f"{server_id} does not answer"
    highest = max((node["commit"] for node in nodes.values()), default=0)
    for server_id, node in sorted(nodes.items()):
        if node["role"] == "removed" or server_id not in members:
            yield f"{server_id} is no member of the cluster"
            continue
        if leader and node["leader_id"] != leader:
            whom = node["leader_id"] or "nobody"
            yield f"{server_id} follows {whom}, not the leader {leader}"
        if node.get("disk_state") == "low":  # nodes of older versions do not tell
            yield f"{server_id}'s disk is low: {node['disk_free'] >> 20} MB are left"
        if node.get("growth_refusal"):
            yield f"{server_id}: {node['growth_refusal']}"
        if node.get("snapshot_found_no_room"):
            yield f"{server_id} found no room for a snapshot"
        lag = highest - node["applied"]
        if lag > LAG_LIMIT:
            yield f"{server_id} is {lag} entries behind"
    yield from _clocks(nodes.get(leader, {}))
    yield from _diverged(nodes)


def as_seconds(value: Any) -> float | None:
    """A number as JSON or a RESP map brings it; None where it is not told."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _clocks(leader: Mapping[str, Any]) -> Iterator[str]:
    """Wall clocks that are off, as the leader tells; one of an older version tells nothing."""
    bound = as_seconds(leader.get("max_clock_offset"))
    if not bound or leader["role"] != "leader":
        return
    if error := as_seconds(leader.get("clock_error")):
        yield f"the wall clock of the leader {leader['id']} is {error:+.1f} s off what a majority's stand for"
    else:
        if (ahead := as_seconds(leader.get("clock_ahead")) or 0.0) > bound:
            yield f"the cluster's clock is {ahead:.1f} s ahead of the wall clocks"
        for peer in leader["members"]:
            offset = as_seconds(peer.get("clock_offset"))
            if offset is not None and abs(offset) > bound:
                yield f"the wall clock of {peer['id']} is {offset:+.1f} s off the leader's"


def _diverged(nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """State digests that differ at one index: replicas that have diverged."""
    at_index: dict[int, dict[int, list[str]]] = {}
    for server_id, node in sorted(nodes.items()):
        at_index.setdefault(node["digest_index"], {}).setdefault(node["digest"], []).append(server_id)
    for index, digests in sorted(at_index.items()):
        if len(digests) > 1:
            sides = " and ".join("/".join(ids) for ids in digests.values())
            yield f"the states of {sides} differ at index {index}"

"""Getting a cluster's view from a node, and checking that it has the shape of leto.status before anyone reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from leto.config import Address
from leto.ctl.resp_client import AskFailed, ask

_NODE_FIELDS: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "role": str,
    "term": int,
    "leader_id": str,
    "commit": int,
    "applied": int,
    "snapshot_index": int,
    "configuration_index": int,
    "digest": int,
    "digest_index": int,
    "has_quorum": (bool, int),
    "members": list,
    "configuration": dict,
}
_MEMBER_FIELDS: dict[str, type | tuple[type, ...]] = {"id": str, "address": str, "client_address": str}


def ask_any(addresses: Sequence[Address], *, password: str | None, timeout: float) -> tuple[dict[str, Any], list[str]]:
    """The cluster as the first of `addresses` that answers sees it, and a sentence for each that did not answer.

    Raises AskFailed with all those sentences when none does.
    """
    failures: list[str] = []
    for address in addresses:
        try:
            reply = ask(address, b"RAFT", b"STATUS", password=password, timeout=timeout)
            return parse_cluster(reply, address), failures
        except AskFailed as error:
            failures.append(str(error))
    raise AskFailed("; ".join(failures))


def parse_cluster(reply: Any, address: Address) -> dict[str, Any]:
    """A RAFT STATUS reply (JSON in a bulk string, or a map) as a cluster's view. Raises AskFailed for anything else."""
    if isinstance(reply, (bytes, str)):
        try:
            cluster: Any = json.loads(reply)
        except ValueError:
            raise AskFailed(f"{address} answered RAFT STATUS with something that is no JSON") from None
    else:
        cluster = _text(reply)
    problem = _shape_problem(cluster)
    if problem:
        raise AskFailed(f"{address} answered RAFT STATUS in another shape than this version reads: {problem}")
    result: dict[str, Any] = cluster
    return result


def _text(value: Any) -> Any:
    """A RESP3 value with its byte strings as text, recursively."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {_text(key): _text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value


def _shape_problem(cluster: Any) -> str:
    if not isinstance(cluster, dict):
        return "no map"
    for name in ("nodes", "unreachable"):
        if not isinstance(cluster.get(name), dict):
            return f"{name} is missing"
    for server_id, node in cluster["nodes"].items():
        problem = _lacks(node, _NODE_FIELDS)
        if problem:
            return f"node {server_id} lacks {problem}"
        configuration = node["configuration"]
        listed = [node["members"], configuration.get("members"), configuration.get("outgoing")]
        if not all(isinstance(members, list) for members in listed):
            return f"node {server_id} lacks its configuration"
        for members in listed:
            for member in members:
                problem = _lacks(member, _MEMBER_FIELDS)
                if problem:
                    return f"a member that node {server_id} knows lacks {problem}"
    return ""


def _lacks(value: Any, wanted: dict[str, type | tuple[type, ...]]) -> str:
    if not isinstance(value, dict):
        return "everything"
    return next((name for name, kind in wanted.items() if not isinstance(value.get(name), kind)), "")

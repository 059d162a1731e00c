"""A cluster's view as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from leto.commands.info import human
from leto.status import as_seconds, cluster_leader, cluster_members, cluster_problems, losses_survived

COLUMNS = (
    *("id", "raft address", "client address", "role", "term", "commit", "applied", "lag", "connected"),
    "clock",
    *("snapshot", "keys", "log", "disk free", "up", "version", "level"),
)
WHO = ("id", "role", "raft address", "client address", "connected", "clock", "up", "version", "level")
WHAT = ("id", "term", "commit", "applied", "lag", "snapshot", "keys", "log", "disk free")
_NUMBERS = {"term", "commit", "applied", "lag", "snapshot", "keys", "log", "disk free", "up", "level", "clock"}


def print_cluster(cluster: Mapping[str, Any], console: Console) -> None:
    """Who the members are, and what they hold, as two tables that fit an ordinary terminal; then one line for each
    problem, or one that there is none."""
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in member_rows(cluster)]
    console.print(f"the cluster as {escape(str(cluster.get('id', '')))} sees it", soft_wrap=True)
    for columns in (WHO, WHAT):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            is_number = column in _NUMBERS
            table.add_column(
                column, justify="right" if is_number else "left", no_wrap=is_number or column == "id", overflow="fold"
            )
        for row in rows:
            style = "bold" if row["role"] == "leader" else ("red" if row["connected"].startswith("no") else None)
            table.add_row(*(escape(row[column]) for column in columns), style=style)
        console.print(table)
    problems = cluster_problems(cluster)
    for problem in problems:
        console.print(f"[red]degraded:[/red] {escape(problem)}", soft_wrap=True)
    if not problems:
        console.print(f"healthy, led by {escape(cluster_leader(cluster))}", soft_wrap=True)
    console.print(tolerance(cluster), soft_wrap=True)
    levels = [node["cluster_level"] for node in cluster["nodes"].values() if node.get("cluster_level")]
    if levels:
        console.print(f"the cluster is at level {max(levels)}", soft_wrap=True)


def member_rows(cluster: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row of texts a member, in the order of COLUMNS; "-" for what is not known."""
    nodes: Mapping[str, Mapping[str, Any]] = cluster["nodes"]
    highest = max((node["commit"] for node in nodes.values()), default=0)
    members = cluster_members(cluster)
    rows: list[tuple[str, ...]] = []
    for server_id in sorted({*members, *nodes}):
        member = members.get(server_id, {})
        node = nodes.get(server_id)
        addresses = (member.get("address") or "-", member.get("client_address") or "-")
        if node is None:
            role = member.get("role", "-")
            unknown = ["-"] * (len(COLUMNS) - 9)
            rows.append((server_id, *addresses, role, "-", "-", "-", "-", "no", *unknown))
            continue
        lag = max(0, highest - node["applied"])
        numbers = [node["term"], node["commit"], node["applied"], lag]
        state = member.get("state", "")
        connected = "yes" if not state or state == "replicate" else f"yes ({state})"
        extent = (str(node["snapshot_index"]), _number(node, "keys"), _size(node, "log_bytes"), _free(node), _age(node))
        version = str(node.get("version") or "-")
        rows.append(
            (
                server_id,
                *addresses,
                node["role"],
                *map(str, numbers),
                connected,
                _clock(member),
                *extent,
                version,
                str(node.get("level") or "-"),
            )
        )
    return rows


def _clock(member: Mapping[str, Any]) -> str:
    """How far its wall clock is ahead of the leader's."""
    offset = as_seconds(member.get("clock_offset"))
    return "-" if offset is None else f"{offset:+.3f} s"


def _number(node: Mapping[str, Any], name: str) -> str:
    return str(node.get(name, "-"))  # nodes of older versions do not tell everything


def _size(node: Mapping[str, Any], name: str) -> str:
    return human(node[name]) if name in node else "-"


def _free(node: Mapping[str, Any]) -> str:
    if not node.get("disk_total"):
        return "-"
    state = node["disk_state"]
    return human(node["disk_free"]) + (f" ({state})" if state != "ok" else "")


def _age(node: Mapping[str, Any]) -> str:
    """The uptime in the largest two units: 3d 4h, 12m 5s."""
    seconds = int(node.get("uptime", 0))
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    for (name, each), (next_name, next_each) in pairwise(units):
        if seconds >= each:
            return f"{seconds // each}{name} {seconds % each // next_each}{next_name}"
    return f"{seconds}s" if "uptime" in node else "-"


def tolerance(cluster: Mapping[str, Any]) -> str:
    """How many more nodes may be lost, as a sentence."""
    survived = losses_survived(cluster)
    if survived < 0:
        return "no quorum of the voters answers"
    if survived == 0:
        return "survives the loss of no further voter"
    return f"survives the loss of {survived} more voter{'s' if survived > 1 else ''}"

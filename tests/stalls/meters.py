"""What the nodes' own meters say (INFO stalls), read and set back from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.integration.cluster import Node

TIMEOUT = 30.0


@dataclass(frozen=True)
class Reading:
    """One node's longest pause since its meter was set back: milliseconds; `during` as INFO has it."""

    node: str
    longest: float
    cpu: float
    most_cpu: float  # in any iteration
    during: str
    over_20: int
    iterations: int
    collection: float

    def text(self) -> str:
        if self.longest < 10.0:
            return f"{self.node} {self.longest:.1f} ms, computing at most {self.most_cpu:.1f}"
        during = f", in {self.during}" if self.during else ""
        return (
            f"{self.node} {self.longest:.1f} ms ({self.cpu:.1f} of it computing{during}), {self.over_20} over 20 ms; "
            f"computing at most {self.most_cpu:.1f}"
        )


def stalls(node: Node) -> dict[str, str]:
    """INFO stalls, as texts."""
    client = node.client(timeout=TIMEOUT)
    client.set_response_callback("INFO", lambda reply, **_: reply)
    text: bytes = client.execute_command("INFO", "stalls")
    lines = (line.partition(":") for line in text.decode().splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in lines}


def read(node: Node) -> Reading:
    """How it stands now."""
    fields = stalls(node)
    assert fields["stall_meter"] == "on"
    worst = dict(part.split("=", 1) for part in fields["stall0"].split(",")) if "stall0" in fields else {}
    return Reading(
        node.id,
        float(fields["stall_longest_ms"]),
        float(worst.get("cpu_ms", "0")),
        float(fields["stall_longest_cpu_ms"]),
        worst.get("during", ""),
        int(fields["stall_over_20_ms"]),
        int(fields["stall_iterations"]),
        float(fields["gc_longest_ms"]),
    )


def set_back(nodes: Sequence[Node]) -> None:
    """Begin anew."""
    for node in nodes:
        node.client(timeout=TIMEOUT).execute_command("LATENCY", "RESET")

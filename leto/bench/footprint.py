"""How much memory keys take: what each server occupies before and after many were set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leto.bench.client import Connection, info
from leto.bench.loop import preload
from leto.bench.servers import Target, settle
from leto.bench.workloads import BenchError

VALUE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one server, in bytes: what the kernel says that it occupies (RSS), and `used_memory` of its INFO."""

    target: str
    node: str
    keys: int
    resident: tuple[int, int]  # before, after
    used: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "node": self.node,
            "keys": self.keys,
            "value_bytes": VALUE_BYTES,
            "resident_before": self.resident[0],
            "resident_after": self.resident[1],
            "resident_per_million_keys": (self.resident[1] - self.resident[0]) / self.keys * 1_000_000,
            "used_before": self.used[0],
            "used_after": self.used[1],
            "used_per_million_keys": (self.used[1] - self.used[0]) / self.keys * 1_000_000,
        }


def memory(targets: Sequence[Target], keys: int, say: Callable[[str], None]) -> list[Memory]:
    """Set `keys` keys on each target and remove them again: for servers of our own, and fresh. Raises BenchError."""
    found = []
    for target in targets:
        before = {node: _memory(target, node) for node in target.nodes}
        leader = target.nodes[target.leader()]
        preload(leader, keys, VALUE_BYTES, target.password)
        settle(target)
        for node in target.nodes:
            resident, used = _memory(target, node)
            found.append(Memory(target.name, node, keys, (before[node][0], resident), (before[node][1], used)))
        with Connection(leader, target.password) as connection:
            reply = connection.ask(b"FLUSHALL")
            if reply != b"OK":
                raise BenchError(f"{leader} answered FLUSHALL with {reply!r}")
        settle(target)
        say(f"{keys:,} keys set on {target.name}")
    return found


def _memory(target: Target, node: str) -> tuple[int, int]:
    fields = info(target.nodes[node], b"everything", password=target.password)
    try:
        status = Path(f"/proc/{int(fields['process_id'])}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(resident.split()[1]) << 10, int(fields["used_memory"])
    except (KeyError, OSError, StopIteration) as error:
        raise BenchError(f"{node} does not tell its memory: {error}") from None

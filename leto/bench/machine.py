"""What the figures depend on: the machine, and what else it does meanwhile."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leto import __version__
from leto.bench.load import redis_benchmark

BUSY_LOAD = 0.5  # load average per core above which the machine was busy before anything began
MOST_STOLEN = 0.02  # share of all cores' time that the hypervisor may take before it is told
STEAL_FIELD = 7  # of the first line of /proc/stat, after the name
FIELDS = 8  # those after it are counted among the first two already


@dataclass(frozen=True, slots=True)
class Ticks:
    """Of all cores since the machine began: `stolen` ones were wanted, and the hypervisor gave them to others."""

    total: int
    stolen: int

    def stolen_since(self, before: Ticks) -> float:
        """Share of the time between, 0 if there was none."""
        return (self.stolen - before.stolen) / (self.total - before.total) if self.total > before.total else 0.0


def parse_stat(text: str) -> Ticks:
    """Of /proc/stat. Raises ValueError if it does not tell stolen time."""
    name, *fields = text.partition("\n")[0].split()
    if name != "cpu" or len(fields) < FIELDS:
        raise ValueError(f"no line of all cores' time: {text[:40]!r}")
    ticks = [int(field) for field in fields[:FIELDS]]
    return Ticks(sum(ticks), ticks[STEAL_FIELD])


def ticks() -> Ticks:
    """Now. Raises OSError, ValueError."""
    return parse_stat(Path("/proc/stat").read_text())


def machine(load_average: float) -> dict[str, Any]:
    """What the figures depend on; `load_average` as it was before the first run."""
    return {
        "cores": os.cpu_count() or 1,
        "load_average_before": load_average,
        "system": platform.platform(),
        "python": platform.python_version(),
        "leto": __version__,
        "load_generator": "redis-benchmark" if redis_benchmark() else "leto bench",
    }


def doubts_of(machine: dict[str, Any]) -> list[str]:
    """Why the machine's own account speaks against the figures."""
    found = []
    cores, load = machine["cores"], machine["load_average_before"]
    if load > BUSY_LOAD * cores:
        found.append(f"the machine was busy before it began: a load average of {load:.1f} on {cores} cores")
    stolen = machine.get("stolen", 0.0)
    if stolen > MOST_STOLEN:
        found.append(f"the hypervisor gave {stolen:.0%} of all cores' time to other machines (steal)")
    return found

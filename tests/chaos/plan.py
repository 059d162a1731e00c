"""What one run is to be: drawn from its seed, and from what this machine can do."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

NETWORKS = ("namespaces", "proxies")


@dataclass(frozen=True)
class Plan:
    seed: int
    nodes: int = 3
    seconds: float = 60.0
    clients: int = 8
    think: float = 0.05  # seconds a client rests between two requests, on average
    only: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()  # of keys that the clients use; () for all
    node_options: tuple[str, ...] = ()  # of every node, besides those that the seed draws
    planted: str = ""  # a bug of tests.chaos.planted
    network: str = "proxies"
    preload: str = ""  # libfaketime's library, "": clocks are left alone

    @property
    def command(self) -> str:
        """What repeats it: the same plan of faults and the same clients; the cluster's timing is its own."""
        words = [
            *("python -m tests.chaos --nodes", self.nodes, f"--seconds {self.seconds:g} --clients", self.clients),
            *(f"--think {self.think:g} --network {self.network} --seed", self.seed),
            *(("--only", ",".join(self.only)) if self.only else ()),
            *(("--kinds", ",".join(self.kinds)) if self.kinds else ()),
            *((f"--node-options='{' '.join(self.node_options)}'",) if self.node_options else ()),
            *(("--planted", self.planted) if self.planted else ()),
            *(() if self.preload else ("--no-clocks",)),
        ]
        return " ".join(map(str, words))

    @property
    def setting(self) -> Setting:
        """What the seed draws, besides the faults."""
        draws = random.Random(f"setting {self.seed}")
        spaces = self.network == "namespaces"
        through_proxies = draws.random() < 0.5
        small_disks = draws.random() < 0.4
        clocks = draws.choice(["skew", "jumps", "", ""])
        reads = draws.choice(["linearizable", "linearizable", "lease"])
        timeout = draws.choice([400, 800]) if reads != "lease" else draws.choice([800, 1500])
        options = [
            *("--reads", reads, "--election-timeout-ms", str(timeout)),
            *("--read-timeout-ms", "1000", "--write-timeout-ms", "1500"),
            *("--snapshot-entries", draws.choice(["150", "500", "5000"]), "--trailing-entries", "20"),
            *("--segment-bytes", draws.choice(["16kb", "64kb", "1mb"])),
            *("--flush", draws.choice(["auto", "auto", "thread", "inline"])),
            *("--on-follower", draws.choice(["refuse", "refuse", "moved", "proxy"])),
            *self.node_options,
        ]
        return Setting(
            through_proxies=through_proxies or not spaces,
            small_disks=small_disks and spaces,
            clocks=clocks if self.preload else "",
            election_timeout=timeout / 1000,
            lease=reads == "lease" and "--reads" not in self.node_options,
            options=tuple(options),
        )

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Plan:
        """From JSON of its fields."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return cls(**fields)


@dataclass(frozen=True)
class Setting:
    """How a run's cluster is set up."""

    through_proxies: bool  # peers talk through proxies (always where nodes share one network)
    small_disks: bool  # that can be filled
    clocks: str  # "": right; "skew": wrong by up to 2 s; "jumps": and by up to a day
    election_timeout: float
    lease: bool
    options: tuple[str, ...]

    @property
    def features(self) -> frozenset[str]:
        """What the nemesis's actions may need."""
        found = {
            "proxies": self.through_proxies,
            "disks": self.small_disks,
            "skew": self.clocks != "",
            "jumps": self.clocks == "jumps",
        }
        return frozenset(name for name, has in found.items() if has)

    @property
    def text(self) -> str:
        """In words."""
        words = ["through proxies" if self.through_proxies else "direct"]
        words += ["small disks"] if self.small_disks else []
        words += [f"clocks: {self.clocks}"] if self.clocks else []
        return ", ".join(words)

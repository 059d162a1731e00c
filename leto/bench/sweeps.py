"""What takes longer and is measured on demand: one thing varied, all else as it is."""

from __future__ import annotations

from dataclasses import dataclass

from leto.bench.workloads import BenchError, Workload


@dataclass(frozen=True, slots=True)
class Nodes:
    """A cluster that a sweep needs for itself."""

    name: str
    size: int = 3
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sweep:
    """The workloads run on the usual targets, or, if there are any, on `clusters` instead."""

    name: str
    what: str
    workloads: tuple[Workload, ...]
    clusters: tuple[Nodes, ...] = ()


CLIENTS = (1, 2, 5, 10, 20, 50, 100, 200)
SIZES = {"16 B": 16, "256 B": 256, "1 KiB": 1 << 10, "4 KiB": 4 << 10, "16 KiB": 16 << 10, "64 KiB": 64 << 10}
SIZES |= {"256 KiB": 256 << 10, "1 MiB": 1 << 20}
NODES = (1, 2, 3, 5)
READS = ("linearizable", "lease", "local")

_SET, _GET = 100, 0
_COMMANDS = (("SET", _SET), ("GET", _GET))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


SWEEPS = {
    sweep.name: sweep
    for sweep in (
        Sweep(
            "clients",
            "1 to 200 clients, no pipelines",
            tuple(Workload(f"{w}, {_count(n, 'client')}", n, 1, percent) for w, percent in _COMMANDS for n in CLIENTS),
        ),
        Sweep(
            "values",
            "values of 16 B to 1 MiB, 10 clients",
            tuple(
                Workload(f"{w} of {size}, 10 clients", 10, 1, percent, value_bytes)
                for size, value_bytes in SIZES.items()
                for w, percent in _COMMANDS
            ),
        ),
        Sweep(
            "mixes",
            "reads and writes mixed, 50 clients",
            tuple(Workload(f"{100 - writes}% GET, {writes}% SET, 50 clients", 50, 1, writes) for writes in (50, 20, 5)),
        ),
        Sweep(
            "keys",
            "one hot key, and a million keys, 50 clients",
            tuple(
                Workload(f"{w}, 50 clients, {_count(keys, 'key')}", 50, 1, percent, key_space=keys)
                for keys in (1, 1_000_000)
                for w, percent in _COMMANDS
            ),
        ),
        Sweep(
            "reads",
            "--reads linearizable, lease and local",
            (
                Workload("GET, 50 clients", 50, 1, _GET),
                Workload("GET, 50 clients, pipeline 16", 50, 16, _GET),
                Workload("GET on a follower, 50 clients", 50, 1, _GET, on_follower=True),
                Workload("80% GET, 20% SET, 50 clients", 50, 1, 20),
            ),
            tuple(Nodes(f"--reads {mode}", options=(f"--reads={mode}",)) for mode in READS),
        ),
        Sweep(
            "nodes",
            "clusters of one, two, three and five nodes",
            (
                Workload("SET, 1 client", 1, 1, _SET),
                Workload("SET, 50 clients", 50, 1, _SET),
                Workload("SET, 50 clients, pipeline 16", 50, 16, _SET),
                Workload("GET, 50 clients", 50, 1, _GET),
            ),
            tuple(Nodes(_count(size, "node"), size) for size in NODES),
        ),
    )
}


def sweeps_called(names: str) -> list[Sweep]:
    """Those whose names are given with commas between; "all" is all. Raises BenchError."""
    if names == "all":
        return list(SWEEPS.values())
    found = []
    for name in names.split(","):
        if name not in SWEEPS:
            raise BenchError(f"no sweep is called {name!r}: there are {', '.join(SWEEPS)} and all")
        found.append(SWEEPS[name])
    return found

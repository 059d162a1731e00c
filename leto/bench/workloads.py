"""What is measured: the workloads, in the order in which they run."""

from __future__ import annotations

from dataclasses import dataclass

from leto.errors import LetoError

PRELOAD_BYTES = 64 << 20  # values of all keys together, at most: larger values have fewer keys

KEY_BYTES = 16  # key:000000000000


class BenchError(LetoError):
    """The benchmark cannot go on; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Workload:
    """`clients` connections, each with `pipeline` requests under way, `write_percent` of which are SETs.

    `value_bytes` is each value's size; `on_follower` asks a follower instead of the leader; `key_space` is how many
    keys it draws from, 0 for as many as is usual.
    """

    name: str
    clients: int
    pipeline: int
    write_percent: int
    value_bytes: int = 64
    on_follower: bool = False
    key_space: int = 0

    def keys(self, most: int) -> int:
        """How many keys it draws from."""
        if self.key_space:
            return self.key_space
        return max(16, min(most, PRELOAD_BYTES // self.value_bytes))

    @property
    def payload_bytes(self) -> int:
        """Key and value of one write."""
        return KEY_BYTES + self.value_bytes

    @property
    def group(self) -> int:
        """Requests under way at once: a run is never smaller."""
        return self.clients * self.pipeline


FULL = (
    Workload("SET, 1 client", 1, 1, 100),
    Workload("SET, 50 clients", 50, 1, 100),
    Workload("SET, 200 clients", 200, 1, 100),
    Workload("SET, 50 clients, pipeline 16", 50, 16, 100),
    Workload("SET, 50 clients, pipeline 100", 50, 100, 100),
    Workload("GET, 1 client", 1, 1, 0),
    Workload("GET, 50 clients", 50, 1, 0),
    Workload("GET, 200 clients", 200, 1, 0),
    Workload("GET, 50 clients, pipeline 16", 50, 16, 0),
    Workload("GET on a follower, 50 clients", 50, 1, 0, on_follower=True),
    Workload("80% GET, 20% SET, 50 clients", 50, 1, 20),
    Workload("SET of 16 B, 50 clients", 50, 1, 100, 16),
    Workload("SET of 1 KiB, 50 clients", 50, 1, 100, 1 << 10),
    Workload("SET of 16 KiB, 20 clients", 20, 1, 100, 16 << 10),
    Workload("SET of 128 KiB, 10 clients", 10, 1, 100, 128 << 10),
    Workload("SET of 1 MiB, 4 clients", 4, 1, 100, 1 << 20),
)
_QUICK = {
    "SET, 50 clients",
    "SET, 50 clients, pipeline 16",
    "GET, 50 clients",
    "GET, 50 clients, pipeline 16",
}
QUICK = tuple(workload for workload in FULL if workload.name in _QUICK)
_COMPARED = {"SET, 1 client", *_QUICK}
COMPARED = tuple(workload for workload in FULL if workload.name in _COMPARED)


def chosen(words: str, workloads: tuple[Workload, ...] = FULL) -> tuple[Workload, ...]:
    """Those whose name contains `words`, in any case. Raises BenchError if none does."""
    found = tuple(workload for workload in workloads if words.lower() in workload.name.lower())
    if not found:
        names = "; ".join(workload.name for workload in workloads)
        raise BenchError(f"no workload is called {words!r}: there are {names}")
    return found

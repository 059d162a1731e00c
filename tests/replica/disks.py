"""Clusters whose nodes keep their files on simulated disks."""

from __future__ import annotations

from leto.storage.store import FileStore
from leto.twins.disk import SimulatedDisk
from tests.replica.cluster import Cluster, Node, Outcome, packed


class DiskNode(Node):
    """A node whose files are on a simulated disk."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.disk = SimulatedDisk()
        self.store = FileStore.open(
            "/data",
            disk=self.disk,
            segment_bytes=self.config.segment_bytes,
            random32=lambda: 7,
            clock=self.cluster.clock.seconds,
            background=False,
            min_free_bytes=self.config.min_free_bytes,
        )

    @property
    def used(self) -> int:
        return sum(len(data) for path, data in self.disk.files().items() if path.startswith("/data/"))


class DiskCluster(Cluster):
    def add(self, name: str, **options) -> DiskNode:
        node = self.nodes[name] = DiskNode(self, name, 5000 + len(self.nodes), **options)
        return node


def written(node: DiskNode, requests: list[tuple[str, ...]]) -> int:
    """The most that the disk held while these were carried out, one entry each."""
    most = 0
    for words in requests:
        outcome = Outcome(node.replica.write(packed(*words), 1))
        node.cluster.until(lambda outcome=outcome: outcome.done)
        assert outcome.error is None
        most = max(most, node.used)
    return most

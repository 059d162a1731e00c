"""Nodes as `twistd -n leto` processes: each at its place in the network, with a clock and a disk of its own."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.clocks import Clock
from tests.chaos.namespaces import Namespaces, Place, disk
from tests.chaos.network import Network
from tests.integration.cluster import Cluster, Node

TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "leto")
DISK_BYTES = 24 << 20  # of a node whose disk can be filled
BALLAST = "ballast"


class ChaosNode(Node):
    """One node, that ends with this process whatever happens to it."""

    def __init__(
        self, directory: Path, server_id: str, options: Sequence[str], place: Place | None, planted: str = ""
    ) -> None:
        super().__init__(directory, server_id, options)
        self.place = place
        self.clock: Clock | None = None
        self.disk: Path | None = None  # a small one of its own
        self._command: tuple[str, ...] = (sys.executable, "-m", "tests.chaos.planted", planted) if planted else TWISTD
        if place is not None:
            self.reached_at = self.host = place.address
            self.options += ["--protected-mode", "no"]

    def use_small_disk(self, path: Path) -> None:
        """Keep its data on a disk of DISK_BYTES."""
        disk(path, DISK_BYTES)
        self.disk = path
        self.raftdir = path / self.id

    def fill_disk(self, spare: int) -> None:
        """Leave `spare` bytes of its disk free, rounded to pages."""
        assert self.disk is not None
        with (self.disk / BALLAST).open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(64 << 10))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
            os.ftruncate(ballast.fileno(), max(0, os.fstat(ballast.fileno()).st_size - spare))

    def empty_disk(self) -> None:
        """Free what fill_disk took."""
        assert self.disk is not None
        (self.disk / BALLAST).unlink(missing_ok=True)

    def start(
        self, join: str | None = None, command: Sequence[str] = (), environment: dict[str, str] | None = None
    ) -> Node:
        words = [*(self.place.inside() if self.place is not None else ()), *(command or self._command)]
        if (setpriv := shutil.which("setpriv")) is not None:
            words = [setpriv, "--pdeathsig", "KILL", "--", *words]
        clock = self.clock.environment() if self.clock is not None else {}
        return super().start(join, words, {**clock, **(environment or {})})

    def wait_exit(self, timeout: float = 20.0) -> int:
        status = super().wait_exit(timeout)
        if self.clock is not None:
            self.clock.forget(self.pid)
        return status

    def close(self) -> None:
        super().close()
        if self.clock is not None and self.process is not None:
            self.clock.forget(self.pid)


class ChaosCluster(Cluster):
    """Nodes that talk through `network`'s proxies, or in `namespaces` also directly."""

    nodes: list[ChaosNode]  # type: ignore[assignment]

    def __init__(
        self,
        directory: Path,
        network: Network,
        namespaces: Namespaces | None,
        *options: str,
        through_proxies: bool = True,
        preload: str = "",
        small_disks: bool = False,
        planted: str = "",
    ) -> None:
        super().__init__(directory, 0, *options)
        self.network = network
        self.namespaces = namespaces
        self.through_proxies = through_proxies or namespaces is None
        self._preload = preload
        self._small_disks = small_disks
        self._planted = planted

    def new_node(self, *options: str, server_id: str = "") -> ChaosNode:
        server_id = server_id or f"id{len(self.nodes) + 1}"
        place = self.namespaces.place(server_id) if self.namespaces is not None else None
        node = ChaosNode(self.directory, server_id, (*self.options, *options), place, self._planted)
        if self._preload:
            node.clock = Clock(self.directory / f"{server_id}.clock", self._preload)
        if self._small_disks:
            node.use_small_disk(self.directory / f"disk-{server_id}")
        if self.through_proxies:
            if place is not None:
                self.network.speak_for[server_id] = place.alias
            host = place.alias if place is not None else "127.0.0.1"
            port = self.network.proxy(server_id, node.raft_port.number, node.reached_at, host)
            node.options += ["--advertise", f"{host}:{port}"]
        self.nodes.append(node)
        return node

    def node(self, server_id: str) -> ChaosNode:
        found = super().node(server_id)
        assert isinstance(found, ChaosNode)
        return found

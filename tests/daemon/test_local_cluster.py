"""What `make run` runs: three nodes that form a cluster, tell how to talk to them, and stop together."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leto.config import Address
from leto.errors import ConfigError
from leto.process.localcluster import LocalNode
from leto.reactor.listening import Listener
from tests.daemon.processes import PATIENCE, ROOT, ask, environment, free_port, is_alive, wait_for


def three_ports() -> list[int]:
    """Free ones whose neighbours 10000 above are free too, all below the range that the system hands out."""
    found: list[int] = []
    while len(found) < 3:
        port = random.randrange(12_000, 22_000)
        try:
            for number in (port, port + 10_000):
                Listener.bind(Address("127.0.0.1", number), "test").close()
        except ConfigError:
            continue
        found.append(port)
    return found


class LocalCluster:
    """The command, and what it says."""

    def __init__(self, directory: Path, ports: list[int]) -> None:
        self._said = directory / "said"
        self._file = self._said.open("ab")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "leto.process.localcluster",
                "--data",
                str(directory / "data"),
                "--ports",
                *map(str, ports),
            ],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=self._file,
        )

    def said(self) -> str:
        return self._said.read_text()

    def wait_until_up(self) -> None:
        wait_for(lambda: "Ctrl-C here" in self.said() or self.process.poll() is not None, "three nodes")
        assert self.process.poll() is None, self.said()

    def nodes(self) -> list[int]:
        """Their processes."""
        return [int(pid) for pid in re.findall(r"process (\d+)", self.said())]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self._file.close()


@pytest.fixture
def ports() -> list[int]:
    return three_ports()


@pytest.fixture
def cluster(tmp_path: Path, ports: list[int]) -> Iterator[LocalCluster]:
    running = LocalCluster(tmp_path, ports)
    yield running
    running.close()
    wait_for(lambda: not any(map(is_alive, running.nodes())), "the end of all nodes")


def test_three_nodes_form_a_cluster_survive_one_and_stop_together(
    cluster: LocalCluster, ports: list[int], tmp_path: Path
) -> None:
    cluster.wait_until_up()
    leader = int(re.search(r"try:  redis-cli -p (\d+) set a b", cluster.said())[1])  # type: ignore[index]
    assert ask(leader, "SET", "a", "b") == b"+OK\r\n"
    wait_for(lambda: all(ask(port, "GET", "a") == b"$1\r\n" for port in ports), "the value on every node")

    os.kill(int(re.search(r"stop the leader with `kill (\d+)`", cluster.said())[1]), signal.SIGKILL)  # type: ignore[index]
    others = [port for port in ports if port != leader]
    wait_for(lambda: any(ask(port, "SET", "a", "c") == b"+OK\r\n" for port in others), "another leader")
    wait_for(lambda: "id1 | has ended (signal 9)" in cluster.said(), "a word on the node that ended")

    cluster.process.send_signal(signal.SIGINT)
    assert cluster.process.wait(PATIENCE) == 0
    said = cluster.said()
    assert said.index("id3 | has ended (status 0)") < said.index("id2 | has ended (status 0)")

    again = LocalCluster(tmp_path, ports)
    try:
        wait_for(lambda: all(ask(port, "GET", "a") == b"$1\r\n" for port in ports), "the data")
        again.process.send_signal(signal.SIGTERM)
        assert again.process.wait(PATIENCE) == 0
    finally:
        again.close()


def test_a_port_in_use_is_one_line(ports: list[int], tmp_path: Path) -> None:
    holder = Listener.bind(Address("127.0.0.1", ports[1]), "test")
    cluster = LocalCluster(tmp_path, ports)
    assert cluster.process.wait(PATIENCE) == 1
    assert cluster.said() == f"leto: cannot listen on 127.0.0.1:{ports[1]} (clients of id2): the port is in use\n"
    cluster.close()
    holder.close()


def test_nodes_do_not_outlive_a_command_that_is_killed(cluster: LocalCluster) -> None:
    cluster.wait_until_up()
    nodes = cluster.nodes()
    assert len(nodes) == 3
    cluster.process.kill()
    wait_for(lambda: not any(map(is_alive, nodes)), "the end of all nodes")


def test_a_node_that_is_just_being_started_is_stopped_too(tmp_path: Path) -> None:
    async def start_and_stop() -> list[str]:
        said: list[str] = []
        node = LocalNode("id1", free_port(), tmp_path, said.append)
        running = asyncio.create_task(node.run(None))
        await asyncio.sleep(0)
        assert node.process is None
        await asyncio.wait_for(node.stop(), PATIENCE)
        await asyncio.wait_for(running, PATIENCE)
        return said

    # By the signal, unless it was far enough to take it, and to stop in order.
    assert asyncio.run(start_and_stop()) in (["id1 | has ended (signal 15)"], ["id1 | has ended (status 0)"])


def test_a_node_is_not_started_after_it_was_stopped(tmp_path: Path) -> None:
    async def stop_and_start() -> list[str]:
        said: list[str] = []
        node = LocalNode("id1", free_port(), tmp_path, said.append)
        await node.stop()
        await asyncio.wait_for(node.run(None), PATIENCE)
        return said

    assert asyncio.run(stop_and_start()) == []

"""Servers that the benchmark starts itself: a cluster of Leto nodes, redis-server. And where others' listen."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leto.bench.client import Connection, info
from leto.bench.workloads import BenchError
from leto.config import Address

HOST = "127.0.0.1"
PATIENCE = 30.0  # seconds for a server to be what it should become
POLL = 0.02
SOURCE = Path(__file__).resolve().parent.parent.parent  # of this version of the package


@dataclass(slots=True)
class Target:
    """What is measured: a name, and its nodes' client addresses by node name."""

    name: str
    nodes: dict[str, Address]
    password: str | None = None
    is_cluster: bool = field(default=True)

    def leader(self) -> str:
        """The node that takes writes. Raises BenchError if there is none."""
        if not self.is_cluster:
            return next(iter(self.nodes))
        found = leader_among(self.nodes, self.password)
        if not found:
            raise BenchError(f"{self.name} has no leader that can be reached")
        return found

    def address(self, on_follower: bool = False) -> Address | None:
        """Where a workload goes; None if there is no follower to ask."""
        leader = self.leader()
        if not on_follower:
            return self.nodes[leader]
        return next((address for name, address in self.nodes.items() if name != leader), None)


def leader_among(nodes: dict[str, Address], password: str | None = None) -> str:
    """The name of the node that leads by its own account, "" if none that answers does."""
    for name, address in nodes.items():
        try:
            if info(address, b"raft", password=password, timeout=2.0).get("raft_role") == "leader":
                return name
        except BenchError:
            continue  # down: another may lead
    return ""


def cluster_at(address: Address, password: str | None = None) -> Target:
    """The running cluster that `address` belongs to. Raises BenchError."""
    fields = info(address, b"raft", password=password)
    nodes = {}
    for number in range(len(fields)):
        member = fields.get(f"raft_member{number}")
        if member is None:
            break
        values = dict(part.split("=", 1) for part in member.split(",") if "=" in part)
        if values.get("client_address"):
            nodes[values["id"]] = Address.parse(values["client_address"])
    if not nodes:
        raise BenchError(f"{address} is no node of a Leto cluster: measure it with --peer NAME={address}")
    return Target("leto", nodes, password)


class Port:
    """A loopback port of the system's choice, kept for a server that sets SO_REUSEADDR, while it is down too."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()


class Server:
    """One process. What it says goes to `<name>.log` in `directory`."""

    def __init__(
        self, name: str, directory: Path, argv: Sequence[str], address: Address, source: Path | None = None
    ) -> None:
        """`source`: where Python looks first for what it imports."""
        self.name = name
        self._environment = dict(os.environ)
        if source is not None:
            self._environment["PYTHONPATH"] = str(source)
            self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.address = address
        self._argv = list(argv)
        self._log = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._argv, *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._log.parent,  # `python -m` looks there first: not where some other version may lie
                env=self._environment,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def wait(self) -> None:
        """Until the process has ended; killed if that takes too long."""
        if self._process is not None:
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def stop(self) -> None:
        if not self.has_ended:
            self.signal(signal.SIGTERM)
        self.wait()

    def last_words(self) -> str:
        """The log's last line."""
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return lines[-1] if lines else "it said nothing"


def wait_for(condition: Callable[[], bool], what: str, servers: Sequence[Server] = ()) -> None:
    """Raises BenchError naming `what` after PATIENCE seconds, or if one of the servers ends."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        for server in servers:
            if server.has_ended:
                raise BenchError(f"{server.name} has ended: {server.last_words()}")
        if time.monotonic() > deadline:
            raise BenchError(f"after {PATIENCE:g} s still not: {what}")
        time.sleep(POLL)


def settle(target: Target) -> None:
    """Until every node has applied what the leader has committed, and none writes a snapshot: what was done before must
    not weigh on what is measured next. Raises BenchError.
    """
    if target.is_cluster:
        wait_for(lambda: _is_settled(target), f"all nodes of {target.name} are caught up and write no snapshot")


def _is_settled(target: Target) -> bool:
    leader = target.leader()
    fields = {name: info(address, b"raft", password=target.password) for name, address in target.nodes.items()}
    commit = int(fields[leader]["raft_commit_index"])
    return all(
        int(each["raft_applied_index"]) >= commit and each["raft_snapshot_in_progress"] == "0"
        for each in fields.values()
    )


class LocalCluster:
    """Leto nodes on this machine, with their data in a directory of its own below `directory`."""

    def __init__(
        self,
        directory: Path,
        size: int = 3,
        options: Sequence[str] = (),
        *,
        name: str = "leto",
        source: Path | None = None,
    ) -> None:
        """`source`: the directory that holds the version of the package `leto` to run, if not this one."""
        home = directory.resolve() / re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
        home.mkdir()
        self._ports = [Port() for _ in range(2 * size)]
        self.servers: dict[str, Server] = {}
        for number in range(size):
            node = f"n{number + 1}"
            clients, peers = (Address(HOST, port.number) for port in self._ports[2 * number : 2 * number + 2])
            argv = [sys.executable, "-m", "leto.main", "--id", node, "--raftdir", str(home / node)]
            argv += ["--listen", str(clients), "--raftbind", str(peers), *options]
            self.servers[node] = Server(node, home, argv, clients, source or SOURCE)
        self.target = Target(name, {node: server.address for node, server in self.servers.items()})

    def start(self) -> None:
        """Start all, wait until all vote. Raises BenchError."""
        first, *others = self.servers.values()
        first.start()
        wait_for(lambda: leader_among(self.target.nodes) != "", "the first node leads", [first])
        for server in others:
            server.start("--join", str(first.address))
        self.wait_whole()

    def wait_whole(self) -> None:
        """Until every node is a voter, and has what the leader has committed."""
        wait_for(self._is_whole, "all nodes vote and are caught up", list(self.servers.values()))

    def _is_whole(self) -> bool:
        leader = leader_among(self.target.nodes)
        if not leader:
            return False
        try:
            commit = int(info(self.target.nodes[leader], b"raft")["raft_commit_index"])
            fields = [info(address, b"raft") for address in self.target.nodes.values()]
        except (BenchError, KeyError):
            return False  # still starting
        return all(
            len(each.get("raft_voters", "").split(",")) == len(self.servers)
            and each.get("raft_leader_id") == leader
            and int(each["raft_applied_index"]) >= commit
            for each in fields
        )

    def stop(self) -> None:
        for server in reversed(self.servers.values()):
            server.stop()
        for port in self._ports:
            port.release()


class RedisServer:
    """A redis-server of its own, without or with appendonly synced at every write."""

    def __init__(self, name: str, directory: Path, *, durable: bool) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise BenchError("redis-server is not on PATH")
        data = directory / name.replace(" ", "-")
        data.mkdir()
        self._port = Port()
        address = Address(HOST, self._port.number)
        argv = [program, "--port", str(address.port), "--bind", HOST, "--dir", str(data), "--save", ""]
        argv += ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        self._server = Server(data.name, directory, argv, address)
        self.target = Target(name, {name: address}, is_cluster=False)

    def start(self) -> None:
        """Raises BenchError."""
        self._server.start()
        wait_for(self._answers, f"{self.target.name} answers", [self._server])

    def _answers(self) -> bool:
        try:
            with Connection(self._server.address) as connection:
                return bool(connection.ask(b"PING") == b"PONG")
        except OSError:
            return False  # still starting

    def stop(self) -> None:
        self._server.stop()
        self._port.release()


def redis_is_installed() -> bool:
    """Whether redis-server is on PATH."""
    return shutil.which("redis-server") is not None

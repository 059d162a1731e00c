"""Real nodes as processes, for tests: start, kill, stop, restart them, talk to them, wait for what they should become.

Ports are the OS's choice and stay reserved for as long as the cluster lives, so that nobody takes one while its node
is down. Every process is ended by close(), by its own pid; when a test fails, its nodes' logs are shown.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import redis

from leto.config import Address
from leto.ctl.view import parse_cluster
from tests.integration.terminal import type_in

T = TypeVar("T")

PATIENCE = 20.0  # seconds that a wait for a condition may take; a healthy cluster needs far less
POLL = 0.02  # seconds between two looks
LOG_TAIL = 12_000  # characters of each node's log shown when a test fails
ROOT = Path(__file__).resolve().parents[2]

LIVE_NODES: list[Node] = []  # in the order made: whose logs a failure shows


def wait_for(condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """The first true value of `condition`, asked every POLL seconds. AssertionError naming `what` after `timeout`."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"after {timeout:g} s still not: {what}")
        pause.wait(POLL)


@contextmanager
def logs_forgotten_afterwards() -> Iterator[None]:
    """The nodes made meanwhile are not shown with later failures."""
    before = list(LIVE_NODES)
    try:
        yield
    finally:
        LIVE_NODES[:] = before


class Port:
    """A loopback port reserved for one listener of ours.

    A bound socket that does not listen, with SO_REUSEADDR, keeps everybody else away and lets a server in that sets
    SO_REUSEADDR too; connections to it are refused while no server listens.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()


class Node:
    """One node: its directory, its ports, and its process while it has one."""

    reached_at = "127.0.0.1"  # where clients and peers find it

    def __init__(self, directory: Path, server_id: str, options: Sequence[str] = (), host: str = "127.0.0.1") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.id = server_id
        self.raftdir = directory / server_id
        self.options = list(options)
        self.host = host
        self.client_port = Port()
        self.raft_port = Port()
        self.log_path = directory / f"{server_id}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._end_awaited = False
        self._clients: list[redis.Redis] = []
        self._asking: redis.Redis | None = None
        LIVE_NODES.append(self)

    # its process ------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Its client address."""
        return f"{self.reached_at}:{self.client_port.number}"

    @property
    def raft_address(self) -> str:
        return f"{self.reached_at}:{self.raft_port.number}"

    def arguments(self, join: str | None = None) -> list[str]:
        """The options of its command line."""
        arguments = [
            *("--id", self.id, "--raftdir", str(self.raftdir)),
            *(
                "--listen",
                f"{self.host}:{self.client_port.number}",
                "--raftbind",
                f"{self.host}:{self.raft_port.number}",
            ),
            *self.options,
        ]
        return [*arguments, "--join", join] if join else arguments

    def start(
        self,
        join: str | None = None,
        command: Sequence[str] = (sys.executable, "-m", "leto.main"),
        environment: dict[str, str] | None = None,
    ) -> Node:
        """Start the process; does not wait for anything."""
        assert self.process is None or self.process.poll() is not None, f"{self.id} runs already"
        with self.log_path.open("ab") as log:
            log.write(f"--- {self.id} starts\n".encode())
            log.flush()
            self._end_awaited = False
            self.process = subprocess.Popen(
                [*command, *self.arguments(join)],
                cwd=ROOT,
                env={**_environment(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def has_failed(self) -> bool:
        """It ended, and nobody waited for its end."""
        return self.process is not None and self.process.poll() is not None and not self._end_awaited

    def signal(self, number: int) -> None:
        """Send a signal to the node, which must be running."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.id} has ended by itself"
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait_exit()

    def terminate(self) -> int:
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait_exit()

    def pause(self) -> None:
        """SIGSTOP: the process stands still until resume()."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def wait_exit(self, timeout: float = PATIENCE) -> int:
        """Its exit status (negative: ended by that signal) once it has ended."""
        assert self.process is not None
        self._end_awaited = True
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.id} still runs after {timeout:g} s") from None
        self.disconnect()
        return status

    def forget_data(self) -> None:
        """Its disk is lost: an empty directory at the next start."""
        assert not self.is_running
        shutil.rmtree(self.raftdir)

    def log(self) -> str:
        """What it wrote to stdout and stderr, in all its lives."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def disconnect(self) -> None:
        """Close the connections that client() made."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._asking = None

    def close(self) -> None:
        """End the process, if it runs, and give the ports back."""
        self.disconnect()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.client_port.release()
        self.raft_port.release()

    # talking to it ------------------------------------------------------------------------------

    def client(self, *, timeout: float = 10.0, **options: Any) -> redis.Redis:
        """A redis-py client of this node alone: one that never retries by itself. Closed with the node."""
        options.setdefault("protocol", 2)
        client = redis.Redis(
            host=self.reached_at,
            port=self.client_port.number,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            **options,
        )
        self._clients.append(client)
        return client

    @property
    def asking(self) -> redis.Redis:
        """The connection for questions of the tests themselves."""
        if self._asking is None:
            self._asking = self.client(timeout=5.0)
        return self._asking

    def connect(self, timeout: float = 10.0) -> socket.socket:
        """A bare connection to the client port."""
        return socket.create_connection((self.reached_at, self.client_port.number), timeout)

    def info(self) -> dict[str, str]:
        """INFO raft, as texts."""
        connection = self.asking
        connection.set_response_callback("INFO", lambda reply, **_: reply)
        text: bytes = connection.execute_command("INFO", "raft")
        lines = (line.partition(":") for line in text.decode().splitlines() if line and not line.startswith("#"))
        return {name: value for name, _, value in lines}

    def try_info(self) -> dict[str, str]:
        """INFO raft, or {} while the node does not answer."""
        try:
            return self.info()
        except (redis.RedisError, OSError):
            self._asking = None
            return {}

    def status(self) -> dict[str, Any]:
        """RAFT STATUS: the cluster as this node sees it (leto.status describes the shape)."""
        return parse_cluster(self.asking.execute_command("RAFT", "STATUS"), Address.parse(self.address))

    def role(self) -> str:
        """Its role, "" while it does not answer."""
        return self.try_info().get("raft_role", "")

    def follows(self) -> str:
        """The id of the leader it knows, "" if none."""
        return self.try_info().get("raft_leader_id", "")

    def applied(self) -> int:
        return int(self.info()["raft_applied_index"])

    def cli(self, *words: str) -> str:
        """What redis-cli prints for one command, as at a terminal."""
        return type_in(self.client_port.number, [list(words)])

    def wait_serving(self) -> Node:
        """Wait until it answers clients and knows a leader."""

        def serving() -> bool:
            assert self.is_running, f"{self.id} ended with status {self.process and self.process.returncode}"
            return bool(self.follows())

        wait_for(serving, f"{self.id} serves and knows a leader")
        return self


def _environment() -> dict[str, str]:
    """This process's environment without Leto's own variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LETO_")}


class Cluster:
    """Several nodes. The first bootstraps; the others join through it. A context manager that ends them all."""

    def __init__(self, directory: Path, nodes: int = 3, *options: str) -> None:
        self.directory = directory
        self.options = options
        self.nodes: list[Node] = []
        for _ in range(nodes):
            self.new_node()

    def new_node(self, *options: str, server_id: str = "") -> Node:
        """One more node of this cluster, not started."""
        node = Node(self.directory, server_id or f"id{len(self.nodes) + 1}", (*self.options, *options))
        self.nodes.append(node)
        return node

    def __enter__(self) -> Cluster:
        try:
            return self.form()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def form(self, timeout: float = PATIENCE) -> Cluster:
        """Start all nodes and wait until every one of them votes."""
        first, *others = self.nodes
        first.start()
        for node in others:
            node.start(join=first.address)
        self.wait_settled(timeout=timeout)
        return self

    def close(self) -> None:
        """End every process."""
        for node in self.nodes:
            node.close()

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes if node.is_running]

    def node(self, server_id: str) -> Node:
        return next(node for node in self.nodes if node.id == server_id)

    def agreed_leader(self, among: Sequence[Node]) -> Node | None:
        """The leader that all of `among` follow and that says so itself; None while there is no such."""
        named = {node.follows() for node in among}
        if len(named) != 1:
            return None
        leaders = [node for node in among if node.id in named and node.role() == "leader"]
        return leaders[0] if leaders else None

    def wait_leader(self, among: Sequence[Node] | None = None, timeout: float = PATIENCE) -> Node:
        """The leader, once all of `among` (the running nodes) agree on one of them, which says so itself."""
        asked = list(among) if among is not None else self.running
        found = wait_for(
            lambda: self.agreed_leader(asked), f"{', '.join(node.id for node in asked)} agree on a leader", timeout
        )
        assert found is not None
        return found

    @property
    def leader(self) -> Node:
        return self.wait_leader()

    @property
    def followers(self) -> list[Node]:
        leader = self.leader
        return [node for node in self.running if node is not leader]

    def voters(self) -> set[str]:
        """The voters of the configuration in force, as the leader tells."""
        return member_ids(self.leader, voters=True)

    def wait_settled(self, voters: set[str] | None = None, timeout: float = PATIENCE) -> Node:
        """Wait until all running nodes agree on a leader, the voters are `voters` (default: the running nodes), no
        change is under way and every node has applied what the leader committed. Gives the leader."""
        expected = voters if voters is not None else {node.id for node in self.running}

        def settled() -> Node | None:
            failed = [node.id for node in self.nodes if node.has_failed]
            assert not failed, f"{', '.join(failed)} ended by itself"
            leader = self.agreed_leader(self.running)
            if leader is None:
                return None
            if member_ids(leader, voters=True) != expected or member_ids(leader, voters=False):
                return None
            commit = int(leader.info()["raft_commit_index"])
            behind = [node for node in self.running if int(node.try_info().get("raft_applied_index", "0")) < commit]
            return None if behind else leader

        found = wait_for(settled, f"the voters are {sorted(expected)} and all have applied what is committed", timeout)
        assert found is not None
        return found

    def wait_same_state(self, timeout: float = PATIENCE) -> tuple[int, str]:
        """Wait until all running nodes have applied the same index; (index, digest), which must agree."""

        def equal() -> list[dict[str, str]] | None:
            infos = [node.try_info() for node in self.running]
            indexes = {info.get("raft_state_digest_index", "") for info in infos}
            return infos if len(indexes) == 1 and indexes != {""} else None

        infos = wait_for(equal, "all nodes have applied the same index", timeout)
        assert infos is not None
        digests = {info["raft_id"]: info["raft_state_digest"] for info in infos}
        assert len(set(digests.values())) == 1, f"states differ at the same index: {digests}"
        return int(infos[0]["raft_state_digest_index"]), infos[0]["raft_state_digest"]


def member_ids(node: Node, *, voters: bool) -> set[str]:
    """The voters, or the learners, of the configuration that `node` knows."""
    own = node.status()["nodes"][node.id]
    return {member["id"] for member in own["configuration"]["members"] if member["voter"] is voters}

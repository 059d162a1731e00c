"""Three nodes on this machine, for a first look: what `make run` runs.

Each node is a `leto` process of its own, with its data under ./data; what it logs shows here behind its name. The
second and third join the first; nodes that have data come back as what they are.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from leto.config import Address
from leto.errors import ConfigError
from leto.reactor.listening import Listener

HOST = "127.0.0.1"
CLIENT_PORTS = (5379, 6379, 7379)
RAFT_PORT_OFFSET = 10_000
POLL_SECONDS = 0.1
STOP_SECONDS = 20.0  # a node that takes longer to stop is killed
LONGEST_LINE = 1 << 20
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)

Say = Callable[[str], None]


def write_line(line: str) -> None:
    """One whole line on stdout, at once."""
    os.write(1, line.encode("utf-8", "backslashreplace") + b"\n")


class LocalNode:
    """One node: its process and its ports."""

    def __init__(self, name: str, port: int, directory: Path, say: Say) -> None:
        self.name = name
        self.clients = Address(HOST, port)
        self.peers = Address(HOST, port + RAFT_PORT_OFFSET)
        self.directory = directory
        self.process: asyncio.subprocess.Process | None = None
        self._say = say
        self._starting = asyncio.Lock()
        self._stopped = False

    def check_ports(self) -> None:
        """Raises ConfigError if one is taken."""
        for address, use in ((self.clients, "clients"), (self.peers, "peers")):
            Listener.bind(address, f"{use} of {self.name}").close()

    async def run(self, join: Address | None) -> None:
        """Start the process, pass its output on, return when it has ended."""
        async with self._starting:
            if self._stopped:
                return
            await self._start(join)
        assert self.process is not None and self.process.stdout is not None
        async for line in self.process.stdout:
            self._say(f"{self.name} | {line.decode('utf-8', 'backslashreplace').rstrip()}")
        status = await self.process.wait()
        self._say(f"{self.name} | has ended ({f'signal {-status}' if status < 0 else f'status {status}'})")

    async def _start(self, join: Address | None) -> None:
        argv = ["-m", "leto.main", "--id", self.name, "--raftdir", str(self.directory)]
        argv += ["--listen", str(self.clients), "--raftbind", str(self.peers)]
        if join is not None:
            argv += ["--join", str(join)]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LONGEST_LINE,
            # Ctrl-C reaches this process alone, which then stops the nodes in order; they never outlive it.
            start_new_session=True,
            preexec_fn=partial(_die_with_parent, os.getpid()),
        )

    async def facts(self) -> dict[str, str]:
        """The fields of its INFO raft; {} while it does not answer."""
        try:
            reader, writer = await asyncio.open_connection(HOST, self.clients.port)
            try:
                writer.write(b"*2\r\n$4\r\nINFO\r\n$4\r\nraft\r\n")
                head = await reader.readline()
                text = await reader.readexactly(int(head[1:])) if head.startswith(b"$") else b""
            finally:
                writer.close()
        except (OSError, EOFError):
            return {}
        return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)

    async def stop(self) -> None:
        """TERM, and KILL if that is not enough. Waits for a process that is being started; none is started later."""
        async with self._starting:
            self._stopped = True
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._say(f"{self.name} | did not stop within {STOP_SECONDS:g} s: killing it")
            self.process.kill()
            await self.process.wait()


def _die_with_parent(parent: int) -> None:
    """Runs in the child, between fork and exec."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it has died already
        os._exit(1)


def _watch_children_without_threads() -> None:
    """The signal above comes again with each thread of the killed parent that had become its children's parent: a
    second TERM, which ends a node at once instead of in order. Python 3.12 has no such threads by itself."""
    if sys.version_info < (3, 12):
        with contextlib.suppress(OSError):  # a kernel older than 5.3
            os.close(os.pidfd_open(os.getpid()))
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


async def run(data: Path, ports: Sequence[int], say: Say = write_line) -> int:
    """Run the cluster until TERM, INT, or the end of its last node; returns the exit status."""
    nodes = [LocalNode(f"id{n}", port, data / f"id{n}", say) for n, port in enumerate(ports, start=1)]
    try:
        for node in nodes:
            node.check_ports()
    except ConfigError as error:
        sys.stderr.write(f"leto: {error}\n")
        return 1
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)

    seed = nodes[0].clients
    running = [asyncio.create_task(node.run(None if node is nodes[0] else seed)) for node in nodes]
    greeting = asyncio.create_task(_greet(nodes, data, say))
    all_ended = asyncio.gather(*running)
    stopping = asyncio.create_task(asked.wait())
    first: list[asyncio.Future[Any]] = [all_ended, stopping]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    greeting.cancel()
    if not asked.is_set():
        stopping.cancel()
        say("leto | no node is left")
        return 1
    say("leto | stopping")
    for node in reversed(nodes):
        await node.stop()
    await all_ended
    say(f"leto | all have stopped; their data is in {data}")
    return 0


async def _greet(nodes: Sequence[LocalNode], data: Path, say: Say) -> None:
    """Once all vote and one leads, say how to talk to them: from here on the loss of one does no harm."""
    while True:
        facts = [await node.facts() for node in nodes]
        roles = [of.get("raft_role", "") for of in facts]
        if set(roles) == {"leader", "follower"} and all(of.get("raft_learners") == "" for of in facts):
            break
        await asyncio.sleep(POLL_SECONDS)
    leader = nodes[roles.index("leader")]
    follower = nodes[(roles.index("leader") + 1) % len(nodes)]
    ports = ", ".join(str(node.clients.port) for node in nodes)
    script = Path(sys.executable).with_name("leto")
    say(f"leto | {len(nodes)} nodes serve on the ports {ports}, and {leader.name} leads; their data is in {data}")
    say(f"leto | try:  redis-cli -p {leader.clients.port} set a b    redis-cli -p {follower.clients.port} get a")
    say(f"leto | see:  {script} status --addr {leader.clients}")
    if leader.process is not None:
        say(f"leto | stop the leader with `kill {leader.process.pid}` and see another lead; Ctrl-C here stops them all")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: where the data goes, and the client ports (a peers' port is 10000 above)."""
    parser = argparse.ArgumentParser(
        prog="python -m leto.process.localcluster", description="Run a cluster on this machine."
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="directory of the nodes' data [./data]")
    parser.add_argument("--ports", type=int, nargs="+", default=CLIENT_PORTS, help="the nodes' client ports")
    arguments = parser.parse_args(argv)
    _watch_children_without_threads()
    return asyncio.run(run(arguments.data, arguments.ports))


if __name__ == "__main__":
    sys.exit(main())

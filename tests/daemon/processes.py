"""Nodes as processes, started in each of the three ways, for the tests of starting and stopping."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
WAYS = ("leto", "twistd -n", "twistd")


def environment(**extra: str) -> dict[str, str]:
    """This process's, without variables that a node would read."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LETO_", "NOTIFY_", "WATCHDOG_"))}
    return {**own, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]), **extra}


def command(way: str, arguments: Sequence[str], daemon: Sequence[str] = ()) -> list[str]:
    """The command line that starts a node in that way; `daemon`: options of twistd itself."""
    if way == "leto":
        return [sys.executable, "-m", "leto.main", *arguments]
    nodaemon = ["-n"] if way == "twistd -n" else []
    return [*TWISTD, *nodaemon, "--pidfile", "twistd.pid", *daemon, "leto", *arguments]


def refused(
    arguments: Sequence[str],
    cwd: Path,
    ways: Sequence[str] = WAYS,
    daemon: Sequence[str] = (),
    prepare: Callable[[Path], object] = lambda directory: None,
    status: int = 78,
) -> str:
    """Start a node that must not start, in each of the ways, each in a directory of its own that `prepare` filled.

    Gives the one line on stderr that they must all end with, that directory written CWD in it. `status`: 78
    (EX_CONFIG) for a mistake in the configuration, 1 for what another try may not meet.
    """
    started = []
    for way in ways:
        own = cwd / way.replace(" ", "")
        own.mkdir(exist_ok=True)
        prepare(own)
        process = subprocess.Popen(
            command(way, arguments, daemon),
            cwd=own,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append((way, own, process))
    lines = {}
    for way, own, process in started:
        output, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, output) == (status, ""), (way, errors)
        assert errors.startswith("leto: "), (way, errors)
        assert errors.count("\n") == 1, (way, errors)
        lines[way] = errors.removeprefix("leto: ").rstrip("\n").replace(str(own), "CWD")
    assert len(set(lines.values())) == 1, lines
    return lines[ways[0]]


def wait_for(condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout:g} s still not: {what}"
        pause.wait(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, *words: str) -> bytes:
    """One request, the first line of its answer; b"" while nobody answers."""
    request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            return connection.makefile("rb").readline()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    """Whether that process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Node:
    """A node that is meant to run, started in one of the ways. Its pid is the serving process's."""

    def __init__(
        self, way: str, cwd: Path, *options: str, daemon: Sequence[str] = (), output: str = "output", **extra: str
    ) -> None:
        self.cwd = cwd
        self.port = free_port()
        self.arguments = ["--id", "id1", "--listen", f"127.0.0.1:{self.port}", "--raftbind", "127.0.0.1:0", *options]
        self.way = way
        self._output = (cwd / output).open("ab")
        self._process = subprocess.Popen(
            command(way, self.arguments, daemon),
            cwd=cwd,
            env=environment(**extra),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )
        self.pid = self._process.pid
        if way == "twistd":
            assert self._process.wait(PATIENCE) == 0, self.output()
            wait_for((cwd / "twistd.pid").exists, "a pid file")
            self.pid = int((cwd / "twistd.pid").read_text())

    def output(self) -> str:
        """What it wrote on stdout and stderr."""
        return (self.cwd / "output").read_text()

    def serves(self) -> bool:
        return ask(self.port, "PING") == b"+PONG\r\n"

    def wait_until_serving(self) -> None:
        wait_for(lambda: self.serves() or not is_alive(self.pid), f"PONG from {self.way}")
        assert is_alive(self.pid), self.output()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int | None:
        """Wait for its end; the exit status where it is known (not of a daemon)."""
        wait_for(lambda: not is_alive(self.pid), f"the end of {self.way}")
        return None if self.way == "twistd" else self._process.wait()

    def stop(self) -> int | None:
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """End it, if it has not ended."""
        if is_alive(self.pid):
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()


@contextlib.contextmanager
def node(
    way: str, cwd: Path, *options: str, daemon: Sequence[str] = (), output: str = "output", **extra: str
) -> Iterator[Node]:
    """A node that serves, and is ended at the end. `output`: the file that its stdout and stderr go to."""
    running = Node(way, cwd, *options, daemon=daemon, output=output, **extra)
    try:
        running.wait_until_serving()
        yield running
    finally:
        running.close()

"""A steady stream of SETs, in a process of its own: `python -m tests.stalls.pace '{"port": 5379, ...}'`.

Open loop: each request has its time, and is sent then whether or not those before it were answered; its latency counts
from that time, so a node that stands still is charged for all that it kept waiting. The stream ends when stdin does;
it prints a line when it begins, and what came of it as a line of JSON (Outcome).
"""

from __future__ import annotations

import json
import math
import select
import socket
import subprocess
import sys
import time
from array import array
from collections import deque
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from tests.integration.cluster import ROOT

READ_BYTES = 1 << 18
PATIENCE = 60.0  # seconds that the last replies may take
WARM_SECONDS = 0.2  # of the stream that are not counted: connections and caches are new


@dataclass(frozen=True)
class Plan:
    """`rate`: requests a second, over `clients` connections in turn; to `keys` keys that exist beside others."""

    port: int
    rate: int = 5000
    clients: int = 50
    keys: int = 10_000
    value_bytes: int = 64
    prefix: str = "pace"


@dataclass
class Outcome:
    """Latencies in seconds. `late`: the longest that this process itself was behind its plan, and `late_p999`."""

    answered: int = 0
    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    longest: float = 0.0
    late: float = 0.0
    late_p999: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)

    def text(self) -> str:
        values = " ".join(f"{value * 1000:.1f}" for value in (self.p50, self.p99, self.p999, self.longest))
        return f"{values} ms (p50 p99 p99.9 max) of {self.answered} SETs; sent up to {self.late * 1000:.1f} ms late"


class _Client:
    __slots__ = ("due", "socket", "tail", "unsent")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due: deque[float] = deque()  # when its unanswered requests were to be sent
        self.tail = b""
        self.unsent = b""


class _Pace:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._clients = [_Client(plan.port) for _ in range(plan.clients)]
        self._by_fd = {client.socket.fileno(): client for client in self._clients}
        self._poll = select.epoll()
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        self._latencies = array("d")
        self._lateness = array("d")
        self._errors: dict[str, int] = {}
        value = b"v" * plan.value_bytes
        keys = [b"%b:%07d" % (plan.prefix.encode(), number) for number in range(plan.keys)]
        self._requests = [
            b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value) for key in keys
        ]

    def run(self) -> Outcome:
        """Until stdin ends."""
        plan, clock = self._plan, time.monotonic
        stdin = sys.stdin.fileno()
        self._poll.register(stdin, select.EPOLLIN | select.EPOLLHUP)
        print("ready", flush=True)
        started = clock()
        counted_from = started + WARM_SECONDS
        sent = 0
        stop_at = math.inf
        while True:
            now = clock()
            if now >= stop_at and (not any(c.due for c in self._clients) or now >= stop_at + PATIENCE):
                break
            if now < stop_at:
                until = int((now - started) * plan.rate)
                for number in range(sent, until):
                    due = started + number / plan.rate
                    self._send(number, due)
                    if due > counted_from:
                        self._lateness.append(clock() - due)
                sent = max(sent, until)
            wait = max(0.0, started + (sent + 1) / plan.rate - clock())
            for fd, _ in self._poll.poll(max(wait, 0.0005)):
                if fd == stdin:
                    self._poll.unregister(stdin)
                    stop_at = clock()
                else:
                    self._receive(self._by_fd[fd], counted_from)
        return self._outcome()

    def _send(self, number: int, due: float) -> None:
        client = self._clients[number % len(self._clients)]
        client.due.append(due)
        client.unsent += self._requests[number * 7919 % len(self._requests)]
        try:
            client.unsent = client.unsent[client.socket.send(client.unsent) :]
        except BlockingIOError:
            pass  # it goes with the next one

    def _receive(self, client: _Client, counted_from: float) -> None:
        data = client.socket.recv(READ_BYTES)
        if not data:
            raise ConnectionError("the node closed a connection")
        now = time.monotonic()
        *lines, client.tail = (client.tail + data).split(b"\r\n")
        for line in lines:
            due = client.due.popleft()
            if line.startswith(b"-"):
                code = line[1:].decode("latin-1").split(" ")[0]
                self._errors[code] = self._errors.get(code, 0) + 1
            if due > counted_from:
                self._latencies.append(now - due)

    def _outcome(self) -> Outcome:
        lost = sum(len(client.due) for client in self._clients)
        if lost:
            self._errors["unanswered"] = lost
        ordered, late = sorted(self._latencies), sorted(self._lateness)
        return Outcome(
            len(ordered),
            _at(ordered, 0.5),
            _at(ordered, 0.99),
            _at(ordered, 0.999),
            _at(ordered, 1.0),
            _at(late, 1.0),
            _at(late, 0.999),
            self._errors,
        )


def _at(ordered: list[float], fraction: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] if ordered else 0.0


class Pace:
    """The stream beside something else. A context manager; `outcome` is there once it is left."""

    def __init__(self, **plan: Any) -> None:
        self.outcome = Outcome()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.stalls.pace", json.dumps(asdict(Plan(**plan)))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Pace:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "the stream did not begin"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
            self._process.communicate()
            return
        out, _ = self._process.communicate(timeout=2 * PATIENCE)
        assert self._process.returncode == 0, f"the stream ended with status {self._process.returncode}"
        self.outcome = Outcome(**json.loads(out))


if __name__ == "__main__":
    print(json.dumps(asdict(_Pace(Plan(**json.loads(sys.argv[1]))).run())))

"""A flood of requests, in a process of its own: `python -m tests.overload.flood '{"port": 5379, ...}'`.

Closed-loop clients send a pipeline, wait for all of its replies, and send the next. Open-loop ones send as long as
the socket takes anything, whether or not they are answered. Mute ones never read what they asked for, and deaf ones
ask for more all the same; slow ones read a little at a time. All of them live on one epoll. What came of it is printed
as one line of JSON (Outcome).
"""

from __future__ import annotations

import json
import random
import select
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from tests.integration.cluster import ROOT

READ_BYTES = 1 << 18
POOL_BYTES = 16 << 20  # of different pipelines prepared beforehand
PATIENCE = 60.0  # seconds that replies may take once the flood has stopped sending


@dataclass(frozen=True)
class Plan:
    """What one process sends. `pipeline`: requests a closed-loop client has in flight; `sip`: bytes a slow client
    reads every `rest` seconds (0: it reads at once)."""

    port: int
    seconds: float
    clients: int = 50
    pipeline: int = 16
    value_bytes: int = 64
    keys: int = 10_000
    kind: str = "closed"  # closed | open | mute | deaf | slow
    command: str = "set"  # set | get | mixed (one SET in five)
    key: str = ""  # this key instead of many
    sip: int = 0
    rest: float = 0.0
    seed: int = 1


@dataclass
class Outcome:
    """`latencies`: seconds from a pipeline's first byte sent to its last reply, closed-loop clients alone: p50, p99,
    largest. `each_second`: requests answered in each whole second."""

    answered: int = 0
    sent: int = 0
    seconds: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    closed: int = 0  # connections that the node ended
    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    each_second: list[int] = field(default_factory=list)
    pipelines: int = 0

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return self.answered / self.seconds if self.seconds else 0.0


class _Client:
    __slots__ = ("awaited", "next_sip", "sent_at", "socket", "tail", "unsent")

    def __init__(self, port: int, sip: int) -> None:
        self.socket = socket.socket()
        if sip:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, max(4096, sip))
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.unsent = b""
        self.awaited = 0
        self.sent_at = 0.0
        self.tail = b""  # an error reply that is cut
        self.next_sip = 0.0


class _Flood:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._outcome = Outcome()
        self._latencies: list[float] = []
        self._poll = select.epoll()
        self._pool = _pipelines(plan)
        self._turn = 0
        self._clients = {}
        self._counting = plan.command == "set"
        for _ in range(plan.clients):
            client = _Client(plan.port, plan.sip)
            self._clients[client.socket.fileno()] = client

    def run(self) -> Outcome:
        plan, outcome = self._plan, self._outcome
        started = time.monotonic()
        stop = started + plan.seconds
        second, seen = started + 1.0, 0
        for fd, client in self._clients.items():
            self._poll.register(fd, select.EPOLLIN)
            self._send(fd, client)
        while self._clients:
            now = time.monotonic()
            if now >= second:
                outcome.each_second.append(outcome.answered - seen)
                second, seen = second + 1.0, outcome.answered
            if now >= stop:
                break
            for fd, event in self._poll.poll(min(0.05, stop - now)):
                client = self._clients.get(fd)
                if client is None:
                    continue
                if event & select.EPOLLOUT:
                    self._flush(fd, client)
                if event & ~select.EPOLLOUT and fd in self._clients:
                    self._receive(fd, client, refill=True)
            if plan.rest:
                self._wake_sippers(time.monotonic())
        outcome.seconds = time.monotonic() - started
        for client in self._clients.values():
            client.socket.close()
        if self._latencies:
            ordered = sorted(self._latencies)
            outcome.p50 = ordered[len(ordered) // 2]
            outcome.p99 = ordered[len(ordered) * 99 // 100]
            outcome.longest = ordered[-1]
            outcome.pipelines = len(ordered)
        return outcome

    def _send(self, fd: int, client: _Client) -> None:
        client.unsent = self._pool[self._turn % len(self._pool)]
        self._turn += 1
        client.awaited += self._plan.pipeline
        self._outcome.sent += self._plan.pipeline
        client.sent_at = time.monotonic()
        self._flush(fd, client)

    def _flush(self, fd: int, client: _Client) -> None:
        try:
            client.unsent = client.unsent[client.socket.send(client.unsent) :]
            if not client.unsent and self._plan.kind in ("open", "deaf"):
                client.unsent = self._pool[self._turn % len(self._pool)]
                self._turn += 1
                self._outcome.sent += self._plan.pipeline
        except BlockingIOError:
            pass
        except OSError:
            self._lost(fd)
            return
        self._watch(fd, client)

    def _watch(self, fd: int, client: _Client) -> None:
        reads = self._plan.kind not in ("mute", "deaf") and (not self._plan.rest or time.monotonic() >= client.next_sip)
        events = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if client.unsent else 0)
        self._poll.modify(fd, events)

    def _wake_sippers(self, now: float) -> None:
        for fd, client in self._clients.items():
            if 0 < client.next_sip <= now:
                client.next_sip = 0.0
                self._watch(fd, client)

    def _receive(self, fd: int, client: _Client, refill: bool) -> None:
        plan = self._plan
        if plan.kind in ("mute", "deaf"):
            self._lost(fd)  # nothing but an end or an error is told to one that does not read
            return
        try:
            data = client.socket.recv(plan.sip or READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(fd)
            return
        if plan.rest:
            client.next_sip = time.monotonic() + plan.rest
            self._watch(fd, client)
        replies = self._count(client, data)
        self._outcome.answered += replies
        client.awaited -= replies
        if plan.kind == "closed" and client.awaited == 0 and refill:
            self._latencies.append(time.monotonic() - client.sent_at)
            self._send(fd, client)

    def _count(self, client: _Client, data: bytes) -> int:
        """Replies that end in `data`: each is one line (SET), or two (GET of what is there)."""
        lines = data.count(b"\n")
        if self._counting:
            if data.count(b"+OK\r\n") == lines and not client.tail and data.endswith(b"\n"):
                return lines
            whole = client.tail + data
            *ended, client.tail = whole.split(b"\r\n")
            for line in ended:
                if line.startswith(b"-"):
                    code = line[1:].decode("latin-1").split(" ")[0]
                    self._outcome.errors[code] = self._outcome.errors.get(code, 0) + 1
            return len(ended)
        if data.startswith(b"-"):
            code = data[1:].decode("latin-1").split(" ")[0]
            self._outcome.errors[code] = self._outcome.errors.get(code, 0) + 1
        return data.count(b"\n$") + data.startswith(b"$")

    def _lost(self, fd: int) -> None:
        client = self._clients.pop(fd)
        client.socket.close()
        self._outcome.closed += 1


def _pipelines(plan: Plan) -> list[bytes]:
    draw = random.Random(plan.seed)
    value = b"v" * plan.value_bytes
    pool = []
    size = plan.pipeline * (60 + (plan.value_bytes if plan.command == "set" else 0))
    for _ in range(max(16, min(plan.keys // plan.pipeline, POOL_BYTES // size))):
        parts = []
        for _ in range(plan.pipeline):
            key = plan.key.encode() or b"key:%08d" % draw.randrange(plan.keys)
            words = (b"SET", key, value) if plan.command == "set" else (b"GET", key)
            parts.append(b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)))
        pool.append(b"".join(parts))
    return pool


class Flood:
    """A flood under way. A context manager: leaving it waits for its end, or ends it."""

    def __init__(self, **plan: Any) -> None:
        self.plan = Plan(**plan)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.overload.flood", json.dumps(asdict(self.plan))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        self._outcome: Outcome | None = None

    @property
    def outcome(self) -> Outcome:
        """What came of it; waits for the end."""
        if self._outcome is None:
            out, _ = self._process.communicate(timeout=self.plan.seconds + PATIENCE)
            assert self._process.returncode == 0, f"the flood ended with status {self._process.returncode}"
            self._outcome = Outcome(**json.loads(out))
        return self._outcome

    def stop(self) -> None:
        """End it now, without an outcome."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Flood:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.stop()
        else:
            _ = self.outcome


def flood(**plan: Any) -> Outcome:
    """One flood, from its beginning to its end."""
    with Flood(**plan) as running:
        return running.outcome


if __name__ == "__main__":
    print(json.dumps(asdict(_Flood(Plan(**json.loads(sys.argv[1]))).run())))

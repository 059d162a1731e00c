"""A steady load that does not wait for answers: `python -m tests.endurance.load '{"port": 5379, ...}'`.

Requests are due at fixed times and sent then, whether or not earlier ones were answered; a request's latency counts
from when it was due, so a node that stands still shows. Every `interval` seconds a line of JSON (Interval) is printed.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field

TICK = 0.002  # seconds between two sendings
PATIENCE = 30.0  # seconds for the last answers


@dataclass(frozen=True)
class Plan:
    """`rate`: requests a second, of which `writes` (a fraction) are SETs, the others GETs."""

    port: int
    rate: float
    seconds: float
    clients: int = 50
    writes: float = 0.8
    value_bytes: int = 64
    keys: int = 10_000
    interval: float = 5.0


@dataclass
class Interval:
    """`at`: seconds since the beginning; latencies in seconds, of what was answered in this interval."""

    at: float
    answered: int
    waiting: int
    errors: int
    p50: float
    p99: float
    longest: float


@dataclass
class _Client:
    socket: socket.socket
    due: deque[float] = field(default_factory=deque)
    unsent: bytearray = field(default_factory=bytearray)
    rest: bytes = b""


class _Load:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._draw = random.Random(1)
        self._poll = select.epoll()
        self._clients: list[_Client] = []
        self._by_fd: dict[int, _Client] = {}
        for _ in range(plan.clients):
            connection = socket.create_connection(("127.0.0.1", plan.port), 30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
            client = _Client(connection)
            self._clients.append(client)
            self._by_fd[connection.fileno()] = client
            self._poll.register(connection.fileno(), select.EPOLLIN)
        self._latencies: list[float] = []
        self._errors = 0

    def run(self) -> None:
        plan = self._plan
        started = time.monotonic()
        end = started + plan.seconds
        report_at = started + plan.interval
        number = 0
        while True:
            now = time.monotonic()
            touched = set()
            while (due := started + number / plan.rate) <= min(now, end):
                client = self._clients[number % len(self._clients)]
                client.unsent += self._request()
                client.due.append(due)
                touched.add(number % len(self._clients))
                number += 1
            for place in touched:
                self._send(self._clients[place])
            if now >= report_at:
                self._report(report_at - started)
                report_at += plan.interval
            waiting = sum(len(client.due) for client in self._clients)
            if now >= end and (not waiting or now >= end + PATIENCE):
                if self._latencies or waiting:
                    self._report(now - started)
                return
            for fd, _ in self._poll.poll(TICK):
                self._receive(self._by_fd[fd])

    def _request(self) -> bytes:
        plan, draw = self._plan, self._draw
        key = b"key:%012d" % draw.randrange(plan.keys)
        if draw.random() >= plan.writes:
            return b"*2\r\n$3\r\nGET\r\n$16\r\n%b\r\n" % key
        value = b"%016d" % draw.randrange(10**15) + b"v" * (plan.value_bytes - 16)
        return b"*3\r\n$3\r\nSET\r\n$16\r\n%b\r\n$%d\r\n%b\r\n" % (key, len(value), value)

    def _send(self, client: _Client) -> None:
        try:
            del client.unsent[: client.socket.send(client.unsent)]
        except BlockingIOError:
            return

    def _receive(self, client: _Client) -> None:
        data = client.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the node closed a connection")
        now = time.monotonic()
        lines = (client.rest + data).split(b"\r\n")
        client.rest = lines.pop()
        for line in lines:
            # +OK, $-1 and -ERR are whole answers, $64 has its value on the next line
            if line.startswith(b"$") and line != b"$-1":
                continue
            self._errors += line.startswith(b"-")
            self._latencies.append(now - client.due.popleft())

    def _report(self, at: float) -> None:
        ordered, self._latencies = sorted(self._latencies), []
        errors, self._errors = self._errors, 0
        waiting = sum(len(client.due) for client in self._clients)
        count = len(ordered)
        p50, p99, longest = (ordered[count // 2], ordered[count * 99 // 100], ordered[-1]) if count else (0.0, 0.0, 0.0)
        print(json.dumps(asdict(Interval(at, count, waiting, errors, p50, p99, longest))), flush=True)


if __name__ == "__main__":
    _Load(Plan(**json.loads(sys.argv[1]))).run()

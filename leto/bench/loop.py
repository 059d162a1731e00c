"""A load generator of our own: many connections on one epoll, each with its pipeline always full.

It loads a server in another rhythm than redis-benchmark does, so its figures compare only with its own.
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import hiredis

from leto.bench.workloads import BenchError, Workload
from leto.config import Address

STALL_SECONDS = 30.0
READ_BYTES = 1 << 18
VARIETY = 512  # different pipelines prepared beforehand
PRELOAD_KEYS = 50_000  # whose requests are prepared at once
_INCOMPLETE = object()


class _Client:
    """One connection: what it still has to send, and what it waits for."""

    def __init__(self, address: Address, password: str | None) -> None:
        self.socket = socket.create_connection((address.host or "127.0.0.1", address.port), STALL_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        if password is not None:
            self.socket.sendall(hiredis.pack_command((b"AUTH", password.encode())))  # type: ignore[arg-type]
            self.reader.feed(self.socket.recv(READ_BYTES))
            reply = self.reader.gets()
            if isinstance(reply, hiredis.ReplyError):
                self.socket.close()
                raise BenchError(f"{address} refused the password: {reply}")
        self.socket.setblocking(False)
        self.unsent = b""
        self.is_blocked = False  # EPOLLOUT is asked for
        self.awaited = 0
        self.sent_at = 0.0


class Loop:
    """Connected when made. `run` may be called more than once."""

    def __init__(
        self, address: Address, clients: int, pipeline: int, requests: Sequence[bytes], password: str | None = None
    ) -> None:
        """`requests`: what is sent in turn, each `pipeline` requests packed together. Raises BenchError."""
        self._address = address
        self._pipeline = pipeline
        self._requests = requests
        self._clients: dict[int, _Client] = {}
        self._poll = select.epoll()
        self._next = 0
        try:
            for _ in range(clients):
                client = _Client(address, password)
                self._clients[client.socket.fileno()] = client
        except OSError as error:
            self.close()
            raise BenchError(f"{address} cannot be reached: {error.strerror or error}") from None

    def run(self, operations: int) -> list[float]:
        """Send at least `operations` requests; the seconds that each of the first `operations` waited."""
        latencies: list[float] = []
        to_send = -(-operations // self._pipeline)
        under_way = 0
        for fd, client in self._clients.items():
            self._poll.register(fd, select.EPOLLIN)
            if to_send:
                self._send(fd, client)
                to_send -= 1
                under_way += 1
        while under_way:
            events = self._poll.poll(STALL_SECONDS)
            if not events:
                raise BenchError(f"{self._address} has not answered for {STALL_SECONDS:g} s")
            for fd, event in events:
                client = self._clients[fd]
                if event & select.EPOLLOUT:
                    self._flush(fd, client)
                if event & ~select.EPOLLOUT and self._receive(client):
                    latencies += [time.perf_counter() - client.sent_at] * self._pipeline
                    if to_send:
                        self._send(fd, client)
                        to_send -= 1
                    else:
                        under_way -= 1
        for fd in self._clients:
            self._poll.unregister(fd)
        return latencies[:operations]

    def _send(self, fd: int, client: _Client) -> None:
        client.unsent = self._requests[self._next]
        self._next = (self._next + 1) % len(self._requests)
        client.awaited = self._pipeline
        client.sent_at = time.perf_counter()
        self._flush(fd, client)

    def _flush(self, fd: int, client: _Client) -> None:
        waited = client.unsent
        try:
            client.unsent = waited[client.socket.send(waited) :]
        except BlockingIOError:
            pass
        except OSError as error:
            raise BenchError(f"{self._address} closed a connection: {error.strerror or error}") from None
        if client.is_blocked != bool(client.unsent):
            client.is_blocked = bool(client.unsent)
            self._poll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if client.unsent else 0))

    def _receive(self, client: _Client) -> bool:
        """Whether the pipeline is answered."""
        try:
            data = client.socket.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            raise BenchError(f"{self._address} closed a connection: {error.strerror or error}") from None
        if not data:
            raise BenchError(f"{self._address} closed a connection")
        client.reader.feed(data)
        while client.awaited and (reply := client.reader.gets()) is not _INCOMPLETE:
            if isinstance(reply, hiredis.ReplyError):
                raise BenchError(f"{self._address} answered an error: {reply}")
            client.awaited -= 1
        return not client.awaited

    def close(self) -> None:
        for client in self._clients.values():
            client.socket.close()
        self._poll.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def key(number: int) -> bytes:
    """As redis-benchmark names them."""
    return b"key:%012d" % number


def pipelines(workload: Workload, keys: int, seed: int = 0) -> list[bytes]:
    """Requests in groups of the workload's pipeline, keys drawn at random."""
    draw = random.Random(seed)
    value = b"x" * workload.value_bytes
    # Prepared ones take memory: fewer of large ones, but enough that the share of writes holds.
    variety = max(100, min(VARIETY, (32 << 20) // (workload.value_bytes * workload.pipeline)))
    variety = variety if workload.value_bytes * workload.pipeline < 1 << 20 else 8
    writes = 0
    groups = []
    for place in range(1, variety + 1):
        group: list[tuple[bytes, ...]] = []
        for number in range(1, workload.pipeline + 1):
            sent = (place - 1) * workload.pipeline + number
            if writes * 100 < workload.write_percent * sent:
                writes += 1
                group.append((b"SET", key(draw.randrange(keys)), value))
            else:
                group.append((b"GET", key(draw.randrange(keys))))
        groups.append(b"".join(map(hiredis.pack_command, group)))  # type: ignore[arg-type]
    return groups


def preload(address: Address, keys: int, value_bytes: int, password: str | None = None) -> None:
    """Set every key once, in pipelines. Raises BenchError."""
    step = max(1, min(200, (1 << 20) // value_bytes, keys))
    value = b"x" * value_bytes
    for first in range(0, keys, PRELOAD_KEYS):
        groups = [
            b"".join(
                hiredis.pack_command((b"SET", key(number % keys), value))  # type: ignore[arg-type]
                for number in range(start, start + step)
            )
            for start in range(first, min(keys, first + PRELOAD_KEYS), step)
        ]
        with Loop(address, 1, step, groups, password) as loop:
            loop.run(len(groups) * step)

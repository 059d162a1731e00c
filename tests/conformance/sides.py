"""The two that are compared: a node in memory, and a redis-server of its own on a socket in a directory."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from functools import partial

from twisted.internet.task import Clock

from leto.clients.protocol import RespFactory
from leto.commands import CONNECTION
from leto.config import Config
from leto.keyspace.machine import Machine, understood
from leto.resp.codec import pack
from leto.twins.replica import LoneReplica
from tests.clients.conversation import Wire
from tests.conformance.replies import Node, split
from tests.conformance.stream import Command

SERVER = os.environ.get("LETO_CONFORMANCE_SERVER", "redis-server")
TOOL = "redis-check-rdb"  # Debian's redis-tools has the server's program by this name; it goes by what it is called
PR_SET_PDEATHSIG = 1  # linux/prctl.h
PATIENCE = 20.0
TURNS = 100_000


class Incomparable(Exception):
    """There is no redis-server, or it does not answer."""


class Leto:
    """One client of a node in memory: real bytes both ways."""

    def __init__(self, seed: int) -> None:
        self._clock = Clock()
        machine = Machine(random=partial(_draw, [seed]))
        machine.level = understood()
        replica = LoneReplica(machine, seconds=self._clock.seconds, wall_ms=lambda: time.time_ns() // 1_000_000)
        factory = RespFactory(
            replica,
            Config(id="lone"),
            self._clock,
            commands=CONNECTION,
            shutdown=lambda: None,
            wall_clock=time.time,
        )
        self._wire = Wire()
        self._protocol = factory.buildProtocol(self._wire.getPeer())
        self._protocol.makeConnection(self._wire)

    def ask(self, command: Command) -> Node:
        self._protocol.dataReceived(pack(command))
        for _ in range(TURNS):
            self._clock.advance(0)
            if (found := split(self._wire.value())) is not None:
                self._wire.clear()
                return found[0]
            self._clock.advance(0.001)
        raise AssertionError(f"no reply to {command}")


def _end_with_parent() -> None:
    """However this process ends, its server does not stay behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _draw(state: list[int]) -> float:
    state[0] = (state[0] * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state[0] >> 11) / 2**53


class Redis:
    """Close it when done. Raises Incomparable."""

    def __init__(self, directory: str) -> None:
        program = shutil.which(SERVER) or shutil.which(TOOL)
        if program is None:
            raise Incomparable(f"there is no {SERVER} on PATH, nor {TOOL}")
        self._path = os.path.join(directory, "redis.sock")
        options = ["--port", "0", "--unixsocket", self._path, "--save", "", "--dir", directory, "--daemonize", "no"]
        self._process = subprocess.Popen(
            ["redis-server", *options],
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_end_with_parent,
        )
        self._socket: socket.socket | None = None
        deadline = time.monotonic() + PATIENCE
        while self._socket is None:
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.close()
                raise Incomparable(f"{SERVER} does not start")
            self._socket = self._connected()

    def _connected(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            return None
        return connection

    def reconnect(self) -> None:
        """A new client: what the last one had set is gone."""
        if self._socket is not None:
            self._socket.close()
        self._socket = self._connected()

    def ask(self, command: Command) -> Node:
        assert self._socket is not None
        self._socket.sendall(pack(command))
        data = b""
        while (found := split(data)) is None:
            block = self._socket.recv(1 << 20)
            if not block:
                raise Incomparable(f"{SERVER} closed the connection after {command}")
            data += block
        return found[0]

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()

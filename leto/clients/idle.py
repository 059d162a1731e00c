"""Clients that ask nothing: closed after `timeout` seconds, if that is set; gone ones are found by the kernel's probes.

As in Redis a client that waits for an answer is not idle, nor is one that still takes what it asked for.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from typing import Any, Final

from leto.clients.connected import ConnectedClient

_SWEEP_SECONDS: Final = 1.0
_AT_ONCE: Final = 100  # connections closed in one turn; the rest come soon after
_SOON_SECONDS: Final = 0.02
_LONGEST_PROBE: Final = 32767  # what Linux takes for TCP_KEEPIDLE and TCP_KEEPINTVL, in seconds


class IdleClients:
    """Looks at all clients once a second while `timeout` is not 0."""

    def __init__(self, reactor: Any, clients: Iterable[ConnectedClient], timeout: int) -> None:
        self._reactor = reactor
        self._clients = clients
        self._timeout = 0
        self._call: Any = None
        self._taken: dict[int, int] = {}  # client id -> what it had taken of its replies when last looked at
        self.timeout = timeout

    @property
    def timeout(self) -> int:
        """Seconds; 0: no client is ever idle for too long."""
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: int) -> None:
        self._timeout = seconds
        if seconds and self._call is None:
            self._call = self._reactor.callLater(_SWEEP_SECONDS, self._sweep)
        elif not seconds:
            self.close()

    def close(self) -> None:
        """No timer stays behind."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._taken.clear()

    def _sweep(self) -> None:
        now = self._reactor.seconds()
        taken: dict[int, int] = {}
        idle: list[ConnectedClient] = []
        for client in self._clients:
            if client.unanswered:
                continue
            output = client.output
            if output.unsent:
                taken[client.identity.id] = output.taken
                if self._taken.get(client.identity.id) != output.taken:
                    client.last_active = now
                    continue
            if now - client.last_active > self._timeout and not client.closing:
                idle.append(client)
                if len(idle) == _AT_ONCE:
                    break
        self._taken = taken
        self._call = self._reactor.callLater(_SOON_SECONDS if len(idle) == _AT_ONCE else _SWEEP_SECONDS, self._sweep)
        for client in idle:
            client.kill()


def probe_when_silent(sock: socket.socket, seconds: int) -> None:
    """Have the kernel ask, after so many seconds of silence, whether the other end is still there, as Redis does: three
    questions, a third of that time apart. 0: never."""
    if not seconds:
        return
    set_option = sock.setsockopt
    with contextlib.suppress(OSError):  # the connection is gone
        set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        set_option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, min(seconds, _LONGEST_PROBE))
        set_option(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, min(seconds, _LONGEST_PROBE) // 3))
        set_option(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

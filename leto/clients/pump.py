"""Clients whose requests were held back (leto.clients.flow) and may go on: in turns, not while the node is congested.

What was held back is served as what sockets bring is (leto.clients.readers): a piece of each client in turn, and after
SLICE_SECONDS peers, timers and the others have theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from leto.clients.identity import Identity
from leto.clients.readers import REST_SECONDS, SLICE_SECONDS


class HeldBack(Protocol):
    """A client whose requests wait here (leto.clients.flow)."""

    identity: Identity

    def go_on(self) -> None: ...


class Pump:
    """`is_congested` is asked before each client goes on."""

    def __init__(self, reactor: Any, is_congested: Callable[[], bool]) -> None:
        self._reactor = reactor
        self._is_congested = is_congested
        self._waiting: dict[int, HeldBack] = {}  # by client id, in the order of their turns
        self._call: Any = None
        self._running = False

    def add(self, client: HeldBack) -> None:
        """Its go_on() is called soon."""
        self._waiting[client.identity.id] = client
        if self._call is None and not self._running:
            self._call = self._reactor.callLater(0, self._run)

    def discard(self, client: HeldBack) -> None:
        """It is gone."""
        self._waiting.pop(client.identity.id, None)

    def close(self) -> None:
        """No timer stays behind."""
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _run(self) -> None:
        self._call = None
        self._running = True
        waiting, seconds = self._waiting, self._reactor.seconds
        until = seconds() + SLICE_SECONDS
        rest = 0.0
        try:
            while waiting:
                if self._is_congested():
                    rest = REST_SECONDS
                    break
                waiting.pop(next(iter(waiting))).go_on()
                if seconds() > until:
                    break
        finally:
            self._running = False
            if waiting:
                self._call = self._reactor.callLater(rest, self._run)

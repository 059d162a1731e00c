"""The peers' port of a node that is in no cluster yet: it says who it is to whoever asks, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leto.interfaces.store import Identity
from leto.peer.transport import TcpTransport
from leto.reactor.listening import Listener


class Door:
    """`transport_for(identity)` makes what answers; the listener stays open for the transport that comes after."""

    def __init__(self, reactor: Any, listener: Listener, transport_for: Callable[[Identity], TcpTransport]) -> None:
        self._reactor = reactor
        self._listener = listener
        self._transport_for = transport_for
        self._identity: Identity | None = None
        self._transport: TcpTransport | None = None

    def open(self, identity: Identity) -> None:
        """From now on this node is that to all who ask."""
        if identity == self._identity:
            return
        before, self._transport = self._transport, self._transport_for(identity)
        self._identity = identity
        if before is not None:
            self._listener.pause()
            before.stop()
        self._listener.serve(self._reactor, self._transport.factory)

    async def close(self) -> None:
        """Answer nobody any more: who dials waits for the next to serve."""
        if self._transport is not None:
            await self._listener.pause()
            await self._transport.stop()
            self._transport = None

"""Whom a node is connected to: the members of its configuration, and for a while those that it no longer names."""

from __future__ import annotations

from typing import Any

from leto.interfaces.transport import Transport
from leto.raft.configuration import Configuration

FAREWELL_SECONDS = 3.0  # how long a removed peer stays connected, to hear of its removal


class Dialling:
    """Keeps the transport's peers those of the configuration in force. `farewell` names who may still hear of their
    removal; it has no members else."""

    def __init__(self, clock: Any, server_id: str, transport: Transport) -> None:
        self._clock = clock
        self._id = server_id
        self._transport = transport
        self._running = True
        self.current: Configuration | None = None  # the one in force, once one was told
        self.farewell = Configuration()

    def follow(self, configuration: Configuration) -> None:
        """It is the one in force from now on."""
        before, self.current = self.current, configuration
        if before is not None and set(before.ids()) - set(configuration.ids()):
            self.farewell = before
            self._dial(configuration, before)
            self._clock.callLater(FAREWELL_SECONDS, self._farewell_over)
        else:
            self._dial(configuration)

    def stop(self) -> None:
        """Nobody is dialled any more."""
        self._running = False

    def _farewell_over(self) -> None:
        self.farewell = Configuration()
        if self._running and self.current is not None:
            self._dial(self.current)

    def _dial(self, *configurations: Configuration) -> None:
        """Connect to the members of all these; where one has two addresses, the first one's counts."""
        addresses: dict[str, str] = {}
        for configuration in configurations:
            for member in (*configuration.members, *configuration.outgoing):
                addresses.setdefault(member.id, member.address)
        addresses.pop(self._id, None)
        self._transport.set_peers(addresses)

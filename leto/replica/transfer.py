"""Leadership transfer as operators see it: asked for, awaited, told truthfully (dissertation 3.10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from leto.errors import TransferFailed
from leto.raft.node import Node
from leto.raft.state import Role


class Handover:
    """Asks the core for a transfer and waits until the target leads, or the time for it is over."""

    def __init__(
        self,
        clock: Any,
        node: Node,
        timeout: float,
        is_connected: Callable[[str], bool],
        wake: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._node = node
        self._timeout = timeout
        self._is_connected = is_connected
        self._wake = wake
        self._waiting: list[Deferred[None]] = []

    def most_caught_up(self) -> str | None:
        """The connected voter with the most of what is committed, the lowest id among equals (what is beyond the
        commit index reaches the target before it campaigns); None if there is no other voter to lead."""
        node = self._node
        voters = {member.id for member in node.configuration.members if member.voter} - {node.id}
        connected = [peer for peer in voters if peer in node.progress and self._is_connected(peer)]
        return min(connected, key=lambda peer: (-min(node.progress[peer].match, node.commit), peer), default=None)

    async def to(self, server_id: str | None) -> str:
        """Hand over to `server_id` (None: the most caught-up voter); gives its id. Raises TransferFailed."""
        node = self._node
        target = server_id if server_id is not None else self.most_caught_up()
        if target is None:
            raise TransferFailed("there is no other voter to lead")
        node.transfer(target, self._clock.seconds())
        self._wake()
        while node.role is Role.LEADER and node.transferring_to == target:
            await self._next_change()
        if node.role is Role.LEADER:
            raise TransferFailed(f"{target} did not take over in time; this node leads on")
        deadline = self._clock.seconds() + self._timeout
        while node.leader_id != target and self._clock.seconds() < deadline:
            await self._next_change()
        if node.leader_id != target:
            raise TransferFailed(f"{target} was asked to take over, but {node.leader_id or 'nobody yet'} leads")
        return target

    def changed(self) -> None:
        """Leader, role or term changed, or the transfer ended."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def _next_change(self) -> Deferred[None]:
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        call = self._clock.callLater(self._timeout / 20, self.changed)

        def cancel(_: None) -> None:
            if call.active():
                call.cancel()

        return waiter.addCallback(cancel)

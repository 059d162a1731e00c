"""The cluster's level: raised by the leader once every member has told that it understands more.

What members told is known of those alone that are connected now. So a new leader knows nothing before it has met them,
and one that is down or of an older version holds the level where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.errors import LetoError
from leto.interfaces.machine import StateMachine
from leto.interfaces.transport import Transport
from leto.raft.configuration import Configuration, with_level
from leto.raft.node import Node
from leto.raft.state import Role
from leto.replica.membership import Membership
from leto.replica.timers import LazyTimer

RETRY_SECONDS = 1.0


class Levels:
    """One node's. consider() is called whenever a member or the leader may be new, reached() whenever what is applied
    says a level. `fail` ends a node that the cluster has left behind."""

    log = Logger(namespace="leto.replica")

    def __init__(
        self,
        clock: Any,
        node: Node,
        membership: Membership,
        transport: Transport,
        machine: StateMachine,
        fail: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._node = node
        self._membership = membership
        self._transport = transport
        self._machine = machine
        self._fail = fail
        self._raising = False
        self._timer = LazyTimer(clock, self.consider)

    def agreed(self, configuration: Configuration) -> int:
        """What all its members understand; 0 while one of them is not connected."""
        others = [id for id in configuration.ids() if id != self._node.id]
        return min([self._machine.understands, *map(self._transport.level_of, others)])

    def consider(self) -> None:
        """Raise the level, if this node leads and all members have told a higher one."""
        node = self._node
        if self._raising or node.role is not Role.LEADER:
            return
        if self.agreed(node.configuration) > node.configuration.level:
            self._raising = True
            # Asked again when its turn comes: another member may have been taken in meanwhile.
            change = self._membership.change(lambda known: with_level(known, self.agreed(known)))
            change.addCallbacks(self._raised, self._failed)

    def reached(self, level: int, index: int) -> None:
        """By what is applied, the cluster is at that level since that entry."""
        machine = self._machine
        if level != machine.level:
            self.log.info("the cluster is at level {reached} since entry {index}", reached=level, index=index)
            machine.level = level
        if level > machine.understands:
            self._fail(beyond(level, machine.understands, index))

    def stop(self) -> None:
        """Nothing is raised any more."""
        self._timer.cancel()

    def _raised(self, _: None) -> None:
        self._raising = False

    def _failed(self, failure: Failure) -> None:
        self._raising = False
        failure.trap(LetoError)  # leadership was lost, or another change was in the way: look again
        self._timer.expect(self._clock.seconds() + RETRY_SECONDS)


def beyond(level: int, understands: int, index: int) -> str:
    """Why a node of a level that the cluster has left behind must not go on."""
    return (
        f"the cluster is at level {level} since entry {index} of the log, and this version of Leto understands level "
        f"{understands}: start the version that the other members run"
    )

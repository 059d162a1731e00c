"""Everybody who waits is told in time: checked at every point of a run, and not only when all is well at its end.

A write that was appended, or forwarded, has until the write timeout after the loss of the leader that it was asked of;
a read has its own timeout. Time in which a process stands still does not count. Besides, a leader whose whole log is
applied has nobody left to answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from leto.raft.progress import SNAPSHOT
from leto.raft.state import Role

if TYPE_CHECKING:
    from tests.simulation.whole.clients import Operation
    from tests.simulation.whole.process import Process
    from tests.simulation.whole.world import World

SLACK = 0.5  # seconds, for what is due to be done
Office = tuple[int, str]  # (term, its leader), as a node knows


class Order:
    """An operator's command."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return self.what


class Waiting:
    """Somebody asked something of a process, and has no answer."""

    __slots__ = ("due", "office", "process", "ends_with_office")

    def __init__(self, process: Process, due: float, office: Office, ends_with_office: float | None) -> None:
        self.process = process
        self.due = due  # on the process's waking time, infinity: for as long as that leader leads
        self.office = office  # of whom it was asked, in the end
        self.ends_with_office = ends_with_office  # seconds to live from its loss on; None: it does not matter


class Deadlines:
    """Who waits for what, and until when."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[Operation | Order, Waiting] = {}

    def asked(self, operation: Operation, process: Process) -> None:
        """A client's request has arrived at the process."""
        replica = process.replica
        config, now, office = replica.config, process.waking_time(), _office(process)
        reading = config.read_timeout + config.heartbeat_interval + SLACK
        if operation.is_read:
            waiting = Waiting(process, now + self._scaled(process, reading), office, None)
        elif replica.is_leader:
            waiting = Waiting(process, math.inf, office, self._scaled(process, config.write_timeout + SLACK))
        else:  # sent on to the leader, maybe; and then this node must show it to its reads
            lives = self._scaled(process, config.write_timeout + reading)
            due = now + self._scaled(process, config.write_timeout * 2 + reading)
            waiting = Waiting(process, due, office, lives)
        self._waiting[operation] = waiting

    def ordered(self, what: str, process: Process) -> Order:
        """An operator's command has arrived at the process."""
        order, office, kind = Order(what), _office(process), what.split()[0]
        config = process.replica.config
        if kind == "transfer":
            due = process.waking_time() + self._scaled(process, 3 * config.election_timeout + SLACK)
            self._waiting[order] = Waiting(process, due, office, None)
        elif kind != "snapshot":
            lives = self._scaled(process, config.write_timeout + SLACK)
            self._waiting[order] = Waiting(process, math.inf, office, lives)
        return order

    def answered(self, what: Operation | Order) -> None:
        """It waits no longer."""
        self._waiting.pop(what, None)

    def check(self) -> None:
        """Nobody has waited for too long."""
        for what, waiting in list(self._waiting.items()):
            process = waiting.process
            if not process.alive:
                del self._waiting[what]
            elif not process.paused and process.replica is not None:
                self._check(what, waiting, process.waking_time())

    def _check(self, what: Operation | Order, waiting: Waiting, now: float) -> None:
        office = _office(waiting.process)
        if isinstance(what, Order) and office[1] == waiting.process.host.name and waiting.ends_with_office is not None:
            # A change of members that waited for its turn goes on, where its node leads again.
            waiting.office, waiting.due = office, math.inf
        elif office != waiting.office and waiting.ends_with_office is not None:
            waiting.office, waiting.due = office, min(waiting.due, now + waiting.ends_with_office)
        if now > waiting.due:
            name = waiting.process.host.name
            self._world.oracle.fail(f"no answer in time: {what} waits at {name} since before {waiting.office}")

    def at_rest(self, process: Process) -> None:
        """After an event at that process, if it leads: what it waits for is there to come."""
        replica = process.replica
        state = replica.node._state
        name = process.host.name
        proposals = replica._proposals
        if state.log.last_index == replica.machine.applied:
            if not proposals.is_gathering and proposals.waiting_requests:
                self._world.oracle.fail(
                    f"{name} leads and has applied its whole log, but no answer came to {proposals.waiting_requests}"
                )
            if not state.outgoing and replica.membership.waiting:
                self._world.oracle.fail(f"{name} leads and has applied its whole log, but a change of members waits")
        streams = replica.upkeep.streams
        under_way = {*streams._streams, *streams._untold, *(message.to for message in state.snapshots_to_send)}
        for id, progress in state.progress.items():
            if progress.state is SNAPSHOT and id not in under_way:
                self._world.oracle.fail(f"{name} waits for a snapshot's stream to {id} that has ended")

    def _scaled(self, process: Process, seconds: float) -> float:
        """A time on the process's clock as one on the timeline."""
        return seconds / process.host.rate


def _office(process: Process) -> Office:
    node = process.replica.node
    return node.term, node.leader_id if node.role is not Role.LEADER else process.host.name

"""The members and their leader as one node minds them: changes asked for, connections kept, news told."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from leto.errors import NotLeader
from leto.raft.configuration import Configuration
from leto.raft.messages import Entry
from leto.raft.state import Role
from leto.replica.addresses import AddressBook
from leto.replica.clockwatch import ClockWatch
from leto.replica.core import Core
from leto.replica.dialling import Dialling
from leto.replica.levels import Levels
from leto.replica.membership import Membership, in_words
from leto.replica.relocation import Relocation
from leto.replica.removal import Removal
from leto.replica.transfer import Handover
from leto.replica.vigil import Vigil


class Cluster:
    """One node's view, from the configuration in force and from who leads."""

    log = Logger(namespace="leto.replica")

    def __init__(self, core: Core, on_removed: Callable[[str], None]) -> None:
        reactor, config, transport = core.surroundings.reactor, core.config, core.transport
        node, wake = core.node, core.driver.schedule
        self._node = node
        self.elections_won = 0
        self.addresses = AddressBook(config, node, transport)
        self.membership = Membership(reactor, config, node, wake, transport.meet)
        self.levels = Levels(reactor, node, self.membership, transport, core.machine, core.driver.fail)
        self.handover = Handover(reactor, node, config.election_timeout, transport.is_connected, wake)
        self.dialling = Dialling(reactor, config.id, transport)
        self.clocks = ClockWatch(node, reactor.seconds)
        self.vigil = Vigil(reactor, config, node, transport.is_connected)
        self.removal = Removal(config, on_removed)
        self._relocation = Relocation(reactor, node, self.membership, transport)
        if node.snapshot is not None:
            self.levels.reached(node.snapshot.configuration.level, node.snapshot.configuration_index)

    def start(self) -> None:
        """Begin to look after them."""
        self._relocation.start()
        self.vigil.start()

    def stop(self) -> None:
        """Change, dial and say nothing any more; whoever waits for a change is told."""
        self.dialling.stop()
        self._relocation.stop()
        self.vigil.stop()
        self.levels.stop()
        self.membership.stop()

    def not_leader(self) -> NotLeader:
        """The error that says where to ask instead."""
        return NotLeader(self._node.leader_id or None, self.addresses.of_leader() or None)

    def configuration_applied(self, entry: Entry, configuration: Configuration) -> None:
        """The entry that holds that configuration was applied."""
        self.levels.reached(configuration.level, entry.index)
        self.membership.applied(entry.index, entry.term, configuration)

    def leadership_changed(self, term: int, leader: str, role: Role) -> None:
        """It was these before."""
        if self._node.role is not Role.LEADER:
            self.clocks.forget()
        elif role is not Role.LEADER:
            self.elections_won += 1
        self.vigil.changed(term, leader, role)
        self.handover.changed()
        self.levels.consider()

    def configuration_changed(self, told: Callable[[Configuration], None]) -> None:
        """Another one is in force, which `told` is told too."""
        before, configuration = self.dialling.current, self._node.configuration
        self.dialling.follow(configuration)
        told(configuration)
        self.levels.consider()
        if before is not None:
            self.log.info("members: {members}", members=", ".join(map(in_words, configuration.members)))

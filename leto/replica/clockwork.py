"""The timers of consensus: elections, heartbeats, reads that wait. All are re-armed lazily, at the end of a turn."""

from __future__ import annotations

from typing import Any, Final

from twisted.logger import Logger

from leto.config import Config
from leto.raft.node import Node
from leto.raft.state import Role
from leto.replica.cluster import Cluster
from leto.replica.driver import Driver
from leto.replica.reads import Reads
from leto.replica.timers import LazyTimer

LEADER: Final = Role.LEADER  # a look into the class takes five times as long
SLOW_DISK_BYTES_PER_SECOND = 8 << 20  # a disk at least so fast is not taken for a hanging one


class Clockwork:
    """Has `driver` take its turns when the core, or the reads, want one."""

    log = Logger(namespace="leto.replica")

    def __init__(
        self,
        clock: Any,
        config: Config,
        node: Node,
        driver: Driver,
        reads: Reads,
        cluster: Cluster,
    ) -> None:
        self._clock = clock
        self._node = node
        self._driver = driver
        self._reads = reads
        self._cluster = cluster
        self._election_timeout = config.election_timeout
        self._look_seconds = config.heartbeat_interval  # between two looks at reads that wait
        self._election = LazyTimer(clock, driver.tick)
        self._heartbeat = LazyTimer(clock, self.heartbeat_due)
        self._waiting = LazyTimer(clock, self._reads_due)

    def wind(self, now: float) -> None:
        """Expect what the core and the reads have due next. Called after each turn: most of them move nothing on."""
        node = self._node
        role, votes, election, heartbeat, notice, transferring_to, forwarded = node.moments
        if role is LEADER:
            is_earlier = heartbeat < self._heartbeat.at or notice < self._heartbeat.at or bool(transferring_to)
        else:
            is_earlier = election < self._election.at or not votes or bool(forwarded)
        if is_earlier:
            if (deadline := node.election_deadline) < self._election.at:
                self._election.expect(deadline)
            if (deadline := node.heartbeat_deadline) < self._heartbeat.at:
                self._heartbeat.expect(deadline)
        if self._reads.batches and (deadline := now + self._look_seconds) < self._waiting.at:
            self._waiting.expect(deadline)

    def stop(self) -> None:
        """No turn comes from here any more."""
        for timer in (self._election, self._heartbeat, self._waiting):
            timer.cancel()

    def heartbeat_due(self) -> None:
        """A leader's heartbeat or notice, or a follower's question, is due."""
        node, driver, now = self._node, self._driver, self._clock.seconds()
        if node.role is Role.LEADER:
            stuck = driver.flush_seconds()
            allowed = self._election_timeout + driver.flush_bytes / SLOW_DISK_BYTES_PER_SECOND
            if stuck > allowed and len(node.configuration.voter_ids()) > 1:
                # A leader that cannot write must not hold the cluster up by its heartbeats.
                self.log.error("stepping down: the disk has not answered for {seconds:.1f} s", seconds=stuck)
                self._cluster.vigil.steps_down()
                node.step_down(now)
            else:
                self._cluster.clocks.look()
        late = now - node.heartbeat_deadline
        (driver.tick if late > self._election_timeout / 2 else driver.tick_now)()

    def _reads_due(self) -> None:
        self._reads.tick(self._clock.seconds())
        self._driver.turn()

"""Where what was gathered is handed to the core: writes become entries, reads rounds, each when it is worth one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leto.config import Config
from leto.errors import NotLeader, Overloaded, Stopping
from leto.interfaces.machine import StateMachine
from leto.keyspace import batch
from leto.raft.node import Node
from leto.raft.state import Role
from leto.replica.driver import Driver
from leto.replica.patience import Patience, prompt_until
from leto.replica.proposals import Proposals
from leto.replica.reads import Reads
from leto.replica.timers import LazyTimer


class Intake:
    """Holds what waits in `proposals` and `reads`, and empties them as patiently as their clients make worthwhile
    (leto.replica.patience)."""

    def __init__(
        self,
        clock: Any,
        config: Config,
        node: Node,
        machine: StateMachine,
        driver: Driver,
        not_leader: Callable[[], NotLeader],
    ) -> None:
        """`not_leader` says where to ask instead."""
        self.proposals = Proposals(config.max_batch_bytes, config.max_uncommitted_bytes // 2)
        self.reads = Reads(config.read_timeout, retry=config.election_timeout)
        self._clock = clock
        self._node = node
        self._machine = machine
        self._driver = driver
        self._not_leader = not_leader
        self.seconds: Callable[[], float] = clock.seconds
        self.patience = Patience()
        self.read_patience = Patience()
        self._leases = config.reads == "lease"
        self._timer = LazyTimer(clock, driver.turn)  # for whatever is held longest
        self.entries_proposed = 0

    def begin_turn(self, now: float) -> bool:
        """Hand over what is not to be held any longer; the timer sees to the rest. Whether there was something."""
        node, proposals, reads = self._node, self.proposals, self.reads
        patience, read_patience = self.patience, self.read_patience
        # Where clients of both kinds ask again at once, the next one of those that wait elsewhere may come here.
        together = patience.is_worthwhile and read_patience.is_worthwhile
        handed = False
        if proposals.gathered_requests and not self._driver.is_flushing and not node.transferring_to:
            gathered = proposals.gathered_requests
            elsewhere = reads.waiting if together and reads.batches else 0
            if patience.is_over(now, gathered, proposals.gathered_bytes, proposals.waiting_requests, elsewhere):
                patience.sent(now, gathered, proposals.gathered_returning)
                self._propose(now)
                handed = True
            else:
                self._timer.expect(patience.hold_until)
        batch = reads.gathering
        if (batch is not None or reads.unasked) and node.leader_id:
            gathered = returning = 0
            if batch is not None:
                gathered, returning = len(batch.waiting), batch.returning
            asked = reads.asked if reads.batches > 1 else 0  # else the open batch is the only one
            elsewhere = proposals.waiting_requests if together else 0
            at_once = reads.unasked or (self._leases and node.lease_holds)  # under a lease a round costs nothing
            if at_once or read_patience.is_over(now, gathered, 0, gathered + asked, elsewhere):
                read_patience.sent(now, gathered, returning)
                for context in reads.ask(now):
                    node.read(context, now)
                handed = True
            else:
                self._timer.expect(read_patience.hold_until)
        return handed

    def _propose(self, now: float) -> None:
        node = self._node
        while self.proposals.gathered_requests:
            if node.role is not Role.LEADER:
                self.proposals.refuse_gathered(self._not_leader)
                return
            requests, count, waiting = self.proposals.next_batch()
            clock_ms = node.cluster_clock(self._driver.wall_ms(), self._clock.seconds())
            stamp = max(clock_ms, self._machine.time_ms)
            try:
                index = node.propose(batch.encode(stamp, count, requests), now)
            except (NotLeader, Overloaded) as error:
                self.proposals.refuse(waiting, lambda error=error: error)  # type: ignore[misc]
                continue
            self.entries_proposed += 1
            self.proposals.appended(index, node.term, waiting)

    def answering(self) -> float:
        """Clients are about to be answered: until when one of them would ask again at once."""
        answered, reads = self.proposals.waiting_requests, self.reads
        if reads.batches:
            answered += reads.waiting
        return prompt_until(self.seconds(), answered)

    def leadership_changed(self, is_new: bool) -> None:
        """Roles changed, and, if `is_new`, the leader or its term."""
        if self._node.role is not Role.LEADER:
            self.proposals.refuse_gathered(self._not_leader)
        if is_new:
            self.reads.leader_changed()
            if self._node.leader_id and self.reads.wants_to_ask:
                self._driver.schedule()

    def stop(self) -> None:
        """Nothing that is held will be handed over by itself, and nobody waits any longer: the node stops."""
        self._timer.cancel()
        self.proposals.abandon()
        self.reads.fail_all(Stopping("the node is stopping"))

"""Says in the log who leads, and what an operator must know while nobody does: that the quorum is lost, that elections
bring nobody about, and that it is over. One line each, and seldom again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger

from leto.config import Config
from leto.raft.node import Node
from leto.raft.state import Role

PATIENCE: Final = 4  # election timeouts without a leader that are no news yet
LONGEST_SECONDS: Final = 60.0  # between two lines about the same want of a leader


class Vigil:
    """`changed` is told of each change of (term, leader, role)."""

    log = Logger(namespace="leto.replica")

    def __init__(
        self,
        reactor: Any,
        config: Config,
        node: Node,
        is_connected: Callable[[str], bool],
    ) -> None:
        self._reactor = reactor
        self._node = node
        self._is_connected = is_connected
        self._is_started = False
        self._patience = max(1.0, PATIENCE * config.election_timeout)
        self._without_since = 0.0
        self._term_then = 0
        self._wait = self._patience
        self._call: Any = None
        self._said = False
        self._of_its_own = False

    def start(self) -> None:
        """Begin to watch: a node starts without a leader."""
        self._is_started = True
        self._mind()

    def stop(self) -> None:
        """The node has ended its part: no timer stays behind."""
        self._is_started = False
        self._relax()

    def _relax(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def steps_down(self) -> None:
        """This node is about to step down for a reason that was told already."""
        self._of_its_own = True

    def changed(self, term: int, leader: str, role: Role) -> None:
        """It was these before."""
        node = self._node
        if role is Role.LEADER and node.role is not Role.LEADER:
            if node.term == term and not node.removed and not self._of_its_own:
                self.log.warn(
                    "{id} no longer leads term {term}: it does not hear from a majority of the voters ({voters}), and "
                    "without one there are no writes and no linearizable reads",
                    id=node.id,
                    term=term,
                    voters=self._voters(),
                )
            else:
                self.log.warn("{id} no longer leads term {term}", id=node.id, term=term)
            self._of_its_own = False
        if node.role is Role.LEADER and role is not Role.LEADER:
            self.log.info("{id} leads term {term}", id=node.id, term=node.term)
        elif node.leader_id and node.leader_id != leader:
            self.log.info("{id} follows {leader} in term {term}", id=node.id, leader=node.leader_id, term=node.term)
        elif leader and leader != node.id and not node.leader_id:
            self.log.warn("{id} lost its leader {leader}", id=node.id, leader=leader)
        self._mind()

    def _mind(self) -> None:
        if not self._is_started:
            return
        now = self._reactor.seconds()
        if not self._node.leader_id:
            if self._call is None:
                self._without_since, self._term_then, self._wait = now, self._node.term, self._patience
                self._call = self._reactor.callLater(self._wait, self._still_none)
            return
        self._relax()
        if self._said:
            self._said = False
            self.log.info(
                "{leader} leads after {seconds:.1f} s without a leader",
                leader=self._node.leader_id,
                seconds=now - self._without_since,
            )

    def _still_none(self) -> None:
        self._call = None
        if not self._is_started:
            return
        self._wait = min(2 * self._wait, LONGEST_SECONDS)
        self._call = self._reactor.callLater(self._wait, self._still_none)
        node = self._node
        if node.removed or not node.configuration.members:
            return  # it says so elsewhere
        self._said = True
        elections = node.term - self._term_then
        self.log.warn(
            "no leader for {seconds:.1f} s: {elections} ({voters})",
            seconds=self._reactor.seconds() - self._without_since,
            elections=f"{elections} elections brought none about" if elections else "no majority answers this node",
            voters=self._voters(),
        )

    def _voters(self) -> str:
        """`1 of 3 connected, not id2, id3`: this node counts itself."""
        node = self._node
        voters = sorted(node.configuration.voter_ids())
        missing = [voter for voter in voters if voter != node.id and not self._is_connected(voter)]
        text = f"{len(voters) - len(missing)} of {len(voters)} connected"
        return f"{text}, not {', '.join(missing)}" if missing else text

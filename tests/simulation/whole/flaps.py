"""Flaps of leadership: a leader is cut off with writes in its log that nobody else has, and leads again soon, or not.

Then, often, silence: clients ask nothing more. Whoever waits still must be told without a later write's help.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from tests.simulation.plan import Plan
from tests.simulation.whole.clients import Burst
from tests.simulation.whole.host import Host
from tests.simulation.whole.turmoil import Turmoil

if TYPE_CHECKING:
    from tests.simulation.whole.world import World


class Flaps(Turmoil):
    """The part of a World that changes its leader again and again."""

    plan: Plan
    silent_until: float
    _advance: Callable[[float, int], None]

    def _flap(self) -> None:
        leader = self.leader()
        if leader is None or len(self.hosts) < 2 or (leader.process is not None and leader.process.paused):
            return
        if self.random.random() < 0.5:
            self.silent_until = self.timeline.rightNow + 20.0  # only what is lost is asked
        for _ in range(self.random.randint(1, 3)):
            self._flap_once(leader)
        self.silent_until = 0.0
        if self.random.random() < 0.7:
            silence = self.random.uniform(0.5, 7.0)
            self.record("op", f"silence for {silence:.1f} s")
            self.silent_until = self.timeline.rightNow + silence
            self._pass(silence)

    def _flap_once(self, leader: Host) -> None:
        """It loses its followers, and may be brought back to lead: by the hand of its successor, or by its death."""
        draw = self.random
        self.record("op", f"flap: {leader.name} is cut off")
        self.network.partition([leader.name], [name for name in self.hosts if name != leader.name])
        self._burst(leader)
        self._pass(draw.uniform(0.5, 3.0))
        self.network.heal_all()
        self._pass(draw.choice([0.0, 0.05, 0.3]))
        between = self.leader()
        way = draw.choice(["transfer", "transfer", "kill", "nothing"])
        if between is None or between is leader or way == "nothing":
            return
        if way == "transfer":
            self._ask(between, f"transfer to {leader.name}", lambda replica: replica.transfer(leader.name))
        else:
            self.record("op", f"flap: crash {between.name}")
            between.crash(power=draw.random() < 0.5, noticed=draw.random() < 0.7)
        self._pass(draw.choice([0.0, 0.1, 1.0]))

    def _burst(self, leader: Host, size: int = 0) -> None:
        """Writes, each in an entry of its own or many in one, and a change of members among them at times."""
        draw = self.random
        asked = draw.randint(3, 15)
        changes = draw.randrange(asked) if draw.random() < 0.5 else -1
        for number in range(asked):
            process = leader.process
            if process is None or process.replica is None:
                return
            Burst(self.world, -1).write(leader, process, size)
            if number == changes and not self._wiped():
                name = draw.choice([name for name in self.hosts if name != leader.name])
                kind = draw.choice(["promote", "demote", "demote", "demote"])
                self._ask(leader, f"{kind} {name}", partial(_change, kind, name))
            self._pass(draw.choice([0.0, 0.001, 0.02]))

    def _outrun(self) -> None:
        """A follower is cut off while its leader compacts its log, once or twice; its own snapshot may be under way."""
        draw, leader = self.random, self.leader()
        followers = [host for host in self.hosts.values() if host is not leader and host.is_up]
        if leader is None or not followers:
            return
        follower = draw.choice(followers)
        if draw.random() < 0.5:
            self._ask(follower, "snapshot", lambda replica: replica.snapshot())
        self.record("op", f"{follower.name} is cut off and outrun")
        self.network.partition([follower.name], [name for name in self.hosts if name != follower.name])
        for most in (4.0, 1.0):  # the log is compacted by the first; the second may be on its way when it is asked for
            self._burst(leader, 600)  # enough for whole segments
            self._ask(leader, "snapshot", lambda replica: replica.snapshot())
            self._pass(draw.uniform(0.0, most))
        self.network.heal_all()
        self._pass(draw.choice([0.5, 2.0]))

    @property
    def world(self) -> World:
        return self  # type: ignore[return-value]

    def _pass(self, seconds: float) -> None:
        if seconds:
            self._advance(seconds, self.plan.steps)


def _change(kind: str, name: str, replica: Any) -> Deferred[None]:
    done: Deferred[None] = getattr(replica, kind)(name)
    return done

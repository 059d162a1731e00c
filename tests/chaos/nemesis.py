"""What goes wrong, and when: a seeded plan of faults against real processes and the network between them.

An action is a generator that yields how long (seconds) it lets things be. It names what it lays hands on, so that two
run together only if they differ in that: processes die while the network is cut, but a node is not wiped twice.
The plan is drawn from the seed; whom "the leader" meets, and when, is up to the real cluster.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from leto.storage.faultpoints import EXIT_STATUS
from tests.chaos.asking import ask, info, waits_to_join
from tests.chaos.clocks import Offsets
from tests.chaos.nodes import ChaosCluster, ChaosNode

if TYPE_CHECKING:
    from tests.chaos.actions import Action

Pauses = Generator[float, None, None]
REMOVED = "was removed from the cluster"
# How long (seconds) the next fault waits for a write to be acknowledged: sometimes not at all, so that faults pile up;
# sometimes long, so that a machine that is slow to start processes does not spend the whole run on that.
PATIENCE = (0.0, 1.0, 15.0, 60.0)
RECENT_SECONDS = 0.5
SERVES = ": clients on "  # from then on TERM is a wish, not an end
NO_SPACE = os.strerror(errno.ENOSPC)


@dataclass(slots=True)
class Event:
    at: float
    name: str
    detail: str
    takes_leader: bool = False  # the leader was lost by this: a failover follows

    def line(self, start: float) -> str:
        return f"{self.at - start:8.3f} s  {self.name:<16} {self.detail}"


@dataclass(slots=True)
class Running:
    name: str
    uses: str
    steps: Pauses
    due: float


@dataclass
class Nemesis:
    """Runs `actions` against `cluster`: those of them that the run's `features` allow."""

    cluster: ChaosCluster
    actions: Mapping[str, Action]
    seed: int
    features: Collection[str] = ()
    only: Sequence[str] = ()
    events: list[Event] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)  # what no node may do: end by itself, believe itself removed
    starts: list[float] = field(default_factory=list)  # when a process was started again
    offsets: Offsets = field(default_factory=Offsets)  # of the nodes' clocks
    last_write: Callable[[], float] = time.monotonic  # when the newest write was acknowledged

    def __post_init__(self) -> None:
        self.network = self.cluster.network
        self.random = random.Random(self.seed)
        self.paused: set[str] = set()
        self.crashing: set[str] = set()  # started with a fault point: they end by themselves
        self.stopping: set[str] = set()  # sent TERM
        self.leaving: set[str] = set()  # asked to leave since they last joined
        self.full: set[str] = set()  # their disk was full in their present life: they may end by themselves
        self._active: list[Running] = []
        self._seeds: dict[str, ChaosNode] = {}  # whom each node was told to join through
        self._marks = {node.id: 0 for node in self.cluster.nodes}  # where in its log each node's present life begins
        unknown = set(self.only) - set(self.actions)
        if unknown:
            raise ValueError(f"no such action: {', '.join(sorted(unknown))}; they are {', '.join(self.actions)}")
        self._possible = {
            name: action
            for name, action in self.actions.items()
            if (not action.needs or action.needs in self.features) and (not self.only or name in self.only)
        }

    # the plan -----------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Do harm for that long."""
        end = time.monotonic() + seconds
        next_begin = patience = time.monotonic() + 0.5
        pace = threading.Event()
        while time.monotonic() < end:
            now = time.monotonic()
            for running in list(self._active):
                if running.due <= now:
                    self._advance(running)
            if now >= next_begin and (now >= patience or self.last_write() > now - RECENT_SECONDS):
                self._begin()
                now = time.monotonic()
                next_begin = now + self.random.uniform(0.2, 2.0)
                patience = now + self.random.choice(PATIENCE)
            self.tend()
            pace.wait(0.02)

    def _begin(self) -> None:
        used = {running.uses for running in self._active}
        names = [name for name, action in self._possible.items() if action.uses not in used]
        if not names:
            return
        (name,) = self.random.choices(names, [self._possible[name].weight for name in names])
        action = self._possible[name]
        self._advance_new(Running(name, action.uses, action.begin(self), 0.0))

    def _advance_new(self, running: Running) -> None:
        self._active.append(running)
        self._advance(running)

    def _advance(self, running: Running) -> None:
        self._current = running.name
        try:
            running.due = time.monotonic() + next(running.steps)
        except StopIteration:
            self._active.remove(running)

    def note(self, detail: str, *, takes_leader: bool = False, name: str = "") -> None:
        name = name or self._current
        self.counts[name] += 1
        self.events.append(Event(time.monotonic(), name, detail, takes_leader))

    def struck(self) -> None:
        """The fault noted last is in force from now on."""
        self.events[-1].at = time.monotonic()

    def tend(self) -> None:
        """Look after nodes that ended by themselves: whether they may, and what follows."""
        for node in self.cluster.nodes:
            if not node.has_failed:
                continue
            status = node.wait_exit()
            if node.id in self.stopping:
                self.stopping.discard(node.id)
                if status != 0 and not (status == -signal.SIGTERM and SERVES not in self._log_of_this_life(node)):
                    self.faults.append(f"{node.id} ended with status {status} after TERM")
                continue
            if REMOVED in self._log_of_this_life(node):
                if node.id not in self.leaving:
                    self.faults.append(f"{node.id} believes itself removed, and nobody removed it")
                node.forget_data()
            elif status == EXIT_STATUS and node.id in self.crashing:
                self.crashing.discard(node.id)
            elif status == 1 and node.id in self.full and NO_SPACE in self._log_of_this_life(node):
                continue
            else:
                self.faults.append(f"{node.id} ended by itself with status {status}")
                if len(self.faults) > 20:
                    raise AssertionError("nodes end by themselves again and again: " + self.faults[0])

    def _log_of_this_life(self, node: ChaosNode) -> str:
        return node.log()[self._marks[node.id] :]

    # processes ----------------------------------------------------------------------------------------

    def start(self, node: ChaosNode, environment: dict[str, str] | None = None) -> None:
        """(Re)start; an empty directory joins through whoever runs."""
        if node.is_running:
            return
        members = [other for other, _ in self._infos() if other is not node]
        seed = self.random.choice(members or [other for other in self.cluster.nodes if other is not node])
        self._seeds[node.id] = seed
        self._marks[node.id] = len(node.log())
        self.starts.append(time.monotonic())
        self.full.discard(node.id)
        if not node.raftdir.exists():
            self.leaving.discard(node.id)
        node.start(join=seed.address, environment=environment)

    def kill(self, node: ChaosNode) -> None:
        if node.is_running:
            node.kill()

    def resume(self, nodes: Sequence[ChaosNode]) -> None:
        """Wake those that stand still."""
        for node in nodes:
            if node.id in self.paused:
                self.paused.discard(node.id)
                if node.is_running:
                    node.resume()

    def heal_network(self) -> None:
        """The network whole and quick again."""
        self.network.heal()
        if self.cluster.namespaces is not None:
            self.cluster.namespaces.heal()

    def make_room(self) -> None:
        """Space on every disk again."""
        for node in self.cluster.nodes:
            if node.disk is not None:
                node.empty_disk()

    def leader(self) -> ChaosNode | None:
        """Whoever says so itself, in the highest term."""
        found = [(int(answer["raft_term"]), node) for node, answer in self._infos() if answer["raft_role"] == "leader"]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def _infos(self) -> Iterator[tuple[ChaosNode, dict[str, str]]]:
        namespaces = self.cluster.namespaces
        deaf = self.paused | namespaces.unplugged if namespaces is not None else self.paused
        for node in self.cluster.nodes:
            if node.is_running and node.id not in deaf:
                answer = info(node)
                if answer:
                    yield node, answer

    def is_whole(self) -> bool:
        """Every node has joined and follows the leader, which counts each as a voter, with no change under way."""
        answers = {node.id: answer for node, answer in self._infos()}
        leaders = {answer["raft_leader_id"] for answer in answers.values()}
        if len(answers) < len(self.cluster.nodes) or len(leaders) != 1:
            return False
        told = answers.get(leaders.pop(), {})
        return set(told.get("raft_voters", "").split(",")) == set(answers) and not told["raft_outgoing"]

    def promote_learners(self) -> None:
        """Ask the leader to make voters of the nodes that a demotion left behind."""
        leader = self.leader()
        if leader is not None:
            for learner in filter(None, info(leader).get("raft_learners", "").split(",")):
                ask(leader, "RAFT", "PROMOTE", learner, timeout=0.3)

    def some(self) -> ChaosNode:
        return self.random.choice(self.cluster.nodes)

    # the end of it ------------------------------------------------------------------------------------

    def heal(self) -> None:
        """No more faults: the network whole, everybody awake and running. May be called again and again."""
        for running in self._active:
            running.steps.close()
        self._active.clear()
        self.heal_network()
        self.make_room()
        self.resume(self.cluster.nodes)
        self.tend()
        self.crashing.clear()
        members = {node.id for node, _ in self._infos()}
        for node in self.cluster.nodes:
            seed = self._seeds.get(node.id)
            if node.id not in members and seed is not None and waits_to_join(node) and waits_to_join(seed):
                self.kill(node)  # each would wait for the other
            self.start(node)
        self.promote_learners()


def names(nodes: Sequence[ChaosNode]) -> str:
    return "/".join(node.id for node in nodes)
